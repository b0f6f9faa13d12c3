"""Worlds of a few latent factors, and how an agent observes them: by a map of its own that hides nothing."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.linalg import expm
from scipy.special import ndtr
from scipy.stats import ortho_group

SLOPE = 0.2  # of the leaky rectifier: monotone, so that it hides nothing
CROSSING = (16.0, 48.0)  # ticks from wall to wall of the fastest and the slowest object that bounces
FASTEST_TURN = 0.3  # radians in a tick
WIDEST = np.sqrt(3.0)  # of a uniform variable of unit variance

# A state and two states of the next tick: both have the law of a successor, and their noise has opposite
# signs, so that their mean is the expected successor where that is linear. float64 [N, n], [N, n], [N, n].
Steps = tuple[np.ndarray, np.ndarray, np.ndarray]
World = Callable[[np.random.Generator, int], Steps]  # (generator, N) -> steps from the stationary law


def gaussian(rng: np.random.Generator, count: int, latents: int, rho: float) -> Steps:
    """Draw steps of independent Ornstein-Uhlenbeck processes, ``z' = rho z + sqrt(1 - rho^2) e``."""
    z, noise = rng.standard_normal((2, count, latents))
    noise *= np.sqrt(1 - rho**2)
    return z, rho * z + noise, rho * z - noise


def uniform(rng: np.random.Generator, count: int, latents: int, rho: float) -> Steps:
    """Draw steps of factors that are uniform: the distribution function of Ornstein-Uhlenbeck processes."""
    z, after, other = (WIDEST * (2 * ndtr(g) - 1) for g in gaussian(rng, count, latents, rho))
    return z, after, other


def heavy_tailed(rng: np.random.Generator, count: int, latents: int, rho: float) -> Steps:
    """Draw steps of first-order autoregressive processes whose factors have a Laplace distribution.

    ``z' = rho z + e``, where e is 0 with probability rho^2 and else of the distribution of z.
    """
    z, noise = rng.laplace(scale=np.sqrt(0.5), size=(2, count, latents))
    noise *= rng.random((count, latents)) >= rho**2
    return z, rho * z + noise, rho * z - noise


def bouncing(rng: np.random.Generator, count: int, speed: np.ndarray) -> Steps:
    """Draw steps of objects that move evenly between two walls, and back in time.

    Args:
        rng: Draws where they are on their way.
        count: N.
        speed: [n], distance in a tick, of which 2 lie between the walls.
    """
    way = rng.uniform(0, 4, size=(count, len(speed)))
    z, after, other = (WIDEST * (1 - np.abs(w % 4 - 2)) for w in (way, way + speed, way - speed))
    return z, after, other


def turning(rng: np.random.Generator, count: int, turn: np.ndarray) -> Steps:
    """Draw steps of a world without noise, ``z' = z M`` for a rotation M [n, n]: all can be predicted."""
    z = rng.standard_normal((count, len(turn)))
    return z, z @ turn, z @ turn


def make_world(kind: str, rng: np.random.Generator, latents: int, rho: float) -> World:
    """Return a world.

    Args:
        kind: gaussian, uniform, heavy-tailed, bouncing or turning.
        rng: Draws the speeds of bouncing and the rotation of turning.
        latents: n.
        rho: Correlation from tick to tick; bouncing and turning have none.

    Raises:
        ValueError: There is no such kind.
    """
    if kind == "bouncing":
        return partial(bouncing, speed=2 / rng.uniform(*CROSSING, size=latents))
    if kind == "turning":
        plane = rng.standard_normal((latents, latents))
        generator = plane - plane.T
        return partial(turning, turn=expm(FASTEST_TURN * generator / np.linalg.norm(generator, 2)))
    drawn = {"gaussian": gaussian, "uniform": uniform, "heavy-tailed": heavy_tailed}
    if kind not in drawn:
        raise ValueError(f"there is no world {kind!r}: choose from {', '.join(drawn)}, bouncing and turning")
    return partial(drawn[kind], latents=latents, rho=rho)


@dataclass(frozen=True, eq=False)
class Observation:
    """An injective map of the latents: a random lift, then layers of a rotation and a leaky rectifier.

    Attributes:
        lift: [n, W], orthonormal rows.
        turns: [W, W] each, orthogonal.
    """

    lift: np.ndarray
    turns: tuple[np.ndarray, ...]

    @classmethod
    def draw(cls, rng: np.random.Generator, latents: int, width: int, layers: int) -> "Observation":
        """Return a random one.

        Raises:
            ValueError: The width is below the number of latents: something would be hidden.
        """
        if width < latents:
            raise ValueError(f"{width} numbers cannot show {latents} latents without hiding some")
        turns = ortho_group.rvs(width, size=layers + 1, random_state=rng)
        return cls(turns[0, :latents], tuple(turns[1:]))

    def __call__(self, z: np.ndarray) -> np.ndarray:
        """Return what is observed, [..., n] -> float32 [..., W]."""
        x = z @ self.lift
        for turn in self.turns:
            x = x @ turn
            x = np.where(x > 0, x, SLOPE * x)
        return x.astype(np.float32)
