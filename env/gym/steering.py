"""The shared scene with an object that an agent steers, as a Gymnasium environment."""

from typing import Any

import numpy as np
from gymnasium import spaces

from env.camera import Pose
from env.dynamics import unit_positions
from env.gym.scene_env import SceneEnv
from env.scene import SceneConfig
from env.sensors import nearness

STEERED = 2  # coordinates of the first object


class Steering(SceneEnv):
    """One camera in the shared scene, whose first object goes where it is pushed; the others go their way.

    An action (along x, along z) in [-1, 1] is a push: ``f' = rho f + sqrt(1 - rho^2) strength action`` for
    the object's factors f. With normal pushes of strength 1 that is the scene as everybody else sees it. The
    reward is how near the object then is to the goal (``env.sensors.nearness``). Each info is
    ``{"tick": t, "place": (x, z)}``, the object's place in [-1, 1]: for evaluation, not for learning.
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
            config: The scene, of Ornstein-Uhlenbeck dynamics; SceneConfig() if not given.
            pose: The camera; the first of the ring if not given.
            goal: Where the object should be, in [-1, 1] along both axes; (0, 0) is the middle of the room.
            strength: Standard deviations of the scene's own pushes that the largest action is.
            max_ticks: Ticks until an episode is truncated.
            render_mode: rgb_array, or None.

        Raises:
            ValueError: Nothing can be steered so.
        """
        super().__init__(config, pose, max_ticks, render_mode)
        _check(self.config, goal, strength)
        self.goal, self.strength = goal, strength
        self.action_space = spaces.Box(-1.0, 1.0, (STEERED,), np.float32)
        self._steered = np.zeros(STEERED)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode at tick 0 with the object where the scene has it; returns frame and info."""
        super().reset(seed=seed, options=options)
        self._steered = self._begin(seed).state(0).factors[:STEERED].copy()
        return self._look(), self._info()

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Push, let one tick pass, and look; returns frame, nearness to the goal, False, truncated, info."""
        values = np.asarray(action, dtype=np.float64)
        if values.shape != (STEERED,) or not (np.abs(values) <= 1).all():
            raise ValueError(f"an action is a push (x, z), each between -1 and 1, got {action!r}")
        rates = np.array(self.config.coordinate_autocorrelations[:STEERED])
        self._steered = rates * self._steered + np.sqrt(1 - rates**2) * self.strength * values
        self._tick += 1
        reward = float(nearness(self._place(), self.goal))
        return self._look(), reward, False, self._tick >= self.max_ticks, self._info()

    def _place(self) -> np.ndarray:
        return unit_positions(self.config.dynamics, self._steered, self.config.tanh_gain)

    def _info(self) -> dict[str, Any]:
        x, z = self._place().tolist()
        return {"tick": self._tick, "place": (x, z)}

    def _look(self) -> np.ndarray:
        scene = self._playing()
        factors = np.concatenate([self._steered, scene.state(self._tick).factors[STEERED:]])
        return self._draw(scene.state_from_factors(self._tick, factors), self.pose)


def _check(config: SceneConfig, goal: tuple[float, float], strength: float) -> None:
    if config.dynamics != "ornstein_uhlenbeck":
        raise ValueError(
            f"dynamics={config.dynamics!r}: an object is steered by what drives it; choose ornstein_uhlenbeck"
        )
    if np.shape(goal) != (2,) or not np.all(np.abs(goal) <= 1):
        raise ValueError(f"a goal is (x, z), each between -1 and 1, got {goal!r}")
    if not 0 < strength < np.inf:
        raise ValueError(f"strength must be above 0, got {strength!r}")
