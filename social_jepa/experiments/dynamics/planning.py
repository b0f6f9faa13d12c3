"""Moving the first object to its position in a goal frame: the cross-entropy method in a latent space.

As in ``env.gym.steering``, an action in [-1, 1] is in units of the standard deviation of the scene's own
actions, and the other objects move on their own; here many episodes run at once, with the agents' bodies in
the scene.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from env.recording import record_frame
from env.renderer import Renderer
from env.scene import Scene
from social_jepa.experiments.dynamics.predictors import CoreRecording, Predict, action_directions, roll_out
from social_jepa.experiments.dynamics.settings import PlanningConfig

STEERED = 2  # coordinates of the first object
Policy = Callable[["Episodes", torch.Generator], Tensor]  # episodes -> actions in [-1, 1], [E, 2]


class Episodes:
    """Many copies of the scene, each started at another tick, in which the first object is steered."""

    def __init__(self, scene: Scene, starts: np.ndarray, strength: float) -> None:
        """Start at the scene's own states at these ticks, [E]."""
        self.scene, self.ticks, self.strength = scene, np.array(starts), strength
        self.steered = scene.factors(self.ticks)[:, :STEERED].copy()

    @property
    def autocorrelations(self) -> np.ndarray:
        """Autocorrelations rho of the steered coordinates, [2]."""
        return np.array(self.scene.config.coordinate_autocorrelations[:STEERED])

    def step(self, actions: np.ndarray) -> None:
        """Apply actions, [E, 2], and advance one tick."""
        rho = self.autocorrelations
        noise = np.sqrt(1 - rho**2) * self.strength * actions
        self.steered, self.ticks = rho * self.steered + noise, self.ticks + 1

    def render(self, renderer: Renderer, recording: CoreRecording) -> np.ndarray:
        """Return the views of an agent's camera, uint8 [E, H, W, 3]."""
        others = self.scene.factors(self.ticks)[:, STEERED:]
        factors, name = np.concatenate([self.steered, others], 1), recording.agent.name
        frames = []
        for tick, row in zip(self.ticks.tolist(), factors, strict=True):
            pose = self.scene.camera_pose(recording.pose, name, tick)
            state = self.scene.state_from_factors(tick, row)
            frames.append(record_frame(self.scene, renderer, state, pose, name))
        return np.stack(frames)


def plan(
    predict: Predict, latents: Tensor, goals: Tensor, directions: Tensor, config: PlanningConfig,
    generator: torch.Generator,
) -> Tensor:  # fmt: skip
    """Return the first action of the plan whose predictions stay nearest to the goals (Rubinstein 1999).

    Args:
        predict: Predictor one tick ahead, given actions [..., 2].
        latents: Current latents of each episode, [E, d].
        goals: Goal latents, [E, d].
        directions: Directions that distances count along, [d, m]: those that actions can change.
        config: Settings of the search.
        generator: Draws the plans.

    Returns:
        Actions in [-1, 1], [E, 2].
    """
    mean = torch.zeros(len(latents), 1, config.horizon, STEERED, dtype=torch.float64)
    deviation = torch.full_like(mean, 0.7)
    shape = (len(latents), config.population, config.horizon, STEERED)
    targets = (goals @ directions)[:, None]
    for _ in range(config.rounds):
        drawn = torch.randn(shape, generator=generator, dtype=torch.float64)
        actions = (mean + deviation * drawn).clamp(-1, 1)  # [E, P, H, 2]
        starts = latents[:, None].expand(-1, config.population, -1)
        ahead = roll_out(predict, starts, config.strength * actions)  # [H, E, P, d]
        cost = (ahead @ directions - targets).square().sum((0, -1))  # [E, P]
        best = cost.topk(config.elite, largest=False).indices[..., None, None]
        elite = actions.take_along_dim(best, 1)
        mean, deviation = elite.mean(1, keepdim=True), elite.std(1, keepdim=True)
    return mean[:, 0, 0]


def planning_policy(
    recording: CoreRecording, renderer: Renderer, predict: Predict, goals: Tensor, config: PlanningConfig
) -> Policy:
    """Return the policy of an agent that encodes its view and plans towards goals in its core, [E, d]."""
    directions = action_directions(predict, goals.shape[1], STEERED)

    @torch.inference_mode()
    def act(episodes: Episodes, generator: torch.Generator) -> Tensor:
        views = torch.from_numpy(episodes.render(renderer, recording))
        latents = recording.agent.basis.core(recording.agent.model.encode(views))
        return plan(predict, latents, goals, directions, config, generator)

    return act


def true_state_policy(goals: np.ndarray, config: PlanningConfig) -> Policy:
    """Return the policy that plans with the true state and the true dynamics: the ceiling."""
    directions, targets = torch.eye(STEERED, dtype=torch.float64), torch.from_numpy(goals)

    def act(episodes: Episodes, generator: torch.Generator) -> Tensor:
        rho = torch.from_numpy(episodes.autocorrelations)

        def predict(state: Tensor, actions: Tensor) -> Tensor:
            return rho * state + (1 - rho.square()).sqrt() * actions

        state = torch.from_numpy(episodes.steered)
        return plan(predict, state, targets, directions, config, generator)

    return act


def random_policy(episodes: Episodes, generator: torch.Generator) -> Tensor:
    """Return uniformly random actions."""
    return 2 * torch.rand(episodes.steered.shape, generator=generator, dtype=torch.float64) - 1


def run_policy(episodes: Episodes, policy: Policy, ticks: int, generator: torch.Generator) -> np.ndarray:
    """Run a policy for some ticks; return the steered factors at each tick, [ticks + 1, E, 2]."""
    path = [episodes.steered]
    for _ in range(ticks):
        episodes.step(policy(episodes, generator).numpy())
        path.append(episodes.steered)
    return np.stack(path)


def goal_distances(path: np.ndarray, goals: np.ndarray, scene: Scene) -> np.ndarray:
    """Return the true distances of the object from its goal, positions in [-1, 1]; for evaluation only.

    Args:
        path: The object's factors, [T, E, 2].
        goals: Its factors at the goal, [E, 2].
        scene: The scene.

    Returns:
        [T, E].
    """
    positions, targets = (scene.unit_positions(rows) for rows in (path, goals))
    return np.linalg.norm(positions - targets, axis=-1)
