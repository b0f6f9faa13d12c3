"""Options that several commands share, and the start of `run` and `up`."""

import contextlib
import json
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from social_jepa.cli.completion import complete_run, complete_running, complete_setting
from social_jepa.runtime.logs import stderr_level

if TYPE_CHECKING:
    from social_jepa.storage.run_folder import RunFolder

Settings = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE]...",
        autocompletion=complete_setting,
        help="Settings, for example seed=3 agents.count=6 scene.objects=2.",
        show_default=False,
    ),
]
ChangedSettings = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE]...",
        autocompletion=complete_setting,
        help="Settings to change, of training, negotiation and devices, for example training.steps=900.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]
Run = Annotated[
    Path | None,
    typer.Option(
        "--run",
        metavar="RUN",
        autocompletion=complete_run,
        show_default=False,
        help="Run folder, or its name below ./runs; default: the latest there.",
    ),
]
RunUp = Annotated[
    Path | None,
    typer.Option(
        "--run",
        metavar="RUN",
        autocompletion=complete_running,
        show_default=False,
        help="Run folder, or its name below ./runs; default: the latest there that is up.",
    ),
]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="TOML file with settings.")]
Out = Annotated[Path | None, typer.Option(help="Run folder to create; default: a new one in ./runs.")]
Address = Annotated[
    str | None, typer.Option(help="Ray cluster to join; default: RAY_ADDRESS, else a local Ray is started.")
]

Nice = Annotated[
    int | None,
    typer.Option(
        "--nice", min=0, max=19, show_default=False,  # as `agents.nice`, whose module is loaded later
        help="Niceness of the run's processes: how much they give way to other programs; sets agents.nice.",
    ),
]  # fmt: skip


class CommandError(ValueError):
    """An error in the words of the command line: it names flags where the cause carries fields."""


def check_timeout(wait: bool, timeout: float) -> None:
    """Raise CommandError for --timeout without --wait, which has nothing to end."""
    if not wait and timeout != math.inf:
        raise CommandError("--timeout is for --wait: give --wait too, or leave it out")


def is_quiet() -> bool:
    """Return whether --quiet was given before the command: then progress is not shown."""
    return stderr_level() > logging.WARNING


def wait_progress() -> bool | None:
    """Return the argument `progress` of a wait: False with --quiet, else None, on a terminal only."""
    return False if is_quiet() else None


def with_nice(settings: Sequence[str] | None, nice: int | None) -> list[str]:
    """Return the settings of a command line with that of --nice, which wins over agents.nice."""
    return [*(settings or ()), *([] if nice is None else [f"agents.nice={nice}"])]


def create_run(
    config: Path | None,
    settings: Sequence[str] | None,
    out: Path | None,
    address: str | None,
    quick: bool,
    batch: bool = False,
) -> tuple["RunFolder", str | None]:
    """Create the folder of a new run as `new_run` does, with errors that name flags."""
    from social_jepa.runtime.new_run import new_run

    with suggest_another_out():
        return new_run(settings or (), config, out, address, quick, batch)


@contextlib.contextmanager
def suggest_another_out() -> Iterator[None]:
    """Say that --out names a folder with something in it, and how to go on with what it holds."""
    from social_jepa.storage.run_folder import RunFolder
    from social_jepa.storage.run_folder_errors import RunFolderExistsError

    try:
        yield
    except RunFolderExistsError as error:
        from social_jepa.runtime.remedies import can_resume

        hint = error.hint if error.resumable and can_resume(RunFolder.at(error.path)) else ""
        raise CommandError(f"{error.path} exists already: choose another --out{hint}") from error


def print_json(document: Any, one_line: bool = False) -> None:
    """Print one JSON document; records are encoded by their JSON names, NaN and infinity as null.

    A byte of a path that is not UTF-8, which JSON cannot hold, becomes an escape.

    Args:
        document: Records, or containers of records.
        one_line: Whether to print it on one line, for a command that prints several.
    """
    from social_jepa.records import encode

    try:
        data = encode(document)
    except UnicodeEncodeError:
        data = encode(_valid_unicode(document))
    plain = json.loads(data)
    typer.echo(json.dumps(plain) if one_line else json.dumps(plain, indent=2))


def _valid_unicode(document: Any) -> Any:
    """Return a document as plain values, each text without what UTF-8 cannot encode."""
    if isinstance(document, str):
        return document.encode(errors="backslashreplace").decode()
    if isinstance(document, Mapping):
        return {_valid_unicode(key): _valid_unicode(value) for key, value in document.items()}
    if isinstance(document, list | tuple):
        return [_valid_unicode(each) for each in document]
    if hasattr(document, "__struct_fields__"):
        from social_jepa.records import as_dict

        return _valid_unicode(as_dict(document))
    return document


def print_unsaved(unsaved: Sequence[str]) -> bool:
    """Print to stderr what a run or a simulation could not save; return whether there is something."""
    for sentence in unsaved:
        typer.echo(f"unsaved  {sentence}", err=True)
    return bool(unsaved)
