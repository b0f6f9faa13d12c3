"""status.json: the state of an agent that runs without Ray, written by its process while it runs."""

import logging
import time
from pathlib import Path

from agents.common.files import write_atomically
from social_jepa.records import decode, encode, replace
from social_jepa.records.peer import PeerStatus
from social_jepa.storage.run_folder import PEER_STATUS, RUNS
from social_jepa.system.process_identity import Presence

logger = logging.getLogger(__name__)

EMBEDDINGS = "embeddings.json"  # in the folder of a peer that has embeddings alone, which is no run folder
REFRESH_SECONDS = 5.0  # between two writes of a state that has not changed
SILENT_SECONDS = 30.0  # without a write, after which a process on another machine counts as ended
DOWN = "down"


class StatusWriter:
    """Writes the state of an agent where it has changed; what cannot be written is written later."""

    def __init__(self, folder: Path) -> None:
        """Take the folder."""
        self._path = folder / PEER_STATUS
        self._written: PeerStatus | None = None
        self._failing = False

    def write(self, status: PeerStatus) -> None:
        """Write a state."""
        last = self._written
        recent = last is not None and status.updated_at - last.updated_at < REFRESH_SECONDS
        if last is not None and recent and replace(status, updated_at=last.updated_at) == last:
            return
        try:
            write_atomically(self._path, encode(status) + b"\n")
        except OSError as error:
            if not self._failing:  # it is tried again several times a second
                logger.warning("%s cannot be written: %s", self._path, error.strerror)
            self._failing = True
        else:
            self._written, self._failing = status, False


def find_peer(path: Path) -> Path | None:
    """Return the folder of a peer at a path, or of that name below ./runs; None: there is none."""
    for place in (path, RUNS / path):
        if any((place / name).exists() for name in (PEER_STATUS, EMBEDDINGS)):
            return place
        if (place / "config.toml").exists():
            return None  # a run, which goes before what has the same name below ./runs
    return None


def read_status(folder: Path) -> PeerStatus | None:
    """Return the state of the agent of a folder, its phase `DOWN` if its process has ended; None: none ran.

    Raises:
        ValueError: The file is damaged.
        OSError: It cannot be read.
    """
    path = folder / PEER_STATUS
    try:
        found = decode(path.read_bytes(), PeerStatus)
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}): start the peer again to write it anew") from error
    presence = found.process.presence()
    silent = presence is Presence.ELSEWHERE and time.time() - found.updated_at > SILENT_SECONDS
    if presence is Presence.ENDED or silent:
        peers = tuple(replace(peer, connected=False) for peer in found.peers)
        return replace(found, phase=DOWN, listens=(), peers=peers)
    return found
