"""Predictors of a core: fitted by its owner alone, rolled out in its own latent space or in a peer's."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from alignment.fit import fit_ridge
from alignment.linear_map import LinearMap
from env.camera import Pose
from social_jepa.experiments.common.trained_agents import (
    AgentSetup,
    TrainedAgent,
    train_agent,
    trained_agent,
    untrained_agent,
)
from social_jepa.experiments.common.training_loop import fit_model
from social_jepa.experiments.dynamics.settings import DynamicsStream
from social_jepa.experiments.framework.experiment import Log
from social_jepa.experiments.framework.score import Score

Predict = Callable[[Tensor, Tensor], Tensor]  # latents [..., d], actions [..., A] -> latents one tick later


@dataclass(frozen=True, eq=False)
class CoreRecording:
    """A trained agent, its pose, and its core at consecutive ticks.

    Attributes:
        ticks: Consecutive training ticks.
        latents: Its core at those, float64 [T, d].
        heldout: Its core at held-out ticks 0, 1, ..., float64 [S, d].
    """

    agent: TrainedAgent
    pose: Pose
    ticks: range
    latents: Tensor
    heldout: Tensor

    def actions(self, ticks: range, action_dim: int) -> Tensor:
        """Return the first `action_dim` actions of the scene at consecutive ticks, float64 [T, A]."""
        return torch.from_numpy(self.agent.scene.actions(np.array(ticks))[:, :action_dim])


def record_core(
    setup: AgentSetup, seed: int, index: int, poses: list[Pose], fit_ticks: int, log: Log
) -> CoreRecording:
    """Train an agent, and record its core at its newest training ticks and at held-out ticks."""
    with untrained_agent(setup, seed, index, poses) as agent:
        trained = trained_agent(agent, train_agent(agent, log))
        ticks = agent.trainer.replay_buffer.ticks[-fit_ticks:]
        heldout = range(setup.negotiation.pool_ticks * setup.stride)
        return CoreRecording(
            trained, poses[index], ticks, agent.encode_core(ticks), agent.encode_core(heldout)
        )


def linear_predictor(recording: CoreRecording, action_dim: int) -> Predict:
    """Return the least-squares ``z' = z A + a B + c`` of an agent's core; passive if action_dim is 0."""
    x = torch.cat([recording.latents, recording.actions(recording.ticks, action_dim)], 1)
    fitted = fit_ridge(x[:-1], recording.latents[1:], ridge=1e-6)
    return lambda latents, actions: fitted(torch.cat([latents, actions], -1))


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
    words = [seed, DynamicsStream.PERCEPTRON, *recording.agent.name.encode()]
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


def action_directions(predict: Predict, dim: int, action_dim: int) -> Tensor:
    """Return an orthonormal basis of the directions in which actions move a latent, [d, A]."""
    zeros = torch.zeros(action_dim, dim, dtype=torch.float64)
    moved = predict(zeros, torch.eye(action_dim, dtype=torch.float64))
    unmoved = predict(zeros, torch.zeros(action_dim, action_dim))
    return torch.linalg.qr((moved - unmoved).T)[0]


def roll_out(predict: Predict, latents: Tensor, actions: Tensor) -> Tensor:
    """Return predictions 1 to K ticks ahead, from latents [N, d] and actions [N, K, A] -> [K, N, d]."""
    predictions = []
    for current in actions.unbind(-2):
        latents = predict(latents, current)
        predictions.append(latents)
    return torch.stack(predictions)


@dataclass(frozen=True, eq=False)
class HeldoutWindows:
    """Windows of consecutive held-out ticks, and an agent's core at each of their ticks.

    Attributes:
        first: Its core at the first tick of each window, [N, d].
        actions: Actions on all objects from there on, [N, K, A].
        later: Its core 1 to K ticks after the first, [K, N, d].
    """

    first: Tensor
    actions: Tensor
    later: Tensor

    @classmethod
    def cut(cls, recording: CoreRecording, max_horizon: int, stride: int) -> "HeldoutWindows":
        """Return an agent's windows, one start every `stride` ticks because close ones are redundant."""
        starts = torch.arange(0, len(recording.heldout) - max_horizon, stride)
        action_dim = recording.agent.scene.config.objects * 2
        actions = recording.actions(range(len(recording.heldout)), action_dim)
        ahead = starts + torch.arange(1, max_horizon + 1)[:, None]  # [K, N]
        return cls(recording.heldout[starts], actions[ahead - 1].transpose(0, 1), recording.heldout[ahead])

    def errors(self, predict: Predict, action_dim: int) -> Tensor:
        """Return the squared errors of a predictor, [K, N]."""
        return (roll_out(predict, self.first, self.actions[..., :action_dim]) - self.later).square().sum(-1)

    def scores(self, name: str, errors: Tensor) -> dict[str, Score]:
        """Return the R2 of errors [K, N] at each horizon, relative to the mean latent at that horizon."""
        deviations = (self.later - self.later.mean(1, keepdim=True)).square().sum(-1)
        return {
            f"{name}, {ahead}": Score(error.numpy(), deviation.numpy())
            for ahead, (error, deviation) in enumerate(zip(errors, deviations, strict=True), 1)
        }
