"""seq-JEPA: from glances and the turns between them to codes that keep the turn, and one sum that need not.

After Ghaemi, Muller and Bakhtiari, arXiv:2505.03176. Where the paper leaves a choice: the encoder is the
small convolutional one of this package, and there is no dropout, which would draw from torch's global
stream, so that a resumed run would not draw the same.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from agents.models import losses
from agents.models.ema import frozen_copy, update_ema
from agents.models.encoder import FrameEncoder
from agents.models.settings import SeqModelConfig


class SeqJepa(nn.Module):
    """Predict what the next glance will show from the glances so far and the turn that leads to it.

    A token is a view's code with the embedded action that led away from it, zeros after the last view. A
    learnable token gathers them through a transformer: what it holds in the end is the aggregate. There is
    no table of positions: where a view was taken is what its actions tell, so that a sequence is a set of
    (view, action) pairs and may be of any length, seen in training or not.

    Attributes:
        dim: Dimensions that `encode` leads into: the read-out's where there is one, else the aggregate's.
        aggregate_dim: Dimensions of the aggregate, D_agg: those of a token.
    """

    def __init__(self, config: SeqModelConfig, frame_size: int, action_dim: int) -> None:
        """Build it; weights come from torch's current generator.

        Args:
            config: Sizes and terms.
            frame_size: Side of the square views, a multiple of 16.
            action_dim: Numbers that describe one action, A.

        Raises:
            ValueError: An action of no numbers.
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
        self.embed_action = _action_embedding(action_dim, config) if config.action_conditioning else None
        self.start = nn.Parameter(torch.zeros(config.token_dim))  # [AGG]: at first it weighs all views alike
        self.aggregator = nn.Sequential(*(_layer(config) for _ in range(config.layers)))
        moves = config.token_dim - config.encoder.dim  # dimensions of an embedded action, if one is looked at
        self.predictor = nn.Sequential(
            nn.Linear(config.token_dim + moves, config.predictor_hidden, bias=False),
            nn.BatchNorm1d(config.predictor_hidden),
            nn.ReLU(inplace=True),
            nn.Linear(config.predictor_hidden, config.encoder.dim),
        )
        # without a bias: the whitened loss does not know where the origin is
        self.read_out = (
            nn.Linear(config.token_dim, self.dim, bias=False) if config.temporal_weight else nn.Identity()
        )

    def calibrate(self, frames: Tensor) -> None:
        """Take the mean picture and the spread, uint8 [N, H, W, C]."""
        self.encoder.calibrate(frames)
        self.target.calibrate(frames)

    def codes(self, views: Tensor) -> Tensor:
        """Return what each view shows by itself, uint8 [..., M, H, W, C] -> float32 [..., M, D]."""
        return self.encoder(views)

    def aggregate(self, views: Tensor, actions: Tensor) -> Tensor:
        """Return what the views show together.

        Args:
            views: uint8 [N, M, H, W, C], M >= 1.
            actions: float [N, M - 1, A]; action m leads from view m to view m + 1.

        Returns:
            [N, D_agg].

        Raises:
            ValueError: The shapes do not belong together.
        """
        self._check(views, actions, least=1)
        return self._gather(self.codes(views), self._embed_actions(actions))

    def encode(self, frames: Tensor) -> Tensor:
        """Return what single views show, as sequences of one, uint8 [N, H, W, C] -> float32 [N, dim]."""
        nowhere = torch.zeros(len(frames), 0, self.action_dim)
        return self.read_out(self.aggregate(frames.unsqueeze(1), nowhere))

    def loss(
        self, views: Tensor, actions: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Mapping[str, float]]:
        """Return ``1 - cos(predicted, target code of the last view)`` and its named parts.

        With a weight for ticks, the aggregates of consecutive ticks are read out linearly, and what the best
        linear predictor misses of the next one is added (`losses.whitened_prediction_loss`).

        Args:
            views: uint8 [N, M, H, W, C], M >= 2; or [N, T, M, H, W, C], glances at T consecutive ticks.
            actions: float [N, M - 1, A]; or [N, T, M - 1, A].
            generator: Draws nothing: no part of this loss is random.

        Raises:
            ValueError: The shapes do not belong together, or ticks have a weight and there is one only.
        """
        ticks = views.shape[1] if views.ndim == 6 else 1
        if self.config.temporal_weight and ticks < 2:
            raise ValueError(
                "seq_jepa.temporal_weight is above 0, which needs views [N, T, M, H, W, C] "
                f"of at least two ticks, got {tuple(views.shape)}"
            )
        loss, summary = self.predict_view(views, actions)
        if not self.config.temporal_weight:
            return loss, {"prediction": loss.item()}
        context, target = summary[:, :-1].flatten(0, 1), summary[:, 1:].flatten(0, 1)
        later = losses.whitened_prediction_loss(context, target, self.config.ridge)
        return loss + self.config.temporal_weight * later, {"prediction": loss.item(), "ticks": later.item()}

    def predict_view(self, views: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss of predicting the last view, and the read-out of those before it.

        Args:
            views: As for `loss`.
            actions: As for `loss`.

        Returns:
            Scalar; and [N, dim] or [N, T, dim].

        Raises:
            ValueError: The shapes do not belong together.
        """
        self._check(views, actions, least=2)
        before = views.shape[:-4]
        views, actions = views.flatten(0, -5), actions.flatten(0, -3)
        moves = self._embed_actions(actions)
        aggregate = self._gather(self.codes(views[:, :-1]), moves[:, :-1])  # [N T, D_agg]
        with torch.no_grad():
            target = self.target(views[:, -1])  # [N T, D]
        predicted = self.predictor(torch.cat([aggregate, moves[:, -1]], dim=1))
        return losses.cosine_loss(predicted, target), self.read_out(aggregate).unflatten(0, before)

    def update_ema(self, momentum: float | None = None) -> None:
        """Move the target network towards the encoder; call it after each step of the optimiser.

        Args:
            momentum: Share of itself that the target keeps; the settings' where it is left out.
        """
        update_ema(self.target, self.encoder, self.config.momentum if momentum is None else momentum)

    def _embed_actions(self, actions: Tensor) -> Tensor:
        """[N, M, A] -> [N, M, E], all in one batch: equal actions embed equally, wherever they stand.

        E is 0 where actions are not looked at.
        """
        if self.embed_action is None:
            return self.start.new_zeros(*actions.shape[:2], 0)
        if actions.numel() == 0:
            return self.start.new_zeros(*actions.shape[:2], self.config.action_dim)
        moves = self.embed_action(actions.to(self.start).flatten(0, 1))
        return moves.unflatten(0, actions.shape[:2])

    def _gather(self, codes: Tensor, moves: Tensor) -> Tensor:
        """[N, M, D] and [N, M - 1, E] -> [N, D_agg]."""
        moves = nn.functional.pad(moves, (0, 0, 0, 1))  # nothing leads away from the last view
        start = self.start.expand(len(codes), 1, -1)
        tokens = torch.cat([start, torch.cat([codes, moves], dim=2)], dim=1)  # [N, 1 + M, D_agg]
        return self.aggregator(tokens)[:, 0]

    def _check(self, views: Tensor, actions: Tensor, least: int) -> None:
        known = (5,) if least == 1 else (5, 6)
        if views.ndim not in known or views.shape[-4] < least:
            raise ValueError(f"views are [N, M, H, W, C] with M >= {least}, got {tuple(views.shape)}")
        expected = (*views.shape[:-4], views.shape[-4] - 1, self.action_dim)
        if tuple(actions.shape) != expected:
            raise ValueError(f"these views need actions {expected}, got {tuple(actions.shape)}")
        if least > 1 and self.training and views.shape[:-4].numel() < 2:
            raise ValueError("training normalises over the batch: at least two sequences are needed")


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
