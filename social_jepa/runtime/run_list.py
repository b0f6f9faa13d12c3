"""The runs below a folder: state, agents, edges and settings of each, without loading its maps.

A folder that cannot be read is a record too, with the reason; nothing here waits for it. That of a peer with
embeddings is none of a run: it has neither settings nor models.
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alignment.status import Status
from social_jepa.config.overrides import differing
from social_jepa.config.run_config import RunConfig, read_config
from social_jepa.records import EventRecord, RunRecord
from social_jepa.runtime.errors import CopiedFolderError, ElsewhereError, NotUpError
from social_jepa.runtime.presence import STARTS, find_simulation, is_of_simulation
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.ledger_errors import LedgerError, LedgerUnavailableError, MissingLedgerError
from social_jepa.storage.peer_status import EMBEDDINGS
from social_jepa.storage.proofs import proved_agents
from social_jepa.storage.run_folder import RunFolder
from social_jepa.storage.run_folder_errors import RunFolderError


def list_runs(root: Path) -> list[RunRecord]:
    """Return the runs in a folder, or that folder itself if it is one, newest first.

    Raises:
        OSError: The folder is missing or cannot be read.
    """
    found = [root] if is_run(root) else [entry for entry in root.iterdir() if is_run(entry)]
    return sorted((describe_run(path) for path in found), key=lambda run: (-run.time, run.name))


def is_run(path: Path) -> bool:
    """Return whether a folder has something that only a run writes, so that a damaged one is listed too."""
    try:
        if (path / "config.toml").exists():
            return True
        return (path / "ledger.sqlite").exists() and not (path / EMBEDDINGS).exists()
    except OSError:  # a folder without permission to look into
        return True


@dataclass(frozen=True)
class InspectedRun:
    """What one reading of the processes and of the ledger of a run folder says.

    Attributes:
        record: Its record; agents and edges are not counted.
        online: Whether a simulation used it last; false while its ledger cannot be read.
        copied: Whether it is a copy of a folder whose simulation was up.
        has_checkpoints: Whether its agents can continue: they have saved checkpoints, or published nothing
            yet. False while a process runs in it.
    """

    record: RunRecord
    online: bool = False
    copied: bool = False
    has_checkpoints: bool = False


def describe_run(path: Path) -> RunRecord:
    """Return the record of a run folder; a damaged one has the reason."""
    return _inspect(RunFolder.at(path), count=True).record


def inspect_run(path: Path) -> InspectedRun:
    """Return what is known of a run folder: processes and ledger are read once, and nothing is counted."""
    return _inspect(RunFolder.at(path), count=False)


def _inspect(folder: RunFolder, count: bool) -> InspectedRun:
    try:
        return _read(folder, count)
    except (RunFolderError, LedgerError, ValueError, OSError) as error:
        reason = f"{folder.path}: {error.strerror}" if isinstance(error, OSError) else str(error)
        return InspectedRun(
            RunRecord(
                name=folder.path.name, path=str(folder.path), state="damaged", reason=reason,
                time=changed(folder.path),
            )
        )  # fmt: skip


def _read(folder: RunFolder, count: bool) -> InspectedRun:
    _check_files(folder)
    config = read_config(folder.config_file)
    settings = {
        name: value for name, (value, _) in differing(config.as_dict(), RunConfig().as_dict()).items()
    }
    state, copied = _presence(folder)
    own: dict[str, Any] = {"name": folder.path.name, "path": str(folder.path), "settings": settings}
    try:
        with contextlib.closing(Ledger(folder.ledger_file, read_only=True, quick=True)) as ledger:
            events = ledger.events_of(*STARTS, "stopped", "finished")
            counts = _counts(ledger) if count else {}
            has_checkpoints = not (count or state) and folder.has_checkpoints(ledger)
    except (LedgerUnavailableError, MissingLedgerError):  # a writer is at work
        if state not in ("up", "training"):
            raise
        record = RunRecord(**own | {"state": state, "time": changed(folder.config_file)})
        return InspectedRun(record, copied=copied)
    ended, reason = ("", "") if state else _end(events)
    began = events[0].time if events else changed(folder.config_file)
    own |= {"state": state or ended, "reason": reason, "time": began, **counts}
    return InspectedRun(RunRecord(**own), is_of_simulation(events), copied, has_checkpoints)


def _check_files(folder: RunFolder) -> None:
    """Raise RunFolderError for a file that is none: to open a pipe would wait for its writer."""
    for file in (folder.config_file, folder.ledger_file, folder.simulation_file):
        if file.exists() and not file.is_file():
            raise RunFolderError(f"{file} is no regular file")
    if not folder.config_file.exists():
        raise RunFolderError(f"{folder.config_file} is missing")


def _presence(folder: RunFolder) -> tuple[str, bool]:
    """Return up, training, or an empty text where no process runs; and whether the folder was copied."""
    copied = False
    try:
        find_simulation(folder)
        return "up", False
    except ElsewhereError:  # on another machine that shares the folder
        return "up", False
    except CopiedFolderError:
        copied = True
    except NotUpError:
        pass
    return "training" if folder.is_locked() else "", copied


def _counts(ledger: Ledger) -> dict[str, Any]:
    """Return the numbers of agents and edges, and the mean R2.

    Edges count as their peers accepted them, without those of a proved liar. Whom a majority contradicts is
    not judged here: that takes the maps of every edge, and torch.
    """
    scores, liars = ledger.edge_scores(), proved_agents(ledger)
    accepted = [
        value for pair, (status, value) in scores.items()
        if status is Status.ACCEPTED and liars.keys().isdisjoint(pair)
    ]  # fmt: skip
    r2 = [value for value in accepted if value is not None]
    return {
        "agents": len(ledger.incarnations()),
        "edges": len(scores),
        "accepted": len(accepted),
        "r2_shared": sum(r2) / len(r2) if r2 else None,
    }


def _end(events: list[EventRecord]) -> tuple[str, str]:
    """Return the state of a run in which no process runs any more, and the reason."""
    if is_of_simulation(events):
        return "down", ""
    if events and events[-1].type == "finished":
        return "finished", ""
    last = events[-1] if events else None
    return "stopped", str(last.details.get("reason", "")) if last and last.type == "stopped" else "killed"


def changed(path: Path) -> float:
    """Return when a file was changed, in seconds since 1970; 0 if it cannot be looked at."""
    with contextlib.suppress(OSError):
        return path.stat().st_mtime
    return 0.0
