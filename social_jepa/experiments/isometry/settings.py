"""Settings and random streams of the isometry experiment."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agents.training.settings import TrainingConfig
from social_jepa.experiments.common.methods import COMPARED_AGENTS
from social_jepa.experiments.common.streams import Stream
from social_jepa.experiments.common.trained_agents import QUICK_SETUP, AgentSetup


class IsometryStream(Stream):
    """Random streams of the experiment."""

    PAIR_CHOICE = 51


@dataclass(frozen=True)
class Settings:
    """Settings of a run; the defaults are those of the full run."""

    setup: AgentSetup = field(default_factory=lambda: AgentSetup(training=TrainingConfig(own_ticks=True)))
    agents: int = 4  # on the ring
    few_pairs: int = 8  # pairs of a threshold on cores, a power of two
    reference_pairs: int = 64  # pairs of another one, and of the other measures, a power of two
    latent_pairs: int = 256  # pairs of the threshold on all dimensions, a power of two

    def __post_init__(self) -> None:
        """Raise ValueError, naming the setting, for values that cannot be compared."""
        pool = self.setup.negotiation.pool_ticks
        for name in ("few_pairs", "reference_pairs", "latent_pairs"):
            value = getattr(self, name)
            if not 1 <= value <= pool or value & (value - 1):
                raise ValueError(
                    f"{name}={value}: numbers of pairs must be powers of two, and at most "
                    f"setup.negotiation.pool_ticks={pool}"
                )
        if self.agents <= max(COMPARED_AGENTS):
            raise ValueError(f"agents={self.agents}: the baselines need agents {COMPARED_AGENTS}")
        if self.factors > self.setup.model.dim:
            raise ValueError(
                f"setup.model.dim={self.setup.model.dim} must be at least the number of factors of the "
                f"scene, {self.factors}"
            )

    @property
    def factors(self) -> int:
        """Number of factors of the scene, which baselines are compared on as many leading axes as."""
        return 2 * self.setup.scene.objects

    @property
    def pair_counts(self) -> tuple[int, ...]:
        """Numbers of pairs that maps are fitted on: 1, 2, 4, ..., at most those of a pool."""
        return tuple(1 << power for power in range(self.setup.negotiation.pool_ticks.bit_length()))


QUICK: Mapping[str, Any] = {
    "setup": {**QUICK_SETUP, "training": {**QUICK_SETUP["training"], "own_ticks": True}},
    "agents": 3, "latent_pairs": 64,
}  # fmt: skip
