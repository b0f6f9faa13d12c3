"""The settings of one agent, apart from what they set so that reading them loads neither torch nor OpenGL."""

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agents.config_error import ConfigError
from agents.models.settings import PRECISIONS, PJepaConfig, SeqJepaConfig

if TYPE_CHECKING:
    from env.sensors import SensorSpec

OBJECTIVES = ("whitened", "vicreg", "sigreg", "log_det")
GAP = 256  # least ticks between stretches; more where the scene remembers longer
DRIFT_TICKS = 256  # fresh anchors that drift is measured on
KINDS: Mapping[str, str] = {  # kind of world model: where its class is
    "jepa": "agents.models.world_model:Jepa",
    "seq_jepa": "agents.models.conditioned:SeqJepaAgent",
    "p_jepa": "agents.models.conditioned:PJepaAgent",
}


def check_kind(kind: str) -> None:
    """Raise ConfigError unless this kind of world model is known, naming the nearest one.

    "package.module:Class" is a model of a user's own, which is looked for when it is built.
    """
    if kind not in KINDS and ":" not in kind:
        near = difflib.get_close_matches(kind, KINDS, n=1)
        suggestion = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(KINDS)}"
        raise ConfigError("unknown kind of world model", "kind", kind, suggestion)


@dataclass(frozen=True)
class ModelConfig:
    """Sizes and objective of one agent's world model: the plain JEPA's, and a group for each other kind."""

    dim: int = 16  # dimensions of the latent space; at 32, 64 segments a step are too few to whiten well
    width: int = 32  # channels of the first convolution
    hidden: int = 256  # units between the convolutions and the latent
    objective: str = "whitened"  # what keeps it from collapsing: whitened, vicreg, sigreg or log_det
    ridge: float = 1e-3  # whitened: added to the covariance, relative to its mean eigenvalue
    variance: float = 25.0  # vicreg: weight of the variance term
    covariance: float = 25.0  # vicreg: weight of the covariance term; at 1 an agent sees one object only
    sigreg: float = 0.09  # sigreg: weight of the statistic
    log_det: float = 0.1  # log_det: weight of the barrier
    precision: str = "auto"  # bf16 where the hardware multiplies it natively, else fp32
    seq_jepa: SeqJepaConfig = field(default_factory=SeqJepaConfig)
    p_jepa: PJepaConfig = field(default_factory=PJepaConfig)

    def __post_init__(self) -> None:
        """Refuse what cannot be built, by name."""
        if self.objective not in OBJECTIVES:
            raise ConfigError(f"choose one of {', '.join(OBJECTIVES)}", "objective", self.objective)
        if self.precision not in PRECISIONS:
            raise ConfigError(f"choose one of {', '.join(PRECISIONS)}", "precision", self.precision)
        if not 1 <= self.dim <= 1024:
            raise ConfigError("choose from 1 to 1024", "dim", self.dim)
        for name in ("width", "hidden"):
            if getattr(self, name) < 1:
                raise ConfigError("at least 1", name, getattr(self, name))
        for name in ("variance", "covariance", "sigreg", "log_det"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigError("a weight of 0 or more", name, getattr(self, name))
        if not 0 < self.ridge < math.inf:
            raise ConfigError("must be above 0, or nothing can be whitened", "ridge", self.ridge)

    def dim_of(self, kind: str) -> int:
        """Return how many dimensions an anchor of such an agent has; a model of a user's own takes `dim`."""
        return {"seq_jepa": self.seq_jepa.anchor_dim, "p_jepa": self.p_jepa.encoder.dim}.get(kind, self.dim)

    def dim_key(self, kind: str) -> str:
        """Return the setting that `dim_of` follows from."""
        if kind == "seq_jepa":
            return (
                "model.seq_jepa.readout_dim"
                if self.seq_jepa.temporal_weight
                else "model.seq_jepa.encoder.dim"
            )
        return "model.p_jepa.encoder.dim" if kind == "p_jepa" else "model.dim"

    def sensor_spec_of(self, kind: str) -> "SensorSpec":
        """Return what such an agent needs of its camera; a model of a user's own sees straight ahead."""
        from env.sensors import SensorSpec  # brings numpy, which reading the settings does without

        if kind == "seq_jepa":
            return self.seq_jepa.sensor_spec()
        return self.p_jepa.sensor_spec() if kind == "p_jepa" else SensorSpec()


@dataclass(frozen=True)
class TrainingConfig:
    """How long and how fast an agent learns."""

    steps: int = 450  # optimiser steps
    segments: int = 64  # segments a step; 96 in 300 steps cost the same and learn less
    segment_ticks: int = 4  # consecutive ticks a segment
    learning_rate: float = 5e-3  # peak; cosine to zero after the warm-up
    warmup: float = 0.15  # share of the steps over which the rate rises
    weight_decay: float = 1e-4
    grad_clip_norm: float = 5.0  # largest norm of the gradient
    replay_ticks: int = (
        24576  # ticks that an agent remembers and trains on: each frame is read about five times
    )
    new_ticks_per_step: int = (
        0  # new ticks before every step, in place of the oldest; for trainings without an end
    )
    checkpoint_every: int = 100  # steps
    core_eval_ticks: int = 2048  # ticks after training that tell how predictable each axis is
    online_new_ticks: int = 32  # new ticks before every step after the last, for agents that go on learning
    online_lr_factor: float = 0.05  # share of the peak rate at which they go on
    drift_check_every: int = 100  # steps between two looks at how far they have drifted from what peers know

    def __post_init__(self) -> None:
        """Refuse what cannot train, by name."""
        counts = ("steps", "segments", "replay_ticks", "checkpoint_every", "core_eval_ticks")
        for name in (*counts, "learning_rate", "grad_clip_norm"):
            if not 0 < getattr(self, name) < math.inf:
                raise ConfigError("must be above 0", name, getattr(self, name))
        for name, least in (("online_new_ticks", 0), ("drift_check_every", 1), ("new_ticks_per_step", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"at least {least}", name, getattr(self, name))
        if not 0 <= self.online_lr_factor <= 1:
            raise ConfigError("a share from 0 to 1", "online_lr_factor", self.online_lr_factor)
        if not 0 <= self.weight_decay < math.inf:
            raise ConfigError("0 or more", "weight_decay", self.weight_decay)
        if self.core_eval_ticks < 16:
            raise ConfigError("at least 16 ticks", "core_eval_ticks", self.core_eval_ticks)
        if self.segment_ticks < 2:
            raise ConfigError("a prediction needs at least 2 ticks", "segment_ticks", self.segment_ticks)
        if self.replay_ticks < 2 * self.segment_ticks:
            raise ConfigError(
                "must hold at least two segments of training.segment_ticks", "replay_ticks", self.replay_ticks
            )
        if self.segments * (self.segment_ticks - 1) < 8:
            raise ConfigError(
                "training.segments * (training.segment_ticks - 1) must be at least 8 pairs",
                "segments",
                self.segments,
            )
        if not 0 <= self.warmup < 1:
            raise ConfigError("a share from 0 up to 1", "warmup", self.warmup)


@dataclass(frozen=True)
class DistillationConfig:
    """How a newcomer learns from one peer's embeddings.

    How fast it learns is told by `TrainingConfig`, as for a course alone: learning_rate, warmup (a share of
    these steps), weight_decay and clip.
    """

    ticks: int = 6144  # consecutive ticks that the teacher is asked about
    steps: int = 150  # optimiser steps on them
    batch: int = 256  # ticks a step

    def __post_init__(self) -> None:
        """Refuse a lesson that teaches nothing, by name."""
        if not 64 <= self.ticks <= 65536:
            raise ConfigError("choose from 64 to 65536", "ticks", self.ticks)
        if self.steps < 1:
            raise ConfigError("at least 1", "steps", self.steps)
        if not 16 <= self.batch <= self.ticks:
            raise ConfigError(f"choose from 16 to distillation.ticks={self.ticks}", "batch", self.batch)
