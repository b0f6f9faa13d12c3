"""Many small P-JEPAs at once, one for each decision process, and the theorem's bound on distances."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from social_jepa.experiments.collapse.mdp import Mdp, bisimulation


@dataclass(frozen=True, eq=False)
class ProcessBatch:
    """A batch of processes, padded to the largest; padding has weight zero.

    Attributes:
        mdps: M processes.
        observations: float64 [M, S, O], of each state: a one-hot vector, or a random vector.
        successors: int64 [M, S, A].
        values: float64 [M, S].
        states: float64 [M, S], 1 for a state and 0 for padding.
        steps: float64 [M, S, A], the same for pairs of state and action.
        classes: int64 [M, S], of bisimilar states; -1 for padding.
    """

    mdps: tuple[Mdp, ...]
    observations: Tensor
    successors: Tensor
    values: Tensor
    states: Tensor
    steps: Tensor
    classes: np.ndarray

    @classmethod
    def from_processes(cls, mdps: Sequence[Mdp], rng: np.random.Generator) -> "ProcessBatch":
        """Return a batch of processes; every other one has random observations, drawn from rng."""
        max_states = max(len(mdp.values) for mdp in mdps)
        actions = max(mdp.successors.shape[1] for mdp in mdps)
        observations = np.zeros((len(mdps), max_states, max_states))
        successors = np.zeros((len(mdps), max_states, actions), dtype=np.int64)
        values, states = np.zeros((2, len(mdps), max_states))
        steps, classes = np.zeros(successors.shape), np.full((len(mdps), max_states), -1)
        for k, mdp in enumerate(mdps):
            s, a = mdp.successors.shape
            observations[k, :s] = rng.normal(size=(s, max_states)) if k % 2 else np.eye(max_states)[:s]
            successors[k, :s, :a], values[k, :s] = mdp.successors, mdp.values
            states[k, :s], steps[k, :s, :a] = 1, 1
            classes[k, :s] = bisimulation(mdp)
        return cls(
            tuple(mdps), torch.from_numpy(observations), torch.from_numpy(successors),
            torch.from_numpy(values), torch.from_numpy(states), torch.from_numpy(steps), classes,
        )  # fmt: skip

    def repeated(self, rows: Sequence[int]) -> "ProcessBatch":
        """Return the processes with these indices, in this order and with repetitions."""
        k = torch.tensor(list(rows))
        return ProcessBatch(
            tuple(self.mdps[row] for row in rows), self.observations[k], self.successors[k], self.values[k],
            self.states[k], self.steps[k], self.classes[list(rows)],
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Outputs:
    """Outputs and errors of the models on their processes.

    Attributes:
        latents: [M, S, D], E(o).
        predicted: [M, S, A, D], T(E(o), a).
        values: [M, S], P(E(o)).
        dynamics: [M, S, A], |T(E(o), a) - E(o')|^2; zero for padding.
        head: [M, S], (P(E(o)) - p(o))^2; zero for padding.
    """

    latents: Tensor
    predicted: Tensor
    values: Tensor
    dynamics: Tensor
    head: Tensor

    @property
    def worst(self) -> tuple[Tensor, Tensor]:
        """The largest squared error of T and of P in each process, [M] and [M]."""
        return self.dynamics.flatten(1).amax(1), self.head.amax(1)


class BatchedMlp(nn.Module):
    """M independent networks of two layers with a GELU between them."""

    def __init__(self, count: int, inputs: int, hidden: int, outputs: int) -> None:
        """Draw weights of variance 1 / inputs from torch's current generator."""
        super().__init__()
        first = torch.randn(count, inputs, hidden, dtype=torch.float64) * inputs**-0.5
        last = torch.randn(count, hidden, outputs, dtype=torch.float64) * hidden**-0.5
        self.first, self.last = nn.Parameter(first), nn.Parameter(last)
        self.first_bias = nn.Parameter(torch.zeros(count, 1, hidden, dtype=torch.float64))
        self.last_bias = nn.Parameter(torch.zeros(count, 1, outputs, dtype=torch.float64))

    def forward(self, rows: Tensor) -> Tensor:
        """Map [M, N, inputs] to [M, N, outputs]."""
        return torch.baddbmm(
            self.last_bias, gelu(torch.baddbmm(self.first_bias, rows, self.first)), self.last
        )


class BatchedPJepa(nn.Module):
    """Encoder, residual transition of each action, and head of M models that share no weights."""

    def __init__(self, batch: ProcessBatch, dim: int, hidden: int) -> None:
        """Initialize the models; the latents of each process have a spread of one, the unit of distances.

        Args:
            batch: The processes.
            dim: Dimensions of a latent.
            hidden: Units of each network.
        """
        super().__init__()
        count, _, observation_dim = batch.observations.shape
        actions = batch.successors.shape[2]
        self.encoder = BatchedMlp(count, observation_dim, hidden, dim)
        self.transition = BatchedMlp(count * actions, dim, hidden, dim)  # a network for each action
        self.head = BatchedMlp(count, dim, hidden, 1)
        with torch.no_grad():
            initial = spread(self.encoder(batch.observations), batch.states)
            self.encoder.last.div_(initial[:, None, None])

    def forward(self, batch: ProcessBatch, detached: bool = False) -> Outputs:
        """Return outputs and errors; with detached, no gradient of the head reaches the encoder."""
        latents = self.encoder(batch.observations)  # [M, S, D]
        count, states, dim = latents.shape
        actions = batch.successors.shape[2]
        current = latents[:, None].expand(-1, actions, -1, -1)
        moved = current + self.transition(current.reshape(count * actions, states, dim)).view_as(current)
        predicted = moved.transpose(1, 2)  # [M, S, A, D]
        successors = latents.gather(1, batch.successors.view(count, -1, 1).expand(-1, -1, dim)).view_as(
            predicted
        )
        values = self.head(latents.detach() if detached else latents)[..., 0]
        return Outputs(
            latents, predicted, values, (predicted - successors).square().sum(3) * batch.steps,
            (values - batch.values).square() * batch.states,
        )  # fmt: skip


def spread(latents: Tensor, states: Tensor) -> Tensor:
    """Return the root mean square distance of latents from their mean, [M, S, D] and [M, S] -> [M]."""
    weight = (states / states.sum(1, keepdim=True))[..., None]
    centered = latents - (latents * weight).sum(1, keepdim=True)
    return (centered.square() * weight).sum((1, 2)).sqrt()


def lower_bound(mdp: Mdp, latents: np.ndarray, predicted: np.ndarray, values: np.ndarray) -> np.ndarray:
    r"""Return a lower bound of the distance of any two latents, float64 [S, S].

    The theorem with errors (its proof followed step by step). Let e_P(x) = |P(E(x)) - p(x)| and
    e_T(x, a) = |T(E(x), a) - E(f(x, a))|, and let K and L_a be Lipschitz constants of P and T(., a) on the
    latents of the states. Then the distance d(x, y) = |E(x) - E(y)| satisfies

        K d(x, y)   >= |P(E(x)) - P(E(y))|       >= |p(x) - p(y)| - e_P(x) - e_P(y)
        L_a d(x, y) >= |T(E(x), a) - T(E(y), a)| >= d(f(x, a), f(y, a)) - e_T(x, a) - e_T(y, a),

    so that any lower bound of d(f(x, a), f(y, a)) gives one of d(x, y). Repeated, this is the best bound over
    all sequences of at most S actions. Without errors it is positive exactly for states that
    are not bisimilar.

    Args:
        mdp: The process.
        latents: [S, D], E(o).
        predicted: [S, A, D], T(E(o), a).
        values: [S], P(E(o)).
    """
    distance = distances(latents)
    head_error = np.abs(values - mdp.values)
    error = np.linalg.norm(predicted - latents[mdp.successors], axis=2)
    head_slope = _max_slope(np.abs(values[:, None] - values)[..., None], distance)[0]  # K
    slopes = _max_slope(np.linalg.norm(predicted[:, None] - predicted[None], axis=3), distance)  # L_a, [A]
    difference = np.abs(mdp.values[:, None] - mdp.values) - head_error[:, None] - head_error
    bound = np.maximum(difference / max(head_slope, 1e-300), 0) if head_slope > 0 else np.zeros_like(distance)
    x, y = mdp.successors[:, None], mdp.successors[None]
    for _ in mdp.values:
        later = np.where(slopes > 0, bound[x, y] - error[:, None] - error[None], 0)  # [S, S, A]
        bound = np.maximum(bound, (later / np.where(slopes > 0, slopes, 1)).max(2))
    return bound


def distances(latents: np.ndarray) -> np.ndarray:
    """Return the pairwise distances of latents, [S, D] -> [S, S]."""
    return np.linalg.norm(latents[:, None] - latents[None], axis=2)


def _max_slope(changes: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """Return the largest change per distance, [S, S, K] and [S, S] -> [K]; equal latents have slope 0."""
    slopes = np.divide(
        changes, distance[..., None], out=np.zeros_like(changes), where=distance[..., None] > 0
    )
    return slopes.max((0, 1))
