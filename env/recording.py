"""What one camera saw and its owner felt: whole recordings, and the moving window that training reads."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from env.camera import Pose
from env.renderers.base import Renderer
from env.scene import Scene


@dataclass(frozen=True)
class Recording:
    """Frames and when they were seen.

    Attributes:
        frames: uint8 [T, H, W, 3].
        ticks: int64 [T].
    """

    frames: np.ndarray
    ticks: np.ndarray


@dataclass(frozen=True)
class SensorData:
    """What is known of some ticks besides pictures; None for what nobody asked for.

    Attributes:
        turns: float32 [..., M - 1, 2], (pan, tilt) from each of a tick's M looks to the next, as
            shares of the largest glance.
        pushes: float32 [..., A], what moves the objects from a tick to the next.
        values: float32 [..., P], an auxiliary function of the scene.
    """

    view_actions: np.ndarray | None = None
    actions: np.ndarray | None = None
    targets: np.ndarray | None = None


class Recorder:
    """One camera in the scene; its owner feels nothing besides."""

    def __init__(self, scene: Scene, renderer: Renderer, pose: Pose, viewer: str | None = None) -> None:
        """Set up a camera; ValueError for a pose that cannot see the scene.

        Args:
            scene: What to look at.
            renderer: What draws it; the recorder does not close it.
            pose: Where the camera stands.
            viewer: Whose camera it is; that peer's body is left out.
        """
        scene.check_pose(pose)
        self.scene = scene
        self.renderer = renderer
        self.pose = pose
        self.viewer = viewer

    @property
    def views(self) -> int:
        """How many looks are taken of a tick."""
        return 1

    @property
    def frame_shape(self) -> tuple[int, ...]:
        """The shape of what is seen of a tick, (H, W, 3)."""
        return (self.scene.config.frame_size, self.scene.config.frame_size, 3)

    def render_views(self, tick: int) -> np.ndarray:
        """Return what the camera sees at a tick, uint8 [H, W, 3]."""
        return self.renderer.render(self.scene.state(tick), self.pose, self.viewer)

    def record(self, ticks: Iterable[int]) -> Recording:
        """Return what the camera sees at any ticks, in the order given."""
        wanted = np.array(list(ticks), dtype=np.int64)
        frames = np.empty((len(wanted), *self.frame_shape), dtype=np.uint8)
        for row, tick in enumerate(wanted.tolist()):
            frames[row] = self.render_views(tick)
        return Recording(frames, wanted)

    def sensor_data(self, ticks: np.ndarray) -> SensorData:
        """Return what is known of ticks besides pictures, int64 [...]."""
        del ticks
        return SensorData()


class ReplayBuffer:
    """The newest ``size`` consecutive ticks of one camera, in a ring buffer."""

    def __init__(self, recorder: Recorder, start: int, size: int) -> None:
        """Make room for ``size`` frames from tick ``start`` on; nothing is recorded yet."""
        if start < 0:
            raise ValueError(f"start of a window must be tick 0 or later, got {start}")
        if size < 1:
            raise ValueError(f"size of a window must be at least one tick, got {size}")
        self._recorder = recorder
        self._size = size
        self._first = start  # the ticks [first, stop) were recorded without a gap
        self._stop = start
        self._ring = np.empty((size, *recorder.frame_shape), dtype=np.uint8)  # tick t lies in row t % size

    @property
    def ticks(self) -> range:
        """The ticks that the window holds."""
        return range(max(self._first, self._stop - self._size), self._stop)

    def __len__(self) -> int:
        """Return how many ticks the window holds."""
        return len(self.ticks)

    def advance_to(self, stop: int) -> int:
        """Move the window on until it holds the last ticks before ``stop``.

        Only ticks that are new and stay are drawn. If drawing fails half-way, what was drawn is kept.

        Returns:
            How many ticks were drawn.
        """
        if stop < self._stop:
            raise ValueError(f"a window only moves on: it stands at tick {self._stop}, asked for {stop}")
        if stop - self._size > self._stop:
            self._first = self._stop = stop - self._size
        new = range(self._stop, stop)
        for tick in new:
            self._ring[tick % self._size] = self._recorder.render_views(tick)
            self._stop = tick + 1
        return len(new)

    def draw(self, rng: np.random.Generator, count: int, length: int) -> np.ndarray:
        """Draw stretches of consecutive ticks, each start equally likely, int64 [count, length]."""
        held = self.ticks
        if not 1 <= length <= len(held):
            raise ValueError(
                f"length of a segment must lie between 1 and the {len(held)} ticks that the window holds, "
                f"got {length}"
            )
        starts = rng.integers(held.start, held.stop - length + 1, size=count)
        return starts[:, None] + np.arange(length)

    def holds(self, ticks: np.ndarray) -> bool:
        """Return whether all of some ticks are in the window."""
        held = self.ticks
        return not ticks.size or (held.start <= ticks.min() and ticks.max() < held.stop)

    def read(self, ticks: np.ndarray | range) -> np.ndarray:
        """Return what was seen at ticks that the window holds, int64 [...] -> uint8 [..., H, W, 3].

        Raises:
            ValueError: Not all of them are in the window.
        """
        ticks = np.asarray(ticks)
        if not self.holds(ticks):
            raise ValueError(f"the window holds ticks {self.ticks}, asked for {ticks.min()} to {ticks.max()}")
        return self._ring[ticks % self._size]
