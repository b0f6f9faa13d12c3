"""Settings of the probe-porting experiment."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agents.protocol.settings import NegotiationConfig
from social_jepa.experiments.common.trained_agents import QUICK_SETUP, AgentSetup


@dataclass(frozen=True)
class Settings:
    """Settings of a run; the defaults are those of the full run."""

    setup: AgentSetup = field(
        default_factory=lambda: AgentSetup(negotiation=NegotiationConfig(pool_ticks=2048))
    )
    agents: int = 4
    anchor_counts: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)  # anchors of a map
    threshold_anchors: int = 256  # the number of anchors that the threshold refers to

    def __post_init__(self) -> None:
        """Raise ValueError, naming the setting, for values that leave nothing to measure."""
        pool = self.setup.negotiation.pool_ticks
        if self.agents < 2:
            raise ValueError(f"agents={self.agents}: porting a probe needs at least two agents")
        if not all(1 <= count <= pool for count in self.anchor_counts):
            raise ValueError(
                f"anchor_counts={self.anchor_counts} must lie between 1 and "
                f"setup.negotiation.pool_ticks={pool}"
            )
        if self.threshold_anchors not in self.anchor_counts:
            raise ValueError(
                f"threshold_anchors={self.threshold_anchors} must be one of "
                f"anchor_counts={self.anchor_counts}"
            )


QUICK: Mapping[str, Any] = {
    "setup": {
        **QUICK_SETUP, "scene": {"renderer": "toy", "frame_size": 32, "objects": 2},
        "model": {"dim": 8, "width": 8, "hidden": 32},
    },
    "agents": 3, "anchor_counts": (1, 2, 4, 8, 16, 32, 64, 128), "threshold_anchors": 64,
}  # fmt: skip
