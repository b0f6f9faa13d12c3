"""Settings and methods of the experiment time-or-jepa."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agents.protocol.settings import MEMORIES
from agents.training.settings import TrainingConfig
from env.scene import SceneConfig
from social_jepa.experiments.common.flat_training import FlatSchedule
from social_jepa.experiments.common.methods import BASELINES, Method
from social_jepa.experiments.common.trained_agents import QUICK_SETUP, AgentSetup

TEMPORAL = "social_jepa.experiments.common.temporal_baselines:"
TEMPORAL_INFONCE = "temporal-infonce"  # the method that the thresholds compare with
TICA = "tica"
JEPAS: Mapping[str, Method] = {
    # One encoder: further ones would be a second training.
    "whitened": Method("JEPA, whitened", model={"objective": "whitened", "stages": 1}),
    "vicreg": Method("JEPA, VICReg", model={"objective": "vicreg"}),
    "log-det": Method("JEPA, log-det", model={"objective": "log_det"}),
    "ema": Method("JEPA, EMA", model={"objective": "ema"}),
}
SCHEDULED: Mapping[str, Method] = {
    TEMPORAL_INFONCE: Method("temporal InfoNCE", TEMPORAL + "TemporalInfoNce"),
    "next-frame": Method("next-frame autoencoder", TEMPORAL + "NextFrameAutoencoder"),
    "supervised": Method("supervised", BASELINES + "Supervised", supervised=True),
}  # trained like the JEPAs: equal frames, steps and learning rate
FLAT: Mapping[str, Method] = {
    "autoencoder": Method("autoencoder", BASELINES + "Autoencoder"),
    "simclr": Method("SimCLR", BASELINES + "SimClr"),
}  # trained until their loss is flat
LINEAR: Mapping[str, Method] = {
    TICA: Method("linear tICA", BASELINES + "PixelPca", trains=False),
    "pixel-pca": Method("pixel PCA", BASELINES + "PixelPca", trains=False),
    "untrained": Method("untrained", trains=False),
}
METHODS: Mapping[str, Method] = {**JEPAS, **SCHEDULED, **FLAT, **LINEAR}


def _default_setup() -> AgentSetup:
    # two methods train up to four times as long: a renderer and a size of frames that leave time for it
    return AgentSetup(
        scene=SceneConfig(renderer="toy", frame_size=48), training=TrainingConfig(own_ticks=True)
    )


@dataclass(frozen=True)
class Settings:
    """Settings of a run; the defaults are those of the full run."""

    setup: AgentSetup = field(default_factory=_default_setup)
    checkpoints: tuple[int, ...] = (25, 50, 75, 100, 150, 225, 300, 450)  # steps; the last ends the schedule
    flat: FlatSchedule = field(default_factory=FlatSchedule)
    components: int = 256  # principal components of pixels that tICA is computed on
    own_ticks: int = 4096  # ticks of its own training that an agent whitens its latents on
    tolerance: float = 0.02  # difference of the states' R2 within which two methods are compared

    def __post_init__(self) -> None:
        """Raise ValueError, naming the setting, for values that cannot be compared."""
        steps, training = self.checkpoints, self.setup.training
        if not steps or list(steps) != sorted(set(steps)) or steps[0] < 2 or steps[-1] != training.steps:
            raise ValueError(
                f"checkpoints={list(steps)} must rise from 2 or more to setup.training.steps={training.steps}"
            )
        dim = self.setup.model.dim
        if not dim <= self.components <= 1024:
            raise ValueError(f"components={self.components}: choose from setup.model.dim={dim} to 1024")
        if not 16 * dim <= self.own_ticks <= training.replay_ticks:
            raise ValueError(
                f"own_ticks={self.own_ticks}: choose from 16 setup.model.dim={16 * dim} to "
                f"setup.training.replay_ticks={training.replay_ticks}"
            )
        if not self.tolerance > 0:
            raise ValueError(f"tolerance={self.tolerance} must be above 0")
        if self.setup.negotiation.pool_ticks < 16 * MEMORIES:
            raise ValueError(
                f"setup.negotiation.pool_ticks={self.setup.negotiation.pool_ticks} must be at least "
                f"{16 * MEMORIES}"
            )


QUICK: Mapping[str, Any] = {
    "setup": {**QUICK_SETUP, "training": {**QUICK_SETUP["training"], "own_ticks": True}},
    "checkpoints": [25, 50, 100, 150],
    "flat": {"block": 50, "max_steps": 150, "decay": 50},
    "components": 64, "own_ticks": 1024,
}  # fmt: skip
