"""Motion without noise: objects that bounce between the walls, and objects that never move.

Positions are uniform in [-1, 1], so the factor of unit variance is sqrt(3) times the position.
"""

import math

import numpy as np

from env.dynamics.contract import Dynamics
from env.dynamics.random_numbers import uniforms

UNIFORM_SCALE = math.sqrt(3.0)  # makes a uniform variable on [-1, 1] one of unit variance
MAX_CROSSING_TICKS = 48.0  # ticks from wall to wall
MIN_CROSSING_TICKS = 16.0


class Bounce(Dynamics):
    """A triangle wave between -1 and 1 for each coordinate, start and speed from the seed.

    Objects pass through each other.
    """

    def factors(self, ticks: np.ndarray) -> np.ndarray:
        """Return the factors at any ticks, [T] -> [T, F]."""
        draws = uniforms(f"bounce:{self.motion.seed}", 0, self.motion.dim, 2)
        crossing = MIN_CROSSING_TICKS + (MAX_CROSSING_TICKS - MIN_CROSSING_TICKS) * draws[:, 1]  # [F]
        phase = (4.0 * draws[:, 0] + 2.0 * ticks[:, None] / crossing) % 4.0  # a full period is 4 half-widths
        return UNIFORM_SCALE * (1.0 - np.abs(phase - 2.0))

    @property
    def decorrelation_ticks(self) -> int:
        """The longest period of a coordinate, 96 ticks: what comes after it repeats."""
        return math.ceil(2 * MAX_CROSSING_TICKS)

    def positions(self, factors: np.ndarray) -> np.ndarray:
        """Return positions in [-1, 1] of factors, [...] -> [...]."""
        return factors / UNIFORM_SCALE


class Static(Dynamics):
    """A uniform random position of each object that never changes."""

    def factors(self, ticks: np.ndarray) -> np.ndarray:
        """Return the same factors for every tick, [T] -> [T, F]."""
        draws = uniforms(f"static:{self.motion.seed}", 0, self.motion.dim, 1)
        return np.repeat((UNIFORM_SCALE * (2.0 * draws - 1.0)).T, len(ticks), axis=0)

    @property
    def decorrelation_ticks(self) -> int:
        """0: nothing moves."""
        return 0

    def positions(self, factors: np.ndarray) -> np.ndarray:
        """Return positions in [-1, 1] of factors, [...] -> [...]."""
        return factors / UNIFORM_SCALE
