"""SimCLR, BYOL and VICReg with the encoder that the JEPAs have: what to compare with at equal compute."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from agents.models import losses
from agents.models.ema import frozen_copy, update_ema
from agents.models.encoder import FrameEncoder
from agents.models.settings import BASELINES, BaselineConfig


class PairBaseline(nn.Module):
    """An encoder that learns from pairs of views of one thing; which pairs, the caller decides.

    A projector of one hidden layer follows the encoder, and the loss is taken behind it; codes are taken
    before it. BYOL adds a predictor and a slow copy of encoder and projector, which `update_ema` moves.

    Attributes:
        dim: Dimensions of a code.
    """

    def __init__(self, kind: str, config: BaselineConfig, frame_size: int) -> None:
        """Build it; weights come from torch's current generator.

        Args:
            kind: simclr (arXiv:2002.05709), byol (arXiv:2006.07733) or vicreg (arXiv:2105.04906).
            config: Sizes and weights.
            frame_size: Side of the square frames, a multiple of 16.

        Raises:
            ValueError: Nobody knows that kind.
        """
        super().__init__()
        if kind not in BASELINES:
            raise ValueError(f"baseline {kind!r} is unknown: choose one of {', '.join(BASELINES)}")
        self.kind = kind
        self.config = config
        self.dim = config.encoder.dim
        self.encoder = FrameEncoder(config.encoder, frame_size)
        self.projector = _mlp(self.dim, config.hidden, config.projection)
        if kind == "byol":
            self.predictor = _mlp(config.projection, config.hidden, config.projection)
            self.slow_encoder = frozen_copy(self.encoder)
            self.slow_projector = frozen_copy(self.projector)

    def calibrate(self, frames: Tensor) -> None:
        """Take the mean picture and the spread, uint8 [N, H, W, C]."""
        self.encoder.calibrate(frames)
        if self.kind == "byol":
            self.slow_encoder.calibrate(frames)

    def encode(self, frames: Tensor) -> Tensor:
        """Return codes, uint8 [N, H, W, C] -> float32 [N, D]."""
        return self.encoder(frames)

    def loss(
        self, first: Tensor, second: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Mapping[str, float]]:
        """Return the loss of pairs of views and its named parts.

        Args:
            first: uint8 [N, H, W, C], N >= 2.
            second: uint8 [N, H, W, C]; frame n shows what frame n of first shows.
            generator: Draws nothing: whoever makes the pairs draws them.

        Raises:
            ValueError: The views are no pairs, or one pair is all there is.
        """
        if first.shape != second.shape or len(first) < 2:
            raise ValueError(
                f"at least two pairs of views are needed, got {tuple(first.shape)} and {tuple(second.shape)}"
            )
        codes = self.encode(torch.cat([first, second])).chunk(2)
        # projected one view at a time: a batch normalisation over both would tell each about the other
        a, b = (self.projector(code) for code in codes)
        if self.kind == "simclr":
            loss = losses.nt_xent_loss(a, b, self.config.temperature)
        elif self.kind == "vicreg":
            weights = (self.config.similarity, self.config.variance, self.config.covariance)
            loss = losses.vicreg_loss(a, b, *weights)
        else:
            loss = self._byol(a, b, first, second)
        return loss, {self.kind: loss.item()}

    def update_ema(self, momentum: float | None = None) -> None:
        """Move BYOL's target; call it after each step of the optimiser. The others have none.

        Args:
            momentum: Share of itself that the target keeps; the settings' where it is left out.
        """
        if self.kind == "byol":
            kept = self.config.momentum if momentum is None else momentum
            update_ema(self.slow_encoder, self.encoder, kept)
            update_ema(self.slow_projector, self.projector, kept)

    def _byol(self, a: Tensor, b: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """``2 - 2 cos`` between what one view predicts and the target's view of the other, both ways."""
        with torch.no_grad():
            slow_a, slow_b = (self.slow_projector(self.slow_encoder(view)) for view in (first, second))
        there = losses.cosine_loss(self.predictor(a), slow_b)
        back = losses.cosine_loss(self.predictor(b), slow_a)
        return 2 * (there + back)


def _mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, hidden, bias=False),
        nn.BatchNorm1d(hidden),
        nn.ReLU(inplace=True),
        nn.Linear(hidden, outputs),
    )
