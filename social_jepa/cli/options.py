"""Options that several commands share, and the start of `run` and `up`."""

import contextlib
import json
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from social_jepa.cli.completion import complete_run, complete_running, complete_setting
from social_jepa.runtime.logs import stderr_level

if TYPE_CHECKING:
    from social_jepa.storage.run_folder import RunFolder

logger = logging.getLogger(__name__)

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


class CommandError(ValueError):
    """An error in the words of the command line: it names flags where the cause carries fields."""


def is_quiet() -> bool:
    """Return whether --quiet was given before the command: then progress is not shown."""
    return stderr_level() > logging.WARNING


def new_run(
    config: Path | None, settings: Sequence[str] | None, out: Path | None, address: str | None, quick: bool
) -> tuple["RunFolder", str | None]:
    """Create the folder of a new run; return it with the address of the Ray cluster to join, if any.

    Raises:
        ConfigError, AddressError, RunFolderError, UnfitMachineError, NotEnoughMemoryError: The settings, the
            address, the folder or this machine cannot be used; no folder is created.
    """
    from social_jepa.config.run_config import QUICK, load_config
    from social_jepa.runtime.preflight import check_before_start
    from social_jepa.storage.run_folder import create

    resolved = load_config(config, settings or [], QUICK if quick else None)
    for risk in resolved.collapse_risks():
        logger.warning("%s", risk)
    address = cluster_address(address)  # before there is a folder
    check_before_start(resolved, address)
    with suggest_another_out():
        return create(resolved, out), address


@contextlib.contextmanager
def suggest_another_out() -> Iterator[None]:
    """Say that --out names a folder with something in it, and how to go on with what it holds."""
    from social_jepa.storage.run_folder import RunFolderExistsError

    try:
        yield
    except RunFolderExistsError as error:
        raise CommandError(f"{error.path} exists already: choose another --out{error.hint}") from error


def cluster_address(address: str | None) -> str | None:
    """Return the address of the Ray cluster to join, by default RAY_ADDRESS; None: start a local Ray.

    Raises:
        AddressError, NotOnClusterError: No simulation can be started there from this machine.
    """
    address = address or os.environ.get("RAY_ADDRESS") or None
    if address:
        from social_jepa.runtime.cluster import check_address

        check_address(address)
    return address


def print_json(document: Any) -> None:
    """Print one JSON document; records are encoded by their JSON names, NaN and infinity as null."""
    from social_jepa.records import encode

    typer.echo(json.dumps(json.loads(encode(document)), indent=2))


def print_unsaved(unsaved: Sequence[str]) -> bool:
    """Print to stderr what a run or a simulation could not save; return whether there is something."""
    for sentence in unsaved:
        typer.echo(f"unsaved  {sentence}", err=True)
    return bool(unsaved)
