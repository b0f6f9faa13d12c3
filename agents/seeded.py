"""First weights that follow from an agent's or a training's own words, never from torch's global stream."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import torch

Made = TypeVar("Made")


def seeded(seed: Sequence[int], make: Callable[[], Made]) -> Made:
    """Return what make builds, its first weights following from the words alone.

    torch's layers draw from the global generator: it is borrowed and given back as it was.
    """
    word = int(np.random.SeedSequence(list(seed)).generate_state(1)[0])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(word)
        return make()
