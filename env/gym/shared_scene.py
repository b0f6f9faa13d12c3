"""The shared scene as a Gymnasium environment: one camera that may glance about."""

from typing import Any

import numpy as np
from gymnasium import spaces

from env.camera import Pose, turned, turned_pose
from env.gym.scene_env import SceneEnv, check_episode
from env.scene import SceneConfig


def glance_space() -> spaces.Box:
    """Return the space of actions: pan and tilt as shares of the largest glance."""
    return spaces.Box(-1.0, 1.0, (2,), np.float32)


def glance_pose(pose: Pose, action: np.ndarray, max_view_angle: float) -> Pose:
    """Return where a camera looks after an action, (pan, tilt) in [-1, 1]."""
    values = np.asarray(action, dtype=np.float64)
    if values.shape != (2,) or not (np.abs(values) <= 1).all():
        raise ValueError(f"an action is (pan, tilt), each between -1 and 1, got {action!r}")
    return turned_pose(pose, float(values[0]) * max_view_angle, float(values[1]) * max_view_angle)


class SharedScene(SceneEnv):
    """One camera in the shared scene.

    The scene moves on one tick a step, whatever the camera does. An action (pan, tilt) in [-1, 1] turns the
    camera away from its pose by at most ``max_view_angle`` degrees for one frame. It is absolute: counted
    from the pose, not from the glance before. The reward is always 0: there is something to see, not to win.
    ``reset(seed=s)`` plays ``Scene(config, s)``; without a seed each episode has a scene of its own.

    Each info is ``{"tick": t, "glance": (pan, tilt)}``: how far the camera is turned away from its pose, in
    degrees; less than asked for where a tilt stops at straight up or down. Two steps' difference is the
    movement between them.
    """

    def __init__(
        self,
        config: SceneConfig | None = None,
        pose: Pose | None = None,
        max_ticks: int = 256,
        max_view_angle: float = 15.0,
        render_mode: str | None = None,
    ) -> None:
        """Describe the environment; the renderer is built by the first reset.

        Args:
            config: The scene; SceneConfig() if not given.
            pose: The camera; the first of the ring if not given.
            max_ticks: Ticks until an episode is truncated.
            max_view_angle: Degrees.
            render_mode: rgb_array, or None.
        """
        check_episode(max_ticks, max_view_angle, render_mode)
        super().__init__(config, pose, max_ticks, render_mode)
        self.max_view_angle = max_view_angle
        self.action_space = glance_space()
        self._looks_at = self.pose

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode at tick 0, looking straight ahead; returns frame and info."""
        super().reset(seed=seed, options=options)
        self._begin(seed)
        self._looks_at = self.pose
        return self._look(), self._info()

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Let one tick pass and glance; returns frame, 0.0, False, truncated, info."""
        self._looks_at = glance_pose(self.pose, action, self.max_view_angle)
        self._tick += 1
        return self._look(), 0.0, False, self._tick >= self.max_ticks, self._info()

    def _info(self) -> dict[str, Any]:
        return {"tick": self._tick, "glance": turned(self.pose, self._looks_at)}

    def _look(self) -> np.ndarray:
        return self._draw(self._playing().state(self._tick), self._looks_at)
