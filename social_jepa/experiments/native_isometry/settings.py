"""Settings, methods and random streams of the native-isometry experiment."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agents.protocol.settings import MEMORIES, NegotiationConfig
from agents.training.settings import TrainingConfig
from social_jepa.experiments.common.methods import BASELINES, Method
from social_jepa.experiments.common.streams import Stream
from social_jepa.experiments.common.trained_agents import QUICK_SETUP, AgentSetup

REFERENCE = "whitened"  # the objective whose raw latents are an arbitrary choice
OBJECTIVES: Mapping[str, Method] = {
    "log-det": Method("log-det", model={"objective": "log_det"}),
    "vicreg": Method("VICReg", model={"objective": "vicreg"}),
    "ema": Method("EMA", model={"objective": "ema"}),
}  # they fix the scale of the latents
METHODS: Mapping[str, Method] = {
    **OBJECTIVES,
    REFERENCE: Method("whitened (reference)"),
    "untrained": Method("untrained", trains=False),
    "pixel-pca": Method("pixel PCA", BASELINES + "PixelPca", trains=False),
}
UNTRAINED = ("untrained", "pixel-pca")  # the baselines of every similarity


class NativeIsometryStream(Stream):
    """Random streams of the experiment."""

    PAIR_CHOICE = 51


def _default_setup() -> AgentSetup:
    return AgentSetup(training=TrainingConfig(own_ticks=True), negotiation=NegotiationConfig(pool_ticks=4096))


@dataclass(frozen=True)
class Settings:
    """Settings of a run; the defaults are those of the full run."""

    setup: AgentSetup = field(default_factory=_default_setup)
    max_pairs: int = 4096  # largest number of pairs that W is fitted on, a power of two

    def __post_init__(self) -> None:
        """Raise ValueError, naming the setting, for values that cannot be compared."""
        if self.max_pairs < 2 or self.max_pairs & (self.max_pairs - 1):
            raise ValueError(f"max_pairs={self.max_pairs}: numbers of pairs must be powers of two")
        pool = self.setup.negotiation.pool_ticks
        if not self.max_pairs <= pool:
            raise ValueError(f"max_pairs={self.max_pairs} must be at most {pool}, the ticks of a pool")
        if self.max_pairs <= self.setup.model.dim:
            raise ValueError(
                f"max_pairs={self.max_pairs} must exceed setup.model.dim={self.setup.model.dim}: fewer pairs "
                "leave W undetermined"
            )
        if pool < 16 * MEMORIES:
            raise ValueError(f"setup.negotiation.pool_ticks={pool} must be at least {16 * MEMORIES}")

    @property
    def pair_counts(self) -> tuple[int, ...]:
        """Numbers of pairs that W is fitted on: 1, 2, 4, ..., max_pairs."""
        return tuple(1 << power for power in range(self.max_pairs.bit_length()))


QUICK: Mapping[str, Any] = {
    "setup": {**QUICK_SETUP, "training": {**QUICK_SETUP["training"], "own_ticks": True, "stage_steps": 60}},
    "max_pairs": 256,
}
