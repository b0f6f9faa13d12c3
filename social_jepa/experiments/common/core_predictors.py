"""Recordings of a trained agent's core, and predictors of it by least squares."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from agents.agent import Agent
from alignment.fit import fit_ridge
from env.camera import Pose
from social_jepa.experiments.common.similarity_baselines import baseline_agent
from social_jepa.experiments.common.trained_agents import (
    AgentSetup,
    TrainedAgent,
    train_agent,
    trained_agent,
    untrained_agent,
)
from social_jepa.experiments.framework.experiment import Log

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


def record_agent(agent: Agent, kept: TrainedAgent, fit_ticks: int) -> CoreRecording:
    """Return the core of an agent that is still open, at training ticks and at held-out ticks.

    Args:
        agent: The agent.
        kept: What the experiment keeps of it: the model and the core.
        fit_ticks: Number of training ticks, the newest ones.
    """
    ticks, heldout = agent.trainer.replay_buffer.ticks[-fit_ticks:], range(agent.ticks.heldout.stop)
    latents, later = (kept.basis.core(agent.encode_ticks(each, kept.model)) for each in (ticks, heldout))
    return CoreRecording(kept, agent.spec.pose, ticks, latents, later)


def check_cores(recordings: Sequence[CoreRecording]) -> None:
    """Raise ValueError where an agent found no core, in which nothing can be predicted."""
    if not all(recording.agent.core_dim for recording in recordings):
        raise ValueError("an agent found no core: raise setup.training.steps or setup.model.dim")


def record_agents(
    setup: AgentSetup, seed: int, poses: Sequence[Pose], fit_ticks: int, log: Log
) -> list[CoreRecording]:
    """Return the recording of an agent for each camera, trained one after the other."""
    recordings = []
    for index in range(len(poses)):
        with untrained_agent(setup, seed, index, poses) as agent:
            kept = trained_agent(agent, train_agent(agent, log))
            recordings.append(record_agent(agent, kept, fit_ticks))
    return recordings


def record_baseline(
    name: str, setup: AgentSetup, seed: int, poses: Sequence[Pose], fit_ticks: int, axes: int, log: Log
) -> list[CoreRecording]:
    """Return those of agents of a baseline, with so many leading axes as their core."""
    recordings = []
    for index in range(len(poses)):
        with baseline_agent(name, setup, seed, index, poses, log, axes=axes) as (agent, kept):
            recordings.append(record_agent(agent, kept, fit_ticks))
    return recordings


def linear_predictor(recording: CoreRecording, action_dim: int) -> Predict:
    """Return the least-squares ``z' = z A + a B + c`` of an agent's core; passive if action_dim is 0."""
    x = torch.cat([recording.latents, recording.actions(recording.ticks, action_dim)], 1)
    fitted = fit_ridge(x[:-1], recording.latents[1:], ridge=1e-6)
    return lambda latents, actions: fitted(torch.cat([latents, actions], -1))


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
