"""seq-JEPA: from views and the actions between them to equivariant latents and an invariant aggregate.

After Ghaemi, Muller and Bakhtiari, arXiv:2505.03176. Where the paper leaves a choice: the encoder is the
small convolutional one of this package, and there is no dropout, which would draw from torch's global
stream, so that a resumed run would not draw the same numbers.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from agents.models import losses
from agents.models.ema import frozen_copy, update_ema
from agents.models.encoder import FrameEncoder
from agents.models.settings import SeqModelConfig


class SeqJepa(nn.Module):
    """Predict the latent of the next view from the views so far and the action that leads to it.

    A token is a view's latent with the embedded action that follows it, zeros after the last view. A
    learnable token attends to them through a transformer; its output is the aggregate. There is no
    positional embedding: actions tell where a view was taken, so that a sequence is a set of (view, action)
    pairs and may have any length, seen in training or not.

    Attributes:
        dim: Dimensions of the latents of `encode`: those of the readout where there is one, else of the
            aggregate.
        aggregate_dim: Dimensions of the aggregate, D_agg: those of a token.
    """

    def __init__(self, config: SeqModelConfig, frame_size: int, action_dim: int) -> None:
        """Build it; weights come from torch's current generator.

        Args:
            config: Sizes and terms.
            frame_size: Side of the square views, a multiple of 16.
            action_dim: Dimensions of an action, A.

        Raises:
            ValueError: action_dim is below 1.
        """
        super().__init__()
        if action_dim < 1:
            raise ValueError(f"an action is at least one number, got action_dim={action_dim}")
        self.config = config
        self.action_dim = action_dim
        self.aggregate_dim = config.token_dim
        self.dim = config.anchor_dim
        self.encoder = FrameEncoder(config.encoder, frame_size)
        self.target = frozen_copy(self.encoder)
        self.action_embedding = _action_embedding(action_dim, config) if config.action_conditioning else None
        self.query = nn.Parameter(
            torch.zeros(config.token_dim)
        )  # [D_agg]: at first it weighs all views alike
        self.aggregator = nn.Sequential(*(_layer(config) for _ in range(config.layers)))
        embedding_dim = config.token_dim - config.encoder.dim  # 0 without action conditioning
        self.predictor = nn.Sequential(
            nn.Linear(config.token_dim + embedding_dim, config.predictor_hidden, bias=False),
            nn.BatchNorm1d(config.predictor_hidden),
            nn.ReLU(inplace=True),
            nn.Linear(config.predictor_hidden, config.encoder.dim),
        )
        # without a bias: the whitened loss does not depend on the origin
        self.readout = (
            nn.Linear(config.token_dim, self.dim, bias=False) if config.temporal_weight else nn.Identity()
        )

    def calibrate(self, frames: Tensor) -> None:
        """Fix the mean frame and the scale, uint8 [N, H, W, C]."""
        self.encoder.calibrate(frames)
        self.target.calibrate(frames)

    def encode_views(self, views: Tensor) -> Tensor:
        """Return the latent of each view by itself, uint8 [..., M, H, W, C] -> float32 [..., M, D]."""
        return self.encoder(views)

    def aggregate(self, views: Tensor, actions: Tensor) -> Tensor:
        """Return the aggregate of sequences of views.

        Args:
            views: uint8 [N, M, H, W, C], M >= 1.
            actions: float [N, M - 1, A]; action m leads from view m to view m + 1.

        Returns:
            [N, D_agg].

        Raises:
            ValueError: The shapes do not match.
        """
        self._check(views, actions, least=1)
        return self._aggregate(self.encode_views(views), self._embed_actions(actions))

    def encode(self, frames: Tensor) -> Tensor:
        """Return latents of single views, as sequences of one, uint8 [N, H, W, C] -> float32 [N, dim]."""
        no_actions = torch.zeros(len(frames), 0, self.action_dim)
        return self.readout(self.aggregate(frames.unsqueeze(1), no_actions))

    def loss(
        self, views: Tensor, actions: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Mapping[str, float]]:
        """Return ``1 - cos(predicted, target latent of the last view)``, and the loss's terms by name.

        With a covariance weight, VICReg's covariance term (arXiv:2105.04906, eq. 4) on the latents of the
        views before the last is added. With a temporal weight, the aggregates of consecutive ticks are read
        out linearly, and the variance of the next readout that its best linear predictor misses is added
        (`losses.whitened_prediction_loss`).

        Args:
            views: uint8 [N, M, H, W, C], M >= 2; or [N, T, M, H, W, C], views at T consecutive ticks.
            actions: float [N, M - 1, A]; or [N, T, M - 1, A].
            generator: Not used: this loss draws no random numbers.

        Raises:
            ValueError: The shapes do not match, or a temporal weight is given a single tick.
        """
        loss, terms, _ = self.loss_and_readout(views, actions)
        return loss, terms

    def loss_and_readout(self, views: Tensor, actions: Tensor) -> tuple[Tensor, Mapping[str, float], Tensor]:
        """Return the loss and its terms, and the readout of all views but the last, [N, dim] or [N, T, dim].

        Args:
            views: As for `loss`.
            actions: As for `loss`.

        Raises:
            ValueError: As for `loss`.
        """
        ticks = views.shape[1] if views.ndim == 6 else 1
        if self.config.temporal_weight and ticks < 2:
            raise ValueError(
                "seq_jepa.temporal_weight is above 0, which needs views [N, T, M, H, W, C] "
                f"of at least two ticks, got {tuple(views.shape)}"
            )
        loss, latents, readout = self._predict_view(views, actions)
        terms = {"prediction": loss.item()}
        if self.config.covariance:
            covariance = losses.covariance_loss(latents.flatten(0, -2))
            loss, terms["covariance"] = loss + self.config.covariance * covariance, covariance.item()
        if self.config.temporal_weight:
            temporal = losses.whitened_prediction_loss(readout[:, :-1], readout[:, 1:], self.config.ridge)
            loss, terms["temporal"] = loss + self.config.temporal_weight * temporal, temporal.item()
        return loss, terms, readout

    def _predict_view(self, views: Tensor, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the loss of predicting the last view, and latents and readout of those before it."""
        self._check(views, actions, least=2)
        leading = views.shape[:-4]
        views, actions = views.flatten(0, -5), actions.flatten(0, -3)
        embedded = self._embed_actions(actions)
        latents = self.encode_views(views[:, :-1])  # [N T, M - 1, D]
        aggregate = self._aggregate(latents, embedded[:, :-1])  # [N T, D_agg]
        with torch.no_grad():
            target = self.target(views[:, -1])  # [N T, D]
        predicted = self.predictor(torch.cat([aggregate, embedded[:, -1]], dim=1))
        prediction = losses.cosine_loss(predicted, target)
        return prediction, latents, self.readout(aggregate).unflatten(0, leading)

    def update_ema(self, momentum: float | None = None) -> None:
        """Move the target network towards the encoder; call it after each optimizer step.

        Args:
            momentum: Share of itself that the target keeps; `SeqModelConfig.momentum` by default.
        """
        update_ema(self.target, self.encoder, self.config.momentum if momentum is None else momentum)

    def _embed_actions(self, actions: Tensor) -> Tensor:
        """Return embedded actions, [N, M, A] -> [N, M, E]; E is 0 without action conditioning.

        They are normalized as one batch, so that equal actions embed equally at every position.
        """
        if self.action_embedding is None:
            return self.query.new_zeros(*actions.shape[:2], 0)
        if actions.numel() == 0:
            return self.query.new_zeros(*actions.shape[:2], self.config.action_dim)
        embedded = self.action_embedding(actions.to(self.query).flatten(0, 1))
        return embedded.unflatten(0, actions.shape[:2])

    def _aggregate(self, latents: Tensor, embedded: Tensor) -> Tensor:
        """Return aggregates of latents [N, M, D] and embedded actions [N, M - 1, E], [N, D_agg]."""
        embedded = nn.functional.pad(embedded, (0, 0, 0, 1))  # no action follows the last view
        query = self.query.expand(len(latents), 1, -1)
        tokens = torch.cat([query, torch.cat([latents, embedded], dim=2)], dim=1)  # [N, 1 + M, D_agg]
        return self.aggregator(tokens)[:, 0]

    def _check(self, views: Tensor, actions: Tensor, least: int) -> None:
        axes = (5,) if least == 1 else (5, 6)
        if views.ndim not in axes or views.shape[-4] < least:
            raise ValueError(f"views are [N, M, H, W, C] with M >= {least}, got {tuple(views.shape)}")
        expected = (*views.shape[:-4], views.shape[-4] - 1, self.action_dim)
        if tuple(actions.shape) != expected:
            raise ValueError(f"these views need actions {expected}, got {tuple(actions.shape)}")
        if least > 1 and self.training and views.shape[:-4].numel() < 2:
            raise ValueError("training normalizes over the batch: at least two sequences are needed")


def _action_embedding(action_dim: int, config: SeqModelConfig) -> nn.Module:
    return nn.Sequential(
        nn.Linear(action_dim, config.action_dim, bias=False), nn.BatchNorm1d(config.action_dim, affine=False)
    )


def _layer(config: SeqModelConfig) -> nn.Module:
    # built one by one: nn.TransformerEncoder would start every layer with the same weights
    width = config.token_dim
    return nn.TransformerEncoderLayer(
        width, config.heads, config.mlp_ratio * width, dropout=0.0, batch_first=True, norm_first=False
    )
