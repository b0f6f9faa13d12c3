"""Base class and checks of the scene's environments: episodes, frames, and a shared renderer."""

import gymnasium
import numpy as np
from gymnasium import spaces

from env.camera import Pose, RingConfig, ring_pose
from env.checks import check_integer, check_number
from env.recording import record_frame
from env.renderer import Renderer
from env.renderers.build import share_renderer
from env.scene import Scene, SceneConfig
from env.scene_state import SceneState


def check_episode(max_ticks: int, max_view_angle: float, render_mode: str | None) -> None:
    """Raise ValueError for invalid settings of an episode."""
    check_integer("max_ticks", max_ticks, 1)
    check_number("max_view_angle", max_view_angle, 0)
    check_render_mode(render_mode)


def check_render_mode(render_mode: str | None) -> None:
    """Raise ValueError for an unknown render mode."""
    if render_mode not in (None, "rgb_array"):
        raise ValueError(f"render_mode must be rgb_array or None, got {render_mode!r}")


def scene_seed(seed: int | None, rng: np.random.Generator) -> int:
    """Return the seed of an episode's scene: the given one, which replays a known scene, or a random one."""
    return int(rng.integers(2**31)) if seed is None else seed


def is_over(scene: Scene, tick: int, max_ticks: int) -> bool:
    """Return whether an episode is truncated at a tick: a source of frames ends with its last tick."""
    return tick >= max_ticks or (scene.ticks is not None and tick + 1 >= scene.ticks)


def turned(config: SceneConfig, max_view_angle: float) -> float:
    """Return the largest angle that actions turn a camera by, in degrees; 0 over a source of frames."""
    return 0.0 if config.source else max_view_angle


def frame_space(config: SceneConfig) -> spaces.Box:
    """Return the space of frames, uint8 [H, W, 3]."""
    return spaces.Box(0, 255, (config.frame_size, config.frame_size, 3), np.uint8)


class SceneEnv(gymnasium.Env[np.ndarray, np.ndarray]):
    """Base class: one camera in the scene. Subclasses define actions and rewards."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012 - Gymnasium types it

    def __init__(
        self, config: SceneConfig | None, pose: Pose | None, max_ticks: int, render_mode: str | None
    ) -> None:
        """Describe the environment; the renderer is built by the first episode.

        Args:
            config: The scene; SceneConfig() by default.
            pose: The camera; the first of the ring by default.
            max_ticks: Ticks until an episode is truncated.
            render_mode: rgb_array, or None.

        Raises:
            ValueError: A setting is invalid, or the camera cannot see the scene.
        """
        check_episode(max_ticks, 0.0, render_mode)
        self.config = config or SceneConfig()
        self.pose = pose or ring_pose(0, RingConfig())
        Scene(self.config, 0).check_pose(self.pose)
        self.max_ticks = max_ticks
        self.render_mode = render_mode
        self.observation_space = frame_space(self.config)
        self._scene: Scene | None = None
        self._renderer: Renderer | None = None
        self._tick = 0

    def render(self) -> np.ndarray | None:
        """Return the current frame, uint8 [H, W, 3], if the render mode is rgb_array."""
        return self._observe() if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        """Release the renderer; the next reset acquires one again."""
        if self._renderer is not None:
            self._renderer.close()
        self._scene = self._renderer = None

    def _start_episode(self, seed: int | None) -> Scene:
        """Start an episode at tick 0 and return its scene; call Gymnasium's own reset before."""
        self._scene = Scene(self.config, scene_seed(seed, self.np_random))
        self._renderer = self._renderer or share_renderer(self.config)
        self._tick = 0
        return self._scene

    def _running_scene(self) -> Scene:
        if self._scene is None:
            raise RuntimeError("no episode is running: call reset first")
        return self._scene

    def _render_state(self, state: SceneState, pose: Pose) -> np.ndarray:
        assert self._renderer is not None  # every running episode has one
        return record_frame(self._running_scene(), self._renderer, state, pose, None)

    def _camera_pose(self) -> Pose:
        """Return the pose of the camera at the current tick, before an action turns it."""
        return self._running_scene().camera_pose(self.pose, None, self._tick)

    def _observe(self) -> np.ndarray:
        """Return the current frame, uint8 [H, W, 3]; RuntimeError while no episode is running."""
        raise NotImplementedError
