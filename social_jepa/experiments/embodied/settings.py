"""Settings, conditions and random streams of the experiment embodied."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from agents.protocol.settings import MEMORIES
from agents.training.settings import TrainingConfig
from env.camera import RingConfig
from env.camera_motion import CameraMotionConfig
from env.scene import SceneConfig
from social_jepa.experiments.common.planning import PlanningConfig, check_plans
from social_jepa.experiments.common.streams import Stream
from social_jepa.experiments.common.trained_agents import QUICK_SETUP, AgentSetup


class EmbodiedStream(Stream):
    """Random streams of the experiment."""

    EPISODES = 44
    PLANS = 45


MOTIONS: Mapping[str, CameraMotionConfig] = {
    "pan, tilt and walk": CameraMotionConfig(pan=4.0, tilt=2.0, walk=0.2),
}  # by condition


def _default_setup() -> AgentSetup:
    # without bodies: a body shows where its camera stands, and how far it has turned
    scene, ring = SceneConfig(bodies=False), RingConfig(separation=180.0)
    return AgentSetup(scene=scene, ring=ring, training=TrainingConfig(own_ticks=True))


@dataclass(frozen=True)
class Settings:
    """Settings of a run; the defaults are those of the full run."""

    setup: AgentSetup = field(default_factory=_default_setup)
    fit_ticks: int = 8192  # ticks that an agent fits the predictor of its own core on
    planning: PlanningConfig = field(default_factory=lambda: PlanningConfig(150, success_distance=0.25))

    def __post_init__(self) -> None:
        """Raise ValueError, naming the setting, for values that measure nothing."""
        check_plans(self.setup, self.fit_ticks, self.planning)
        if self.setup.scene.camera_motion.moves or self.setup.scene.bodies:
            raise ValueError(
                "setup.scene.camera_motion must be left out, as the conditions set it, and "
                "setup.scene.bodies must be false"
            )
        negotiation = self.setup.negotiation
        if negotiation.pool_ticks < 16 * MEMORIES:
            raise ValueError(
                f"setup.negotiation.pool_ticks={negotiation.pool_ticks} must be at least {16 * MEMORIES}"
            )

    def camera_factors(self, condition: str) -> int:
        """Return the number of factors in the frames of a camera: of all objects, and of its own motion."""
        return 2 * self.setup.scene.objects + sum(map(bool, MOTIONS[condition].amplitudes))

    def setup_of(self, condition: str) -> AgentSetup:
        """Return the setup of the agents of a condition."""
        return replace(self.setup, scene=replace(self.setup.scene, camera_motion=MOTIONS[condition]))


QUICK: Mapping[str, Any] = {
    "setup": {
        "scene": {**QUICK_SETUP["scene"], "bodies": False}, "ring": {"separation": 180.0},
        "model": {"dim": 8, "width": 8, "hidden": 32},
        "training": {**QUICK_SETUP["training"], "own_ticks": True, "stage_steps": 60},
        "negotiation": {"pool_ticks": 256, "anchors": 128, "heldout": 256},
    },
    "fit_ticks": 1024, "planning": {"episodes": 30, "population": 50},
}  # fmt: skip
