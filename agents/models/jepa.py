"""The plain JEPA."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from agents.models import losses
from agents.models.ema import frozen_copy, update_ema
from agents.models.encoder import ConvEncoder, Normalize
from agents.models.precision import mixed_precision
from agents.models.predictors import LinearPredictor, ResidualPredictor
from agents.models.settings import ModelConfig
from agents.models.stages import StagedLatent
from agents.models.world_model import WorldModel

# Objectives with a linear predictor: the whitened loss implies it, and with an MLP fewer objects are encoded
# by ema. Why: Tang et al., arXiv:2212.03319.
LINEAR = ("whitened", "ema")
VICREG_PREDICTION = 25.0  # lambda of VICReg (arXiv:2105.04906); model.prediction counts in multiples of it


class Jepa(WorldModel):
    """The plain JEPA: an encoder, a predictor and a regularizer that prevents collapse.

    Every frame of a segment is the context of the next one and the target of the one before. Both are
    latents of one encoder, gradients flow through both, and the regularizer alone prevents collapse; but with
    the objective ema, targets come from an exponential moving average of the encoder and take no gradient
    (BYOL, arXiv:2006.07733; I-JEPA, arXiv:2301.08243). That alone does not prevent collapse here, nor does a
    batch normalization of the latents, with which all dimensions soon encode one object; a small covariance
    term does. `encode` returns latents of the encoder, not of its average, as `predict` takes them.

    With the objective whitened, `agents.training.stages` may add further encoders once the first one is
    trained. `encode` then returns the latent of all of them, and `loss` still trains the first one.

    Attributes:
        target: The average of the encoder; None for the other objectives.
        staged: What composes the latents of several encoders; None for one.
    """

    staged: StagedLatent | None

    def __init__(self, config: ModelConfig, frame_size: int) -> None:
        """Build it for square frames of this side; weights come from torch's current generator."""
        super().__init__()
        self.config = config
        self.dim, self.frame_size = config.dim, frame_size
        self.normalize = Normalize(frame_size)
        averaged = config.objective == "ema"
        self.encoder: nn.Module = ConvEncoder(
            frame_size, config.dim, config.width, config.hidden, batch_norm=averaged
        )
        self.target = frozen_copy(self.encoder) if averaged else None
        self.staged = None
        linear = config.objective in LINEAR
        self.predictor = LinearPredictor(config.dim) if linear else ResidualPredictor(config.dim)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def calibrate(self, frames: Tensor) -> None:
        """Fix the mean frame and the scale, uint8 [N, H, W, C]."""
        self.normalize.fit(frames.to(self.normalize.mean.device))

    def encode(self, frames: Tensor) -> Tensor:
        """Return latents, uint8 [N, H, W, C] -> float32 [N, D]."""
        if self.staged is None:
            return self.encode_by([self.encoder], frames)[0]
        first, *later = self.encode_by([self.encoder, *self.staged.encoders], frames)
        return self.staged(first, later)

    def encode_by(self, encoders: Sequence[nn.Module], frames: Tensor) -> list[Tensor]:
        """Return what each of some encoders makes of frames, uint8 [N, H, W, C] -> float32 [N, D] each."""
        device = self.normalize.mean.device
        with mixed_precision(device, self.config.precision) as dtype:
            inputs = self.normalize(frames.to(device), dtype)
            return [encoder(inputs).float() for encoder in encoders]

    def build_encoder(self) -> nn.Module:
        """Return an untrained encoder of this model's sizes; weights come from torch's current generator."""
        encoder = ConvEncoder(self.frame_size, self.dim, self.config.width, self.config.hidden)
        encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return encoder.to(self.normalize.mean.device)

    def compose(self, staged: StagedLatent | None) -> None:
        """Set what composes the latents of several encoders; None keeps the first one alone."""
        self.staged = None if staged is None else staged.to(self.normalize.mean.device)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """Restore a state; further encoders are built or dropped as the state has them."""
        self.compose(StagedLatent.like(state_dict, "staged.", self.build_encoder))
        return super().load_state_dict(state_dict, strict, assign)

    def predict(self, latent: Tensor) -> Tensor:
        """Return the latent expected at the next tick, [N, D] -> [N, D]."""
        return (self.staged or self).predictor(latent)

    def loss(self, frames: Tensor, generator: torch.Generator) -> tuple[Tensor, Mapping[str, float]]:
        """Return the objective on segments, uint8 [N, T, H, W, C], and its terms."""
        segments, ticks = frames.shape[:2]
        latent = self.encode_by([self.encoder], frames.flatten(0, 1))[0].unflatten(0, (segments, ticks))
        later = latent[:, 1:] if self.target is None else self._encode_targets(frames[:, 1:])
        context, target = latent[:, :-1].flatten(0, 1), later.flatten(0, 1)
        if isinstance(self.predictor, LinearPredictor):
            self.predictor.update(context.detach(), target.detach())
        if self.config.objective == "whitened":
            prediction = losses.whitened_prediction_loss(latent[:, :-1], latent[:, 1:], self.config.ridge)
            return self.config.prediction * prediction, {"prediction": prediction.item()}
        prediction = losses.prediction_loss(self.predictor(context), target)
        regularizer = self._regularizer(latent.flatten(0, 1), generator)
        scale = VICREG_PREDICTION if self.config.objective == "vicreg" else 1.0
        loss = self.config.prediction * scale * prediction + regularizer
        return loss, {"prediction": prediction.item(), "regularizer": regularizer.item()}

    def after_step(self) -> None:
        """Move the target network, if there is one."""
        if self.target is not None:
            update_ema(self.target, self.encoder, self.config.ema_momentum)

    @torch.no_grad()
    def _encode_targets(self, frames: Tensor) -> Tensor:
        """Return latents by the average of the encoder, uint8 [N, T, H, W, C] -> float32 [N, T, D]."""
        assert self.target is not None
        return self.encode_by([self.target], frames.flatten(0, 1))[0].unflatten(0, frames.shape[:2])

    def _regularizer(self, latent: Tensor, generator: torch.Generator) -> Tensor:
        config = self.config
        if config.objective == "vicreg":
            variance = config.variance * losses.variance_loss(latent)
            return variance + config.covariance * losses.covariance_loss(latent)
        if config.objective == "ema":
            return config.ema_covariance * losses.covariance_loss(latent)
        if config.objective == "log_det":
            return config.log_det * losses.log_det_loss(latent)
        if config.objective == "sigreg":
            return config.sigreg * losses.sigreg_loss(latent, generator)
        raise ValueError(f"model.objective={config.objective!r} has no regularizer")
