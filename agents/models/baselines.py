"""SimCLR, BYOL and VICReg with the encoder of the JEPAs: baselines at equal compute."""

import logging
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from agents.models import losses
from agents.models.ema import frozen_copy, update_ema
from agents.models.encoder import FrameEncoder
from agents.models.settings import BASELINES, BaselineConfig

logger = logging.getLogger(__name__)


class PairBaseline(nn.Module):
    """An encoder that learns from pairs of views of one scene; the caller chooses the pairs.

    A projector with one hidden layer follows the encoder. The loss is taken after it, latents before it. BYOL
    adds a predictor and a target network of encoder and projector, which `update_ema` moves.

    Attributes:
        dim: Dimensions of a latent, D.
    """

    def __init__(self, kind: str, config: BaselineConfig, frame_size: int) -> None:
        """Build it; weights come from torch's current generator.

        Args:
            kind: simclr (arXiv:2002.05709), byol (arXiv:2006.07733) or vicreg (arXiv:2105.04906).
            config: Sizes and weights.
            frame_size: Side of the square frames, a multiple of 16.

        Raises:
            ValueError: The kind is unknown.
        """
        super().__init__()
        if kind not in BASELINES:
            raise ValueError(f"baseline {kind!r} is unknown: choose one of {', '.join(BASELINES)}")
        if risk := config.collapse_risk(kind):
            logger.warning("%s", risk)
        self.kind = kind
        self.config = config
        self.dim = config.encoder.dim
        self.encoder = FrameEncoder(config.encoder, frame_size)
        self.projector = _mlp(self.dim, config.hidden, config.projection)
        if kind == "byol":
            self.predictor = _mlp(config.projection, config.hidden, config.projection)
            self.target_encoder = frozen_copy(self.encoder)
            self.target_projector = frozen_copy(self.projector)

    def calibrate(self, frames: Tensor) -> None:
        """Fix the mean frame and the scale, uint8 [N, H, W, C]."""
        self.encoder.calibrate(frames)
        if self.kind == "byol":
            self.target_encoder.calibrate(frames)

    def encode(self, frames: Tensor) -> Tensor:
        """Return latents, uint8 [N, H, W, C] -> float32 [N, D]."""
        return self.encoder(frames)

    def loss(
        self, first: Tensor, second: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Mapping[str, float]]:
        """Return the loss of pairs of views, and its terms by name.

        Args:
            first: uint8 [N, H, W, C], N >= 2.
            second: uint8 [N, H, W, C]; frame n shows what frame n of first shows.
            generator: Not used: this loss draws no random numbers.

        Raises:
            ValueError: The shapes differ, or there is only one pair.
        """
        if first.shape != second.shape or len(first) < 2:
            raise ValueError(
                f"at least two pairs of views are needed, got {tuple(first.shape)} and {tuple(second.shape)}"
            )
        latents = self.encode(torch.cat([first, second])).chunk(2)
        # projected one view at a time: batch normalization over both would leak one into the other
        a, b = (self.projector(latent) for latent in latents)
        if self.kind == "simclr":
            loss = losses.nt_xent_loss(a, b, self.config.temperature)
        elif self.kind == "vicreg":
            weights = (self.config.similarity, self.config.variance, self.config.covariance)
            loss = losses.vicreg_loss(a, b, *weights)
        else:
            loss = self._byol_loss(a, b, first, second)
        return loss, {self.kind: loss.item()}

    def update_ema(self, momentum: float | None = None) -> None:
        """Move BYOL's target network, after an optimizer step; the other kinds have none.

        Args:
            momentum: Share of itself that the target keeps; `BaselineConfig.momentum` by default.
        """
        if self.kind == "byol":
            share = self.config.momentum if momentum is None else momentum
            update_ema(self.target_encoder, self.encoder, share)
            update_ema(self.target_projector, self.projector, share)

    def _byol_loss(self, a: Tensor, b: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """Return ``2 - 2 cos`` of the prediction from one view and the other's target, summed both ways."""
        with torch.no_grad():
            target_a, target_b = (
                self.target_projector(self.target_encoder(view)) for view in (first, second)
            )
        forward = losses.cosine_loss(self.predictor(a), target_b)
        backward = losses.cosine_loss(self.predictor(b), target_a)
        return 2 * (forward + backward)


def _mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, hidden, bias=False),
        nn.BatchNorm1d(hidden),
        nn.ReLU(inplace=True),
        nn.Linear(hidden, outputs),
    )
