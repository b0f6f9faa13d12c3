"""The settings of the models that learn otherwise than the plain JEPA; reading them loads no torch."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agents.config_error import ConfigError

if TYPE_CHECKING:
    from env.sensors import SensorSpec

PRECISIONS = ("auto", "bf16", "fp32")
BASELINES = ("simclr", "byol", "vicreg")
AUXILIARY_TASKS = ("random", "reward", "positions")


@dataclass(frozen=True)
class EncoderConfig:
    """Sizes of the convolutional encoder; equal ones make two methods comparable."""

    dim: int = 64  # dimensions of a code
    width: int = 32  # channels of the first convolution
    hidden: int = 256  # units between the convolutions and the code
    precision: str = "auto"  # bf16 where the hardware multiplies it natively, else fp32

    def __post_init__(self) -> None:
        """Refuse what cannot be built, by name."""
        _at_least_one(self, ("dim", "width", "hidden"))
        if self.precision not in PRECISIONS:
            raise ConfigError(f"choose one of {', '.join(PRECISIONS)}", "precision", self.precision)


@dataclass(frozen=True)
class SeqModelConfig:
    """seq-JEPA; the paper's sizes are codes of 512, actions of 128 and a predictor of 1024."""

    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    action_dim: int = 16  # dimensions of an embedded action; a quarter of the code, as in the paper
    layers: int = 3  # of the aggregator
    heads: int = 4  # of each layer; must divide what a token holds
    mlp_ratio: int = 4  # hidden units of a layer's MLP, in widths of a token
    predictor_hidden: int = 128  # hidden units of the predictor
    momentum: float = 0.996  # share of itself that the target network keeps at an update
    action_conditioning: bool = True  # without: tokens are codes alone, and no action is looked at
    temporal_weight: float = (
        0.0  # weight of the whitened prediction of the aggregate's read-out at the next tick
    )
    readout_dim: int = 16  # dimensions of that read-out; the batch must hold several pairs for each
    ridge: float = 1e-3  # ticks: added to the covariance, relative to its mean eigenvalue

    def __post_init__(self) -> None:
        """Refuse what cannot be built, by name."""
        _at_least_one(
            self,
            ("action_dim", "layers", "heads", "mlp_ratio", "predictor_hidden", "readout_dim"),
        )
        _weights(self, ("temporal_weight",))
        _share(self, "momentum")
        if not 0 < self.ridge < math.inf:
            raise ConfigError("must be above 0, or nothing can be whitened", "ridge", self.ridge)
        if self.token_dim % self.heads:
            raise ConfigError(f"must divide a token's {self.token_dim} dimensions", "heads", self.heads)

    @property
    def anchor_dim(self) -> int:
        """Dimensions of what is read out of the aggregate."""
        return self.readout_dim if self.temporal_weight else self.token_dim

    @property
    def token_dim(self) -> int:
        """Dimensions of a token, and so of the aggregate: a code, and an action where one is looked at."""
        return self.encoder.dim + (self.action_dim if self.action_conditioning else 0)


@dataclass(frozen=True)
class PJepaModelConfig:
    """A JEPA kept from collapse by an auxiliary head alone."""

    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    transition_hidden: int = 128  # hidden units of the latent transition
    head_hidden: int = 128  # hidden units of the auxiliary head
    head_weight: float = 5.0  # c_p; the paper weighs the reward 10 and the dynamics 2
    dynamics: bool = True  # off: the head alone teaches the encoder
    auxiliary: bool = True  # off: the dynamics alone, which collapse
    detached: bool = False  # the head reads the code and teaches the encoder nothing

    def __post_init__(self) -> None:
        """Refuse what cannot be built, by name."""
        _at_least_one(self, ("transition_hidden", "head_hidden"))
        _weights(self, ("head_weight",))
        teaches = self.auxiliary and not self.detached and self.head_weight > 0
        if not (self.dynamics or teaches):
            raise ConfigError("then the head must teach the encoder", "dynamics", self.dynamics)


@dataclass(frozen=True)
class SeqJepaConfig(SeqModelConfig):
    """seq-JEPA as an agent: a sequence is what its camera sees at one tick, looking here and there."""

    views: int = 4  # at each tick; all but the last are context in training, all of them make an anchor
    max_view_angle: float = 15.0  # degrees of pan and of tilt away from the pose

    def __post_init__(self) -> None:
        """Refuse what cannot be built, by name."""
        super().__post_init__()
        if self.views < 2:
            raise ConfigError("at least 2, one to predict and one to predict it from", "views", self.views)
        self.sensor_spec()  # raises ValueError when no camera can do this

    def sensor_spec(self) -> "SensorSpec":
        """Return what such an agent needs of its camera."""
        from env.sensors import SensorSpec  # brings numpy, which reading the settings does without

        return SensorSpec(self.views, self.max_view_angle)


@dataclass(frozen=True)
class PJepaConfig(PJepaModelConfig):
    """P-JEPA as an agent: the pushes that move objects are its actions, and a task keeps it from collapse."""

    controlled_objects: int = 3  # objects whose pushes it feels: the first ones
    task: str = (
        "random"  # what the head tells: random (a frozen network), reward (a goal's nearness), positions
    )
    random_target_dim: int = 64  # random: how many values the frozen network has
    encoder_lr_multiplier: float = 0.3  # the encoder's share of the learning rate, as in the paper

    def __post_init__(self) -> None:
        """Refuse what cannot be built, by name."""
        super().__post_init__()
        _at_least_one(self, ("controlled_objects", "random_target_dim"))
        _share(self, "encoder_lr_multiplier")
        if self.task not in AUXILIARY_TASKS:
            raise ConfigError(f"choose one of {', '.join(AUXILIARY_TASKS)}", "task", self.task)
        self.sensor_spec()  # raises ValueError when no camera can do this

    def sensor_spec(self) -> "SensorSpec":
        """Return what such an agent needs of its camera."""
        from env.sensors import SensorSpec

        return SensorSpec(
            controlled_objects=self.controlled_objects, task="" if self.task == "random" else self.task
        )


@dataclass(frozen=True)
class BaselineConfig:
    """Methods that learn from pairs of views, at sizes equal to each other's."""

    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    hidden: int = 128  # units of the projector's hidden layer, and of BYOL's predictor
    projection: int = 64  # dimensions that the loss is taken in
    temperature: float = 0.5  # simclr
    momentum: float = 0.996  # byol: share of itself that the target network keeps at an update
    similarity: float = 25.0  # vicreg: weight of the distance between two views
    variance: float = 25.0  # vicreg: weight of the variance term
    covariance: float = 1.0  # vicreg: weight of the covariance term

    def __post_init__(self) -> None:
        """Refuse what cannot be built, by name."""
        _at_least_one(self, ("hidden", "projection"))
        _weights(self, ("similarity", "variance", "covariance"))
        _share(self, "momentum")
        if not 0 < self.temperature < math.inf:
            raise ConfigError("must be above 0", "temperature", self.temperature)


def _at_least_one(config: object, names: Iterable[str]) -> None:
    for name in names:
        if getattr(config, name) < 1:
            raise ConfigError("at least 1", name, getattr(config, name))


def _weights(config: object, names: Iterable[str]) -> None:
    for name in names:
        if not 0 <= getattr(config, name) < math.inf:
            raise ConfigError("a weight of 0 or more", name, getattr(config, name))


def _share(config: object, name: str) -> None:
    if not 0 <= getattr(config, name) <= 1:
        raise ConfigError("a share from 0 to 1", name, getattr(config, name))
