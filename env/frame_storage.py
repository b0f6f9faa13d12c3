"""Where a replay buffer keeps its frames: in memory, or in an unnamed file that needs none."""

import errno
import math
import os
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np

LARGE_FOLDER = "/var/tmp"  # for temporary files that are too large for memory, where /tmp often lies


class FrameStorage(Protocol):
    """A fixed number of frames, by row."""

    def write(self, rows: np.ndarray, frames: np.ndarray) -> None:
        """Store frames uint8 [N, ...] in rows int64 [N]."""

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Return the frames of rows, int64 [...] -> uint8 [..., H, W, 3], as a copy."""


class MemoryStorage:
    """Frames in memory."""

    def __init__(self, size: int, shape: tuple[int, ...]) -> None:
        """Allocate ``size`` frames of one shape."""
        self._frames = np.empty((size, *shape), dtype=np.uint8)

    def write(self, rows: np.ndarray, frames: np.ndarray) -> None:
        """Store frames in rows."""
        self._frames[rows] = frames

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Return the frames of rows."""
        frames: np.ndarray = self._frames[rows]
        return frames


class FileStorage:
    """Frames in a file without a name, which vanishes with the process.

    It is read and written, not mapped: the pages that the system caches are then its own to drop, and count
    as memory of no process.
    """

    def __init__(self, size: int, shape: tuple[int, ...], folder: str) -> None:
        """Reserve room for ``size`` frames of one shape.

        Args:
            size: Number of frames.
            shape: Shape of each.
            folder: Folder on the disk to use.

        Raises:
            OSError: The disk has no room for them, or the folder cannot be written to; the message names the
                settings to change.
        """
        self._shape = shape
        self._frame_bytes = math.prod(shape)
        self._file = _unnamed_file(folder, size * self._frame_bytes)
        weakref.finalize(self, os.close, self._file)

    def write(self, rows: np.ndarray, frames: np.ndarray) -> None:
        """Store frames in rows."""
        frames = np.ascontiguousarray(frames, dtype=np.uint8)
        for part, row in _runs(rows):
            left, offset = frames[part].data.cast("B"), row * self._frame_bytes
            while left:
                done = os.pwrite(self._file, left, offset)
                left, offset = left[done:], offset + done

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Return the frames of rows; those not written yet are black."""
        flat = np.reshape(rows, -1)
        frames = np.empty((len(flat), *self._shape), dtype=np.uint8)
        for part, row in _runs(flat):
            left, offset = frames[part].data.cast("B"), row * self._frame_bytes
            while left:
                done = os.preadv(self._file, [left], offset)
                if not done:
                    raise OSError(errno.EIO, "the file of the replay buffer ends too early")
                left, offset = left[done:], offset + done
        return frames.reshape(*np.shape(rows), *self._shape)


def frame_storage(kind: str, size: int, shape: tuple[int, ...]) -> FrameStorage:
    """Return storage for ``size`` frames of one shape, in "memory" or in a "file" below `scratch_folder`.

    Raises:
        OSError: As `FileStorage`.
    """
    return MemoryStorage(size, shape) if kind == "memory" else FileStorage(size, shape, scratch_folder())


def scratch_folder(environ: Mapping[str, str] = os.environ) -> str:
    """Return the folder for temporary files that are too large for memory: TMPDIR, or else /var/tmp."""
    chosen = environ.get("TMPDIR", "")
    usable = (folder for folder in (chosen, LARGE_FOLDER) if folder and os.access(folder, os.W_OK | os.X_OK))
    return next(usable, "") or tempfile.gettempdir()


def _unnamed_file(folder: str, size: int) -> int:
    """Return the descriptor of a new file of a size in bytes, whose blocks are reserved."""
    try:
        file, path = tempfile.mkstemp(prefix="social-jepa-frames-", dir=folder)
        Path(path).unlink()
        try:
            os.ftruncate(file, size)
            if hasattr(os, "posix_fallocate"):  # else a full disk shows only once the frames are recorded
                os.posix_fallocate(file, 0, size)
        except BaseException:
            os.close(file)
            raise
    except OSError as error:
        raise OSError(
            error.errno,
            f"a replay buffer of {size / 2**30:.2f} GiB cannot be kept in a file in {folder} "
            f"({os.strerror(error.errno or 0)}): set TMPDIR to a folder with more room, lower "
            "training.replay_ticks, or set training.replay_storage=memory",
        ) from error
    return file


def _runs(rows: np.ndarray) -> Iterator[tuple[slice, int]]:
    """Yield the stretches of consecutive rows: where they are in the array, and the first row."""
    if not len(rows):
        return
    cuts = np.flatnonzero(np.diff(rows) != 1) + 1
    starts = [0, *cuts.tolist()]
    for first, stop in zip(starts, [*starts[1:], len(rows)], strict=True):
        yield slice(first, stop), int(rows[first])
