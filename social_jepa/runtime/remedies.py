"""What to do where the simulation of a run is not up: one choice, for every command, HTTP and the page."""

import contextlib
import shlex
from dataclasses import dataclass
from pathlib import Path

from social_jepa.records import RunRecord
from social_jepa.runtime.errors import CopiedFolderError, ElsewhereError, NoCheckpointsError, NotUpError
from social_jepa.runtime.membership import check_checkpoints
from social_jepa.runtime.presence import find_simulation
from social_jepa.runtime.run_list import describe_run
from social_jepa.storage import peer_status, simulation_file
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.run_folder import RunFolder
from social_jepa.system.command_line import command


@dataclass(frozen=True)
class Remedy:
    """What helps where a simulation is not up.

    Attributes:
        sentence: It as a clause; empty where the simulation is up.
        command: The command in that clause, as it can be pasted into a shell; empty where none helps.
    """

    sentence: str = ""
    command: str = ""


def find_remedy(folder: RunFolder, named: Path | None = None) -> Remedy:
    """Return what to do about a run whose simulation is not up.

    Args:
        folder: The run folder.
        named: Its path in commands; default: as it is.
    """
    place, run = named or folder.path, describe_run(folder.path, count=False)
    if run.state == "damaged":
        return Remedy(run.reason)
    try:
        if _is_copy(folder):
            return copy_remedy(place)
        if _is_of_peer(folder):
            show = command("status", run=place)
            return Remedy(f"it is of one peer without Ray, which {show} shows", show)
        if run.state == "training":
            at_work = "a command is starting or ending it: try again in a moment"
            return Remedy(at_work if _was_simulation(folder) else "a batch run is at work in it")
        return Remedy("it is up by now") if run.state == "up" else _remedy_at_rest(folder, run, place)
    except (ValueError, OSError) as error:  # a ledger that cannot be read now, or a record in it
        return Remedy(str(error))


def _remedy_at_rest(folder: RunFolder, run: RunRecord, place: Path) -> Remedy:
    """Return what to do about a run in which no process runs."""
    resume, up = command("resume", run=place), _new_simulation(run, place)
    if not has_checkpoints(folder):
        return Remedy(
            f"it can only be read, since it has models without checkpoints, as an import has; {up} starts a "
            "simulation with its settings", up,
        )  # fmt: skip
    if run.state == "down":
        return Remedy(f"{resume} brings it back", resume)
    if run.state == "stopped":
        return Remedy(f"it is a batch run that was stopped, which {resume} continues", resume)
    return Remedy(f"it is a batch run that has finished; {up} starts a simulation with its settings", up)


def _new_simulation(run: RunRecord, place: Path) -> str:
    """Return the command that starts a simulation with the settings of a run."""
    turns = ("agents.workers=0",) if run.settings.get("agents.workers") else ()  # they cannot stay up
    return command("up", "--config", place / "config.toml", *turns)


def copy_remedy(place: Path) -> Remedy:
    """Return what to do about a run folder that was copied while its simulation was up."""
    remove = shlex.join(["rm", str(place / simulation_file.NAME)])
    return Remedy(f"name that folder, or use this one apart from it after {remove}", remove)


def _is_of_peer(folder: RunFolder) -> bool:
    return (folder.path / peer_status.NAME).exists()


def _is_copy(folder: RunFolder) -> bool:
    with contextlib.suppress(NotUpError, ElsewhereError):
        try:
            find_simulation(folder)
        except CopiedFolderError:
            return True
    return False


def _was_simulation(folder: RunFolder) -> bool:
    """Return whether a simulation used a run folder last; false while its ledger cannot be read."""
    with contextlib.suppress(ValueError), _ledger(folder) as ledger:
        starts = ledger.events_of("started", "resumed")
        return bool(starts and starts[-1].details.get("online"))
    return False


def _ledger(folder: RunFolder) -> contextlib.closing[Ledger]:
    return contextlib.closing(Ledger(folder.ledger_file, read_only=True, quick=True))


def has_checkpoints(folder: RunFolder) -> bool:
    """Return whether agents can continue: they have saved checkpoints, or published nothing yet.

    Raises:
        LedgerError: The ledger cannot be read.
    """
    with _ledger(folder) as ledger:
        try:
            check_checkpoints(ledger, folder)
        except NoCheckpointsError:
            return False
    return True


def can_resume(folder: RunFolder) -> bool:
    """Return whether the command `resume` continues a run: no process runs in it, and it has checkpoints."""
    if describe_run(folder.path, count=False).state not in ("down", "stopped", "finished"):
        return False
    with contextlib.suppress(ValueError):
        return not _is_of_peer(folder) and has_checkpoints(folder)
    return False
