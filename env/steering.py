"""The shared scene with an object that an agent steers, as a Gymnasium environment."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from env.camera import Pose, RingConfig, ring_pose
from env.dynamics import unit_positions
from env.renderer import Renderer, share_renderer
from env.scene import Scene, SceneConfig
from env.sensing import nearness
from env.shared_scene import check_episode, frame_space, scene_seed

STEERED = 2  # coordinates of the first object


class Steering(gymnasium.Env[np.ndarray, np.ndarray]):
    """One camera in the shared scene, whose first object goes where it is pushed; the others go their way.

    An action (along x, along z) in [-1, 1] is a push: ``f' = rho f + sqrt(1 - rho^2) strength action`` for
    the object's factors f. With normal pushes of strength 1 that is the scene as everybody else sees it. The
    reward is how near the object then is to the goal (``env.sensing.nearness``). Each info is
    ``{"tick": t, "place": (x, z)}``, the object's place in [-1, 1]: for evaluation, not for learning.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012 - Gymnasium types it

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
        check_episode(max_ticks, 0.0, render_mode)
        self.config = config or SceneConfig()
        _check(self.config, goal, strength)
        self.pose = pose or ring_pose(0, RingConfig())
        Scene(self.config, 0).check_pose(self.pose)
        self.goal, self.strength, self.max_ticks, self.render_mode = goal, strength, max_ticks, render_mode
        self.observation_space = frame_space(self.config)
        self.action_space = spaces.Box(-1.0, 1.0, (STEERED,), np.float32)
        self._scene: Scene | None = None
        self._renderer: Renderer | None = None
        self._tick = 0
        self._steered = np.zeros(STEERED)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode at tick 0 with the object where the scene has it; returns frame and info."""
        super().reset(seed=seed, options=options)
        self._scene = Scene(self.config, scene_seed(seed, self.np_random))
        self._renderer = self._renderer or share_renderer(self.config)
        self._tick, self._steered = 0, self._scene.state(0).factors[:STEERED].copy()
        return self._look(), self._info()

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Push, let one tick pass, and look; returns frame, nearness to the goal, False, truncated, info."""
        values = np.asarray(action, dtype=np.float64)
        if values.shape != (STEERED,) or not (np.abs(values) <= 1).all():
            raise ValueError(f"an action is a push (x, z), each between -1 and 1, got {action!r}")
        rates = np.array(self.config.coordinate_rates[:STEERED])
        self._steered = rates * self._steered + np.sqrt(1 - rates**2) * self.strength * values
        self._tick += 1
        reward = float(nearness(self._place(), self.goal))
        return self._look(), reward, False, self._tick >= self.max_ticks, self._info()

    def render(self) -> np.ndarray | None:
        """Return the current frame, uint8 [H, W, 3], if the render mode is rgb_array."""
        return self._look() if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        """Give the renderer back; the next reset takes one again."""
        if self._renderer is not None:
            self._renderer.close()
        self._scene = self._renderer = None

    def _place(self) -> np.ndarray:
        return unit_positions(self.config.dynamics, self._steered, self.config.squash)

    def _info(self) -> dict[str, Any]:
        x, z = self._place().tolist()
        return {"tick": self._tick, "place": (x, z)}

    def _look(self) -> np.ndarray:
        if self._scene is None or self._renderer is None:
            raise RuntimeError("no episode is running: call reset first")
        factors = np.concatenate([self._steered, self._scene.state(self._tick).factors[STEERED:]])
        return self._renderer.render(self._scene.state_of(self._tick, factors), self.pose)


def _check(config: SceneConfig, goal: tuple[float, float], strength: float) -> None:
    if config.dynamics != "ornstein_uhlenbeck":
        raise ValueError(
            f"dynamics={config.dynamics!r}: an object is steered by what drives it; choose ornstein_uhlenbeck"
        )
    if np.shape(goal) != (2,) or not np.all(np.abs(goal) <= 1):
        raise ValueError(f"a goal is (x, z), each between -1 and 1, got {goal!r}")
    if not 0 < strength < np.inf:
        raise ValueError(f"strength must be above 0, got {strength!r}")
