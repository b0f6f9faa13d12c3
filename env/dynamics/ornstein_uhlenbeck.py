"""Independent Ornstein-Uhlenbeck processes, one per coordinate."""

import math
from functools import lru_cache

import numpy as np

from env.dynamics.contract import BLOCK, CORRELATION_CUTOFF, Dynamics, gather
from env.dynamics.noise import NOISE_CUTOFF, read_noise
from env.dynamics.random_numbers import normals


class OrnsteinUhlenbeck(Dynamics):
    """``x' = rho x + sqrt(1 - rho^2) a`` with white noise a ~ N(0, 1) (Uhlenbeck and Ornstein 1930).

    rho is the coordinate's autocorrelation from tick to tick.
    """

    def factors(self, ticks: np.ndarray) -> np.ndarray:
        """Return the factors at any ticks, [T] -> [T, F]."""
        return gather(ticks, self.motion.dim, self._block)

    @property
    def decorrelation_ticks(self) -> int:
        """Ticks after which every correlation with the past is below 0.001."""
        return decorrelation_ticks(max(self.motion.autocorrelations))

    def actions(self, now: np.ndarray, later: np.ndarray) -> np.ndarray:
        """Return a, white noise of unit variance, [T, F]."""
        rho = np.array(self.motion.autocorrelations)
        return (later - rho * now) / np.sqrt(1 - rho**2)

    def _block(self, block: int) -> np.ndarray:
        """Return x_t = sqrt(1 - rho^2) sum_{j < 2^k} rho^j a_{t-j}, [BLOCK, F], rho^(2^k) < NOISE_CUTOFF.

        The sum is the product of k filters (1 + rho^(2^i) B^(2^i)), where B delays by one tick: k vectorized
        additions, in an order that is the same for every tick, so that blocks join without a seam.
        """
        rho = np.array(self.motion.autocorrelations)[:, None]
        slowest = float(rho.max())
        ticks_kept = math.log(NOISE_CUTOFF) / math.log(slowest) if slowest > 0 else 0.0
        doublings = math.ceil(math.log2(ticks_kept)) if ticks_kept > 1 else 0
        noise = (self.motion.seed, self.motion.dim)
        values = read_noise(lambda b: _noise(*noise, b), block, 2**doublings)
        for i in range(doublings):
            values = np.concatenate(
                [values[:, : 2**i], values[:, 2**i :] + rho ** (2**i) * values[:, : -(2**i)]], 1
            )
        return np.ascontiguousarray((np.sqrt(1 - rho**2) * values[:, -BLOCK:]).T)


def decorrelation_ticks(autocorrelation: float) -> int:
    """Return the ticks after which the correlation with the past is below `CORRELATION_CUTOFF`."""
    if autocorrelation <= 0:
        return 0
    return math.ceil(math.log(CORRELATION_CUTOFF) / math.log(autocorrelation))


@lru_cache(maxsize=32)
def _noise(seed: int, dim: int, block: int) -> np.ndarray:
    """Return the standard normal noise of one block, [F, BLOCK]."""
    return normals(f"ornstein_uhlenbeck:{seed}", block, dim, BLOCK)
