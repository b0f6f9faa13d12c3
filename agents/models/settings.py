"""Settings of every kind of world model and of the baselines; reading them loads no torch."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from agents.common.config_error import ConfigError
from agents.common.fields import Count, Positive, Share, Weight, check_fields, one_of, settings_repr
from agents.common.limits import MAX_DIM
from agents.common.names import MAX_TOKEN, is_token

if TYPE_CHECKING:
    from env.sensors import SensorSpec

OBJECTIVES = ("whitened", "vicreg", "sigreg", "log_det", "ema")
PRECISIONS = ("auto", "bf16", "fp32")
BASELINES = ("simclr", "byol", "vicreg")
AUXILIARY_TASKS = ("random", "reward", "positions")
KINDS: Mapping[str, str] = {  # kind of world model: where its class is
    "jepa": "agents.models.jepa:Jepa",
    "seq_jepa": "agents.models.conditioned:SeqJepaAgent",
    "p_jepa": "agents.models.conditioned:PJepaAgent",
}
FROZEN = "frozen:"  # begins a kind that names a pretrained encoder

Precision = Annotated[str, one_of(*PRECISIONS)]
Dim = Annotated[int, Meta(ge=1, le=MAX_DIM)]


def check_kind(kind: str) -> None:
    """Raise ConfigError unless this kind of world model is known, naming the nearest one, and peers take it.

    "package.module:Class" names a custom world model, "frozen:package.module:Class" a pretrained encoder.
    Their classes are looked up when they are built.
    """
    if kind.startswith(FROZEN) and ":" not in kind.removeprefix(FROZEN):
        raise ConfigError("must read frozen:package.module:Class", "kind", kind)
    if kind not in KINDS and ":" not in kind:
        near = difflib.get_close_matches(kind, KINDS, n=1)
        suggestion = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(KINDS)}"
        raise ConfigError("unknown kind of world model", "kind", kind, suggestion)
    if not is_token(kind):
        raise ConfigError(
            f"peers take at most {MAX_TOKEN} ASCII letters, digits, '_', '.' and ':'", "kind", kind,
            "rename the module or the class",
        )  # fmt: skip


def module_of(kind: str) -> str:
    """Return the module of the class that a kind names; "" for a built-in kind."""
    return kind.removeprefix(FROZEN).partition(":")[0] if ":" in kind else ""


@dataclass(frozen=True)
class EncoderConfig:
    """Sizes of the convolutional encoder; methods with equal sizes are comparable."""

    dim: Dim = 64  # dimensions of a latent
    width: Count = 32  # channels of the first convolution
    hidden: Count = 256  # units between the convolutions and the latent
    precision: Precision = "auto"  # bf16 where the hardware multiplies it natively, else fp32
    batch_norm: bool = False  # on: each dimension has mean 0 and variance 1 over a batch, as after a ResNet

    def __post_init__(self) -> None:
        """Raise ConfigError that names the setting outside its range."""
        check_fields(self)


@dataclass(frozen=True)
class SeqModelConfig:
    """seq-JEPA; the paper's sizes are latents of 512, actions of 128 and a predictor of 1024.

    The covariance term and the temporal term are no part of the paper.
    """

    encoder: EncoderConfig = field(default_factory=lambda: EncoderConfig(batch_norm=True))
    action_dim: Count = 16  # dimensions of an embedded action; a quarter of the latent, as in the paper
    layers: Count = 3  # of the aggregator
    heads: Count = 4  # of each layer; must divide the dimensions of a token
    mlp_ratio: Count = 4  # hidden units of a layer's MLP, in widths of a token
    predictor_hidden: Count = 128  # hidden units of the predictor
    momentum: Share = 0.97  # share of itself that the target network keeps at an update; 0.996 in the paper
    action_conditioning: bool = True  # off: tokens are latents alone, and actions are ignored
    covariance: Weight = 0.02  # weight of VICReg's covariance term on the latents of the context views
    temporal_weight: Weight = 1.0  # weight of predicting the read-out at the next tick; 0: no read-out
    readout_dim: Dim = 16  # dimensions of that read-out; a batch must hold several pairs for each
    ridge: Positive = 1e-3  # added to the read-out's covariance, relative to its mean eigenvalue

    def __post_init__(self) -> None:
        """Raise ConfigError that names a setting that cannot be built."""
        check_fields(self)
        if self.token_dim % self.heads:
            raise ConfigError(f"must divide a token's {self.token_dim} dimensions", "heads", self.heads)
        if self.anchor_dim > MAX_DIM:
            raise ConfigError(
                f"then an anchor has {self.anchor_dim} dimensions, and at most {MAX_DIM} can be compared",
                "action_dim", self.action_dim,
            )  # fmt: skip

    @property
    def anchor_dim(self) -> int:
        """Dimensions of the read-out of the aggregate."""
        return self.readout_dim if self.temporal_weight else self.token_dim

    @property
    def token_dim(self) -> int:
        """Dimensions of a token, and so of the aggregate: a latent, and an action where it is conditioned."""
        return self.encoder.dim + (self.action_dim if self.action_conditioning else 0)


@dataclass(frozen=True)
class PJepaModelConfig:
    """A JEPA kept from collapse by an auxiliary head alone."""

    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    transition_hidden: Count = 128  # hidden units of the latent transition
    head_hidden: Count = 128  # hidden units of the auxiliary head
    head_weight: Weight = 5.0  # c_p; the paper weighs the reward 10 and the dynamics 2
    dynamics: bool = True  # off: the head alone trains the encoder
    auxiliary: bool = True  # off: the dynamics alone, which collapse
    detached: bool = False  # on: no gradient of the head reaches the encoder

    def __post_init__(self) -> None:
        """Raise ConfigError that names a setting that cannot train."""
        check_fields(self)
        if not (self.dynamics or self.head_trains_encoder):
            raise ConfigError(
                "then the head must train the encoder", "dynamics", False,
                "set auxiliary to true, detached to false and head_weight above 0",
            )  # fmt: skip

    @property
    def head_trains_encoder(self) -> bool:
        """Whether a gradient of the head reaches the encoder, which alone prevents collapse."""
        return self.auxiliary and not self.detached and self.head_weight > 0

    def collapse_risk(self) -> str:
        """Return the setting that leaves nothing to prevent collapse, and the remedy; or ""."""
        if self.head_trains_encoder:
            return ""
        name, value = (
            ("auxiliary", "false") if not self.auxiliary
            else ("detached", "true") if self.detached
            else ("head_weight", "0")
        )  # fmt: skip
        return (
            f"p_jepa.{name}={value} leaves no term against collapse; set model.p_jepa.auxiliary=true, "
            "model.p_jepa.detached=false and model.p_jepa.head_weight above 0"
        )


@dataclass(frozen=True)
class SeqJepaConfig(SeqModelConfig):
    """seq-JEPA as an agent: a sequence is several views that its camera takes at one tick."""

    views: Annotated[int, Meta(ge=2)] = 4  # at each tick; all but the last are context in training
    max_view_angle: float = 15.0  # degrees of pan and of tilt away from the pose

    __repr__ = settings_repr

    def __post_init__(self) -> None:
        """Raise ConfigError that names a setting that cannot be built."""
        super().__post_init__()
        self.sensor_spec()  # raises ValueError for an angle that no camera turns by

    def sensor_spec(self) -> "SensorSpec":
        """Return the views and sensors that such an agent needs."""
        from env.sensors import SensorSpec  # imports numpy, which reading the settings does without

        return SensorSpec(self.views, self.max_view_angle)


@dataclass(frozen=True)
class PJepaConfig(PJepaModelConfig):
    """P-JEPA as an agent: actions move the scene's objects, and an auxiliary task prevents collapse."""

    controlled_objects: Count = 3  # objects whose actions the agent senses: the first ones
    # what the head predicts: random (a frozen network), reward (nearness to a goal) or positions
    task: Annotated[str, one_of(*AUXILIARY_TASKS)] = "random"
    random_target_dim: Count = 64  # random: output dimensions of the frozen network
    encoder_lr_multiplier: Share = 0.3  # the encoder's share of the learning rate, as in the paper

    __repr__ = settings_repr

    def __post_init__(self) -> None:
        """Raise ConfigError that names a setting that cannot be built."""
        super().__post_init__()
        self.sensor_spec()

    def sensor_spec(self) -> "SensorSpec":
        """Return the views and sensors that such an agent needs."""
        from env.sensors import SensorSpec

        return SensorSpec(
            controlled_objects=self.controlled_objects, task="" if self.task == "random" else self.task
        )


