"""Settings and random streams of the plan-transfer experiment."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from agents.training.settings import TrainingConfig
from social_jepa.experiments.common.planning import PlanningConfig, check_plans
from social_jepa.experiments.common.streams import Stream
from social_jepa.experiments.common.trained_agents import QUICK_SETUP, AgentSetup

THRESHOLD_HORIZON = 5  # ticks ahead that the threshold on prediction errors refers to


class PlanTransferStream(Stream):
    """Random streams of the experiment."""

    PERCEPTRON = 41
    EPISODES = 42
    PLANS = 43


@dataclass(frozen=True)
class Settings:
    """Settings of a run; the defaults are those of the full run."""

    setup: AgentSetup = field(default_factory=lambda: AgentSetup(training=TrainingConfig(own_ticks=True)))
    separations: tuple[float, ...] = (180.0, 60.0)  # degrees between the two cameras, one condition each
    fit_ticks: int = 8192  # ticks that predictors are fitted on
    max_horizon: int = 10  # largest number of ticks ahead
    hidden: int = 64  # units of the perceptron
    steps: int = 800  # training steps of the perceptron
    planning: PlanningConfig = field(default_factory=lambda: PlanningConfig(episodes=150))

    def __post_init__(self) -> None:
        """Raise ValueError, naming the setting, for values that measure nothing."""
        if self.max_horizon < THRESHOLD_HORIZON or not self.separations:
            raise ValueError(
                f"max_horizon={self.max_horizon} must be at least {THRESHOLD_HORIZON}, and "
                f"separations={self.separations} must not be empty"
            )
        check_plans(self.setup, self.fit_ticks, self.planning)

    @property
    def conditions(self) -> tuple[str, ...]:
        """Names of the conditions, one for each pair of cameras."""
        return tuple(f"{degrees:g} degrees" for degrees in self.separations)

    @property
    def action_dim(self) -> int:
        """Number of actions that move the objects, and of factors, 2 for each object."""
        return 2 * self.setup.scene.objects

    def setup_of(self, condition: str) -> AgentSetup:
        """Return the setup of the agents of a condition."""
        separation = self.separations[self.conditions.index(condition)]
        return replace(self.setup, ring=replace(self.setup.ring, separation=separation))


QUICK: Mapping[str, Any] = {
    "setup": {**QUICK_SETUP, "training": {**QUICK_SETUP["training"], "own_ticks": True}},
    "fit_ticks": 2048, "hidden": 32, "steps": 200,
    "planning": {"episodes": 30, "population": 50},
}  # fmt: skip
