"""The shared scene as a Gymnasium environment: one camera that may glance about."""

import math
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from env.camera import Pose, RingConfig, glance, ring_pose, turned
from env.renderer import Renderer, share_renderer
from env.scene import Scene, SceneConfig


def check_episode(max_ticks: int, max_glance: float, render_mode: str | None) -> None:
    """Raise ValueError for an episode that cannot be played."""
    if max_ticks < 1:
        raise ValueError(f"max_ticks must be at least 1, got {max_ticks}")
    if not (math.isfinite(max_glance) and max_glance >= 0):
        raise ValueError(f"max_glance must be a number of degrees, 0 or more, got {max_glance!r}")
    if render_mode not in (None, "rgb_array"):
        raise ValueError(f"render_mode must be rgb_array or None, got {render_mode!r}")


def scene_seed(seed: int | None, rng: np.random.Generator) -> int:
    """Return the seed of an episode's scene: the one given, so that others can replay it, or a fresh one."""
    return int(rng.integers(2**31)) if seed is None else seed


def frame_space(config: SceneConfig) -> spaces.Box:
    """Return the space of frames, uint8 [H, W, 3]."""
    return spaces.Box(0, 255, (config.frame_size, config.frame_size, 3), np.uint8)


def glance_space() -> spaces.Box:
    """Return the space of actions: pan and tilt as shares of the largest glance."""
    return spaces.Box(-1.0, 1.0, (2,), np.float32)


def glance_pose(pose: Pose, action: np.ndarray, max_glance: float) -> Pose:
    """Return where a camera looks after an action, (pan, tilt) in [-1, 1]."""
    values = np.asarray(action, dtype=np.float64)
    if values.shape != (2,) or not (np.abs(values) <= 1).all():
        raise ValueError(f"an action is (pan, tilt), each between -1 and 1, got {action!r}")
    return glance(pose, float(values[0]) * max_glance, float(values[1]) * max_glance)


class SharedScene(gymnasium.Env[np.ndarray, np.ndarray]):
    """One camera in the shared scene.

    The scene moves on one tick a step, whatever the camera does. An action (pan, tilt) in [-1, 1] turns the
    camera away from its pose by at most ``max_glance`` degrees for one frame. It is absolute: counted from
    the pose, not from the glance before. The reward is always 0: there is something to see, not to win.
    ``reset(seed=s)`` plays ``Scene(config, s)``; without a seed each episode has a scene of its own.

    Each info is ``{"tick": t, "glance": (pan, tilt)}``: how far the camera is turned away from its pose, in
    degrees; less than asked for where a tilt stops at straight up or down. Two steps' difference is the
    movement between them.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012 - Gymnasium types it

    def __init__(
        self,
        config: SceneConfig | None = None,
        pose: Pose | None = None,
        max_ticks: int = 256,
        max_glance: float = 15.0,
        render_mode: str | None = None,
    ) -> None:
        """Describe the environment; the renderer is built by the first reset.

        Args:
            config: The scene; SceneConfig() if not given.
            pose: The camera; the first of the ring if not given.
            max_ticks: Ticks until an episode is truncated.
            max_glance: Degrees.
            render_mode: rgb_array, or None.
        """
        check_episode(max_ticks, max_glance, render_mode)
        self.config = config or SceneConfig()
        self.pose = pose or ring_pose(0, RingConfig())
        Scene(self.config, 0).check_pose(self.pose)
        self.max_ticks = max_ticks
        self.max_glance = max_glance
        self.render_mode = render_mode
        self.observation_space = frame_space(self.config)
        self.action_space = glance_space()
        self._scene: Scene | None = None
        self._renderer: Renderer | None = None
        self._tick = 0
        self._looks_at = self.pose

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode at tick 0, looking straight ahead; returns frame and info."""
        super().reset(seed=seed, options=options)
        self._scene = Scene(self.config, scene_seed(seed, self.np_random))
        self._renderer = self._renderer or share_renderer(self.config)
        self._tick, self._looks_at = 0, self.pose
        return self._look(), self._info()

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Let one tick pass and glance; returns frame, 0.0, False, truncated, info."""
        self._looks_at = glance_pose(self.pose, action, self.max_glance)
        self._tick += 1
        return self._look(), 0.0, False, self._tick >= self.max_ticks, self._info()

    def render(self) -> np.ndarray | None:
        """Return the current frame, uint8 [H, W, 3], if the render mode is rgb_array."""
        return self._look() if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        """Give the renderer back; the next reset takes one again."""
        if self._renderer is not None:
            self._renderer.close()
        self._scene = self._renderer = None

    def _info(self) -> dict[str, Any]:
        return {"tick": self._tick, "glance": turned(self.pose, self._looks_at)}

    def _look(self) -> np.ndarray:
        if self._scene is None or self._renderer is None:
            raise RuntimeError("no episode is running: call reset first")
        return self._renderer.render(self._scene.state(self._tick), self._looks_at)
