"""Recordings of one camera, data of its owner's sensors, and the replay buffer that training reads."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from env.camera import Pose
from env.checks import check_integer
from env.frame_storage import FrameStorage, frame_storage
from env.nuisance import add_nuisance
from env.renderer import Renderer
from env.scene import Scene
from env.scene_state import SceneState, SceneStates

CHUNK, CHUNK_BYTES = 256, 2**24  # ticks that are rendered together: so many, and of so many bytes, at most


@dataclass(frozen=True)
class Recording:
    """Frames of one camera and their ticks.

    Attributes:
        frames: uint8 [T, H, W, 3].
        ticks: int64 [T].
    """

    frames: np.ndarray
    ticks: np.ndarray


@dataclass(frozen=True)
class SensorData:
    """Data of ticks besides frames; None for a sensor that the agent does not have.

    Attributes:
        view_actions: float32 [..., M - 1, 2], (pan, tilt) from each of a tick's M views to the next, as
            shares of the largest view angle.
        actions: float32 [..., A], what moves the objects from a tick to the next.
        targets: float32 [..., P], an auxiliary function of the scene.
        camera_actions: float32 [..., 4], the camera's own motion from a tick to the next: pan, tilt, and
            steps forward and to the left, as shares of their amplitudes.
    """

    view_actions: np.ndarray | None = None
    actions: np.ndarray | None = None
    targets: np.ndarray | None = None
    camera_actions: np.ndarray | None = None


def record_frame(
    scene: Scene, renderer: Renderer, state: SceneState, pose: Pose, camera: str | None, view: int = 0
) -> np.ndarray:
    """Return the frame that a camera records of a state: rendered, with the camera's private nuisance.

    Args:
        scene: The scene that the state is of.
        renderer: Draws the state.
        state: What the camera sees.
        pose: Where the camera stands and looks.
        camera: Name of the peer whose camera it is: its body is left out; None for a camera without a peer.
        view: Number of this view among those of the tick.

    Returns:
        uint8 [H, W, 3].
    """
    frame = renderer.render(state, pose, camera)
    return add_nuisance(frame, scene.config.nuisance, scene.seed, camera or "", state.tick, view)


def record_frames(
    scene: Scene,
    renderer: Renderer,
    states: SceneStates,
    poses: Sequence[Pose],
    camera: str | None,
    views: int = 1,
) -> np.ndarray:
    """Return the frames that a camera records of many states, uint8 [N, H, W, 3]: those of `record_frame`.

    Args:
        scene: The scene that the states are of.
        renderer: Draws the states.
        states: N states; with several views of a tick, one for each view, in the order of the views.
        poses: N poses.
        camera: As in `record_frame`.
        views: Number of views at each tick.
    """  # fmt: skip
    frames = renderer.render_many(states, poses, [camera] * len(states))
    nuisance = scene.config.nuisance
    if nuisance.changes_frames:
        for row, tick in enumerate(states.ticks.tolist()):
            frames[row] = add_nuisance(frames[row], nuisance, scene.seed, camera or "", tick, row % views)
    return frames


class Recorder:
    """One camera in the scene, without other sensors."""

    def __init__(self, scene: Scene, renderer: Renderer, pose: Pose, viewer: str | None = None) -> None:
        """Set up a camera; ValueError for a pose that cannot see the scene.

        Args:
            scene: The scene to record.
            renderer: Draws the scene; the recorder does not close it.
            pose: Of the camera.
            viewer: Name of the peer whose camera it is; the peer's own body is left out.
        """
        scene.check_pose(pose)
        self.scene = scene
        self.renderer = renderer
        self.pose = pose
        self.viewer = viewer

    @property
    def views(self) -> int:
        """Number of views at each tick."""
        return 1

    @property
    def frame_shape(self) -> tuple[int, ...]:
        """Shape of the pixels of one tick, (H, W, 3)."""
        return (self.scene.config.frame_size, self.scene.config.frame_size, 3)

    @property
    def chunk(self) -> int:
        """Number of ticks that are rendered together."""
        return max(1, min(CHUNK, CHUNK_BYTES // math.prod(self.frame_shape)))

    def pose_at(self, tick: int) -> Pose:
        """Return the pose of the camera at a tick."""
        return self.scene.camera_pose(self.pose, self.viewer, tick)

    def poses_at(self, ticks: np.ndarray) -> list[Pose]:
        """Return the poses of the camera at T ticks."""
        return self.scene.camera_poses(self.pose, self.viewer, ticks)

    def frame(self, state: SceneState, pose: Pose, view: int = 0) -> np.ndarray:
        """Return the camera's frame of a state from another pose, uint8 [H, W, 3]."""
        return record_frame(self.scene, self.renderer, state, pose, self.viewer, view)

    def frames(self, states: SceneStates, poses: Sequence[Pose], views: int = 1) -> np.ndarray:
        """Return the camera's frames of many states from other poses; see `record_frames`."""
        return record_frames(self.scene, self.renderer, states, poses, self.viewer, views)

    def render_views(self, tick: int) -> np.ndarray:
        """Return the camera's frame at a tick, uint8 [H, W, 3]."""
        frames: np.ndarray = self.render_ticks(np.array([tick]))[0]
        return frames

    def render_ticks(self, ticks: np.ndarray) -> np.ndarray:
        """Return the camera's frames at many ticks together, uint8 [T, H, W, 3]."""
        return self.frames(self.scene.states(ticks), self.poses_at(ticks))

    def record(self, ticks: Iterable[int]) -> Recording:
        """Return the camera's frames at any ticks, in the order given."""
        ticks = np.array(list(ticks), dtype=np.int64)
        frames = np.empty((len(ticks), *self.frame_shape), dtype=np.uint8)
        for first in range(0, len(ticks), self.chunk):
            rows = slice(first, first + self.chunk)
            frames[rows] = self.render_ticks(ticks[rows])
        return Recording(frames, ticks)

    def sensor_data(self, ticks: np.ndarray) -> SensorData:
        """Return the sensor data of ticks, int64 [...]: the camera's own motion, if cameras move."""
        if not self.scene.config.camera_motion.moves:
            return SensorData()
        actions = self.scene.camera_actions(self.viewer, np.reshape(ticks, -1))
        return SensorData(camera_actions=actions.reshape(*np.shape(ticks), 4).astype(np.float32))


