"""Perceptrons as predictors of a core, and predictors that are rolled out in a peer's latent space."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from alignment.linear_map import LinearMap
from social_jepa.experiments.common.core_predictors import CoreRecording, Predict, roll_out
from social_jepa.experiments.common.training_loop import fit_model
from social_jepa.experiments.framework.experiment import Log
from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.plan_transfer.settings import PlanTransferStream


class Perceptron(nn.Module):
    """``z' = z + MLP(z, a)``."""

    def __init__(self, dim: int, action_dim: int, hidden: int) -> None:
        """Build it for cores of dimension `dim`."""
        super().__init__()
        self.net = nn.Sequential(nn.Linear(dim + action_dim, hidden), nn.GELU(), nn.Linear(hidden, dim))

    def forward(self, latents: Tensor, actions: Tensor) -> Tensor:
        """Return the latents one tick later, [..., d]."""
        return latents + self.net(torch.cat([latents, actions], -1))


def perceptron_predictor(
    recording: CoreRecording, action_dim: int, hidden: int, steps: int, seed: int, log: Log
) -> tuple[Predict, float]:
    """Return a perceptron of an agent's core, trained one tick ahead, and its counted training FLOPs."""
    latents, actions = recording.latents.float(), recording.actions(recording.ticks, action_dim).float()
    words = [seed, PlanTransferStream.PERCEPTRON, *recording.agent.name.encode()]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(np.random.default_rng(words).integers(2**62)))
        model = Perceptron(latents.shape[1], action_dim, hidden)

    def batch(rng: np.random.Generator) -> tuple[Tensor, Mapping[str, float]]:
        rows = torch.from_numpy(rng.integers(len(latents) - 1, size=256))
        loss = (model(latents[rows], actions[rows]) - latents[rows + 1]).square().mean()
        return loss, {"prediction": loss.item()}

    _, flops = fit_model(model, batch, steps, 3e-3, words, log)

    @torch.inference_mode()
    def predict(latents: Tensor, actions: Tensor) -> Tensor:
        return model(latents.float(), actions.float()).double()

    return predict, flops


def map_predictor(predict: Predict, edge: LinearMap) -> Predict:
    """Return a predictor in another latent space: map into its space, predict one tick, and map back.

    Args:
        predict: Predictor in the source space of the edge.
        edge: Map from the predictor's space; its inverse maps into that space.
    """
    inverse = edge.inverse()
    return lambda latents, actions: edge(predict(inverse(latents), actions))


@dataclass(frozen=True, eq=False)
class HeldoutWindows:
    """Windows of consecutive held-out ticks, and an agent's core at each of their ticks.

    Attributes:
        first: Its core at the first tick of each window, [N, d].
        actions: Actions on all objects from there on, [N, K, A].
        later: Its core 1 to K ticks after the first, [K, N, d].
        factors: F, number of factors of the scene.
    """

    first: Tensor
    actions: Tensor
    later: Tensor
    factors: int

    @classmethod
    def cut(cls, recording: CoreRecording, max_horizon: int, stride: int) -> "HeldoutWindows":
        """Return an agent's windows, one start every `stride` ticks because close ones are redundant."""
        starts = torch.arange(0, len(recording.heldout) - max_horizon, stride)
        factors = recording.agent.scene.config.objects * 2  # each has an action
        actions = recording.actions(range(len(recording.heldout)), factors)
        ahead = starts + torch.arange(1, max_horizon + 1)[:, None]  # [K, N]
        first, later = recording.heldout[starts], recording.heldout[ahead]
        return cls(first, actions[ahead - 1].transpose(0, 1), later, factors)

    def errors(self, predict: Predict, action_dim: int) -> Tensor:
        """Return the squared errors of a predictor on each axis, [K, N, d]."""
        return (roll_out(predict, self.first, self.actions[..., :action_dim]) - self.later).square()

    def scores(self, name: str, errors: Tensor) -> dict[str, Score]:
        """Return R2 of all factors at each horizon, relative to the mean latent at that horizon.

        An axis of a core is white and counts as one factor. Factors beyond its d axes are unexplained: they
        add (F - d) / d of the deviations of these to errors and deviations. Axes after the F leading ones
        are left out.

        Args:
            name: First part of the names of the scores.
            errors: Squared errors on each axis, [K, N, d].
        """
        deviations = (self.later - self.later.mean(1, keepdim=True)).square()
        unexplained, total = (axes[..., : self.factors].sum(-1) for axes in (errors, deviations))  # [K, N]
        found = [Score(*pair) for pair in zip(unexplained.numpy(), total.numpy(), strict=True)]
        return {
            f"{name}, {ahead}": score.counting_missing(errors.shape[-1], self.factors)
            for ahead, score in enumerate(found, 1)
        }
