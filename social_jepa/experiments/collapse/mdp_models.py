"""Many small P-JEPAs at once, one for each decision process, and how close the theorem lets codes be."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from social_jepa.experiments.collapse.mdp import Mdp, bisimulation


@dataclass(frozen=True, eq=False)
class Worlds:
    """Processes side by side, filled up to the largest; what is filled up has weight zero.

    Attributes:
        mdps: M processes.
        observations: float64 [M, S, O], what a state shows: an indicator, or a random vector of its own.
        successors: int64 [M, S, A].
        values: float64 [M, S].
        states: float64 [M, S], 1 for a state and 0 for what is filled up.
        steps: float64 [M, S, A], likewise for pairs of state and action.
        classes: int64 [M, S], of bisimilar states; -1 for what is filled up.
    """

    mdps: tuple[Mdp, ...]
    observations: Tensor
    successors: Tensor
    values: Tensor
    states: Tensor
    steps: Tensor
    classes: np.ndarray

    @classmethod
    def of(cls, mdps: Sequence[Mdp], rng: np.random.Generator) -> "Worlds":
        """Return processes side by side; every other one shows random vectors, drawn from rng."""
        most = max(len(mdp.values) for mdp in mdps)
        actions = max(mdp.successors.shape[1] for mdp in mdps)
        seen = np.zeros((len(mdps), most, most))
        successors = np.zeros((len(mdps), most, actions), dtype=np.int64)
        values, states = np.zeros((2, len(mdps), most))
        steps, classes = np.zeros(successors.shape), np.full((len(mdps), most), -1)
        for k, mdp in enumerate(mdps):
            s, a = mdp.successors.shape
            seen[k, :s] = rng.normal(size=(s, most)) if k % 2 else np.eye(most)[:s]
            successors[k, :s, :a], values[k, :s] = mdp.successors, mdp.values
            states[k, :s], steps[k, :s, :a] = 1, 1
            classes[k, :s] = bisimulation(mdp)
        return cls(
            tuple(mdps), torch.from_numpy(seen), torch.from_numpy(successors), torch.from_numpy(values),
            torch.from_numpy(states), torch.from_numpy(steps), classes,
        )  # fmt: skip

    def repeated(self, rows: Sequence[int]) -> "Worlds":
        """Return these processes in another order, each as often as it is named."""
        k = torch.tensor(list(rows))
        return Worlds(
            tuple(self.mdps[row] for row in rows), self.observations[k], self.successors[k], self.values[k],
            self.states[k], self.steps[k], self.classes[list(rows)],
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Seen:
    """What models make of their worlds.

    Attributes:
        codes: [M, S, D], E(o).
        ahead: [M, S, A, D], T(E(o), a).
        told: [M, S], P(E(o)).
        dynamics: [M, S, A], |T(E(o), a) - E(o')|^2; zero where filled up.
        head: [M, S], (P(E(o)) - p(o))^2; zero where filled up.
    """

    codes: Tensor
    ahead: Tensor
    told: Tensor
    dynamics: Tensor
    head: Tensor

    @property
    def worst(self) -> tuple[Tensor, Tensor]:
        """The largest squared error of T and of P in each world, [M] and [M]."""
        return self.dynamics.flatten(1).amax(1), self.head.amax(1)


class Layers(nn.Module):
    """M networks of two layers with GELU between."""

    def __init__(self, worlds: int, inside: int, hidden: int, outside: int) -> None:
        """Draw weights of variance 1 / inputs from torch's current generator."""
        super().__init__()
        first = torch.randn(worlds, inside, hidden, dtype=torch.float64) * inside**-0.5
        last = torch.randn(worlds, hidden, outside, dtype=torch.float64) * hidden**-0.5
        self.first, self.last = nn.Parameter(first), nn.Parameter(last)
        self.shift = nn.Parameter(torch.zeros(worlds, 1, hidden, dtype=torch.float64))
        self.bias = nn.Parameter(torch.zeros(worlds, 1, outside, dtype=torch.float64))

    def forward(self, rows: Tensor) -> Tensor:
        """Map [M, N, inside] to [M, N, outside]."""
        return torch.baddbmm(self.bias, gelu(torch.baddbmm(self.shift, rows, self.first)), self.last)


class Jepas(nn.Module):
    """Encoder, residual transition of each action, and head of M models that share nothing."""

    def __init__(self, worlds: Worlds, dim: int, hidden: int) -> None:
        """Build them; in each world the codes start with a spread of one, the unit of every distance.

        Args:
            worlds: What they are for.
            dim: Dimensions of a code.
            hidden: Units of each network.
        """
        super().__init__()
        count, _, observed = worlds.observations.shape
        actions = worlds.successors.shape[2]
        self.encoder = Layers(count, observed, hidden, dim)
        self.transition = Layers(count * actions, dim, hidden, dim)  # a network for each action
        self.head = Layers(count, dim, hidden, 1)
        with torch.no_grad():
            size = spread(self.encoder(worlds.observations), worlds.states)
            self.encoder.last.div_(size[:, None, None])

    def forward(self, worlds: Worlds, detached: bool = False) -> Seen:
        """Return what the models make of worlds; detached, the head's errors do not reach the encoder."""
        codes = self.encoder(worlds.observations)  # [M, S, D]
        count, states, dim = codes.shape
        actions = worlds.successors.shape[2]
        here = codes[:, None].expand(-1, actions, -1, -1)
        moved = here + self.transition(here.reshape(count * actions, states, dim)).view_as(here)
        ahead = moved.transpose(1, 2)  # [M, S, A, D]
        after = codes.gather(1, worlds.successors.view(count, -1, 1).expand(-1, -1, dim)).view_as(ahead)
        told = self.head(codes.detach() if detached else codes)[..., 0]
        return Seen(
            codes, ahead, told, (ahead - after).square().sum(3) * worlds.steps,
            (told - worlds.values).square() * worlds.states,
        )  # fmt: skip


def spread(codes: Tensor, states: Tensor) -> Tensor:
    """Return the root mean square distance of codes from their mean, [M, S, D] and [M, S] -> [M]."""
    weight = (states / states.sum(1, keepdim=True))[..., None]
    centred = codes - (codes * weight).sum(1, keepdim=True)
    return (centred.square() * weight).sum((1, 2)).sqrt()


def lower_bound(mdp: Mdp, codes: np.ndarray, ahead: np.ndarray, told: np.ndarray) -> np.ndarray:
    r"""Return how far apart two codes must at least be, float64 [S, S].

    The theorem with errors (its proof followed step by step). Let e_P(x) = |P(E(x)) - p(x)| and
    e_T(x, a) = |T(E(x), a) - E(f(x, a))|, and let K and L_a be Lipschitz constants of P and T(., a) on the
    codes that occur. Then the distance d(x, y) = |E(x) - E(y)| satisfies

        K d(x, y)   >= |P(E(x)) - P(E(y))|       >= |p(x) - p(y)| - e_P(x) - e_P(y)
        L_a d(x, y) >= |T(E(x), a) - T(E(y), a)| >= d(f(x, a), f(y, a)) - e_T(x, a) - e_T(y, a),

    so that any lower bound of d(f(x, a), f(y, a)) gives one of d(x, y). Repeated, this is the best bound over
    all sequences of at most S actions. Without errors it is positive exactly where states are not bisimilar.

    Args:
        mdp: The process.
        codes: [S, D], E(o).
        ahead: [S, A, D], T(E(o), a).
        told: [S], P(E(o)).
    """
    distance = distances(codes)
    told_error, error = np.abs(told - mdp.values), np.linalg.norm(ahead - codes[mdp.successors], axis=2)
    steep = _steepest(np.abs(told[:, None] - told)[..., None], distance)[0]
    steps = _steepest(np.linalg.norm(ahead[:, None] - ahead[None], axis=3), distance)  # L_a, [A]
    apart = np.abs(mdp.values[:, None] - mdp.values) - told_error[:, None] - told_error
    bound = np.maximum(apart / max(steep, 1e-300), 0) if steep > 0 else np.zeros_like(distance)
    x, y = mdp.successors[:, None], mdp.successors[None]
    for _ in mdp.values:
        later = np.where(steps > 0, bound[x, y] - error[:, None] - error[None], 0)  # [S, S, A]
        bound = np.maximum(bound, (later / np.where(steps > 0, steps, 1)).max(2))
    return bound


def distances(codes: np.ndarray) -> np.ndarray:
    """Return the distance of each two codes, [S, D] -> [S, S]."""
    return np.linalg.norm(codes[:, None] - codes[None], axis=2)


def _steepest(changes: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """Return the largest change per distance, [S, S, K] and [S, S] -> [K]; equal codes change nothing."""
    slopes = np.divide(
        changes, distance[..., None], out=np.zeros_like(changes), where=distance[..., None] > 0
    )
    return slopes.max((0, 1))
