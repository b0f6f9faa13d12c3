"""Random streams of an agent: what separates one draw from another, and weights that follow from a seed."""

from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import TypeVar

import numpy as np
import torch

T = TypeVar("T")


class Stream(IntEnum):
    """Purposes of an agent's random numbers; each has its own stream.

    The numbers are part of the results: another number gives an agent other weights, batches or views.
    """

    WEIGHTS = 0  # first weights of the model
    BATCHES = 1  # segments of every training step, and what the loss draws
    NONCES = 2  # of negotiations
    CALIBRATION = 3  # ticks that fix the normalization of the input
    DISTILLATION = 4  # order of the teacher's ticks
    VIEWS = 5  # directions of the views of a tick
    MODEL_CHECK = 6  # weights of the second model that a check builds
    STAGES = 7  # first weights and batches of further encoders


class NonceStream(IntEnum):
    """What a negotiation derives a number for; knowing one number reveals nothing of another."""

    OFFER = 0  # nonce of an offer
    REQUEST = 1  # nonce of an anchor request
    BUDGET = 2  # seed of the choices of fewer anchors


def stream_seed(seed: int, index: int, stream: Stream, *more: int) -> tuple[int, ...]:
    """Return the entropy of one random stream of one agent, for `numpy.random.SeedSequence`.

    Args:
        seed: Of the run.
        index: Number of the agent.
        stream: What the stream is drawn for.
        more: Anything else that separates streams, such as the pose version.
    """
    return (seed, index, stream, *more)


def seeded(seed: Sequence[int], build: Callable[[], T]) -> T:
    """Return the result of ``build`` where torch's random weights follow from a seed alone.

    torch's layers draw from the global generator: its state is saved and restored.

    Args:
        seed: Integers that the weights follow from.
        build: Builds a module.
    """
    word = int(np.random.SeedSequence(list(seed)).generate_state(1)[0])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(word)
        return build()
