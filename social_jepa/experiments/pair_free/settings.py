"""Settings of the experiment pair-free."""

from dataclasses import dataclass, field

import numpy as np

from social_jepa.experiments.common.streams import Stream
from social_jepa.experiments.common.trained_agents import QUICK_SETUP, AgentSetup


class PairFreeStream(Stream):
    """Random streams of the experiment."""

    ANCHORS = 51  # choices of the anchors
    CLOUDS = 52  # initializations of the matching, random maps of the nulls
    CONTROL = 53  # planted clusters and rotations


@dataclass(frozen=True)
class Settings:
    """Settings of a run; the defaults are the full run."""

    setup: AgentSetup = field(default_factory=AgentSetup)
    spacings: tuple[float, ...] = (0.05, 0.03, 0.025, 0.01, 0.0)  # of the factors' autocorrelations
    distinct_spacing: float = 0.025  # the spacing that the thresholds refer to
    mean_autocorrelation: float = 0.7  # over the factors
    anchors: tuple[int, ...] = (1, 2, 4, 8)  # anchors that a map is fitted on
    draws: int = 100  # random choices of anchors, and random maps of the nulls
    candidates: int = 64  # ticks that a source selects its anchors from
    restarts: int = 18  # of the point-cloud matching

    def __post_init__(self) -> None:
        """Raise ValueError, naming the setting, for settings that cannot be run."""
        if list(self.spacings) != sorted(set(self.spacings), reverse=True):
            raise ValueError(f"spacings={self.spacings} must be strictly decreasing")
        if self.distinct_spacing not in self.spacings:
            raise ValueError(
                f"distinct_spacing={self.distinct_spacing} must be one of spacings={self.spacings}"
            )
        if self.draws < 1 or self.restarts < 1:
            raise ValueError(f"draws={self.draws} and restarts={self.restarts} must be at least 1")
        pool = self.setup.negotiation.pool_ticks
        if self.anchors[:1] != (1,) or not max(self.anchors) <= self.candidates <= pool:
            raise ValueError(
                f"anchors={self.anchors} must begin with 1 and be at most candidates={self.candidates}, "
                f"which must be at most setup.negotiation.pool_ticks={pool}"
            )

    @property
    def axes(self) -> int:
        """Number of axes that are scored: the number of factors of the scene."""
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
        steps = (self.axes - 1) / 2 - np.arange(self.axes)
        return tuple(np.round(self.mean_autocorrelation + spacing * steps, 4).tolist())


QUICK = {"setup": QUICK_SETUP, "draws": 20, "restarts": 4}