@dataclass(frozen=True)
class ModelConfig:
    """Sizes and objective of one agent's world model: the plain JEPA's, and a group for each other kind."""

    dim: Dim = 16  # of the latent; may exceed the number of factors
    width: Count = 32  # channels of the first convolution
    hidden: Count = 256  # units between the convolutions and the latent
    objective: Annotated[str, one_of(*OBJECTIVES)] = "whitened"  # what prevents collapse
    prediction: Weight = 1.0  # weight of predicting the next latent; 1 is 25 in vicreg, as in its paper
    ridge: Positive = 1e-3  # whitened: added to the covariance, relative to its mean; more if pairs are few
    variance: Weight = 25.0  # vicreg: weight of the variance term, which alone prevents collapse
    covariance: Weight = 25.0  # vicreg: weight of the covariance term; at 1 one object alone is encoded
    sigreg: Weight = 0.09  # sigreg: weight of the statistic
    log_det: Weight = 0.1  # log_det: weight of the barrier
    ema_momentum: Share = 0.9  # ema: share of itself that the target encoder keeps at an update
    ema_covariance: Weight = 0.1  # ema: weight of the covariance term; at 0 one object alone is encoded
    stages: Annotated[int, Meta(ge=1, le=8)] = 4  # whitened: most encoders; a further one if it finds axes
    precision: Precision = "auto"  # bf16 where the hardware multiplies it natively, else fp32
    seq_jepa: SeqJepaConfig = field(default_factory=SeqJepaConfig)
    p_jepa: PJepaConfig = field(default_factory=PJepaConfig)

    __repr__ = settings_repr

    def __post_init__(self) -> None:
        """Raise ConfigError that names the setting outside its range."""
        check_fields(self)
        weights = {
            "vicreg": (self.variance, self.covariance), "sigreg": (self.sigreg,), "log_det": (self.log_det,),
            "ema": (self.ema_covariance,),
        }.get(self.objective, ())  # fmt: skip
        if not any((self.prediction, *weights)):
            raise ConfigError(
                f"then model.objective={self.objective} has no term to train on", "prediction",
                self.prediction, "set it above 0",
            )  # fmt: skip

    def collapse_risk(self, kind: str) -> str:
        """Return the setting that leaves an agent of this kind nothing to prevent collapse; or "".

        A sentence that names the setting and the remedy. Such an agent may be trained, as experiments on
        collapse do. Of a custom world model nothing is known: "".
        """
        risk, outcome = "", "latents that shrink to a point and refused edges"
        if kind == "p_jepa":
            risk = self.p_jepa.collapse_risk()
        elif kind == "jepa" and self.prediction:
            name = {
                "vicreg": "variance", "sigreg": "sigreg", "log_det": "log_det", "ema": "ema_covariance",
            }.get(self.objective, "")  # fmt: skip
            if name and not getattr(self, name):
                risk = (
                    f"{name}=0 leaves no term against collapse in model.objective={self.objective}; "
                    f"set model.{name} above 0"
                )
            if self.objective == "ema":  # batch normalization prevents a point, and nothing else
                outcome = "latents that encode one object alone"
        return f"model.{risk}, or expect {outcome}" if risk else ""

    def fixes_scale(self, kind: str) -> bool:
        """Return whether the objective of an agent of this kind fixes lengths and angles of its latents.

        The whitened loss does not: any invertible linear map of the latents has the same loss, so that a
        metric of the raw latents means nothing. Of a custom world model nothing is known; it is taken to fix
        them.
        """
        if kind == "seq_jepa":
            return not self.seq_jepa.temporal_weight  # its read-out has the whitened loss
        return kind != "jepa" or self.objective != "whitened"

    def dim_of(self, kind: str) -> int:
        """Return the dimensions of an anchor of an agent of this kind.

        A custom world model has `dim`, and a frozen encoder at most so many.
        """
        return {"seq_jepa": self.seq_jepa.anchor_dim, "p_jepa": self.p_jepa.encoder.dim}.get(kind, self.dim)

    def dim_key(self, kind: str) -> str:
        """Return the name of the setting that determines `dim_of`."""
        if kind == "seq_jepa":
            leaf = "readout_dim" if self.seq_jepa.temporal_weight else "encoder.dim"
            return f"model.seq_jepa.{leaf}"
        return "model.p_jepa.encoder.dim" if kind == "p_jepa" else "model.dim"

    def sensor_spec_of(self, kind: str) -> "SensorSpec":
        """Return the sensors of an agent of this kind; a custom world model takes one view."""
        from env.sensors import SensorSpec

        if kind == "seq_jepa":
            return self.seq_jepa.sensor_spec()
        return self.p_jepa.sensor_spec() if kind == "p_jepa" else SensorSpec()


@dataclass(frozen=True)
class BaselineConfig:
    """Baselines that learn from pairs of views, at equal sizes."""

    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    hidden: Count = 128  # units of the projector's hidden layer, and of BYOL's predictor
    projection: Count = 64  # dimensions that the loss is taken in
    temperature: Positive = 0.5  # simclr
    momentum: Share = 0.996  # byol: share of itself that the target network keeps at an update
    similarity: Weight = 25.0  # vicreg: weight of the distance between two views
    variance: Weight = 25.0  # vicreg: weight of the variance term
    covariance: Weight = 1.0  # vicreg: weight of the covariance term

    def __post_init__(self) -> None:
        """Raise ConfigError that names the setting outside its range."""
        check_fields(self)
        if not any((self.similarity, self.variance, self.covariance)):
            raise ConfigError("then vicreg has no term to train on", "similarity", 0.0, "set it above 0")

    def collapse_risk(self, kind: str) -> str:
        """Return the setting that leaves a baseline of this kind nothing to prevent collapse; or ""."""
        if kind != "vicreg" or self.variance or not self.similarity:
            return ""
        return "variance=0 leaves no term against collapse in vicreg; set it above 0, or expect collapse"
