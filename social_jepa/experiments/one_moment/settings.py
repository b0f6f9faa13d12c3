"""Settings of the experiment one-moment."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from agents.training.settings import TrainingConfig
from env.scene import SceneConfig
from social_jepa.experiments.common.streams import Stream
from social_jepa.experiments.common.trained_agents import QUICK_SETUP, AgentSetup

AGENTS = 2
MOMENT_TICKS = 4  # consecutive ticks that both agents see: one moment


class OneMomentStream(Stream):
    """Random streams of the experiment."""

    MOMENTS = 51  # choices of the moments
    SIGNS = 52  # signs of the null without moments


def _default_setup() -> AgentSetup:
    return AgentSetup(scene=SceneConfig(renderer="batch"), training=TrainingConfig(own_ticks=True))


@dataclass(frozen=True)
class Settings:
    """Settings of a run; the defaults are the full run."""

    setup: AgentSetup = field(default_factory=_default_setup)
    spacings: tuple[float, ...] = (0.05, 0.025, 0.01, 0.0)  # of the factors' autocorrelations
    distinct_spacing: float = 0.025  # the spacing that the threshold refers to
    mean_autocorrelation: float = 0.7  # over the factors
    axis_ticks: int = 131072  # ticks that each agent finds its axes on
    moments: tuple[int, ...] = (1, 2, 4, 8)  # numbers of moments that a map is fitted on
    draws: int = 100  # random choices of the moments, and of the signs of a null

    def __post_init__(self) -> None:
        """Raise ValueError, naming the setting, for settings that cannot be run."""
        if list(self.spacings) != sorted(set(self.spacings), reverse=True):
            raise ValueError(f"spacings={self.spacings} must be strictly decreasing")
        if self.distinct_spacing not in self.spacings:
            raise ValueError(
                f"distinct_spacing={self.distinct_spacing} must be one of spacings={self.spacings}"
            )
        if self.draws < 1 or self.axis_ticks < 2:
            raise ValueError(
                f"draws={self.draws} must be at least 1, and axis_ticks={self.axis_ticks} at least 2"
            )
        if not self.setup.training.own_ticks:
            raise ValueError("setup.training.own_ticks must be true: agents learn at other times")
        least = min(self.available_moments(spacing) for spacing in self.spacings)
        if self.moments[:1] != (1,) or max(self.moments) > least:
            raise ValueError(
                f"moments={self.moments} must begin with 1, and not exceed the {least} that "
                f"setup.negotiation.pool_ticks={self.setup.negotiation.pool_ticks} has room for"
            )

    @property
    def factors(self) -> int:
        """Number of factors of the scene."""
        return 2 * self.setup.scene.objects

    @property
    def conditions(self) -> tuple[str, ...]:
        """Names of the conditions, one for each spacing."""
        return tuple(map(self.condition, self.spacings))

    def condition(self, spacing: float) -> str:
        """Return the name of the condition with this spacing."""
        return f"spacing {spacing:g}"

    def autocorrelations(self, spacing: float) -> tuple[float, ...]:
        """Return the lag-1 autocorrelation of each factor, decreasing."""
        steps = (self.factors - 1) / 2 - np.arange(self.factors)
        return tuple(np.round(self.mean_autocorrelation + spacing * steps, 4).tolist())

    def setup_of(self, spacing: float) -> AgentSetup:
        """Return the setup of the agents at a spacing."""
        scene = replace(self.setup.scene, autocorrelation=self.autocorrelations(spacing))
        return replace(self.setup, scene=scene)

    def moment_distance(self, spacing: float) -> int:
        """Return the ticks from the first tick of a moment to that of the next; the scene forgets between."""
        return self.setup_of(spacing).scene.decorrelation_ticks + MOMENT_TICKS

    def available_moments(self, spacing: float) -> int:
        """Return the number of moments in the ticks that maps are fitted on."""
        return (
            self.setup.negotiation.pool_ticks * self.setup_of(spacing).stride // self.moment_distance(spacing)
        )


QUICK: Mapping[str, Any] = {
    "setup": {**QUICK_SETUP, "training": {**QUICK_SETUP["training"], "own_ticks": True}},
    "axis_ticks": 8192, "draws": 20,
}  # fmt: skip
