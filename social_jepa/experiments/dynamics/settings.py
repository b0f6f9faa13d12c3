"""Settings and random streams of the dynamics experiment."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from social_jepa.experiments.common.streams import Stream
from social_jepa.experiments.common.trained_agents import QUICK_SETUP, AgentSetup

THRESHOLD_HORIZON = 5  # ticks ahead that the threshold on prediction errors refers to


class DynamicsStream(Stream):
    """Random streams of the experiment."""

    PERCEPTRON = 41
    EPISODES = 42
    PLANS = 43


@dataclass(frozen=True)
class PlanningConfig:
    """Episodes, and planning by the cross-entropy method; agents plan again after each action."""

    episodes: int = 100  # of each condition and direction
    ticks: int = 10  # of an episode
    success_distance: float = 0.15  # largest final distance to the goal, positions from -1 to 1
    strength: float = 1.0  # the largest action, in standard deviations of the scene's own actions
    horizon: int = 6  # ticks of a plan
    population: int = 100  # plans drawn in a round
    elite: int = 10  # best plans of a round, which the next round is drawn around
    rounds: int = 4

    def __post_init__(self) -> None:
        """Raise ValueError, naming the setting, for values that plan nothing."""
        if min(self.episodes, self.ticks, self.horizon, self.rounds) < 1:
            raise ValueError(f"episodes, ticks, horizon and rounds must be at least 1, got {self}")
        if not 2 <= self.elite <= self.population:
            raise ValueError(
                f"elite={self.elite} must be at least 2 and at most population={self.population}"
            )
        if not (0 < self.strength < np.inf and self.success_distance > 0):
            raise ValueError(
                f"strength={self.strength} and success_distance={self.success_distance} must be above 0"
            )


@dataclass(frozen=True)
class Settings:
    """Settings of a run; the defaults are those of the full run."""

    setup: AgentSetup = field(default_factory=AgentSetup)
    separations: tuple[float, ...] = (180.0, 90.0)  # degrees between the two cameras, one condition each
    fit_ticks: int = 8192  # ticks that predictors are fitted on
    max_horizon: int = 10  # largest number of ticks ahead
    hidden: int = 64  # units of the perceptron
    steps: int = 800  # training steps of the perceptron
    planning: PlanningConfig = field(default_factory=PlanningConfig)

    def __post_init__(self) -> None:
        """Raise ValueError, naming the setting, for values that measure nothing."""
        if self.max_horizon < THRESHOLD_HORIZON or not self.separations:
            raise ValueError(
                f"max_horizon={self.max_horizon} must be at least {THRESHOLD_HORIZON}, and "
                f"separations={self.separations} must not be empty"
            )
        if self.fit_ticks < 2:
            raise ValueError(f"fit_ticks={self.fit_ticks}: a predictor needs at least two consecutive ticks")
        held = self.setup.negotiation.pool_ticks * self.setup.stride - self.planning.ticks
        if 2 * self.planning.episodes > held:
            raise ValueError(
                f"planning.episodes={self.planning.episodes}: every episode needs a start and a goal among "
                f"{held} ticks"
            )

    @property
    def conditions(self) -> tuple[str, ...]:
        """Names of the conditions, one for each pair of cameras."""
        return tuple(f"{degrees:g} degrees" for degrees in self.separations)


QUICK: Mapping[str, Any] = {
    "setup": QUICK_SETUP, "fit_ticks": 2048, "hidden": 32, "steps": 200,
    "planning": {"episodes": 30, "population": 50},
}  # fmt: skip
