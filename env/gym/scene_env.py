"""What the scene's environments have in common: episodes, frames, and a renderer that others may share."""

import math

import gymnasium
import numpy as np
from gymnasium import spaces

from env.camera import Pose, RingConfig, ring_pose
from env.renderers.base import Renderer, share_renderer
from env.scene import Scene, SceneConfig, SceneState


def check_episode(max_ticks: int, max_view_angle: float, render_mode: str | None) -> None:
    """Raise ValueError for an episode that cannot be played."""
    if max_ticks < 1:
        raise ValueError(f"max_ticks must be at least 1, got {max_ticks}")
    if not (math.isfinite(max_view_angle) and max_view_angle >= 0):
        raise ValueError(f"max_view_angle must be a number of degrees, 0 or more, got {max_view_angle!r}")
    if render_mode not in (None, "rgb_array"):
        raise ValueError(f"render_mode must be rgb_array or None, got {render_mode!r}")


def scene_seed(seed: int | None, rng: np.random.Generator) -> int:
    """Return the seed of an episode's scene: the one given, so that others can replay it, or a fresh one."""
    return int(rng.integers(2**31)) if seed is None else seed


def frame_space(config: SceneConfig) -> spaces.Box:
    """Return the space of frames, uint8 [H, W, 3]."""
    return spaces.Box(0, 255, (config.frame_size, config.frame_size, 3), np.uint8)


class SceneEnv(gymnasium.Env[np.ndarray, np.ndarray]):
    """One camera in the scene; what its actions do, and what they are worth, the heirs say."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012 - Gymnasium types it

    def __init__(
        self, config: SceneConfig | None, pose: Pose | None, max_ticks: int, render_mode: str | None
    ) -> None:
        """Describe the environment; the renderer is built by the first episode.

        Args:
            config: The scene; SceneConfig() if not given.
            pose: The camera; the first of the ring if not given.
            max_ticks: Ticks until an episode is truncated.
            render_mode: rgb_array, or None.

        Raises:
            ValueError: No episode can be played, or the camera cannot see the scene.
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
        return self._look() if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        """Give the renderer back; the next reset takes one again."""
        if self._renderer is not None:
            self._renderer.close()
        self._scene = self._renderer = None

    def _begin(self, seed: int | None) -> Scene:
        """Start an episode at tick 0 and return its scene; Gymnasium's own reset comes first."""
        self._scene = Scene(self.config, scene_seed(seed, self.np_random))
        self._renderer = self._renderer or share_renderer(self.config)
        self._tick = 0
        return self._scene

    def _playing(self) -> Scene:
        if self._scene is None:
            raise RuntimeError("no episode is running: call reset first")
        return self._scene

    def _draw(self, state: SceneState, pose: Pose) -> np.ndarray:
        assert self._renderer is not None  # an episode that runs has one
        return self._renderer.render(state, pose)

    def _look(self) -> np.ndarray:
        """Return what the camera sees now, uint8 [H, W, 3]; RuntimeError while no episode runs."""
        raise NotImplementedError
