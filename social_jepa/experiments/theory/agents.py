"""Agents of the theory's worlds: each observes the same latents in its own way and learns alone."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from agents.streams import seeded
from social_jepa.experiments.common.training_loop import fit_model
from social_jepa.experiments.framework.experiment import Log
from social_jepa.experiments.theory.bound import Code, whitener
from social_jepa.experiments.theory.worlds import Observation, Steps, World

OBSERVATION, WEIGHTS, ORDER = 1, 2, 3  # words
LOOKS = (0, 10, 30, 100, 300)  # steps after which a copy is kept, besides the last

Loss = Callable[[Tensor, Tensor], Tensor]  # codes now and at the next tick, [N, n] each, whitened together


@dataclass(frozen=True)
class Sizes:
    """How agents of the theory's worlds observe and learn."""

    latents: int = 3  # n, and outputs of an encoder
    width: int = 12  # numbers that an agent observes
    layers: int = 3  # of its observation
    hidden: int = 64  # units of each of the two hidden layers of an encoder
    pairs: int = 512  # of a step, drawn afresh
    steps: int = 1000
    learning_rate: float = 1e-2

    @property
    def looks(self) -> tuple[int, ...]:
        """Steps after which a copy is kept."""
        return (*(look for look in LOOKS if look < self.steps), self.steps)


@dataclass(frozen=True, eq=False)
class States:
    """Held-out states of a world, which all agents see.

    Attributes:
        fitting: float64 [M, n], states that codes are whitened and maps are fitted on.
        scoring: States that score, and two successors of each, float64 [N, n].
    """

    fitting: np.ndarray
    scoring: Steps

    @classmethod
    def draw(cls, world: World, rng: np.random.Generator, fitting: int, scoring: int) -> "States":
        """Return so many states of either kind."""
        return cls(world(rng, fitting)[0], world(rng, scoring))

    @property
    def truth(self) -> Code:
        """The latents themselves, as if they were a code."""
        now, after, other = map(torch.tensor, self.scoring)
        return Code(torch.tensor(self.fitting), now, (after + other) / 2)

    @property
    def rho(self) -> float:
        """Correlation of the factors from tick to tick; exact where a successor is rho z and noise."""
        now, after, other = self.scoring
        return float((now * (after + other)).sum() / (2 * np.square(now).sum()))


@dataclass(frozen=True, eq=False)
class Agent:
    """How one agent observes, and what it was at each look.

    Attributes:
        observe: Its own observation.
        encoders: One for each of ``Sizes.looks``.
        flops: Counted operations of its training.
    """

    observe: Observation
    encoders: tuple[nn.Module, ...]
    flops: float

    def encode(self, look: int, z: np.ndarray) -> Tensor:
        """Return what its encoder of a look makes of states [N, n], float64 [N, n]."""
        with torch.inference_mode():
            return self.encoders[look](torch.tensor(self.observe(z))).double()


def alignment_loss(now: Tensor, later: Tensor) -> Tensor:
    """Return E|h - h'|^2, the theory's own loss, of codes that are white together, [N, n] each."""
    return (now - later).square().sum(1).mean()


def prediction_loss(now: Tensor, later: Tensor) -> Tensor:
    """Return what the best linear predictor of the next code misses, ``n - |C|_F^2``, [N, n] each."""
    return now.shape[1] - (now.T @ later / len(now)).square().sum()


def make_encoder(sizes: Sizes) -> nn.Module:
    """Return a perceptron of two hidden layers; weights come from torch's current generator."""
    return nn.Sequential(
        nn.Linear(sizes.width, sizes.hidden), nn.GELU(),
        nn.Linear(sizes.hidden, sizes.hidden), nn.GELU(),
        nn.Linear(sizes.hidden, sizes.latents),
    )  # fmt: skip


def raise_agent(
    world: World, seed: int, index: int, sizes: Sizes, say: Log, loss: Loss = alignment_loss
) -> Agent:
    """Train one agent on steps of a world that no other agent sees.

    Args:
        world: Where it lives.
        seed: With the index, what all that is random in it follows from.
        index: Which agent.
        sizes: How it observes and learns.
        say: Told how it goes.
        loss: What it minimises.
    """
    observe = Observation.draw(
        np.random.default_rng([seed, index, OBSERVATION]), sizes.latents, sizes.width, sizes.layers
    )
    encoder = seeded([seed, index, WEIGHTS], lambda: make_encoder(sizes))
    kept: list[nn.Module] = [copy.deepcopy(encoder)]
    done = 0

    def batch(rng: np.random.Generator) -> tuple[Tensor, Mapping[str, float]]:
        states = np.concatenate(world(rng, sizes.pairs)[:2])
        code = encoder(torch.tensor(observe(states)))
        mean, white = whitener(code)
        now, later = ((code - mean) @ white).split(sizes.pairs)
        found = loss(now, later)
        return found, {f"agent {index} loss": found.item()}

    def look() -> None:
        nonlocal done
        done += 1
        if done in sizes.looks:
            kept.append(copy.deepcopy(encoder))

    _, flops = fit_model(
        encoder, batch, sizes.steps, sizes.learning_rate, [seed, index, ORDER], say, after_step=look
    )
    return Agent(observe, tuple(kept), flops)


def embed_states(agent: Agent, look: int, states: States) -> Code:
    """Return what an agent makes of held-out states, whitened on those that maps are fitted on."""
    fitting, now, *later = (agent.encode(look, z) for z in (states.fitting, *states.scoring))
    mean, white = whitener(fitting)
    return Code(*((rows - mean) @ white for rows in (fitting, now, sum(later) / len(later))))
