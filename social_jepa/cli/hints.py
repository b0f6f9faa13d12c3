"""Commands that the command line suggests, for the run folder that it works on."""

from contextvars import ContextVar
from pathlib import Path

from social_jepa.system.command_line import command, shown

_run: ContextVar[Path | None] = ContextVar("run", default=None)


def work_on(folder: Path | None) -> None:
    """Name a run folder in every later hint, so that a hint can be pasted as it is."""
    _run.set(folder)


def hint(verb: str, *words: object, run: Path | None = None) -> str:
    """Return a command about a run folder; default: the one of `work_on`."""
    folder = run or _run.get()
    return command(verb, *words, run=shown(folder) if folder else None)
