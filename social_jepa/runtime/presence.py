"""Whether a run folder has a simulation and whether that is up, by simulation.json and by its ledger."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

from social_jepa.records import EventRecord
from social_jepa.runtime.errors import CopiedFolderError, ElsewhereError, NotUpError
from social_jepa.runtime.local_ray import processes_of, stop_local_ray
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.run_folder import RunFolder
from social_jepa.storage.simulation_file import SimulationFile
from social_jepa.system.process_identity import Presence

STARTS = ("started", "resumed")  # events of a process that begins to run in a folder


def find_simulation(folder: RunFolder) -> SimulationFile:
    """Return the content of simulation.json of a simulation that is up.

    Raises:
        NotUpError: It is not up, or all of its processes have ended.
        ElsewhereError: It is up on another host, or in a container.
        CopiedFolderError: The folder is a copy, or was moved to another file system meanwhile.
        SimulationFileError: simulation.json cannot be read.
    """
    found = folder.simulation()
    if found is None:
        raise NotUpError(folder.path)
    if has_ended(found):
        raise NotUpError(folder.path, True)
    if not found.is_of(folder.path):
        raise CopiedFolderError(folder.path, Path(found.folder))
    if not found.machine.is_here:
        raise ElsewhereError(folder.path, found.machine.host)
    return found


def has_ended(found: SimulationFile) -> bool:
    """Return whether certainly no process of a simulation runs any more."""
    if found.leader is None:
        return found.machine.has_rebooted  # the supervisor starts nowhere else; its agents are a cluster's
    if found.leader.presence() is Presence.ENDED:
        return not processes_of(found.leader, found.session)
    return False


def end_remaining(folder: RunFolder) -> None:
    """End what remains of the local Ray of a folder's simulation, and delete simulation.json.

    Raises:
        NotUpError, ElsewhereError, CopiedFolderError, SimulationFileError: See `find_simulation`.
    """
    find_simulation(folder)
    remove_leftovers(folder)


def remove_leftovers(folder: RunFolder) -> None:
    """Delete simulation.json and what else processes leave that were killed; end those that still run.

    The caller has made sure by `find_simulation` that they may be ended, or have ended.
    """
    found = folder.simulation()
    if found is None:
        return
    if found.leader is not None:
        stop_local_ray(found.leader, found.session)
    if found.is_of(folder.path):  # the original of a copy may be up again, at the same socket
        Path(found.control).unlink(missing_ok=True)
    folder.simulation_file.unlink(missing_ok=True)


def was_simulation(folder: RunFolder) -> bool:
    """Return whether a run folder was last used by a simulation, not by a batch run; nothing is written.

    Raises:
        LedgerError: The ledger cannot be read.
    """
    with contextlib.closing(Ledger(folder.ledger_file, read_only=True)) as ledger:
        return is_of_simulation(ledger.events_of(*STARTS))


def is_of_simulation(events: Sequence[EventRecord]) -> bool:
    """Return whether the newest start among the events of a ledger, in order, is that of a simulation."""
    starts = [event for event in events if event.type in STARTS]
    return bool(starts and starts[-1].details.get("online"))
