"""The shared scene as a PettingZoo environment: a ring of cameras that all see the same tick.

PettingZoo is an optional dependency, so no other module imports this one.
"""

from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces
from gymnasium.utils import seeding

from env.camera import Pose, RingConfig, ring_pose, view_angles
from env.checks import check_integer
from env.gym.scene_env import check_episode, frame_space, is_over, scene_seed, turned
from env.gym.shared_scene import view_action_space, view_pose
from env.recording import record_frame
from env.renderer import Renderer
from env.renderers.build import share_renderer
from env.scene import BodyEvent, Scene, SceneConfig

try:
    from pettingzoo import ParallelEnv
except ModuleNotFoundError as error:
    raise ImportError("env.gym.parallel_scene needs PettingZoo: pip install pettingzoo") from error


class ParallelScene(ParallelEnv):
    """Agents agent-0, agent-1, ... on a ring, each with a camera and a body.

    Every step is one tick of one scene; actions, frames, rewards and infos are those of ``SharedScene``, by
    agent.
    """

    metadata: ClassVar[dict[str, Any]] = {
        "name": "social_jepa_scene_v0",
        "render_modes": ["rgb_array"],
        "render_fps": 10,
    }

    def __init__(
        self,
        config: SceneConfig | None = None,
        agents: int = 2,
        max_ticks: int = 256,
        max_view_angle: float = 15.0,
        render_mode: str | None = None,
    ) -> None:
        """Describe the environment; the renderer is built by the first reset.

        Args:
            config: The scene; SceneConfig() by default.
            agents: Number of cameras on the ring.
            max_ticks: Ticks until an episode is truncated.
            max_view_angle: Degrees; 0 where the scene reads a source of frames.
            render_mode: rgb_array, or None.
        """
        check_episode(max_ticks, max_view_angle, render_mode)
        check_integer("agents", agents, 1)
        self.config = config or SceneConfig()
        self.max_ticks = max_ticks
        self.max_view_angle = turned(self.config, max_view_angle)
        self.render_mode = render_mode
        self.poses = {f"agent-{k}": ring_pose(k, RingConfig()) for k in range(agents)}
        for pose in self.poses.values():
            Scene(self.config, 0).check_pose(pose)
        self.possible_agents = list(self.poses)
        self.agents: list[str] = []
        self.observation_spaces = {name: frame_space(self.config) for name in self.poses}
        self.action_spaces = {name: view_action_space() for name in self.poses}
        self._rng = np.random.default_rng()
        self._scene: Scene | None = None
        self._renderer: Renderer | None = None
        self._tick = 0
        self._actions: dict[str, np.ndarray] = {}

    def observation_space(self, agent: str) -> spaces.Space:
        """Return the space of an agent's frames; repeated calls return the same object."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> spaces.Space:
        """Return the space of an agent's actions; repeated calls return the same object."""
        return self.action_spaces[agent]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, dict[str, Any]]]:
        """Start an episode at tick 0 with all agents present; returns frames and infos."""
        del options
        if seed is not None:
            self._rng, _ = seeding.np_random(seed)
        bodies = [BodyEvent(0, name, pose) for name, pose in self.poses.items()]
        self._scene = Scene(self.config, scene_seed(seed, self._rng), bodies)
        self._renderer = self._renderer or share_renderer(self.config)
        self._tick, self._actions = 0, {}
        self.agents = list(self.possible_agents)
        return self._frames(self.agents), self._infos(self.agents)

    def step(self, actions: dict[str, np.ndarray]) -> tuple[dict, dict, dict, dict, dict]:
        """Advance one tick; each agent's action chooses its view. Returns what SharedScene.step returns."""
        present = self.agents
        for name in present:
            if name not in actions:
                raise ValueError(
                    f"an action is missing for {name}: give one for each of {', '.join(present)}"
                )
            view_pose(self.poses[name], actions[name], self.max_view_angle)  # rejects an invalid action
            self._actions[name] = np.array(actions[name])
        self._tick += 1
        assert self._scene is not None  # of every running episode
        over = is_over(self._scene, self._tick, self.max_ticks)
        self.agents = [] if over else list(present)
        return (
            self._frames(present),
            dict.fromkeys(present, 0.0),
            dict.fromkeys(present, False),
            dict.fromkeys(present, over),
            self._infos(present),
        )

    def render(self) -> np.ndarray | None:
        """Return all cameras side by side, uint8 [H, agents * W, 3], if the render mode is rgb_array."""
        if self.render_mode != "rgb_array":
            return None
        return np.concatenate(list(self._frames(self.possible_agents).values()), axis=1)

    def close(self) -> None:
        """Release the renderer; the next reset acquires one again."""
        if self._renderer is not None:
            self._renderer.close()
        self._scene = self._renderer = None

    def _infos(self, names: list[str]) -> dict[str, dict[str, Any]]:
        return {
            name: {"tick": self._tick, "view": view_angles(self._camera_pose(name), self._view(name))}
            for name in names
        }

    def _camera_pose(self, name: str) -> Pose:
        if self._scene is None:
            raise RuntimeError("no episode is running: call reset first")
        return self._scene.camera_pose(self.poses[name], name, self._tick)

    def _view(self, name: str) -> Pose:
        camera, action = self._camera_pose(name), self._actions.get(name)
        return camera if action is None else view_pose(camera, action, self.max_view_angle)

    def _frames(self, names: list[str]) -> dict[str, np.ndarray]:
        if self._scene is None or self._renderer is None:
            raise RuntimeError("no episode is running: call reset first")
        scene, renderer, state = self._scene, self._renderer, self._scene.state(self._tick)
        return {name: record_frame(scene, renderer, state, self._view(name), name) for name in names}
