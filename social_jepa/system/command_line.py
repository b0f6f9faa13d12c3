"""Commands of this program as a person can paste them into a shell."""

import shlex
from collections.abc import Iterable
from pathlib import Path


def command(verb: str, *words: object, run: Path | str | None = None) -> str:
    """Return the text of a command, each word quoted where a shell would change it.

    Args:
        verb: Subcommand.
        words: Its further arguments.
        run: Run folder that it is about; None leaves it out.
    """
    folder: Iterable[str] = ()
    if run is not None:
        text = str(run)
        text = f"./{text}" if text.startswith("-") else text  # not an option
        folder = ("--run", text)
    return shlex.join(["social-jepa", verb, *folder, *map(str, words)])


def shown(path: Path) -> Path:
    """Return a path as a person in the current folder would write it: relative if it lies below."""
    here = Path.cwd()
    return (
        path.relative_to(here) if path.is_absolute() and path.is_relative_to(here) and path != here else path
    )
