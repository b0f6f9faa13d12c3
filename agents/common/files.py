"""Atomic writes and content hashes of files, and files that are written later where they cannot be now."""

import hashlib
import logging
import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

logger = logging.getLogger(__name__)

CHECKPOINT, PUBLISHED = "checkpoint.safetensors", "published.safetensors"  # files of one agent
RETRY_SECONDS = 2.0  # seconds between two attempts to write what could not be written


def write_atomically(path: Path, data: bytes, mode: int = 0o666) -> None:
    """Write bytes to a file that appears complete: temporary file, flush to disk, rename.

    Args:
        path: File to write; folders that it lacks are made.
        data: What it holds then.
        mode: Its mode, and that of the temporary file from its creation on, less the process's umask.

    Raises:
        OSError: It cannot be written; `filename` is the path, and the earlier file is as it was.
    """
    try:
        _write(path, data, mode)
    except OSError as error:
        error.filename = str(path)  # a full disk names none; the temporary one is of no interest
        raise


def _write(path: Path, data: bytes, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)  # of a killed process with the same number; others may have it open
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def make_private_folder(folder: Path) -> None:
    """Create a folder that only this user may enter.

    Raises:
        PermissionError: It exists and belongs to, or is open to, another user.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.stat(follow_symlinks=False)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PermissionError(
            f"{folder} must be a folder that only this user may enter: delete it, or correct its mode to 0700"
        )


def digest(data: bytes) -> str:
    """Return the first 16 hexadecimal digits of the bytes' SHA-256."""
    return hashlib.sha256(data).hexdigest()[:16]


@dataclass(frozen=True)
class UnsavedFile:
    """A file that could not be written; its writer tries again.

    Attributes:
        path: The file.
        reason: What the operating system or the library says.
        since: When it failed first, in seconds since the epoch.
    """

    path: str
    reason: str
    since: float

    @classmethod
    def after(cls, earlier: "UnsavedFile | None", path: Path, reason: str) -> "UnsavedFile":
        """Return the note of a failed attempt; the attempt before it, if any, says since when."""
        return cls(str(path), reason, earlier.since if earlier else time.time())


class RetriedFiles:
    """Files whose writer goes on without them while the disk takes nothing, and tries again.

    Attributes:
        unsaved: What could not be written, by path.
    """

    def __init__(self, on_written: Callable[[Path], None] = lambda path: None) -> None:
        """Start with nothing unsaved.

        Args:
            on_written: Called with the path of each file that `write` has written.
        """
        self._on_written = on_written
        self.unsaved: dict[Path, UnsavedFile] = {}
        self._retry_at = 0.0

    def write(self, path: Path, data: bytes) -> bool:
        """Write a file atomically, or note why it cannot be; return whether it was written."""
        try:
            write_atomically(path, data)
        except OSError as error:
            self.fail(path, error.strerror or str(error))
            return False
        self.succeed(path)
        self._on_written(path)
        return True

    def fail(self, path: Path, reason: str) -> None:
        """Note that a file could not be written."""
        self._retry_at = time.monotonic() + RETRY_SECONDS
        earlier = self.unsaved.get(path)
        if earlier is None:
            logger.warning("%s cannot be written, and is tried again: %s", path, reason)
        self.unsaved[path] = UnsavedFile.after(earlier, path, reason)

    def succeed(self, path: Path) -> None:
        """Note that a file was written."""
        if self.unsaved.pop(path, None):
            logger.info("%s could be written again", path)

    def due(self) -> list[Path]:
        """Return the files to try again now, at most every RETRY_SECONDS."""
        return list(self.unsaved) if self.unsaved and time.monotonic() >= self._retry_at else []
