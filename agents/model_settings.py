"""The settings of the models that learn otherwise than the plain JEPA; reading them loads no torch."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from agents.settings import PRECISIONS

BASELINES = ("simclr", "byol", "vicreg")


@dataclass(frozen=True)
class EncoderConfig:
    """Sizes of the convolutional encoder; equal ones make two methods comparable."""

    dim: int = 64  # dimensions of a code
    width: int = 32  # channels of the first convolution
    hidden: int = 256  # units between the convolutions and the code
    precision: str = "auto"  # bf16 where the hardware multiplies it natively, else fp32

    def __post_init__(self) -> None:
        """Refuse what cannot be built, by name."""
        _at_least_one("encoder", self, ("dim", "width", "hidden"))
        if self.precision not in PRECISIONS:
            raise ValueError(f"encoder.precision={self.precision!r}: choose one of {', '.join(PRECISIONS)}")


@dataclass(frozen=True)
class SeqConfig:
    """seq-JEPA; the paper's sizes are codes of 512, actions of 128 and a predictor of 1024."""

    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    action: int = 16  # dimensions of an embedded action; a quarter of the code, as in the paper
    layers: int = 3  # of the aggregator
    heads: int = 4  # of each layer; must divide what a token holds
    mlp_ratio: int = 4  # hidden units of a layer's MLP, in widths of a token
    predictor: int = 128  # hidden units of the predictor
    momentum: float = 0.996  # share of itself that the target network keeps at an update
    action_conditioning: bool = True  # without: tokens are codes alone, and no action is looked at
    ticks: float = 0.0  # weight of the whitened prediction of the aggregate's read-out at the next tick
    read_out: int = 16  # dimensions of that read-out; the batch must hold several pairs for each
    ridge: float = 1e-3  # ticks: added to the covariance, relative to its mean eigenvalue

    def __post_init__(self) -> None:
        """Refuse what cannot be built, by name."""
        _at_least_one("seq", self, ("action", "layers", "heads", "mlp_ratio", "predictor", "read_out"))
        _weights("seq", self, ("ticks",))
        _share("seq", self, "momentum")
        if not 0 < self.ridge < math.inf:
            raise ValueError(f"seq.ridge={self.ridge}: must be above 0, or nothing can be whitened")
        if self.token % self.heads:
            raise ValueError(f"seq.heads={self.heads}: must divide a token's {self.token} dimensions")

    @property
    def token(self) -> int:
        """Dimensions of a token, and so of the aggregate: a code, and an action where one is looked at."""
        return self.encoder.dim + (self.action if self.action_conditioning else 0)


@dataclass(frozen=True)
class AuxiliaryConfig:
    """A JEPA kept from collapse by an auxiliary head alone."""

    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    transition: int = 128  # hidden units of the latent transition
    head: int = 128  # hidden units of the auxiliary head
    head_weight: float = 5.0  # c_p; the paper weighs the reward 10 and the dynamics 2
    dynamics: bool = True  # off: the head alone teaches the encoder
    auxiliary: bool = True  # off: the dynamics alone, which collapse
    detached: bool = False  # the head reads the code and teaches the encoder nothing

    def __post_init__(self) -> None:
        """Refuse what cannot be built, by name."""
        _at_least_one("auxiliary", self, ("transition", "head"))
        _weights("auxiliary", self, ("head_weight",))
        teaches = self.auxiliary and not self.detached and self.head_weight > 0
        if not (self.dynamics or teaches):
            raise ValueError("auxiliary.dynamics=False: then the head must teach the encoder")


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
        _at_least_one("baseline", self, ("hidden", "projection"))
        _weights("baseline", self, ("similarity", "variance", "covariance"))
        _share("baseline", self, "momentum")
        if not 0 < self.temperature < math.inf:
            raise ValueError(f"baseline.temperature={self.temperature}: must be above 0")


def _at_least_one(group: str, config: object, names: Iterable[str]) -> None:
    for name in names:
        if getattr(config, name) < 1:
            raise ValueError(f"{group}.{name}={getattr(config, name)}: at least 1")


def _weights(group: str, config: object, names: Iterable[str]) -> None:
    for name in names:
        if not 0 <= getattr(config, name) < math.inf:
            raise ValueError(f"{group}.{name}={getattr(config, name)}: a weight of 0 or more")


def _share(group: str, config: object, name: str) -> None:
    if not 0 <= getattr(config, name) <= 1:
        raise ValueError(f"{group}.{name}={getattr(config, name)}: a share from 0 to 1")
