"""Frames and states in arrays with one row a tick, whatever file holds them."""

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np

from env.sources.contract import SAMPLED_TICKS, PictureSource, SourceError, digest
from env.sources.settings import FramesConfig

SMALLEST, MOST_CHANNELS = 2, 4  # side of a picture; red, green, blue and opacity


class ColumnSource(PictureSource):
    """A source over two arrays that are indexed by tick; subclasses open them.

    Frames are uint8 [T, H, W], [T, H, W, C] or [T, C, H, W] with 1, 3 or 4 channels; the fourth is ignored.
    """

    def __init__(
        self, name: str, config: FramesConfig, frame_size: int, frames: Any, states: Any = None
    ) -> None:
        """Take open arrays.

        Args:
            name: Name of the source, for messages.
            config: Its settings.
            frame_size: Side of its frames.
            frames: Anything with shape and dtype that an increasing index array reads rows of.
            states: The same, [T, ...]; None where the state is unknown.

        Raises:
            SourceError: The arrays are no frames, or do not belong to each other.
        """
        super().__init__(config, frame_size)
        self.name = name
        self._frames, self._states = frames, states
        self._first = _channels_first(frames.shape)
        if frames.dtype != np.uint8 or self._first is None:
            raise SourceError(
                name,
                f"{config.key!r} is {frames.dtype} {tuple(frames.shape)}: scene.frames.key must name frames, "
                "uint8 [T, H, W, C] or [T, C, H, W] of 1, 3 or 4 channels, or [T, H, W]",
            )
        if states is not None and (len(states) != len(frames) or not np.issubdtype(states.dtype, np.number)):
            raise SourceError(
                name,
                f"{config.state_key!r} is {states.dtype} {tuple(states.shape)}: scene.frames.state_key must "
                f"name numbers of each of the {len(frames)} ticks",
            )

    @property
    def ticks(self) -> int:
        """Number of rows."""
        return min(len(self._frames), self.config.ticks or len(self._frames))

    @cached_property
    def identity(self) -> str:
        """Hash of the shape and of some frames."""
        some = np.unique(np.linspace(0, self.ticks - 1, SAMPLED_TICKS).astype(np.int64))
        return digest("columns", self.ticks, np.asarray(self._frames[some]))

    def pictures(self, ticks: np.ndarray) -> Iterator[np.ndarray]:
        """Return the picture of each tick, uint8 [H, W, 3]."""
        rows = read_rows(self._frames, ticks)
        for picture in rows.transpose(0, 2, 3, 1) if self._first else rows:
            color = picture[..., None] if picture.ndim == 2 else picture[..., :3]
            yield color if color.shape[-1] == 3 else color[..., :1].repeat(3, axis=-1)

    def state(self, ticks: np.ndarray) -> np.ndarray | None:
        """Return the true state, [N] -> float64 [N, F]; None where it is unknown."""
        if self._states is None:
            return None
        return read_rows(self._states, ticks).reshape(len(ticks), -1).astype(np.float64)


def read_rows(array: Any, ticks: np.ndarray) -> np.ndarray:
    """Return rows of an array in any order, [N, ...]; files are read in increasing order, each row once."""
    wanted, place = np.unique(ticks, return_inverse=True)
    consecutive = len(wanted) and wanted[-1] - wanted[0] == len(wanted) - 1
    rows = array[int(wanted[0]) : int(wanted[-1]) + 1] if consecutive else array[wanted]
    return np.asarray(rows)[place.reshape(-1)]


def _channels_first(shape: tuple[int, ...]) -> bool | None:
    """Return whether frames of a shape are [T, C, H, W]; None if they are no frames."""
    if len(shape) not in (3, 4) or not shape[0]:
        return None
    channels = (1, 3, MOST_CHANNELS)
    if len(shape) == 3:
        return False if min(shape[1:]) >= SMALLEST else None
    if shape[3] in channels:
        return False
    return True if shape[1] in channels else None
