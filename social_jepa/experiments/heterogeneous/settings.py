"""Settings of the experiment heterogeneous, and the table of its agents."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from agents.models.settings import ModelConfig
from agents.protocol.settings import NegotiationConfig
from env.camera import RingConfig
from social_jepa.experiments.common.streams import Stream
from social_jepa.experiments.common.trained_agents import QUICK_SETUP, AgentSetup


class HeterogeneousStream(Stream):
    """Random streams of the experiment."""

    POSES = 51  # order of the agents on the ring
    SHUFFLED = 52  # states of the probes' null
    NONCES = 53  # nonces of the negotiations


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
    "narrow": Variant(width=0.5, hidden=0.5),
    "wide": Variant(width=1.5),
    "vicreg": Variant(objective="vicreg"),
    "log-det": Variant(objective="log_det"),
    "patch-mixer": Variant("social_jepa.experiments.common.other_encoders:PatchEncoderJepa"),
    "p-jepa-positions": Variant("p_jepa", task="positions"),
    "p-jepa-random": Variant("p_jepa", task="random"),
    "seq-jepa": Variant("seq_jepa"),
    "untrained": Variant(trained=False),
}
CONTROL = "untrained"
TRAINED_JEPAS = tuple(
    name for name, variant in VARIANTS.items() if variant.kind == "jepa" and variant.trained
)
SIZE_VARIANTS = tuple(name for name in TRAINED_JEPAS if VARIANTS[name].objective == "whitened")


def _default_setup() -> AgentSetup:
    return AgentSetup(ring=RingConfig(separation=27.5), negotiation=NegotiationConfig(pool_ticks=512))


@dataclass(frozen=True)
class Settings:
    """Settings of a run; the defaults are the full run."""

    setup: AgentSetup = field(default_factory=_default_setup)  # its model is the default agent's


_QUICK_ENCODER = {"dim": 8, "width": 8, "hidden": 32}
_QUICK_MODEL = QUICK_SETUP["model"] | {
    "seq_jepa": {"encoder": _QUICK_ENCODER, "action_dim": 4, "heads": 2},
    "p_jepa": {"encoder": _QUICK_ENCODER, "controlled_objects": 1},
}
QUICK = {"setup": {**QUICK_SETUP, "model": _QUICK_MODEL}}
