"""Settings and random streams of the isometry experiment."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from social_jepa.experiments.common.methods import COMPARED_AGENTS
from social_jepa.experiments.common.streams import Stream
from social_jepa.experiments.common.trained_agents import QUICK_SETUP, AgentSetup


class IsometryStream(Stream):
    """Random streams of the experiment."""

    PAIR_CHOICE = 51
    SHUFFLE = 52


@dataclass(frozen=True)
class Settings:
    """Settings of a run; the defaults are those of the full run."""

    setup: AgentSetup = field(default_factory=AgentSetup)
    agents: int = 4  # on the ring
    long_multiplier: int = 2  # steps and training ticks of jepa-long, relative to the default schedule
    max_pairs: int = 4096  # largest number of pairs in jepa-long, a power of two
    few_pairs: int = 8  # pairs of the second threshold, a power of two
    reference_pairs: int = 64  # pairs of the first threshold and of the comparison of methods, a power of two
    heldout_ticks: int = 1024  # held-out ticks that jepa-long is scored on

    def __post_init__(self) -> None:
        """Raise ValueError, naming the setting, for values that cannot be compared."""
        for name in ("max_pairs", "few_pairs", "reference_pairs"):
            value = getattr(self, name)
            if value < 1 or value & (value - 1):
                raise ValueError(f"{name}={value}: numbers of pairs must be powers of two")
        pool = self.setup.negotiation.pool_ticks
        if not self.few_pairs <= self.reference_pairs <= min(pool, self.max_pairs):
            raise ValueError(
                f"few_pairs={self.few_pairs} must be at most reference_pairs={self.reference_pairs}, which "
                f"must be at most max_pairs={self.max_pairs} and setup.negotiation.pool_ticks={pool}"
            )
        if self.agents <= max(COMPARED_AGENTS):
            raise ValueError(
                f"agents={self.agents}: the comparison of methods needs agents {COMPARED_AGENTS}"
            )
        if self.leading_axes > self.setup.model.dim:
            raise ValueError(
                f"setup.model.dim={self.setup.model.dim} must be at least the number of factors of the "
                f"scene, {self.leading_axes}"
            )
        if self.long_multiplier < 1 or self.heldout_ticks < 16:
            raise ValueError(
                f"long_multiplier={self.long_multiplier} must be at least 1 and "
                f"heldout_ticks={self.heldout_ticks} at least 16"
            )

    @property
    def leading_axes(self) -> int:
        """Number of leading axes that methods are compared on: the number of factors of the scene."""
        return 2 * self.setup.scene.objects

    @property
    def pair_counts(self) -> tuple[int, ...]:
        """Numbers of pairs that maps are fitted on: 1, 2, 4, ..., max_pairs."""
        return tuple(1 << power for power in range(self.max_pairs.bit_length()))

    @property
    def long_setup(self) -> AgentSetup:
        """The setup of jepa-long, with enough anchors for the largest number of pairs."""
        training = replace(
            self.setup.training,
            steps=self.long_multiplier * self.setup.training.steps,
            replay_ticks=self.long_multiplier * self.setup.training.replay_ticks,
        )
        pool = max(self.max_pairs, self.heldout_ticks, self.setup.negotiation.pool_ticks)
        negotiation = replace(self.setup.negotiation, pool_ticks=pool)
        return replace(self.setup, training=training, negotiation=negotiation)


QUICK: Mapping[str, Any] = {"setup": QUICK_SETUP, "agents": 3, "max_pairs": 256, "heldout_ticks": 256}
