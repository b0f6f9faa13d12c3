"""How long the frames of a source resemble themselves, measured on the frames."""

import math
from collections.abc import Callable

import numpy as np

MEASURED_TICKS = 4096  # consecutive ticks that are read, from the first on
CELLS = 8  # a frame is reduced to CELLS * CELLS mean colors
COMPONENTS = 8  # principal components whose autocorrelation counts
DECAY = math.log(1000)  # time constants after which an exponential has a thousandth left
LEAST_SHARE = 0.01  # of the variance, below which a component is noise
CHUNK = 256  # ticks read at a time


def measure_memory(read: Callable[[np.ndarray], np.ndarray], ticks: int) -> int:
    """Return the ticks after which frames no longer resemble earlier ones; 0 if none differ.

    The largest time in which the autocorrelation of a leading principal component falls to 1/e, times
    ln 1000: what an exponential needs to fall to a thousandth, which noise hides from a direct measurement. A
    component has fallen at a lag if it stays below 1/e for as many lags more, so that a periodic one falls
    only where nothing is left to compare. An estimate: where the memory is known, set scene.frames.memory.

    Args:
        read: Returns the frames of ticks, int64 [N] -> uint8 [N, S, S, 3].
        ticks: Number of ticks that there are.
    """
    ticks = min(ticks, MEASURED_TICKS)
    if ticks < 4:
        return ticks
    chunks = (np.arange(start, min(start + CHUNK, ticks)) for start in range(0, ticks, CHUNK))
    values = np.concatenate([_cells(read(chunk)) for chunk in chunks])  # [T, 3 * CELLS^2]
    times = [_fall(component) for component in _components(values).T]
    return min(ticks, math.ceil(DECAY * max(times))) if times else 0


def _cells(frames: np.ndarray) -> np.ndarray:
    """Return mean colors of cells, uint8 [N, S, S, 3] -> [N, 3 * CELLS^2]."""
    count, side = frames.shape[:2]
    cell = max(1, side // CELLS)
    kept = cell * min(CELLS, side)
    parts = frames[:, :kept, :kept].reshape(count, kept // cell, cell, kept // cell, cell, 3)
    return parts.mean(axis=(2, 4)).reshape(count, -1)


def _components(values: np.ndarray) -> np.ndarray:
    """Return the leading principal components of rows that hold more than a share of the variance, [T, K]."""
    centered = values - values.mean(axis=0)
    left, singular, _ = np.linalg.svd(centered, full_matrices=False)
    share = singular**2 / max(float((singular**2).sum()), 1e-12)
    kept = (share > LEAST_SHARE)[:COMPONENTS]
    return left[:, : len(kept)][:, kept]


def _fall(component: np.ndarray) -> float:
    """Return the lag at which the autocorrelation has fallen to 1/e, [T] -> from 0 to T / 2."""
    count = len(component)
    spectrum = np.abs(np.fft.rfft(component - component.mean(), 2 * count)) ** 2
    products = np.fft.irfft(spectrum)[: count // 2 + 1]
    correlation = products / np.arange(count, count - len(products), -1)
    correlation = np.abs(correlation / correlation[0])
    above = np.flatnonzero(correlation > 1 / math.e)  # 0 is among them
    ends = np.append(above[1:], 2 * count)
    last = above[np.flatnonzero(ends > 2 * (above + 1))[0]]  # the next one is twice as far away
    if last + 1 >= len(correlation):
        return float(last)
    high, low = correlation[last], correlation[last + 1]
    return float(last + (high - 1 / math.e) / (high - low))
