"""Predictors of a core: fitted by its owner alone, rolled out in its own space or in another's."""

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
from social_jepa.experiments.framework.experiment import Log
from social_jepa.experiments.framework.score import Score

FITTING = 41  # word
Predict = Callable[[Tensor, Tensor], Tensor]  # codes [..., d] and pushes [..., A] -> codes one tick later


@dataclass(frozen=True, eq=False)
class Diary:
    """A stranger, where it stands, and its core at consecutive ticks.

    Attributes:
        ticks: Consecutive ones that it trained on.
        codes: Its core at those, float64 [T, d].
        heldout: Its core at ticks 0, 1, ... of the stretch that scores, float64 [S, d].
    """

    stranger: TrainedAgent
    pose: Pose
    ticks: range
    codes: Tensor
    heldout: Tensor

    def pushes(self, ticks: range, felt: int) -> Tensor:
        """Return the first pushes at consecutive ticks, float64 [T, felt]."""
        return torch.from_numpy(self.stranger.scene.actions(np.array(ticks))[:, :felt])


def keep_diary(
    upbringing: AgentSetup, seed: int, index: int, poses: list[Pose], trained: int, say: Log
) -> Diary:
    """Raise an agent; write down its core at the newest ticks that it trained on, and at those that score."""
    with untrained_agent(upbringing, seed, index, poses) as agent:
        stranger = trained_agent(agent, train_agent(agent, say))
        ticks = agent.trainer.replay_buffer.ticks[-trained:]
        scoring = range(upbringing.negotiation.pool_ticks * upbringing.negotiation.pool_stride)
        return Diary(stranger, poses[index], ticks, agent.encode_core(ticks), agent.encode_core(scoring))


def linear_predictor(diary: Diary, felt: int) -> Predict:
    """Return the least-squares ``z' = z A + a B + c`` of an agent's own codes; passive if it feels none."""
    x = torch.cat([diary.codes, diary.pushes(diary.ticks, felt)], 1)
    found = fit_ridge(x[:-1], diary.codes[1:], ridge=1e-6)
    return lambda codes, pushes: found(torch.cat([codes, pushes], -1))


class Perceptron(nn.Module):
    """``z' = z + MLP(z, a)``."""

    def __init__(self, dim: int, felt: int, hidden: int) -> None:
        """Build it for cores of this dimension and so many pushes."""
        super().__init__()
        self.net = nn.Sequential(nn.Linear(dim + felt, hidden), nn.GELU(), nn.Linear(hidden, dim))

    def forward(self, codes: Tensor, pushes: Tensor) -> Tensor:
        """Return the codes one tick later, [..., d]."""
        return codes + self.net(torch.cat([codes, pushes], -1))


def perceptron_predictor(
    diary: Diary, felt: int, hidden: int, steps: int, seed: int, say: Log
) -> tuple[Predict, float]:
    """Return a perceptron of an agent's own codes, trained one tick ahead, and its counted training FLOPs."""
    codes, pushes = diary.codes.float(), diary.pushes(diary.ticks, felt).float()
    words = [seed, FITTING, *diary.stranger.name.encode()]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(np.random.default_rng(words).integers(2**62)))
        model = Perceptron(codes.shape[1], felt, hidden)

    def batch(rng: np.random.Generator) -> tuple[Tensor, Mapping[str, float]]:
        rows = torch.from_numpy(rng.integers(len(codes) - 1, size=256))
        loss = (model(codes[rows], pushes[rows]) - codes[rows + 1]).square().mean()
        return loss, {"prediction": loss.item()}

    _, flops = fit_model(model, batch, steps, 3e-3, words, say)

    @torch.inference_mode()
    def predict(codes: Tensor, pushes: Tensor) -> Tensor:
        return model(codes.float(), pushes.float()).double()

    return predict, flops


def through(predict: Predict, edge: LinearMap) -> Predict:
    """Return a lender's predictor as a borrower uses it: into the lender's core, one tick on, and back.

    Args:
        predict: The lender's.
        edge: From the lender's core to the borrower's; its inverse leads the other way.
    """
    inverse = edge.inverse()
    return lambda codes, pushes: edge(predict(inverse(codes), pushes))


def push_axes(predict: Predict, dim: int, felt: int) -> Tensor:
    """Return an orthonormal basis of the directions that pushes move a code in, [d, felt]."""
    still = torch.zeros(felt, dim, dtype=torch.float64)
    moved = predict(still, torch.eye(felt, dtype=torch.float64)) - predict(still, torch.zeros(felt, felt))
    return torch.linalg.qr(moved.T)[0]


def roll_out(predict: Predict, codes: Tensor, pushes: Tensor) -> Tensor:
    """Return predictions 1 to K ticks ahead, from codes [N, d] and pushes [N, K, A] -> [K, N, d]."""
    found = []
    for now in pushes.unbind(-2):
        codes = predict(codes, now)
        found.append(codes)
    return torch.stack(found)


@dataclass(frozen=True, eq=False)
class Trial:
    """Held-out stretches of ticks, and what a borrower's core was at each of their ticks.

    Attributes:
        first: Its core at their first ticks, [N, d].
        pushes: What all objects were pushed by from there on, [N, K, A].
        later: Its core 1 to K ticks after the first, [K, N, d].
    """

    first: Tensor
    pushes: Tensor
    later: Tensor

    @classmethod
    def of(cls, diary: Diary, longest: int, spacing: int) -> "Trial":
        """Return the trials of an agent: a start every so many ticks, since close ones say the same twice."""
        starts = torch.arange(0, len(diary.heldout) - longest, spacing)
        felt = diary.stranger.scene.config.objects * 2
        pushes = diary.pushes(range(len(diary.heldout)), felt)
        ahead = starts + torch.arange(1, longest + 1)[:, None]  # [K, N]
        return cls(diary.heldout[starts], pushes[ahead - 1].transpose(0, 1), diary.heldout[ahead])

    def errors(self, predict: Predict, felt: int) -> Tensor:
        """Return the squared errors of a predictor, [K, N]."""
        return (roll_out(predict, self.first, self.pushes[..., :felt]) - self.later).square().sum(-1)

    def measures(self, name: str, errors: Tensor) -> dict[str, Score]:
        """Return R2 of errors [K, N] at each number of ticks, against the mean of that tick."""
        spreads = (self.later - self.later.mean(1, keepdim=True)).square().sum(-1)
        return {
            f"{name}, {ahead}": Score(error.numpy(), spread.numpy())
            for ahead, (error, spread) in enumerate(zip(errors, spreads, strict=True), 1)
        }
