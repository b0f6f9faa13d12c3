"""Settings of the negotiation between peers, and the ticks that they reserve; this loads no torch."""

import math
from dataclasses import dataclass

from agents.config_error import ConfigError


@dataclass(frozen=True)
class NegotiationConfig:
    """How peers exchange anchors, fit maps and judge them."""

    anchors: int = 256  # ticks that a map is fitted on
    heldout: int = 512  # ticks that it is scored on, from another stretch, never fitted
    pool_ticks: int = 1024  # ticks of each stretch that every agent encodes beforehand
    pool_stride: int = 4  # ticks between neighbors in a pool; adjacent ticks are nearly the same sample
    ridge: float = 4.0  # weight of |W|^2 in a map of all dimensions, counted in anchors
    min_r2_margin: float = 0.05  # held-out R2 by which a map must exceed shuffled pairs to be accepted
    max_drift: float = 0.05  # share of variance by which a model may leave the published one unannounced

    def __post_init__(self) -> None:
        """Raise ConfigError for a value that cannot work; the message names the setting."""
        for name in ("anchors", "heldout"):
            value = getattr(self, name)
            if not 4 <= value <= self.pool_ticks:
                raise ConfigError(
                    f"choose from 4 to negotiation.pool_ticks={self.pool_ticks} "
                    "(more anchors than ticks need a larger negotiation.pool_ticks)",
                    name,
                    value,
                )
        if self.pool_ticks > 65536:
            raise ConfigError("at most 65536", "pool_ticks", self.pool_ticks)
        if self.pool_stride < 1:
            raise ConfigError("at least 1", "pool_stride", self.pool_stride)
        if not 1e-9 <= self.ridge < math.inf:
            raise ConfigError("at least 1e-9, which is nearly none", "ridge", self.ridge)
        if not 0 < self.max_drift <= 1:
            raise ConfigError("a share above 0, at most 1", "max_drift", self.max_drift)
        if not 0 <= self.min_r2_margin < math.inf:
            raise ConfigError("at least 0", "min_r2_margin", self.min_r2_margin)


def tick_ranges(config: NegotiationConfig, gap: int) -> tuple[range, range, int]:
    """Return (ticks to score on, ticks to fit on, first tick of training): three stretches apart in time.

    Args:
        config: Sizes of the two anchor pools.
        gap: Ticks between two stretches; large enough for the scene to decorrelate.
    """
    length = config.pool_ticks * config.pool_stride
    fit = length + gap
    return (
        range(0, length, config.pool_stride),
        range(fit, fit + length, config.pool_stride),
        fit + length + gap,
    )
