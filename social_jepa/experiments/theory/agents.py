"""Agents of the synthetic worlds: each has its own observation of the same factors and trains alone."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from agents.common.streams import seeded
from social_jepa.experiments.common.training_loop import fit_model
from social_jepa.experiments.framework.experiment import Log
from social_jepa.experiments.theory.bound import WhiteLatents, whitening
from social_jepa.experiments.theory.settings import EncoderSettings, TheoryStream
from social_jepa.experiments.theory.worlds import Observation, Transitions, World

Loss = Callable[[Tensor, Tensor], Tensor]  # latents now and at the next tick, [N, n] each, whitened together


@dataclass(frozen=True, eq=False)
class States:
    """States of a world, which all agents observe; no agent trains on them.

    Attributes:
        fit: float64 [M, n], states that latents are whitened and maps are fitted on.
        heldout: States that are scored, and two successors of each, float64 [N, n].
    """

    fit: np.ndarray
    heldout: Transitions

    @classmethod
    def draw(cls, world: World, rng: np.random.Generator, fit: int, heldout: int) -> "States":
        """Return `fit` states to fit on and `heldout` states to score."""
        return cls(world(rng, fit)[0], world(rng, heldout))

    @property
    def factors(self) -> WhiteLatents:
        """The true factors in the form of latents."""
        now, after, other = map(torch.tensor, self.heldout)
        return WhiteLatents(torch.tensor(self.fit), now, (after + other) / 2)

    @property
    def rho(self) -> float:
        """Autocorrelation of the factors; exact where a successor is rho z plus noise."""
        now, after, other = self.heldout
        return float((now * (after + other)).sum() / (2 * np.square(now).sum()))


@dataclass(frozen=True, eq=False)
class EncoderHistory:
    """The observation and the encoders of one agent over its training.

    Attributes:
        observe: The agent's observation of the factors.
        encoders: One for each of ``EncoderSettings.eval_steps``.
        flops: Counted training FLOPs.
    """

    observe: Observation
    encoders: tuple[nn.Module, ...]
    flops: float

    def encode(self, index: int, z: np.ndarray) -> Tensor:
        """Return the latents of states [N, n] from the encoder of this index, float64 [N, n]."""
        with torch.inference_mode():
            return self.encoders[index](torch.tensor(self.observe(z))).double()


def alignment_loss(now: Tensor, later: Tensor) -> Tensor:
    """Return E|h - h'|^2, the loss that the theory analyzes, of jointly whitened latents, [N, n] each."""
    return (now - later).square().sum(1).mean()


def prediction_loss(now: Tensor, later: Tensor) -> Tensor:
    """Return the error of the best linear predictor of the next latents, ``n - |C|_F^2``, [N, n] each."""
    return now.shape[1] - (now.T @ later / len(now)).square().sum()


def make_encoder(settings: EncoderSettings) -> nn.Module:
    """Return a perceptron with two hidden layers; weights come from torch's current generator."""
    return nn.Sequential(
        nn.Linear(settings.observation_dim, settings.hidden), nn.GELU(),
        nn.Linear(settings.hidden, settings.hidden), nn.GELU(),
        nn.Linear(settings.hidden, settings.factors),
    )  # fmt: skip


def draw_observation(seed: int, index: int, settings: EncoderSettings) -> Observation:
    """Return the observation of the agent with this index."""
    rng = np.random.default_rng([seed, index, TheoryStream.OBSERVATION])
    return Observation.draw(rng, settings.factors, settings.observation_dim, settings.observation_layers)


def train_encoder(
    world: World, seed: int, index: int, settings: EncoderSettings, log: Log, loss: Loss = alignment_loss
) -> EncoderHistory:
    """Train the encoder of one agent on transitions that no other agent sees.

    Args:
        world: World that it observes.
        seed: With the index, the seed of all randomness of the agent.
        index: Index of the agent.
        settings: Observation, encoder and training.
        log: Receives progress messages.
        loss: Training loss.
    """
    observe = draw_observation(seed, index, settings)
    encoder = seeded([seed, index, TheoryStream.WEIGHTS], lambda: make_encoder(settings))
    kept: list[nn.Module] = [copy.deepcopy(encoder)]
    steps_done = 0

    def batch(rng: np.random.Generator) -> tuple[Tensor, Mapping[str, float]]:
        states = np.concatenate(world(rng, settings.batch_pairs)[:2])
        latents = encoder(torch.tensor(observe(states)))
        mean, white = whitening(latents)
        now, later = ((latents - mean) @ white).split(settings.batch_pairs)
        value = loss(now, later)
        return value, {f"agent {index} loss": value.item()}

    def keep_copy() -> None:
        nonlocal steps_done
        steps_done += 1
        if steps_done in settings.eval_steps:
            kept.append(copy.deepcopy(encoder))

    words = [seed, index, TheoryStream.BATCHES]
    _, flops = fit_model(
        encoder, batch, settings.steps, settings.learning_rate, words, log, after_step=keep_copy
    )
    return EncoderHistory(observe, tuple(kept), flops)


def encode_states(agent: EncoderHistory, index: int, states: States) -> WhiteLatents:
    """Return an agent's latents of states, whitened on those that maps are fitted on."""
    fit, now, *later = (agent.encode(index, z) for z in (states.fit, *states.heldout))
    mean, white = whitening(fit)
    return WhiteLatents(*((rows - mean) @ white for rows in (fit, now, sum(later) / len(later))))
