"""The memory of embeddings in the order of time: after how many rows they no longer resemble themselves."""

from typing import Final

import torch
from torch import Tensor

from alignment.arrays import AlignmentError
from alignment.core import lagged_covariances

RESEMBLES: Final = 0.1  # autocorrelation from which rows resemble each other
SLOWEST: Final = 8  # directions that are followed
DEVIATIONS: Final = 3.0  # of an autocorrelation of white noise


def estimate_memory(source: Tensor, target: Tensor) -> int:
    """Return the memory of what two white tables can share: that of the faster of them, at least 1.

    Args:
        source: [K, D_i], white, consecutive rows.
        target: [K, D_j], the same rows of the other table.

    Raises:
        AlignmentError: Both still resemble themselves after a quarter of the rows.
    """
    found = [memory for memory in map(_memory, (source, target)) if memory is not None]
    if not found:
        raise AlignmentError(
            f"the embeddings still resemble themselves after {len(source) // 4} rows, so that no shift in "
            "time tells what they share",
            "give a longer stretch, or rows that lie further apart",
        )
    return min(found)


def _memory(rows: Tensor) -> int | None:
    """Return the first lag at which the slowest directions have no autocorrelation, up to a quarter, or None.

    The slowest directions are those of time-lagged whitening (`alignment.core.find_core`).
    """
    _, lagged = lagged_covariances(rows[:-1], rows[1:])
    slow = rows @ torch.linalg.eigh(lagged).eigenvectors.flip(1)[:, :SLOWEST]
    count = len(slow)
    power = torch.fft.rfft(slow - slow.mean(0), 2 * count, dim=0).abs().square()
    products = torch.fft.irfft(power, dim=0)[: max(2, count // 4)]
    correlations = (products / products[0].clamp_min(torch.finfo(torch.float64).tiny)).amax(1)
    over = correlations < RESEMBLES + DEVIATIONS / count**0.5
    return max(1, int(over.nonzero()[0])) if over.any() else None
