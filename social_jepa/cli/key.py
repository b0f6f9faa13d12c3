"""Commands about the signing key of an agent."""

from pathlib import Path
from typing import Annotated

import typer

from social_jepa.cli.options import AsJson, print_json

app = typer.Typer(pretty_exceptions_enable=False, no_args_is_help=True)

KeyPath = Annotated[Path, typer.Argument(metavar="FILE", help="Its key file, identity.key in its folder.")]
Name = Annotated[str, typer.Option("--name", help="Name of the agent.")]


@app.callback()
def about() -> None:
    """Show, replace or revoke the signing key of an agent."""


@app.command()
def show(file: KeyPath, name: Name, as_json: AsJson = False) -> None:
    """Print the public key as the table that others write into their trust file."""
    from agents.protocol.identity import Identity, fingerprint
    from agents.protocol.trust import TrustedKey, write_tables

    key = Identity.load(file).public_key
    if as_json:
        print_json({"name": name, "key": key.hex(), "fingerprint": fingerprint(key)})
    else:
        typer.echo(f"# fingerprint {fingerprint(key)}\n{write_tables({name: TrustedKey(key)})}", nl=False)


@app.command()
def rotate(file: KeyPath, name: Name, as_json: AsJson = False) -> None:
    """Replace the key; peers accept the new one, because the old one signs it. Start the agent again then."""
    from agents.protocol.identity import Identity
    from agents.protocol.trust import RotatedIdentity

    Identity.load(file)  # a missing file is an error here, and not a new key
    RotatedIdentity(file).rotate(name)
    show(file, name, as_json)


@app.command()
def revoke(file: KeyPath, name: Name, as_json: AsJson = False) -> None:
    """Print the table that revokes the key: one peer that has it in its trust file passes it on to all."""
    from agents.protocol.identity import Identity
    from agents.protocol.trust import KeyRevocation, TrustedKey, write_tables

    statement = KeyRevocation.make(name, Identity.load(file))
    if as_json:
        print_json({"name": name, "key": statement.key.hex(), "revoked": statement.signature.hex()})
    else:
        typer.echo(write_tables({name: TrustedKey(statement.key, True, statement.signature)}), nl=False)
