"""Motion of objects as a pure function of the tick, with random access.

Every kind of motion has one *factor* per coordinate, of zero mean and unit variance, and a rule that maps
factors to positions in [-1, 1]:

    ornstein_uhlenbeck  x' = rho x + sqrt(1 - rho^2) e with e ~ N(0, 1) (Uhlenbeck and Ornstein 1930), so that
                        rho is the autocorrelation from tick to tick; position tanh(tanh_gain x)
    bounce              a triangle wave between -1 and 1, start and speed from the seed; its positions are
                        uniform, so the factor of unit variance is sqrt(3) times the position
    static              a uniform random position that never changes; scaled like bounce
"""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import ndtri

BLOCK = 1024  # ticks that are computed together
NOISE_CUTOFF = 1e-9  # weight below which old noise is left out
UNIFORM_SCALE = math.sqrt(3.0)  # makes a uniform variable on [-1, 1] one of unit variance
MAX_CROSSING_TICKS = 48.0  # ticks from wall to wall
MIN_CROSSING_TICKS = 16.0


@dataclass(frozen=True)
class Motion:
    """Motion of the coordinates of one scene.

    Attributes:
        kind: A key of ``KINDS``.
        seed: Equal seeds give equal motion.
        autocorrelations: rho of each coordinate. Only ornstein_uhlenbeck uses the values; all kinds use
            their number.
    """

    kind: str
    seed: int
    autocorrelations: tuple[float, ...]


def factors_at(motion: Motion, ticks: np.ndarray) -> np.ndarray:
    """Return the factors at any ticks in any order, [T] -> [T, F]."""
    ticks = np.asarray(ticks, dtype=np.int64)
    if ticks.ndim != 1:
        raise ValueError(f"ticks must be [T], got shape {ticks.shape}")
    blocks, rows = np.divmod(ticks, BLOCK)
    result = np.empty((len(ticks), len(motion.autocorrelations)))
    for block in np.unique(blocks):
        in_block = blocks == block
        result[in_block] = factor_block(motion, int(block))[rows[in_block]]
    return result


@lru_cache(maxsize=32)
def factor_block(motion: Motion, block: int) -> np.ndarray:
    """Return the factors of ticks [block * BLOCK, (block + 1) * BLOCK), [BLOCK, F], read-only.

    They depend on the arguments alone, never on earlier calls.
    """
    values = np.ascontiguousarray(KINDS[motion.kind](motion, block).T)
    values.flags.writeable = False
    return values


def unit_positions(kind: str, factors: np.ndarray, tanh_gain: float) -> np.ndarray:
    """Return positions in [-1, 1] of factors, [...] -> [...]."""
    return np.tanh(tanh_gain * factors) if kind == "ornstein_uhlenbeck" else factors / UNIFORM_SCALE


def _ornstein_uhlenbeck(motion: Motion, block: int) -> np.ndarray:
    """Return x_t = sqrt(1 - rho^2) sum_{j < 2^k} rho^j e_{t-j}, [F, BLOCK], with rho^(2^k) < NOISE_CUTOFF.

    The sum is the product of k filters (1 + rho^(2^i) B^(2^i)), where B delays by one tick: k vectorized
    additions, in an order that is the same for every tick, so that blocks join without a seam.
    """
    rho = np.array(motion.autocorrelations)[:, None]
    slowest = float(rho.max())
    ticks_kept = math.log(NOISE_CUTOFF) / math.log(slowest) if slowest > 0 else 0.0
    doublings = math.ceil(math.log2(ticks_kept)) if ticks_kept > 1 else 0
    history = 2**doublings
    earlier = math.ceil(history / BLOCK)
    noise = np.concatenate([_noise(motion, b) for b in range(block - earlier, block + 1)], axis=1)
    values = noise[:, -(BLOCK + history) :]
    for i in range(doublings):
        values = np.concatenate(
            [values[:, : 2**i], values[:, 2**i :] + rho ** (2**i) * values[:, : -(2**i)]], 1
        )
    return np.sqrt(1 - rho**2) * values[:, -BLOCK:]


@lru_cache(maxsize=32)
def _noise(motion: Motion, block: int) -> np.ndarray:
    """Return the standard normal noise of one block, [F, BLOCK]."""
    return ndtri(_uniforms(motion, block % 2**64, BLOCK))


def _bounce(motion: Motion, block: int) -> np.ndarray:
    """Return a triangle wave for each coordinate, [F, BLOCK]."""
    draws = _uniforms(motion, 0, 2)
    crossing = MIN_CROSSING_TICKS + (MAX_CROSSING_TICKS - MIN_CROSSING_TICKS) * draws[:, 1:]  # [F, 1]
    ticks = np.arange(block * BLOCK, (block + 1) * BLOCK)
    phase = (4.0 * draws[:, :1] + 2.0 * ticks / crossing) % 4.0  # a full period is 4 half-widths
    return UNIFORM_SCALE * (1.0 - np.abs(phase - 2.0))


def _static(motion: Motion, block: int) -> np.ndarray:
    """Return one random position for all ticks, [F, BLOCK]."""
    del block
    return np.repeat(UNIFORM_SCALE * (2.0 * _uniforms(motion, 0, 1) - 1.0), BLOCK, axis=1)


def _uniforms(motion: Motion, counter: int, count: int) -> np.ndarray:
    """Return numbers in (0, 1) from a counter-based generator, [F, count].

    They are made from raw bits, which numpy promises never to change, unlike its normal variables. A
    coordinate's numbers do not depend on how many coordinates come after it.
    """
    name = f"{motion.kind}:{motion.seed}".encode()
    key = int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "little")
    generator = np.random.Philox(key=np.array([key, counter], dtype=np.uint64))
    coordinates = len(motion.autocorrelations)
    bits = generator.random_raw(coordinates * count).reshape(coordinates, count)
    return ((bits >> np.uint64(12)) + 0.5) * 2.0**-52


KINDS: dict[str, Callable[[Motion, int], np.ndarray]] = {
    "ornstein_uhlenbeck": _ornstein_uhlenbeck,
    "bounce": _bounce,
    "static": _static,
}
