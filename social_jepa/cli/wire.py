"""Commands about the bytes that peers exchange."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from social_jepa.cli.options import AsJson, CommandError, print_json

app = typer.Typer(pretty_exceptions_enable=False, no_args_is_help=True)
READ_BYTES = 2 * 16 * 2**20 + 1024  # an envelope in hexadecimal digits, and a little more

CapturedFile = Annotated[
    Path,
    typer.Argument(help="One envelope, as bytes or hexadecimal digits; - reads standard input."),
]


@app.callback()
def about() -> None:
    """Look at captured envelopes."""


@app.command()
def inspect(
    file: CapturedFile,
    key: Annotated[
        str | None,
        typer.Option(help="Public key of the sender, 64 hexadecimal digits; checks the signature."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print the fields of one captured envelope."""
    from agents.protocol.inspection import InspectionError, signature_holds
    from agents.protocol.inspection import describe as describe_envelope
    from agents.protocol.inspection import inspect as read_envelope

    data, name = _read(file), "standard input" if str(file) == "-" else str(file)
    try:
        found = describe_envelope(read_envelope(data))
    except InspectionError as error:
        raise CommandError(f"{name} is not an envelope: {error}") from error
    found["signature_holds"] = signature_holds(data, _parse_key(key)) if key else None
    if as_json:
        print_json(found)
    else:
        _print(dict(found))
    if found["signature_holds"] is False:
        raise typer.Exit(1)


def _read(file: Path) -> bytes:
    if str(file) == "-":
        data = sys.stdin.buffer.read(READ_BYTES)
    else:
        with file.open("rb") as opened:
            data = opened.read(READ_BYTES)
    if data.startswith(b"SJPA"):
        return data
    try:
        return bytes.fromhex(data.decode("ascii"))
    except ValueError:
        return data


def _parse_key(text: str) -> bytes:
    from agents.common.hexadecimal import hex_bytes

    key = hex_bytes(text, 32)
    if not key:
        raise CommandError(f"--key {text} is not a public key: it has 64 hexadecimal digits")
    return key


def _print(found: dict[str, Any]) -> None:
    message = found.pop("message")
    holds = found.pop("signature_holds")
    for name, value in found.items():
        typer.echo(f"{name:22} {value}")
    if holds is not None:
        typer.echo(f"{'signature holds':22} {'yes' if holds else 'NO: another key signed it, or it changed'}")
    for name, value in message.items():
        typer.echo(f"message.{name:14} {value}")
