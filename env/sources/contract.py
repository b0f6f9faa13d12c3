"""The contract of a source of frames, and the base class of sources that hold whole pictures."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable
from functools import cached_property

import numpy as np

from env.sources.memory import measure_memory
from env.sources.settings import FramesConfig

SAMPLED_TICKS = 16  # ticks whose frames identify a source


class SourceError(ValueError):
    """A source of frames cannot be used; the message names the setting or the file.

    Attributes:
        source: What `scene.source` names.
        problem: What is wrong, and the remedy.
    """

    def __init__(self, source: str, problem: str) -> None:
        """Keep what happened."""
        super().__init__(source, problem)
        self.source, self.problem = source, problem

    def __str__(self) -> str:
        """Return the sentence."""
        return f"scene.source={self.source}: {self.problem}"


class TickOutsideSourceError(ValueError):
    """A tick that a source does not have.

    Attributes:
        tick: The tick.
        ticks: Number of ticks of the source.
    """

    def __init__(self, tick: int, ticks: int) -> None:
        """Keep the numbers."""
        super().__init__(tick, ticks)
        self.tick, self.ticks = tick, ticks

    def __str__(self) -> str:
        """Return the sentence."""
        return f"tick {self.tick}: choose from 0 to {self.ticks - 1}, the last one of the source of frames"


class UnknownStateError(ValueError):
    """The true state of a source of frames that knows none.

    Attributes:
        source: What ``scene.source`` names.
    """

    def __init__(self, source: str) -> None:
        """Keep the source."""
        super().__init__(source)
        self.source = source

    def __str__(self) -> str:
        """Return the sentence."""
        return f"scene.source={self.source} does not know the true state: there is nothing to compare with"


class FrameSource(ABC):
    """Base class of sources; ``scene.source=package.module:Class`` selects a custom one.

    Every process builds its own with ``Class(config, frame_size)``. Equal settings give equal frames in every
    process and after any other calls. `env.sources.checker.check_source` checks a source.

    Attributes:
        config: The settings that it was built from, ``scene.frames``.
        frame_size: Side S of its square frames.
    """

    def __init__(self, config: FramesConfig, frame_size: int) -> None:
        """Keep the settings; subclasses open what they read."""
        self.config = config
        self.frame_size = frame_size

    @property
    @abstractmethod
    def ticks(self) -> int:
        """Number of ticks, T; they are 0 to T - 1."""

    @property
    @abstractmethod
    def views(self) -> int:
        """Number of views, V; they are 0 to V - 1, and each agent has one."""

    @abstractmethod
    def read(self, ticks: np.ndarray, view: int) -> np.ndarray:
        """Return frames of a view, int64 [N] -> a new uint8 [N, S, S, 3], for ticks in any order."""

    def state(self, ticks: np.ndarray) -> np.ndarray | None:
        """Return the true state, int64 [N] -> float64 [N, F], for evaluation only; None: it is unknown."""
        return None

    @cached_property
    def identity(self) -> str:
        """Hash of what the source reads: peers with other data refuse each other.

        By default of the number of ticks and of some frames of view 0. A subclass that can do it hashes what
        it reads itself, so that peers may differ in views and in the size of frames.
        """
        some = np.unique(np.linspace(0, self.ticks - 1, SAMPLED_TICKS).astype(np.int64))
        return digest(type(self).__qualname__, self.ticks, self.read(some, 0))

    @cached_property
    def decorrelation_ticks(self) -> int:
        """Ticks after which frames no longer resemble earlier ones; by default measured on view 0."""
        return measure_memory(lambda ticks: self.read(ticks, 0), self.ticks)


class PictureSource(FrameSource):
    """A source of whole pictures, of which the views in ``scene.frames.views`` are cut."""

    @abstractmethod
    def pictures(self, ticks: np.ndarray) -> Iterable[np.ndarray]:
        """Return the picture of each tick in the order given, uint8 [H, W, 3]."""

    @property
    def views(self) -> int:
        """Number of views, V."""
        return len(self.config.views)

    def read(self, ticks: np.ndarray, view: int) -> np.ndarray:
        """Return frames of a view, int64 [N] -> uint8 [N, S, S, 3]."""
        ticks, cut = check_ticks(ticks, self.ticks), self.config.cuts[view]
        frames = np.empty((len(ticks), self.frame_size, self.frame_size, 3), dtype=np.uint8)
        for row, picture in enumerate(self.pictures(ticks)):
            frames[row] = cut.cut(picture, self.frame_size)
        return frames


def check_ticks(ticks: np.ndarray, count: int) -> np.ndarray:
    """Return ticks as int64 [N].

    Raises:
        TickOutsideSourceError: One is not from 0 to count - 1.
    """
    ticks = np.atleast_1d(np.asarray(ticks, dtype=np.int64))
    outside = ticks[(ticks < 0) | (ticks >= count)]
    if outside.size:
        raise TickOutsideSourceError(int(outside[0]), count)
    return ticks


def digest(*parts: object) -> str:
    """Return 16 hexadecimal digits that identify arrays, numbers and texts."""
    found = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            found.update(f"{part.dtype} {part.shape} ".encode())
            found.update(np.ascontiguousarray(part).tobytes())
        else:
            found.update(f"{part!r} ".encode())
    return found.hexdigest()[:16]
