"""Ornstein-Uhlenbeck processes of cameras."""

import hashlib
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from env.checks import check_number
from env.dynamics.contract import BLOCK, Motion, gather
from env.dynamics.ornstein_uhlenbeck import OrnsteinUhlenbeck

MAX_AUTOCORRELATION = 0.9999  # beyond it one block of ticks needs the noise of millions


def drift_at(name: str, autocorrelations: Sequence[float], ticks: np.ndarray) -> np.ndarray:
    """Return independent Ornstein-Uhlenbeck processes of zero mean and unit variance, [T] -> [T, F].

    Args:
        name: Of the stream of random numbers: equal names give equal processes.
        autocorrelations: From tick to tick, of each process.
        ticks: Integer times, in any order.
    """
    rates = tuple(autocorrelations)
    return gather(ticks, len(rates), lambda block: _drift_block(name, rates, block))


@lru_cache(maxsize=256)  # blocks of 64 cameras' drifts and motion, with room for neighboring blocks
def _drift_block(name: str, autocorrelations: tuple[float, ...], block: int) -> np.ndarray:
    """Return the processes at the ticks of one block, [BLOCK, F]."""
    seed = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")
    process = OrnsteinUhlenbeck(Motion(seed, autocorrelations))
    return process.factors(np.arange(block * BLOCK, (block + 1) * BLOCK))


def check_autocorrelation(name: str, value: float, hint: str = "") -> None:
    """Raise ValueError unless an Ornstein-Uhlenbeck process can have this autocorrelation."""
    check_number(name, value, 0, MAX_AUTOCORRELATION, hint)
