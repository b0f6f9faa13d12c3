"""Settings of the classifier-porting experiment."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agents.models.settings import ModelConfig
from agents.protocol.settings import NegotiationConfig
from agents.training.settings import TrainingConfig
from env.camera import RingConfig
from env.nuisance import NuisanceConfig
from env.scene import SceneConfig
from env.shapes import SHAPES
from social_jepa.experiments.common.trained_agents import QUICK_SETUP, AgentSetup

PLACES = (0, 1, 3)  # of the agents on the ring: every two are one, two or three places apart
LABELED = 0  # index of the object whose shape is the class


def _default_setup() -> AgentSetup:
    scene = SceneConfig(
        objects=1, shapes=SHAPES["miniworld"], identity_ticks=32, object_size=1.8, object_range=2.0,
        nuisance=NuisanceConfig(brightness=0.25, hue=10.0, noise=4.0), bodies=False,
    )  # fmt: skip
    return AgentSetup(
        scene=scene, ring=RingConfig(separation=60.0), model=ModelConfig(dim=32, stages=1),
        training=TrainingConfig(own_ticks=True, steps=750, segments=256),
        negotiation=NegotiationConfig(pool_ticks=2048, pool_stride=scene.identity_ticks),
    )  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """Settings of a run; the defaults are those of the full run."""

    setup: AgentSetup = field(default_factory=_default_setup)
    pair_counts: tuple[int, ...] = (8, 16, 32, 64, 128, 256, 512, 1024)  # pairs that a map is fitted on
    threshold_pairs: int = 256  # the number of pairs that the thresholds refer to

    def __post_init__(self) -> None:
        """Raise ValueError, naming the setting, for values that leave nothing to measure."""
        scene, pool = self.setup.scene, self.setup.negotiation.pool_ticks
        if not scene.identity_ticks:
            raise ValueError("setup.scene.identity_ticks=0: an object keeps its shape, which is one class")
        stride = self.setup.stride
        if stride % scene.identity_ticks:
            raise ValueError(
                f"setup.negotiation.pool_stride={stride} must be a multiple of "
                f"setup.scene.identity_ticks={scene.identity_ticks}: each tick of a pool shows another object"
            )
        if not all(1 <= count <= pool for count in self.pair_counts):
            raise ValueError(
                f"pair_counts={self.pair_counts} must lie between 1 and setup.negotiation.pool_ticks={pool}"
            )
        if self.threshold_pairs not in self.pair_counts:
            raise ValueError(
                f"threshold_pairs={self.threshold_pairs} must be one of pair_counts={self.pair_counts}"
            )
        if max(PLACES) * self.setup.ring.separation > 180:
            raise ValueError(
                f"setup.ring.separation={self.setup.ring.separation:g} must be at most "
                f"{180 / max(PLACES):g} degrees: the farthest agents stand {max(PLACES)} times as far apart"
            )

    def degrees(self, reader: int, owner: int) -> float:
        """Return the degrees along the ring between two agents, by their number."""
        return abs(PLACES[reader] - PLACES[owner]) * self.setup.ring.separation

    @property
    def separations(self) -> list[float]:
        """Degrees between any two agents, ascending."""
        numbers = range(len(PLACES))
        return sorted({self.degrees(a, b) for a in numbers for b in numbers if a != b})


QUICK: Mapping[str, Any] = {
    "setup": {
        **QUICK_SETUP,
        "scene": {
            "renderer": "toy", "frame_size": 32, "shapes": SHAPES["toy"], "object_size": 2.4,
            "object_range": 2.0,
        },
        "model": {"dim": 12, "width": 8, "hidden": 32, "stages": 1},
        "training": {**QUICK_SETUP["training"], "own_ticks": True, "replay_ticks": 4096},
        "negotiation": {"pool_ticks": 512, "anchors": 64, "heldout": 128},
    },
    "pair_counts": (8, 16, 32, 64, 128, 256), "threshold_pairs": 128,
}  # fmt: skip