def draw_segments(rng: np.random.Generator, ticks: range, count: int, length: int) -> np.ndarray:
    """Return the ticks of random segments of a range, each start equally likely, int64 [count, length]."""
    starts = rng.integers(ticks.start, ticks.stop - length + 1, size=count)
    return starts[:, None] + np.arange(length)


class ReplayBuffer:
    """The latest ``size`` consecutive ticks of one camera, in a ring buffer.

    Attributes:
        storage: Its frames, by row: tick t lies in row t % size.
    """

    def __init__(
        self, recorder: Recorder, start: int, size: int, storage: str | FrameStorage = "memory"
    ) -> None:
        """Make room for ``size`` ticks from tick ``start`` on; nothing is recorded yet.

        Args:
            recorder: Records the frames.
            start: First tick.
            size: Ticks to hold.
            storage: Where to keep their frames, "memory" or "file", see `env.frame_storage`; or that of a
                buffer of the same size and frames, which is not used any more.

        Raises:
            OSError: They are to be kept in a file, and the disk has no room.
        """
        check_integer("start of a replay buffer", start, 0)
        check_integer("size of a replay buffer", size, 1)
        self._recorder = recorder
        self._size = size
        self._first = start  # the ticks [first, stop) were recorded without a gap
        self._stop = start
        shape = recorder.frame_shape
        self.storage = frame_storage(storage, size, shape) if isinstance(storage, str) else storage

    @property
    def ticks(self) -> range:
        """Ticks that the buffer holds."""
        return range(max(self._first, self._stop - self._size), self._stop)

    def __len__(self) -> int:
        """Return the number of ticks that the buffer holds."""
        return len(self.ticks)

    def skip_to(self, first: int) -> None:
        """Begin at a tick where all recorded ones lie before it; they will not be needed."""
        if first > self._stop:
            self._first = self._stop = first

    def advance_to(self, stop: int) -> int:
        """Record ticks until the buffer holds the last ones before ``stop``.

        Ticks that would be overwritten at once are skipped. If rendering fails half-way, the frames of whole
        chunks before are kept.

        Returns:
            Number of ticks that were rendered.

        Raises:
            ValueError: ``stop`` is before the last recorded tick.
        """
        if stop < self._stop:
            raise ValueError(f"a replay buffer only advances: it is at tick {self._stop}, stop is {stop}")
        if stop - self._size > self._stop:
            self._first = self._stop = stop - self._size
        new = range(self._stop, stop)
        chunk = self._recorder.chunk
        for first in range(new.start, new.stop, chunk):
            ticks = np.arange(first, min(first + chunk, new.stop))
            self.storage.write(ticks % self._size, self._recorder.render_ticks(ticks))
            self._stop = first + len(ticks)
        return len(new)

    def draw(self, rng: np.random.Generator, count: int, length: int) -> np.ndarray:
        """Return the ticks of random segments, each start equally likely, int64 [count, length].

        Raises:
            ValueError: A segment is longer than the buffer.
        """
        held = self.ticks
        if not 1 <= length <= len(held):
            raise ValueError(
                f"length of a segment must be from 1 to the {len(held)} ticks that the replay buffer holds, "
                f"got {length}"
            )
        return draw_segments(rng, held, count, length)

    def holds(self, ticks: np.ndarray) -> bool:
        """Return whether the buffer holds all of the ticks."""
        held = self.ticks
        return not ticks.size or (held.start <= ticks.min() and ticks.max() < held.stop)

    def read(self, ticks: np.ndarray | range) -> np.ndarray:
        """Return the frames of ticks, int64 [...] -> uint8 [..., H, W, 3].

        Raises:
            ValueError: The buffer does not hold all of them.
        """
        ticks = np.asarray(ticks)
        if not self.holds(ticks):
            raise ValueError(
                f"the replay buffer holds ticks {self.ticks}, requested {ticks.min()} to {ticks.max()}"
            )
        return self.storage.read(ticks % self._size)
