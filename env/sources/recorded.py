"""Sources that can only be played from the beginning: recorded once, then read from a file."""

import os
import tempfile
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from env.sources.contract import FrameSource, SourceError, check_ticks
from env.sources.settings import FramesConfig

Played = tuple[np.ndarray, np.ndarray | None]  # picture, uint8 [H, W, 3], and the true state, [F]
FORMAT = 1  # of the recordings; raised when a recording would differ


class RecordedSource(FrameSource):
    """A source whose frames are recorded at their first use, in the user's folder of cached files.

    The recording holds the frames of all views, so that the processes of one machine play the source once and
    share the file. The folder is that of `cache_folder`.
    """

    def __init__(self, name: str, config: FramesConfig, frame_size: int, key: str) -> None:
        """Find the recording, or make it.

        Args:
            name: Name of the source, for messages.
            config: Its settings.
            frame_size: Side of its frames.
            key: Identifies what `play` returns; the name of the file.

        Raises:
            SourceError: There are no frames.
        """
        super().__init__(config, frame_size)
        self.name = name
        file = cache_folder() / f"{key}-{FORMAT}.frames"
        states = file.with_suffix(".npy")
        if not file.is_file():
            file.parent.mkdir(parents=True, exist_ok=True)
            self._record(file, states)
        shape = (-1, self.views, frame_size, frame_size, 3)
        self._frames = np.memmap(file, dtype=np.uint8, mode="r").reshape(shape)
        self._states = np.load(states, allow_pickle=False) if states.is_file() else None

    @abstractmethod
    def play(self) -> Iterator[Played]:
        """Return the pictures from the first tick on, at most ``config.ticks`` of them if that is not 0."""

    @property
    def ticks(self) -> int:
        """Number of recorded ticks."""
        return len(self._frames)

    @property
    def views(self) -> int:
        """Number of views, V."""
        return len(self.config.views)

    def read(self, ticks: np.ndarray, view: int) -> np.ndarray:
        """Return frames of a view, int64 [N] -> uint8 [N, S, S, 3]."""
        if not 0 <= view < self.views:
            raise IndexError(f"view {view} of {self.views}")
        return np.array(self._frames[check_ticks(ticks, self.ticks), view])

    def state(self, ticks: np.ndarray) -> np.ndarray | None:
        """Return the true state, [N] -> float64 [N, F]; None where it is unknown."""
        if self._states is None:
            return None
        return np.asarray(self._states[check_ticks(ticks, self.ticks)], dtype=np.float64)

    def _record(self, file: Path, states_file: Path) -> None:
        """Write the files; each appears complete or not at all."""
        states = []
        with tempfile.NamedTemporaryFile(dir=file.parent, delete=False) as target:
            try:
                for picture, state in self.play():
                    for cut in self.config.cuts:
                        target.write(cut.cut(picture, self.frame_size).tobytes())
                    states += [] if state is None else [state]
                if not target.tell():
                    raise SourceError(self.name, "it has no frames")
            except BaseException:
                Path(target.name).unlink()
                raise
        if states:
            with tempfile.NamedTemporaryFile(dir=file.parent, delete=False) as beside:
                np.save(beside, np.stack(states))
            Path(beside.name).replace(states_file)
        Path(target.name).replace(file)


def cache_folder() -> Path:
    """Return the folder of recordings, which may be deleted at any time while nothing runs."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "social-jepa" / "frames"
