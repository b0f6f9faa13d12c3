"""Steering the first object to where a picture shows it: the cross-entropy method in a latent space.

As in ``env.gym.steering``, an action in [-1, 1] is a push of so many standard deviations of the scene's own,
and the other objects go their way; here many episodes run at once, with the bodies that agents know.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from env.dynamics import unit_positions
from env.renderers.base import Renderer
from env.scene import Scene, SceneConfig
from social_jepa.experiments.dynamics.predictors import Diary, Predict, push_axes, roll_out

STEERED = 2  # coordinates of the first object
Act = Callable[["Episodes", torch.Generator], Tensor]  # what is seen -> actions in [-1, 1], [E, 2]


@dataclass(frozen=True)
class SteeringConfig:
    """Episodes, and how an agent plans: it takes the first action of its best plan, then plans again."""

    episodes: int = 100  # of each arm and direction
    ticks: int = 10  # of an episode
    threshold: float = 0.15  # of success: distance to the goal at the end, in places from -1 to 1
    strength: float = 1.0  # standard deviations of the scene's own pushes that the largest action is
    horizon: int = 6  # ticks that a plan looks ahead
    population: int = 100  # plans that a round draws
    elite: int = 10  # best plans of a round, which the next round is drawn around
    rounds: int = 4

    def __post_init__(self) -> None:
        """Refuse what plans nothing."""
        if min(self.episodes, self.ticks, self.horizon, self.rounds) < 1:
            raise ValueError(f"episodes, ticks, horizon and rounds must be at least 1, got {self}")
        if not 2 <= self.elite <= self.population:
            raise ValueError(f"a round needs 2 <= elite <= population, got {self.elite} of {self.population}")
        if not (0 < self.strength < np.inf and self.threshold > 0):
            raise ValueError(f"strength and threshold must be above 0, got {self.strength}, {self.threshold}")


class Episodes:
    """Many copies of the scene, each begun at a tick of its own, in which the first object is steered."""

    def __init__(self, scene: Scene, starts: np.ndarray, strength: float) -> None:
        """Begin at the scene's own states of these ticks, [E]."""
        self.scene, self.ticks, self.strength = scene, np.array(starts), strength
        self.steered = scene.factors(self.ticks)[:, :STEERED].copy()

    @property
    def rates(self) -> np.ndarray:
        """Correlations rho of the steered coordinates from tick to tick, [2]."""
        return np.array(self.scene.config.coordinate_autocorrelations[:STEERED])

    def step(self, actions: np.ndarray) -> None:
        """Push, [E, 2], and let one tick pass."""
        noise = np.sqrt(1 - self.rates**2) * self.strength * actions
        self.steered, self.ticks = self.rates * self.steered + noise, self.ticks + 1

    def look(self, renderer: Renderer, diary: Diary) -> np.ndarray:
        """Return what an agent's camera sees, uint8 [E, H, W, 3]."""
        others = self.scene.factors(self.ticks)[:, STEERED:]
        factors = np.concatenate([self.steered, others], 1)
        return np.stack([
            renderer.render(self.scene.state_from_factors(tick, row), diary.pose, diary.stranger.name)
            for tick, row in zip(self.ticks.tolist(), factors, strict=True)
        ])  # fmt: skip


def plan(
    predict: Predict,
    codes: Tensor,
    goals: Tensor,
    axes: Tensor,
    config: SteeringConfig,
    generator: torch.Generator,
) -> Tensor:
    """Return the first action of the plan whose predicted codes stay nearest to the goals (Rubinstein 1999).

    Args:
        predict: One tick ahead, given pushes [..., 2].
        codes: Where each episode is, [E, d].
        goals: Where it should be, [E, d].
        axes: Directions that count, [d, m]: what pushes cannot move is no reason to push.
        config: Of the search.
        generator: Draws the plans.

    Returns:
        Actions in [-1, 1], [E, 2].
    """
    mean = torch.zeros(len(codes), 1, config.horizon, STEERED, dtype=torch.float64)
    spread = torch.full_like(mean, 0.7)
    shape = (len(codes), config.population, config.horizon, STEERED)
    wanted = (goals @ axes)[:, None]
    for _ in range(config.rounds):
        drawn = torch.randn(shape, generator=generator, dtype=torch.float64)
        actions = (mean + spread * drawn).clamp(-1, 1)  # [E, P, H, 2]
        starts = codes[:, None].expand(-1, config.population, -1)
        ahead = roll_out(predict, starts, config.strength * actions)  # [H, E, P, d]
        cost = (ahead @ axes - wanted).square().sum((0, -1))  # [E, P]
        best = cost.topk(config.elite, largest=False).indices[..., None, None]
        elite = actions.take_along_dim(best, 1)
        mean, spread = elite.mean(1, keepdim=True), elite.std(1, keepdim=True)
    return mean[:, 0, 0]


def planner(diary: Diary, renderer: Renderer, predict: Predict, goals: Tensor, config: SteeringConfig) -> Act:
    """Return an agent that looks with its own camera and plans towards goals in its own core, [E, d]."""
    axes = push_axes(predict, goals.shape[1], STEERED)

    @torch.inference_mode()
    def act(episodes: Episodes, generator: torch.Generator) -> Tensor:
        seen = torch.from_numpy(episodes.look(renderer, diary))
        codes = diary.stranger.basis.core(diary.stranger.model.encode(seen))
        return plan(predict, codes, goals, axes, config, generator)

    return act


def knowing(goals: np.ndarray, config: SteeringConfig) -> Act:
    """Return who is told the true state and how it moves, and plans in the same way: the ceiling."""
    axes, wanted = torch.eye(STEERED, dtype=torch.float64), torch.from_numpy(goals)

    def act(episodes: Episodes, generator: torch.Generator) -> Tensor:
        rho = torch.from_numpy(episodes.rates)

        def predict(codes: Tensor, pushes: Tensor) -> Tensor:
            return rho * codes + (1 - rho.square()).sqrt() * pushes

        return plan(predict, torch.from_numpy(episodes.steered), wanted, axes, config, generator)

    return act


def at_random(episodes: Episodes, generator: torch.Generator) -> Tensor:
    """Return actions that look at nothing, each equally likely."""
    return 2 * torch.rand(episodes.steered.shape, generator=generator, dtype=torch.float64) - 1


def steer(episodes: Episodes, act: Act, ticks: int, generator: torch.Generator) -> np.ndarray:
    """Let an agent steer for so many ticks; return the object's factors at each, [ticks + 1, E, 2]."""
    path = [episodes.steered]
    for _ in range(ticks):
        episodes.step(act(episodes, generator).numpy())
        path.append(episodes.steered)
    return np.stack(path)


def distances(path: np.ndarray, goals: np.ndarray, config: SceneConfig) -> np.ndarray:
    """Return how far from its goal the object truly was, both of places in [-1, 1]; for evaluation only.

    Args:
        path: The object's factors, [T, E, 2].
        goals: Its factors where it should be, [E, 2].
        config: Of the scene.

    Returns:
        [T, E].
    """
    places, wanted = (unit_positions(config.dynamics, rows, config.tanh_gain) for rows in (path, goals))
    return np.linalg.norm(places - wanted, axis=-1)
