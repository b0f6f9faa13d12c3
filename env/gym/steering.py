"""The shared scene with one object that actions move, as a Gymnasium environment."""

from typing import Any

import numpy as np
from gymnasium import spaces

from env.camera import Pose
from env.checks import check_positive
from env.gym.scene_env import SceneEnv
from env.scene import SceneConfig
from env.sensors import goal_reward

ACTION_DIM = 2  # coordinates of the first object


class Steering(SceneEnv):
    """One camera in the shared scene; actions move the first object, the others move as in the scene.

    An action (along x, along z) in [-1, 1] drives the object's factors f by
    ``f' = rho f + sqrt(1 - rho^2) strength action``. With standard normal actions of strength 1 that is the
    scene itself. The reward falls with the object's distance from the goal (``env.sensors.goal_reward``).
    Each info is ``{"tick": t, "position": (x, z)}``, the object's position in [-1, 1]: for evaluation, not
    for learning.
    """

    def __init__(
        self,
        config: SceneConfig | None = None,
        pose: Pose | None = None,
        goal: tuple[float, float] = (0.0, 0.0),
        strength: float = 3.0,
        max_ticks: int = 64,
        render_mode: str | None = None,
    ) -> None:
        """Describe the environment; the renderer is built by the first reset.

        Args:
            config: The scene, of Ornstein-Uhlenbeck dynamics; SceneConfig() by default.
            pose: The camera; the first of the ring by default.
            goal: Position of the highest reward, in [-1, 1] along both axes; (0, 0) is the room's center.
            strength: The largest action in standard deviations of the scene's own noise.
            max_ticks: Ticks until an episode is truncated.
            render_mode: rgb_array, or None.

        Raises:
            ValueError: A setting is invalid.
        """
        super().__init__(config, pose, max_ticks, render_mode)
        if self.config.source:
            raise ValueError("a source of frames has no object to move: leave scene.source out")
        if self.config.dynamics != "ornstein_uhlenbeck":
            raise ValueError(
                f"actions replace the noise that drives an object: set dynamics to ornstein_uhlenbeck, "
                f"got {self.config.dynamics!r}"
            )
        if np.shape(goal) != (2,) or not np.all(np.abs(goal) <= 1):
            raise ValueError(f"goal must be (x, z), each between -1 and 1, got {goal!r}")
        check_positive("strength", strength)
        self.goal, self.strength = goal, strength
        self.action_space = spaces.Box(-1.0, 1.0, (ACTION_DIM,), np.float32)
        self._factors = np.zeros(ACTION_DIM)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode at tick 0 with the object at its position in the scene; returns frame and info."""
        super().reset(seed=seed, options=options)
        self._factors = self._start_episode(seed).state(0).factors[:ACTION_DIM].copy()
        return self._observe(), self._info()

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Move the object and advance one tick; returns frame, reward, False, truncated, info."""
        values = np.asarray(action, dtype=np.float64)
        if values.shape != (ACTION_DIM,) or not (np.abs(values) <= 1).all():
            raise ValueError(f"an action is (x, z), each between -1 and 1, got {action!r}")
        rho = np.array(self.config.coordinate_autocorrelations[:ACTION_DIM])
        self._factors = rho * self._factors + np.sqrt(1 - rho**2) * self.strength * values
        self._tick += 1
        reward = float(goal_reward(self._position(), self.goal))
        return self._observe(), reward, False, self._tick >= self.max_ticks, self._info()

    def _position(self) -> np.ndarray:
        return self._running_scene().unit_positions(self._factors)

    def _info(self) -> dict[str, Any]:
        x, z = self._position().tolist()
        return {"tick": self._tick, "position": (x, z)}

    def _observe(self) -> np.ndarray:
        scene = self._running_scene()
        factors = np.concatenate([self._factors, scene.state(self._tick).factors[ACTION_DIM:]])
        return self._render_state(scene.state_from_factors(self._tick, factors), self._camera_pose())
