"""The command that checks a proof that a peer has contradicted itself."""

from itertools import combinations
from pathlib import Path
from typing import Annotated

import typer

from social_jepa.cli.options import AsJson, CommandError, print_json

app = typer.Typer(pretty_exceptions_enable=False, no_args_is_help=True)

EvidenceFile = Annotated[Path, typer.Argument(metavar="FILE", help="Evidence, from a run's folder evidence.")]


@app.callback()
def about() -> None:
    """Check proofs that a peer embedded one tick in two ways."""


@app.command()
def verify(file: EvidenceFile, as_json: AsJson = False) -> None:
    """Check evidence, without trust in who made it; the exit status is 1 if it proves nothing."""
    from agents.protocol.evidence import MAX_EVIDENCE_BYTES, EvidenceError
    from agents.protocol.evidence import verify as check
    from agents.protocol.identity import fingerprint

    with file.open("rb") as opened:
        data = opened.read(MAX_EVIDENCE_BYTES + 1)
    try:
        found = check(data)
    except EvidenceError as error:
        typer.echo(f"social-jepa: {file} proves nothing: {error}", err=True)
        raise typer.Exit(1) from error
    key = fingerprint(found.public_key)
    if as_json:
        print_json({
            "sender": found.sender, "key": found.public_key.hex(), "fingerprint": key,
            "checkpoint": found.checkpoint, "recipients": list(found.recipients), "ticks": found.ticks,
            "contradictions": found.contradictions, "tick": found.tick, "difference": found.difference,
        })  # fmt: skip
        return
    typer.echo(
        f"{found.sender} embedded {found.contradictions} of {found.ticks} ticks in two ways under checkpoint "
        f"{found.checkpoint}: for {' and for '.join(found.recipients)}\n"
        f"tick {found.tick} differs by {found.difference:.3g}\n"
        f"both replies are signed by the key with fingerprint {key}"
    )


@app.command()
def compare(
    folders: Annotated[
        list[Path], typer.Argument(metavar="FOLDER FOLDER...", help="Folders of runs and of peers.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the evidence.")] = Path("evidence"),
    as_json: AsJson = False,
) -> None:
    """Compare what peers have received from the same sources, and write evidence of contradictions.

    The exit status is 1 if there is none.
    """
    from social_jepa.storage.reply_files import read_replies, write_evidence

    _check_folders(folders)
    kept = [(folder, *each) for folder in folders for each in read_replies(folder).items()]
    found = []
    for (one, source, first), (other, name, second) in combinations(kept, 2):
        evidence = first.contradicts(second) if name == source and one != other else None
        if evidence is not None:
            path = write_evidence(out, source, evidence)
            found.append({"source": source, "folders": [str(one), str(other)], "file": str(path)})
            if not as_json:
                typer.echo(f"{source} contradicts itself in {one} and {other}: {path} proves it")
    peers = len({source for _, source, _ in kept})
    if as_json:
        print_json({"peers": peers, "contradictions": found})
    if not found:
        typer.echo(f"no contradiction among the replies of {peers} peers in {len(folders)} folders", err=True)
        raise typer.Exit(1)


def _check_folders(folders: list[Path]) -> None:
    """Raise CommandError unless there are two folders or more, each of which keeps replies."""
    from social_jepa.storage.reply_files import REPLIES

    if len({folder.resolve() for folder in folders}) < max(2, len(folders)):
        raise CommandError("name two different folders or more: replies in one are compared as they arrive")
    for folder in folders:
        if not folder.is_dir():
            raise CommandError(f"there is no folder {folder}")
        if not (folder / REPLIES).is_dir():
            raise CommandError(
                f"{folder} keeps no replies: name folders of runs or of peers with a folder {REPLIES} in them"
            )
