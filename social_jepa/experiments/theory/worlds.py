"""Synthetic worlds of a few factors, and injective observations of them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.linalg import expm
from scipy.special import ndtr
from scipy.stats import ortho_group

LEAKY_SLOPE = 0.2  # of the leaky rectifier: strictly monotone, hence injective
CROSSING_TICKS = (16.0, 48.0)  # ticks from wall to wall of the fastest and of the slowest bouncing object
MAX_ROTATION = 0.3  # radians per tick
HALF_WIDTH = np.sqrt(3.0)  # of a uniform distribution of unit variance

# A state and two successors of it: both have the distribution of a successor, and their noise has opposite
# signs, so that their mean is the expected successor where that is linear. float64 [N, n], [N, n], [N, n].
Transitions = tuple[np.ndarray, np.ndarray, np.ndarray]
World = Callable[[np.random.Generator, int], Transitions]  # (generator, N) -> stationary transitions


def gaussian(rng: np.random.Generator, count: int, factors: int, rho: float) -> Transitions:
    """Draw transitions of independent Ornstein-Uhlenbeck processes, ``z' = rho z + sqrt(1 - rho^2) e``."""
    z, noise = rng.standard_normal((2, count, factors))
    noise *= np.sqrt(1 - rho**2)
    return z, rho * z + noise, rho * z - noise


def uniform(rng: np.random.Generator, count: int, factors: int, rho: float) -> Transitions:
    """Draw transitions of uniform factors: the distribution function of Ornstein-Uhlenbeck processes."""
    z, after, other = (HALF_WIDTH * (2 * ndtr(g) - 1) for g in gaussian(rng, count, factors, rho))
    return z, after, other


def heavy_tailed(rng: np.random.Generator, count: int, factors: int, rho: float) -> Transitions:
    """Draw transitions of first-order autoregressive processes whose factors have a Laplace distribution.

    ``z' = rho z + e``, where e is 0 with probability rho^2 and otherwise has the distribution of z.
    """
    z, noise = rng.laplace(scale=np.sqrt(0.5), size=(2, count, factors))
    noise *= rng.random((count, factors)) >= rho**2
    return z, rho * z + noise, rho * z - noise


def bouncing(rng: np.random.Generator, count: int, speed: np.ndarray) -> Transitions:
    """Draw transitions, forward and backward in time, of objects that move evenly between two walls.

    Args:
        rng: Draws positions along the path.
        count: N.
        speed: [n], distance per tick; the walls are at a distance of 2.
    """
    path = rng.uniform(0, 4, size=(count, len(speed)))
    z, after, other = (HALF_WIDTH * (1 - np.abs(w % 4 - 2)) for w in (path, path + speed, path - speed))
    return z, after, other


def rotating(rng: np.random.Generator, count: int, rotation: np.ndarray) -> Transitions:
    """Draw transitions without noise, ``z' = z M`` for a rotation M [n, n]: fully predictable."""
    z = rng.standard_normal((count, len(rotation)))
    return z, z @ rotation, z @ rotation


def make_world(kind: str, rng: np.random.Generator, factors: int, rho: float) -> World:
    """Return a world.

    Args:
        kind: gaussian, uniform, heavy-tailed, bouncing or rotating.
        rng: Draws the speeds of bouncing and the rotation of rotating.
        factors: n.
        rho: Autocorrelation of the factors; ignored by bouncing and rotating.

    Raises:
        ValueError: Unknown kind.
    """
    if kind == "bouncing":
        return partial(bouncing, speed=2 / rng.uniform(*CROSSING_TICKS, size=factors))
    if kind == "rotating":
        matrix = rng.standard_normal((factors, factors))
        generator = matrix - matrix.T
        return partial(rotating, rotation=expm(MAX_ROTATION * generator / np.linalg.norm(generator, 2)))
    autoregressive = {"gaussian": gaussian, "uniform": uniform, "heavy-tailed": heavy_tailed}
    if kind not in autoregressive:
        raise ValueError(
            f"there is no world {kind!r}: choose from {', '.join(autoregressive)}, bouncing and rotating"
        )
    return partial(autoregressive[kind], factors=factors, rho=rho)


@dataclass(frozen=True, eq=False)
class Observation:
    """An injective map of the factors: a random lift, then layers of a rotation and a leaky rectifier.

    Attributes:
        lift: [n, W], orthonormal rows.
        rotations: [W, W] each, orthogonal.
    """

    lift: np.ndarray
    rotations: tuple[np.ndarray, ...]

    @classmethod
    def draw(cls, rng: np.random.Generator, factors: int, dim: int, layers: int) -> "Observation":
        """Return a random observation of dimension W = dim.

        Raises:
            ValueError: The dimension is below the number of factors, so that the map cannot be injective.
        """
        if dim < factors:
            raise ValueError(f"an observation of dimension {dim} of {factors} factors is not injective")
        rotations = ortho_group.rvs(dim, size=layers + 1, random_state=rng)
        return cls(rotations[0, :factors], tuple(rotations[1:]))

    def __call__(self, z: np.ndarray) -> np.ndarray:
        """Return the observation of factors, [..., n] -> float32 [..., W]."""
        x = z @ self.lift
        for rotation in self.rotations:
            x = x @ rotation
            x = np.where(x > 0, x, LEAKY_SLOPE * x)
        return x.astype(np.float32)
