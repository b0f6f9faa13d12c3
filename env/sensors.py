"""A camera with sensors: several views at each tick, actions on the objects, and targets of a task."""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from env.camera import Pose, turned_pose
from env.checks import check_choice, check_integer, check_number
from env.recording import Recorder, SensorData
from env.renderer import Renderer
from env.scene import MAX_OBJECTS, Scene, SceneConfig
from env.views import check_view_angle

TASKS = ("", "reward", "positions")
BLOCK = 1024  # ticks whose view offsets are drawn together
REWARD_WIDTH = 0.25  # standard deviation of the reward around its goal, as a share of object_range


@dataclass(frozen=True)
class SensorSpec:
    """The sensors that a world model needs."""

    views: int = 1  # at each tick; one looks straight ahead, more look in random directions
    max_view_angle: float = 15.0  # degrees of pan and of tilt away from the pose
    controlled_objects: int = 0  # objects whose actions are sensed: the first ones
    task: str = ""  # targets: none, reward (of the first object near the center) or positions

    def __post_init__(self) -> None:
        """Raise ValueError for the first invalid setting."""
        check_integer("views", self.views, 1, 64)
        check_number("max_view_angle", self.max_view_angle, 0, 90)
        check_integer("controlled_objects", self.controlled_objects, 0, MAX_OBJECTS)
        if self.task != "":
            check_choice("task", self.task, TASKS[1:])

    @property
    def target_dim(self) -> int:
        """Number of target values, P."""
        return {"": 0, "reward": 1, "positions": 2 * self.controlled_objects}[self.task]

    def check(self, config: SceneConfig, pose: Pose) -> None:
        """Raise ValueError unless the scene and the pose can provide the data."""
        if config.source and (self.views > 1 or self.controlled_objects or self.task):
            raise ValueError(
                "a source of frames has one view a tick and no actions: choose a kind of world model that "
                "needs frames alone, such as jepa"
            )
        if self.controlled_objects > config.objects:
            raise ValueError(
                f"controlled_objects={self.controlled_objects}: the scene has {config.objects} objects; "
                f"lower it to {config.objects} or less, or raise scene.objects"
            )
        if self.views > 1:
            check_view_angle(pose, self.max_view_angle + config.camera_motion.tilt)


class SensorRecorder(Recorder):
    """A camera in the scene with the sensors of a SensorSpec.

    View offsets are uniform and independent, and depend on (seed, tick) alone: a tick that is recorded again
    gives the same frames.
    """

    def __init__(
        self,
        scene: Scene,
        renderer: Renderer,
        pose: Pose,
        viewer: str | None,
        spec: SensorSpec,
        seed: tuple[int, ...],
    ) -> None:
        """Set up a camera.

        Args:
            scene: The scene to record.
            renderer: Draws the scene; the recorder does not close it.
            pose: Of the camera.
            viewer: Name of the peer whose camera it is; the peer's own body is left out.
            spec: The sensors.
            seed: Of the view offsets.

        Raises:
            ValueError: The scene or the pose cannot provide the data.
        """
        super().__init__(scene, renderer, pose, viewer)
        spec.check(scene.config, pose)
        self.spec = spec
        self._seed = seed

    @property
    def views(self) -> int:
        """Number of views at each tick, M."""
        return self.spec.views

    @property
    def frame_shape(self) -> tuple[int, ...]:
        """Shape of the pixels of one tick, (M, H, W, 3), or (H, W, 3) for a single view."""
        single = super().frame_shape
        return single if self.spec.views == 1 else (self.spec.views, *single)

    def render_ticks(self, ticks: np.ndarray) -> np.ndarray:
        """Return the camera's frames, uint8 [T, M, H, W, 3], or [T, H, W, 3] for a single view."""
        views = self.spec.views
        if views == 1:
            return super().render_ticks(ticks)
        angles = (self.offsets(ticks) * self.spec.max_view_angle).tolist()
        cameras = self.poses_at(ticks)
        poses = [
            turned_pose(camera, *angle) for camera, row in zip(cameras, angles, strict=True) for angle in row
        ]
        frames = self.frames(self.scene.states(ticks).repeat(views), poses, views)
        return frames.reshape(len(ticks), *self.frame_shape)

    def offsets(self, ticks: np.ndarray) -> np.ndarray:
        """Return view offsets, (pan, tilt) as shares of the largest view angle, [...] -> [..., M, 2]."""
        blocks, rows = np.divmod(ticks, BLOCK)
        offsets = np.empty((*np.shape(ticks), self.spec.views, 2), dtype=np.float32)
        for block in np.unique(blocks):
            in_block = blocks == block
            offsets[in_block] = _offset_block(self._seed, int(block), self.spec.views)[rows[in_block]]
        return offsets

    def sensor_data(self, ticks: np.ndarray) -> SensorData:
        """Return the sensor data of ticks, int64 [...]."""
        spec, flat = self.spec, np.reshape(ticks, -1)
        view_actions = np.diff(self.offsets(ticks), axis=-2) if spec.views > 1 else None
        actions = targets = None
        if spec.controlled_objects:
            actions = self.scene.actions(flat)[:, : 2 * spec.controlled_objects]
            actions = actions.reshape(*np.shape(ticks), -1).astype(np.float32)
        if spec.task:
            targets = self._targets(flat).reshape(*np.shape(ticks), -1).astype(np.float32)
        return replace(
            super().sensor_data(ticks), view_actions=view_actions, actions=actions, targets=targets
        )

    def _targets(self, ticks: np.ndarray) -> np.ndarray:
        count = 2 * max(1, self.spec.controlled_objects)
        positions = self.scene.unit_positions(self.scene.factors(ticks)[:, :count])
        return positions if self.spec.task == "positions" else goal_reward(positions[:, :2])[:, None]


def goal_reward(
    position: np.ndarray, goal: tuple[float, float] = (0.0, 0.0), width: float = REWARD_WIDTH
) -> np.ndarray:
    """Return the reward of a position, ``exp(-|position - goal|^2 / 2 width^2)``, [..., 2] -> [...].

    Args:
        position: Of an object, in [-1, 1] along both axes.
        goal: In the same units; the center of the room by default.
        width: Standard deviation of the reward around the goal.
    """
    return np.exp(-np.square(position - np.array(goal)).sum(-1) / (2 * width**2))


@lru_cache(maxsize=64)
def _offset_block(seed: tuple[int, ...], block: int, views: int) -> np.ndarray:
    offsets = np.random.default_rng([*seed, block]).uniform(-1, 1, size=(BLOCK, views, 2))
    return offsets.astype(np.float32)
