"""Settings of the viewpoint experiment."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from social_jepa.experiments.common.trained_agents import QUICK_SETUP, AgentSetup


@dataclass(frozen=True)
class Settings:
    """Settings of a run; the defaults are those of the full run."""

    setup: AgentSetup = field(default_factory=AgentSetup)
    separations: tuple[float, ...] = (0, 30, 60, 90, 135, 180)  # degrees along the ring
    camera_angle: float = 90.0  # degrees along the ring to the cameras of the condition cameras
    high_camera_height: float = 5.0  # meters
    high_camera_pitch: float = -48.0  # degrees
    narrow_fov: float = 45.0  # field of view in degrees
    wide_fov: float = 90.0
    hidden_object: int = 2  # index of the object behind the wall
    pairs: int = 64  # pairs that a map is fitted on
    few_pairs: int = 8  # pairs of the metrics with few pairs
    overlap_ticks: int = 50  # ticks that overlap is measured at

    def __post_init__(self) -> None:
        """Raise ValueError, naming the setting, for values that cannot be compared."""
        objects = self.setup.scene.objects
        if objects < 2 or not 0 <= self.hidden_object < objects:
            raise ValueError(
                f"hidden_object={self.hidden_object} must be the index of one of at least two objects, got "
                f"setup.scene.objects={objects}"
            )
        angles = (*self.separations, self.camera_angle)
        if not self.separations or not all(0 <= degrees <= 180 for degrees in angles):
            raise ValueError(
                f"separations={self.separations} and camera_angle={self.camera_angle} must lie between 0 and "
                "180 degrees, with at least one separation"
            )
        pool = self.setup.negotiation.pool_ticks
        if not 1 <= self.few_pairs <= self.pairs <= pool:
            raise ValueError(
                f"few_pairs={self.few_pairs} must be at least 1 and at most pairs={self.pairs}, which must "
                f"be at most setup.negotiation.pool_ticks={pool}"
            )
        if self.overlap_ticks < 1:
            raise ValueError(f"overlap_ticks={self.overlap_ticks} must be at least 1")

    @property
    def view_names(self) -> list[str]:
        """Names of the views of the condition separation, besides the reference."""
        return [view_name(degrees) for degrees in self.separations]

    @property
    def farthest(self) -> str:
        """Name of the view that is farthest along the ring."""
        return view_name(max(self.separations))


def view_name(degrees: float) -> str:
    """Return the name of the view at this angle along the ring."""
    return f"{degrees:g} degrees"


QUICK: Mapping[str, Any] = {
    "setup": {
        **QUICK_SETUP,
        "scene": {"renderer": "toy", "frame_size": 32, "objects": 2},
        "model": {"dim": 10, "width": 16, "hidden": 64},
        "training": {"steps": 250, "segments": 32, "replay_ticks": 6144, "core_eval_ticks": 1024},
    },
    "hidden_object": 1, "pairs": 32, "overlap_ticks": 20,
}  # fmt: skip
