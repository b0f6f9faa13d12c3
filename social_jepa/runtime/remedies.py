"""What to do where the simulation of a run is not up: one choice, for every command, HTTP and the page."""

import shlex
from dataclasses import dataclass
from pathlib import Path

from social_jepa.records import RunRecord
from social_jepa.runtime.run_list import InspectedRun, inspect_run
from social_jepa.storage import simulation_file
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


def find_remedy(folder: RunFolder, named: Path | None = None, found: InspectedRun | None = None) -> Remedy:
    """Return what to do about a run whose simulation is not up.

    Args:
        folder: The run folder.
        named: Its path in commands; default: as it is.
        found: What was read of it just now; default: it is read.
    """
    place, found = named or folder.path, found or inspect_run(folder.path)
    state = found.record.state
    if state == "damaged":
        return Remedy(found.record.reason)
    if found.copied:
        return copy_remedy(place)
    if folder.is_of_peer():
        show = command("status", run=place)
        return Remedy(f"it is of one peer without Ray, which {show} shows", show)
    if state == "training":
        at_work = "a command is starting or ending it: try again in a moment"
        return Remedy(at_work if found.online else "a batch run is at work in it")
    return Remedy("it is up by now") if state == "up" else _remedy_at_rest(found, place)


def _remedy_at_rest(found: InspectedRun, place: Path) -> Remedy:
    """Return what to do about a run in which no process runs."""
    run = found.record
    resume, up = command("resume", run=place), _new_simulation(run, place)
    if not found.has_checkpoints:
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


def can_resume(folder: RunFolder) -> bool:
    """Return whether the command `resume` continues a run: no process runs in it, and it has checkpoints."""
    found = inspect_run(folder.path)
    return found.has_checkpoints and not found.copied and not folder.is_of_peer()
