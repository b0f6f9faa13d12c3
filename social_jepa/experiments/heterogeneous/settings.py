"""Settings of the experiment heterogeneous, and the table of its agents."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from agents.models.settings import FROZEN, ModelConfig
from agents.training.settings import TrainingConfig
from env.camera import RingConfig
from social_jepa.experiments.common.streams import Stream
from social_jepa.experiments.common.trained_agents import QUICK_SETUP, AgentSetup


class HeterogeneousStream(Stream):
    """Random streams of the experiment."""

    POSES = 51  # places of the agents on the ring
    PRETRAINING = 52  # scene of the recording that the frozen encoder is trained on


@dataclass(frozen=True)
class Variant:
    """Difference of an agent from the default agent; sizes are factors of the default agent's sizes."""

    kind: str = "jepa"
    dim: float = 1.0
    width: float = 1.0
    hidden: float = 1.0
    objective: str = "whitened"
    task: str = "random"  # of a p_jepa
    trained: bool = True

    def model(self, default: ModelConfig) -> ModelConfig:
        """Return the settings of the agent's model, given those of the default agent."""
        return replace(
            default, dim=round(default.dim * self.dim), width=round(default.width * self.width),
            hidden=round(default.hidden * self.hidden), objective=self.objective,
            p_jepa=replace(default.p_jepa, task=self.task),
        )  # fmt: skip


VARIANTS: Mapping[str, Variant] = {
    "jepa": Variant(),
    "jepa-twin": Variant(),
    "half-dim": Variant(dim=0.5),
    "double-dim": Variant(dim=2.0),
    "quadruple-dim": Variant(dim=4.0),
    "narrow": Variant(width=0.5, hidden=0.5),
    "wide": Variant(width=1.5),
    "vicreg": Variant(objective="vicreg"),
    "log-det": Variant(objective="log_det"),
    "ema": Variant(objective="ema"),
    "patch-mixer": Variant("social_jepa.experiments.common.other_encoders:PatchEncoderJepa"),
    "p-jepa-positions": Variant("p_jepa", task="positions"),
    "p-jepa-random": Variant("p_jepa", task="random"),
    "seq-jepa": Variant("seq_jepa"),
    "frozen-encoder": Variant(FROZEN + "social_jepa.experiments.heterogeneous.pretrained:load_pretrained"),
    "untrained": Variant(trained=False),
}
CONTROL, PRETRAINED = "untrained", "frozen-encoder"
DIMS = ("half-dim", "jepa", "double-dim", "quadruple-dim")  # differ in the dimensions of the latent alone
KINDS = ("jepa", "vicreg", "log-det", "ema", "patch-mixer", "seq-jepa")  # all learn from frames alone
BASELINE_PLACES = ("jepa", "jepa-twin")  # agents at whose places the baselines stand


def _default_setup() -> AgentSetup:
    ring = RingConfig(separation=360 / len(VARIANTS))
    return AgentSetup(ring=ring, training=TrainingConfig(own_ticks=True))


@dataclass(frozen=True)
class Settings:
    """Settings of a run; the defaults are the full run."""

    setup: AgentSetup = field(default_factory=_default_setup)  # its model is the default agent's

    def __post_init__(self) -> None:
        """Raise ValueError, naming the setting, for values that cannot be compared."""
        setup, negotiation = self.setup, self.setup.negotiation
        if not setup.training.own_ticks:
            raise ValueError("setup.training.own_ticks must be true: agents learn at other times")
        least = 2 * max(negotiation.anchors, negotiation.heldout)
        if negotiation.pool_ticks < least:
            raise ValueError(
                f"setup.negotiation.pool_ticks={negotiation.pool_ticks} must be at least {least}: the null "
                "pairs one half of a pool with the other"
            )
        smallest = min(variant.model(setup.model).dim for variant in VARIANTS.values())
        if smallest < self.factors:
            raise ValueError(
                f"setup.model.dim={setup.model.dim}: the smallest latent has {smallest} dimensions, and must "
                f"have at least {self.factors}, the factors of the scene"
            )
        if setup.model.p_jepa.controlled_objects != setup.scene.objects:
            raise ValueError(
                f"setup.model.p_jepa.controlled_objects={setup.model.p_jepa.controlled_objects} must equal "
                f"setup.scene.objects={setup.scene.objects}"
            )

    @property
    def factors(self) -> int:
        """Number of factors of the scene."""
        return 2 * self.setup.scene.objects


_QUICK_ENCODER = {"dim": 8, "width": 8, "hidden": 32}
QUICK: Mapping[str, Any] = {
    "setup": {
        **QUICK_SETUP,
        "model": {
            **QUICK_SETUP["model"],
            "seq_jepa": {"encoder": _QUICK_ENCODER, "action_dim": 4, "heads": 2, "readout_dim": 4},
            "p_jepa": {"encoder": _QUICK_ENCODER, "controlled_objects": 1},
        },
        "training": {**QUICK_SETUP["training"], "steps": 100, "own_ticks": True},
    }
}
