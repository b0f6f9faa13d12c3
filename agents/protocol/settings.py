"""Settings of the negotiation between peers, and the ticks that they reserve; this loads no torch."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from agents.common.config_error import ConfigError
from agents.common.fields import Count, Weight, check_fields


@dataclass(frozen=True)
class NegotiationConfig:
    """How peers exchange anchors, fit maps and judge them."""

    anchors: Annotated[int, Meta(ge=4, le=65536)] = 256  # ticks that a map is fitted on
    heldout: Annotated[int, Meta(ge=4, le=65536)] = 512  # ticks that it is scored on, apart in time
    pool_ticks: Annotated[int, Meta(le=65536)] = 1024  # ticks of each stretch that every agent encodes
    pool_stride: Count = 4  # ticks between neighbors in a pool; adjacent ticks are nearly the same sample
    ridge: Annotated[float, Meta(ge=1e-9)] = 4.0  # weight of |W|^2 in a map of all dimensions, in anchors
    min_r2_margin: Weight = 0.05  # held-out R2 by which a map must exceed shuffled pairs to be accepted
    max_drift: Annotated[float, Meta(gt=0, le=1)] = 0.05  # share of variance; beyond, a model is republished

    def __post_init__(self) -> None:
        """Raise ConfigError for a value that cannot work; the message names the setting."""
        check_fields(self)
        for name in ("anchors", "heldout"):
            if getattr(self, name) > self.pool_ticks:
                raise ConfigError(
                    f"choose from 4 to negotiation.pool_ticks={self.pool_ticks} "
                    "(more anchors than ticks need a larger negotiation.pool_ticks)",
                    name,
                    getattr(self, name),
                )


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
