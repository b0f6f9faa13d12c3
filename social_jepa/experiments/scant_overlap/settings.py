"""Settings of the scant-overlap experiment."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from agents.protocol.settings import MEMORIES
from agents.training.settings import TrainingConfig
from env.scene import Scene, SceneConfig
from social_jepa.experiments.common.streams import Stream
from social_jepa.experiments.common.trained_agents import QUICK_SETUP, AgentSetup
from social_jepa.experiments.scant_overlap.layout import LEVELS, OBJECTS, SEEN_FACTORS, Layout, Level


class ScantOverlapStream(Stream):
    """Random streams of the experiment."""

    SHUFFLED = 51  # states of the probes' null


def _default_setup() -> AgentSetup:
    scene = SceneConfig(renderer="batch", objects=OBJECTS, room_size=11.0, bodies=False)
    return AgentSetup(scene=scene, training=TrainingConfig(own_ticks=True))


@dataclass(frozen=True)
class Settings:
    """Settings of a run; the defaults are those of the full run."""

    setup: AgentSetup = field(default_factory=_default_setup)
    layout: Layout = field(default_factory=Layout)
    overlap_ticks: int = 100  # held-out ticks that overlap is measured at
    points_per_edge: int = 8  # along an edge of a box, of the points that overlap is measured on

    def __post_init__(self) -> None:
        """Raise ValueError, naming the setting, for values that cannot be compared."""
        if self.setup.scene.objects != OBJECTS or self.setup.scene.object_areas:
            raise ValueError(
                f"setup.scene.objects={self.setup.scene.objects} must be {OBJECTS}, and "
                "setup.scene.object_areas empty: the layout places the objects"
            )
        if self.setup.model.dim < SEEN_FACTORS:
            raise ValueError(
                f"setup.model.dim={self.setup.model.dim} must be at least {SEEN_FACTORS}, the factors that a "
                "camera sees"
            )
        if self.overlap_ticks < 1 or self.points_per_edge < 1:
            raise ValueError(
                f"overlap_ticks={self.overlap_ticks} and points_per_edge={self.points_per_edge} must be at "
                "least 1"
            )
        pool = self.setup.negotiation.pool_ticks
        if pool < 16 * MEMORIES:
            raise ValueError(f"setup.negotiation.pool_ticks={pool} must be at least {16 * MEMORIES}")
        for level in LEVELS.values():
            scene = Scene(self.setup_of(level).scene, 0)
            for pose in self.layout.poses(level):
                scene.check_pose(pose)

    def setup_of(self, level: Level) -> AgentSetup:
        """Return the setup of the agents at a level."""
        return replace(self.setup, scene=self.layout.scene(self.setup.scene, level))


QUICK: Mapping[str, Any] = {
    "setup": {
        "scene": {
            "renderer": "batch", "frame_size": 32, "objects": OBJECTS, "room_size": 11.0, "bodies": False,
        },
        "model": {"dim": 10, "width": 8, "hidden": 32},
        "training": {**QUICK_SETUP["training"], "own_ticks": True, "stage_steps": 60},
        "negotiation": {"pool_ticks": 256, "anchors": 128, "heldout": 256},
    },
    "overlap_ticks": 20, "points_per_edge": 6,
}  # fmt: skip
