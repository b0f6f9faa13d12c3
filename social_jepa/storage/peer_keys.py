"""The session of a run and the public keys of its agents, which outlive the supervisor."""

import logging
import os
from functools import cached_property
from pathlib import Path

from agents.common.files import write_atomically
from agents.common.hexadecimal import hex_bytes
from agents.protocol.envelope import SESSION_BYTES
from agents.protocol.identity import PUBLIC_KEY_BYTES
from social_jepa.storage.run_folder import RunFolder

logger = logging.getLogger(__name__)

SESSION_FILE = ".session"
PUBLIC_KEY_FILE = "identity.pub"  # in an agent's folder


class PeerKeys:
    """Session and public keys of a run; what cannot be written is kept in memory.

    Only one object at a time may write to a run folder, so each file is read once.
    """

    def __init__(self, folder: RunFolder) -> None:
        """Take the run folder; its files are read when they are asked for."""
        self._folder = folder
        self._keys: dict[str, bytes] = {}  # by name; empty for an agent without a key

    @cached_property
    def session(self) -> bytes:
        """The 16 random bytes of the run, made when they are asked for first."""
        path = self._folder.path / SESSION_FILE
        session = _read(path, SESSION_BYTES)
        if not session:
            session = os.urandom(SESSION_BYTES)
            _write(path, session)
        return session

    def get(self, name: str) -> bytes:
        """Return the public key of an agent; empty while it has none."""
        if name not in self._keys:
            self._keys[name] = _read(self._path(name), PUBLIC_KEY_BYTES)
        return self._keys[name]

    def set(self, name: str, public_key: bytes) -> None:
        """Replace the public key of an agent."""
        self._keys[name] = public_key
        _write(self._path(name), public_key)

    def _path(self, name: str) -> Path:
        return self._folder.agent(name) / PUBLIC_KEY_FILE


def _read(path: Path, size: int) -> bytes:
    """Return the bytes that a file holds in hexadecimal digits; empty if it is missing or damaged."""
    try:
        return hex_bytes(path.read_text(encoding="ascii", errors="replace").strip(), size)
    except OSError:
        return b""


def _write(path: Path, data: bytes) -> None:
    try:
        write_atomically(path, data.hex().encode() + b"\n")
    except OSError as error:
        logger.warning("%s cannot be written: %s", error.filename, error.strerror)
