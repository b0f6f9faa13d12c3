"""Sums over past noise, from which linear dynamics get random access."""

import math
from collections.abc import Callable

import numpy as np

from env.dynamics.contract import BLOCK

NOISE_CUTOFF = 1e-9  # weight below which old noise is left out


def read_noise(read: Callable[[int], np.ndarray], block: int, history: int) -> np.ndarray:
    """Return the noise of a block and of ``history`` ticks before it, [F, history + BLOCK].

    Args:
        read: Returns the noise of a block, [F, BLOCK].
        block: Index of the block.
        history: Ticks.
    """
    earlier = math.ceil(history / BLOCK)
    noise = np.concatenate([read(b) for b in range(block - earlier, block + 1)], axis=1)
    return noise[:, noise.shape[1] - (BLOCK + history) :]


def first_below(size: Callable[[int], float], limit: float) -> int:
    """Return the least k >= 0 with ``size(k) < limit``, for sizes that fall from some k on."""
    high = 1
    while size(high) >= limit:
        high *= 2
    low = high // 2
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if size(middle) < limit else (middle + 1, high)
    return low
