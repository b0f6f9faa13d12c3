"""Which ticks of the scene an agent uses for what: its maps, its training, its core, its drift."""

from dataclasses import dataclass

import numpy as np

from agents.protocol.settings import NegotiationConfig, tick_ranges
from agents.training.settings import DRIFT_TICKS, TrainingConfig
from agents.training.ticks import axis_ticks, range_gap, unseen_ticks


@dataclass(frozen=True)
class TickPlan:
    """The ticks of one agent, which follow from its settings alone.

    Attributes:
        training: How it trains.
        gap: Ticks between two ranges, so that they are uncorrelated.
        stride: Ticks between two anchors of a pool.
        memory_rows: Anchors of a pool after which the scene is uncorrelated.
        heldout: Ticks that maps are scored on. Training touches none of them.
        fit: Ticks that maps are fitted on. Training touches none of them either.
        distill_start: First tick that is in no anchor pool: distillation starts there.
        train_start: First tick of its own training.
    """

    training: TrainingConfig
    gap: int
    stride: int
    memory_rows: int
    heldout: range
    fit: range
    distill_start: int
    train_start: int

    @classmethod
    def of(
        cls, negotiation: NegotiationConfig, training: TrainingConfig, memory: int, train_offset: int = 0
    ) -> "TickPlan":
        """Return the plan of an agent with these settings.

        Args:
            negotiation: Sizes of its anchor pools.
            training: How it trains.
            memory: Ticks after which the scene no longer resembles itself.
            train_offset: See `agents.spec.AgentSpec`.

        Raises:
            ConfigError: A pool of anchors is too short for the memory of the scene.
        """
        gap = range_gap(memory)
        heldout, fit, distill_start = tick_ranges(negotiation, gap, memory)
        return cls(
            training, gap, negotiation.stride(memory), negotiation.memory_rows(memory),
            heldout, fit, distill_start, distill_start + train_offset,
        )  # fmt: skip

    def axes(self, recorded: range) -> np.ndarray:
        """Return the recorded ticks that axes are found on, int64 [B, L]: blocks of consecutive ones."""
        return axis_ticks(recorded, self.training.segment_ticks)

    def core_eval(self, stop: int) -> np.ndarray:
        """Return the pairs of ticks that a core is chosen on, int64 [N, 2], as far apart as anchors.

        Args:
            stop: First tick that neither training nor the axes saw.
        """
        pairs = np.arange(self.training.core_eval_ticks // 2)
        return stop + self.gap + max(2, self.stride) * pairs[:, None] + np.arange(2)

    def drift(self, stop: int) -> range:
        """Return the ticks that drift is measured on, as far apart as anchors.

        Args:
            stop: First tick that training has not seen.
        """
        first = stop + self.gap
        return range(first, first + DRIFT_TICKS * self.stride, self.stride)

    def record_stop(self, count: int) -> int:
        """Return the first tick that training must not record of a source of so many ticks.

        From there on `core_eval` and `drift` need them.
        """
        return count - unseen_ticks(self.training, self.gap, self.stride)
