"""The shared scene as a Gymnasium environment: one camera whose actions choose the view."""

from typing import Any

import numpy as np
from gymnasium import spaces

from env.camera import Pose, turned_pose, view_angles
from env.gym.scene_env import SceneEnv, check_episode, is_over, turned
from env.scene import SceneConfig


def view_action_space() -> spaces.Box:
    """Return the space of actions: pan and tilt as shares of the largest view angle."""
    return spaces.Box(-1.0, 1.0, (2,), np.float32)


def view_pose(pose: Pose, action: np.ndarray, max_view_angle: float) -> Pose:
    """Return the pose of the view that an action chooses, (pan, tilt) in [-1, 1]."""
    values = np.asarray(action, dtype=np.float64)
    if values.shape != (2,) or not (np.abs(values) <= 1).all():
        raise ValueError(f"an action is (pan, tilt), each between -1 and 1, got {action!r}")
    return turned_pose(pose, float(values[0]) * max_view_angle, float(values[1]) * max_view_angle)


class SharedScene(SceneEnv):
    """One camera in the shared scene.

    The scene advances one tick per step, whatever the action. An action (pan, tilt) in [-1, 1] turns the
    camera away by at most ``max_view_angle`` degrees for one frame. It is absolute: relative to
    the camera, not to the previous view. The reward is always 0.
    ``reset(seed=s)`` plays ``Scene(config, s)``; without a seed each episode has a new scene.

    Each info is ``{"tick": t, "view": (pan, tilt)}``: the angles of the view relative to the camera, in
    degrees; smaller than requested if the tilt is clipped at straight up or down. The view action between
    two steps is the difference of their views.
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
            config: The scene; SceneConfig() by default.
            pose: The camera; the first of the ring by default.
            max_ticks: Ticks until an episode is truncated.
            max_view_angle: Degrees; 0 where the scene reads a source of frames.
            render_mode: rgb_array, or None.
        """
        check_episode(max_ticks, max_view_angle, render_mode)
        super().__init__(config, pose, max_ticks, render_mode)
        self.max_view_angle = turned(self.config, max_view_angle)
        self.action_space = view_action_space()
        self._action: np.ndarray | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode at tick 0, looking straight ahead; returns frame and info."""
        super().reset(seed=seed, options=options)
        self._start_episode(seed)
        self._action = None
        return self._observe(), self._info()

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Advance one tick and choose the view; returns frame, 0.0, False, truncated, info."""
        view_pose(self.pose, action, self.max_view_angle)  # rejects an invalid action
        self._action = np.array(action)
        self._tick += 1
        over = is_over(self._running_scene(), self._tick, self.max_ticks)
        return self._observe(), 0.0, False, over, self._info()

    def _info(self) -> dict[str, Any]:
        return {"tick": self._tick, "view": view_angles(self._camera_pose(), self._view())}

    def _view(self) -> Pose:
        camera = self._camera_pose()
        return camera if self._action is None else view_pose(camera, self._action, self.max_view_angle)

    def _observe(self) -> np.ndarray:
        return self._render_state(self._running_scene().state(self._tick), self._view())
