"""The contract that every world model meets, and the plain JEPA."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from agents.models import losses
from agents.models.encoder import ConvEncoder, Normalise
from agents.models.precision import mixed_precision
from agents.models.settings import ModelConfig
from env.recording import SensorData

NO_SENSOR_DATA = SensorData()


class WorldModel(nn.Module, ABC):
    """What an agent needs of its world model; a model of a user's own meets this and joins the graph.

    Attributes:
        dim: Dimensions of the latent space that `encode` leads into.
    """

    dim: int

    @abstractmethod
    def calibrate(self, frames: Tensor) -> None:
        """Take from the agent's first frames, uint8 [N, H, W, C], what normalising the input needs."""

    @abstractmethod
    def loss(self, frames: Tensor, generator: torch.Generator) -> tuple[Tensor, Mapping[str, float]]:
        """Return the loss of segments of consecutive ticks and its named parts.

        Args:
            frames: uint8 [N, T, H, W, C].
            generator: Draws whatever the loss draws; keyed by the step, so that a resumed run draws the same.
        """

    @abstractmethod
    def encode(self, frames: Tensor) -> Tensor:
        """Return what the model makes of single frames, uint8 [N, H, W, C] -> float32 [N, D]."""

    @abstractmethod
    def predict(self, latent: Tensor) -> Tensor:
        """Return the latent expected at the next tick, [N, D] -> [N, D]."""

    def after_step(self) -> None:
        """Do what follows a step of the optimiser, as a target network that moves; nothing by default."""

    def lr_multipliers(self) -> Mapping[str, float]:
        """Return the share of the learning rate of parameters whose names begin so; the others have all."""
        return {}


class ConditionedWorldModel(WorldModel):
    """A world model that needs more than pictures; its camera gives what its settings name (env.sensors).

    Frames are uint8 [..., H, W, C] as for any model, or [..., M, H, W, C] where M > 1 looks are taken of each
    tick. The senses' leading axes are those of the frames' ticks.
    """

    @abstractmethod
    def loss(
        self, frames: Tensor, generator: torch.Generator, sensor_data: SensorData = NO_SENSOR_DATA
    ) -> tuple[Tensor, Mapping[str, float]]:
        """Return the loss of segments of consecutive ticks, [N, T, ...], and its named parts."""

    @abstractmethod
    def encode(self, frames: Tensor, sensor_data: SensorData = NO_SENSOR_DATA) -> Tensor:
        """Return what the model makes of single ticks, [N, ...] -> float32 [N, D]."""


def loss_with(
    model: WorldModel, frames: Tensor, generator: torch.Generator, senses: SensorData
) -> tuple[Tensor, Mapping[str, float]]:
    """Return the loss of segments and its named parts; only a model that asks for them is given senses."""
    if isinstance(model, ConditionedWorldModel):
        return model.loss(frames, generator, senses)
    return model.loss(frames, generator)


def encode_with(model: WorldModel, frames: Tensor, senses: SensorData) -> Tensor:
    """Return what a model makes of ticks, [N, D]; only a model that asks for them is given senses."""
    return model.encode(frames, senses) if isinstance(model, ConditionedWorldModel) else model.encode(frames)


class ResidualPredictor(nn.Module):
    """z + MLP(z): starts near copying, which slow dynamics make a good guess."""

    def __init__(self, dim: int, hidden: int = 64) -> None:
        """Build it for latents of this dimension."""
        super().__init__()
        self.net = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))

    def forward(self, latent: Tensor) -> Tensor:
        """Predict the next latent, [N, D] -> [N, D]."""
        return latent + self.net(latent)


class LinearPredictor(nn.Module):
    """The least-squares map from one latent to the next, kept as a running estimate instead of learnt."""

    weight: Tensor
    mean: Tensor

    def __init__(self, dim: int, memory: float = 0.9) -> None:
        """Start as a copy; memory is the weight of the past at each update."""
        super().__init__()
        self.memory = memory
        self.register_buffer("weight", torch.eye(dim))
        self.register_buffer("mean", torch.zeros(dim))

    @torch.no_grad()
    def update(self, context: Tensor, target: Tensor) -> None:
        """Move towards the solution on these pairs, [N, D] each."""
        mean = (context.mean(0) + target.mean(0)) / 2
        x, y = (context - mean).double(), (target - mean).double()
        gram = x.T @ x
        ridge = 1e-4 * gram.diagonal().mean() + 1e-12
        solved = torch.linalg.solve(gram + ridge * torch.eye(len(gram)).to(gram), x.T @ y)
        self.weight.lerp_(solved.to(self.weight), 1 - self.memory)
        self.mean.lerp_(mean, 1 - self.memory)

    def forward(self, latent: Tensor) -> Tensor:
        """Predict the next latent, [N, D] -> [N, D]."""
        return (latent - self.mean) @ self.weight + self.mean


class Jepa(WorldModel):
    """Encoder, predictor and an anti-collapse term: the plain JEPA.

    Every frame of a segment is context for the next and target for the one before. There is no target
    network and no stop-gradient: the objective alone keeps the code from collapsing.
    """

    def __init__(self, config: ModelConfig, frame_size: int) -> None:
        """Build it for square frames of this side; weights come from torch's current generator."""
        super().__init__()
        self.config = config
        self.dim = config.dim
        self.normalise = Normalise(frame_size)
        self.encoder: nn.Module = ConvEncoder(frame_size, config.dim, config.width, config.hidden)
        closed_form = config.objective == "whitened"
        self.predictor = LinearPredictor(config.dim) if closed_form else ResidualPredictor(config.dim)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def calibrate(self, frames: Tensor) -> None:
        """Take the mean picture and the spread, uint8 [N, H, W, C]."""
        self.normalise.fit(frames.to(self.normalise.mean.device))

    def encode(self, frames: Tensor) -> Tensor:
        """Return latents, uint8 [N, H, W, C] -> float32 [N, D]."""
        device = self.normalise.mean.device
        with mixed_precision(device, self.config.precision) as dtype:
            return self.encoder(self.normalise(frames.to(device), dtype)).float()

    def predict(self, latent: Tensor) -> Tensor:
        """Return the latent expected at the next tick, [N, D] -> [N, D]."""
        return self.predictor(latent)

    def loss(self, frames: Tensor, generator: torch.Generator) -> tuple[Tensor, Mapping[str, float]]:
        """Return the objective on segments, uint8 [N, T, H, W, C]."""
        segments, ticks = frames.shape[:2]
        latent = self.encode(frames.flatten(0, 1)).unflatten(0, (segments, ticks))  # [N, T, D]
        context, target = latent[:, :-1].flatten(0, 1), latent[:, 1:].flatten(0, 1)
        if isinstance(self.predictor, LinearPredictor):
            self.predictor.update(context.detach(), target.detach())
            loss = losses.whitened_prediction_loss(context, target, self.config.ridge)
            return loss, {"prediction": loss.item()}
        prediction = losses.prediction_loss(self.predictor(context), target)
        guard = self._guard(latent.flatten(0, 1), generator)
        weight = self.config.variance if self.config.objective == "vicreg" else 1.0
        loss = weight * prediction + guard
        return loss, {"prediction": prediction.item(), "guard": guard.item()}

    def _guard(self, latent: Tensor, generator: torch.Generator) -> Tensor:
        config = self.config
        if config.objective == "vicreg":
            spread = config.variance * losses.variance_loss(latent)
            return spread + config.covariance * losses.covariance_loss(latent)
        if config.objective == "log_det":
            return config.log_det * losses.log_det_loss(latent)
        return config.sigreg * losses.sigreg_loss(latent, generator)
