"""A camera whose owner looks about, feels what moves the objects, or is told a function of the scene."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from env.camera import Pose, turned_pose
from env.checks import check_number, check_whole
from env.dynamics import unit_positions
from env.recording import Recorder, SensorData
from env.renderers.base import Renderer
from env.scene import MAX_OBJECTS, Scene, SceneConfig
from env.views import check_view_angle

TASKS = ("", "reward", "positions")
BLOCK = 1024  # ticks whose directions are drawn together
GOAL_WIDTH = 0.25  # standard deviations of a goal's nearness, as a share of how far objects get


@dataclass(frozen=True)
class SensorSpec:
    """What a world model needs of its camera."""

    views: int = 1  # at each tick; one looks straight ahead, more look here and there
    max_view_angle: float = 15.0  # degrees of pan and of tilt away from the pose
    controlled_objects: int = 0  # objects whose pushes are felt: the first ones
    task: str = ""  # what the owner is told: nothing, reward (of being near the goal) or positions

    def __post_init__(self) -> None:
        """Raise ValueError for what no camera gives."""
        check_whole("views", self.views, 1, 64)
        check_number("max_view_angle", self.max_view_angle, 0, 90)
        check_whole("controlled_objects", self.controlled_objects, 0, MAX_OBJECTS)
        if self.task not in TASKS:
            raise ValueError(f"task must be one of {', '.join(filter(None, TASKS))}, got {self.task!r}")

    @property
    def target_dim(self) -> int:
        """How many values the task has, P."""
        return {"": 0, "reward": 1, "positions": 2 * self.controlled_objects}[self.task]

    def check(self, config: SceneConfig, pose: Pose) -> None:
        """Raise ValueError unless a scene and a pose give it."""
        if self.controlled_objects > config.objects:
            raise ValueError(
                f"controlled_objects={self.controlled_objects}: the scene has {config.objects} objects; "
                f"lower it to {config.objects} or less, or raise scene.objects"
            )
        if self.views > 1:
            check_view_angle(pose, self.max_view_angle)


class SensorRecorder(Recorder):
    """A camera in the scene that gives what its owner needs.

    Directions of the looks are uniform and independent, and follow from (words, tick) alone: whoever asks
    for a tick again sees it again.
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
            scene: What to look at.
            renderer: What draws it; the recorder does not close it.
            pose: Where the camera stands.
            viewer: Whose camera it is; that peer's body is left out.
            spec: What to give.
            seed: What the directions of the looks follow from.

        Raises:
            ValueError: The scene or the pose does not give that.
        """
        super().__init__(scene, renderer, pose, viewer)
        spec.check(scene.config, pose)
        self.spec = spec
        self._words = seed

    @property
    def views(self) -> int:
        """How many looks are taken of a tick, M."""
        return self.spec.views

    @property
    def frame_shape(self) -> tuple[int, ...]:
        """The shape of what is seen of a tick, (M, H, W, 3), or (H, W, 3) where it is one look."""
        one = super().frame_shape
        return one if self.spec.views == 1 else (self.spec.views, *one)

    def render_views(self, tick: int) -> np.ndarray:
        """Return what the camera sees at a tick, uint8 [M, H, W, 3], or [H, W, 3] where it is one look."""
        if self.spec.views == 1:
            return super().render_views(tick)
        state, reach = self.scene.state(tick), self.spec.max_view_angle
        poses = [turned_pose(self.pose, *turn) for turn in (self.offsets(np.array(tick)) * reach).tolist()]
        return np.stack([self.renderer.render(state, pose, self.viewer) for pose in poses])

    def offsets(self, ticks: np.ndarray) -> np.ndarray:
        """Return where each look goes, (pan, tilt) as shares of the largest glance, [...] -> [..., M, 2]."""
        blocks, rows = np.divmod(ticks, BLOCK)
        found = np.empty((*np.shape(ticks), self.spec.views, 2), dtype=np.float32)
        for block in np.unique(blocks):
            here = blocks == block
            found[here] = _directions(self._words, int(block), self.spec.views)[rows[here]]
        return found

    def sensor_data(self, ticks: np.ndarray) -> SensorData:
        """Return what is known of ticks besides pictures, int64 [...]."""
        needs, flat = self.spec, np.reshape(ticks, -1)
        turns = np.diff(self.offsets(ticks), axis=-2) if needs.views > 1 else None
        pushes = values = None
        if needs.controlled_objects:
            pushes = self.scene.actions(flat)[:, : 2 * needs.controlled_objects]
            pushes = pushes.reshape(*np.shape(ticks), -1).astype(np.float32)
        if needs.task:
            values = self._targets(flat).reshape(*np.shape(ticks), -1).astype(np.float32)
        return SensorData(turns, pushes, values)

    def _targets(self, ticks: np.ndarray) -> np.ndarray:
        config, count = self.scene.config, 2 * max(1, self.spec.controlled_objects)
        places = unit_positions(config.dynamics, self.scene.factors(ticks)[:, :count], config.tanh_gain)
        return places if self.spec.task == "positions" else nearness(places[:, :2])[:, None]


def nearness(
    place: np.ndarray, goal: tuple[float, float] = (0.0, 0.0), width: float = GOAL_WIDTH
) -> np.ndarray:
    """Return the reward of being near a goal, ``exp(-|place - goal|^2 / 2 width^2)``, [..., 2] -> [...].

    Args:
        place: Where an object is, in [-1, 1] along both axes.
        goal: Where it should be; the middle of the room by default.
        width: How far from it still pays.
    """
    return np.exp(-np.square(place - np.array(goal)).sum(-1) / (2 * width**2))


@lru_cache(maxsize=64)
def _directions(words: tuple[int, ...], block: int, looks: int) -> np.ndarray:
    drawn = np.random.default_rng([*words, block]).uniform(-1, 1, size=(BLOCK, looks, 2))
    return drawn.astype(np.float32)
