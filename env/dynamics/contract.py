"""The contract of dynamics, and reading them in blocks of ticks.

Every kind of motion has one *factor* per coordinate x0, z0, x1, z1, ..., of zero mean and unit variance, and
a rule that maps a factor to a position in [-1, 1].
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

BLOCK = 1024  # ticks that are computed together
CORRELATION_CUTOFF = 1e-3  # correlation with the past that counts as none


@dataclass(frozen=True)
class Motion:
    """What dynamics are built from: the seed, and the settings of the scene that concern motion.

    Attributes:
        seed: Equal seeds give equal motion.
        autocorrelations: One number per coordinate, F = 2 * objects of them.
        coupling: From 0 to below 1; only coupled uses it.
        object_size: Edge of an object in meters; only collide uses it.
        object_range: Largest distance of an object from the center in meters, which is position 1.
        tanh_gain: Factor to position where the factors are normal.
    """

    seed: int
    autocorrelations: tuple[float, ...]
    coupling: float = 0.5
    object_size: float = 0.9
    object_range: float = 3.4
    tanh_gain: float = 0.45

    @property
    def dim(self) -> int:
        """Number of coordinates and factors, F."""
        return len(self.autocorrelations)


class Dynamics(ABC):
    """Base class of dynamics; ``scene.dynamics=package.module:Class`` selects a custom one.

    A scene builds it with ``Class(motion)``. Equal arguments must give equal factors in every process and
    after any other calls. `env.custom_scenes.checker.check_scene` checks a class.

    Attributes:
        motion: What it was built from.
    """

    def __init__(self, motion: Motion) -> None:
        """Keep what the motion follows from."""
        self.motion = motion

    @abstractmethod
    def factors(self, ticks: np.ndarray) -> np.ndarray:
        """Return the factors at any ticks in any order, int64 [T] -> float64 [T, F].

        Every factor has zero mean and unit variance over time. A scene asks for blocks of consecutive ticks
        and keeps the newest blocks.
        """

    @property
    @abstractmethod
    def decorrelation_ticks(self) -> int:
        """Ticks after which the state is uncorrelated with the past; 0: nothing ever moves.

        It follows from the settings and not from the seed. For periodic motion, which repeats its past, it is
        the longest period.
        """

    def positions(self, factors: np.ndarray) -> np.ndarray:
        """Return positions in [-1, 1] of factors, [...] -> [...]: a function of each factor alone.

        By default ``tanh(tanh_gain * factor)``, which suits normal factors.
        """
        return np.tanh(self.motion.tanh_gain * factors)

    def actions(self, now: np.ndarray, later: np.ndarray) -> np.ndarray:
        """Return the actions that lead from factors to those of the next tick, [T, F].

        By default their difference.
        """
        return later - now


def factors_at(dynamics: Dynamics, ticks: np.ndarray) -> np.ndarray:
    """Return the factors at any ticks in any order, [T] -> [T, F], from blocks that are kept.

    Raises:
        ValueError: The ticks are not [T], or custom dynamics returned something else than finite [T, F].
    """
    return gather(ticks, dynamics.motion.dim, lambda block: factor_block(dynamics, block))


def gather(ticks: np.ndarray, dim: int, read: Callable[[int], np.ndarray]) -> np.ndarray:
    """Return rows of blocks, [T] -> [T, F]; ``read`` returns a block [BLOCK, F] by its index."""
    ticks = np.asarray(ticks, dtype=np.int64)
    if ticks.ndim != 1:
        raise ValueError(f"ticks must be [T], got shape {ticks.shape}")
    blocks, rows = np.divmod(ticks, BLOCK)
    result = np.empty((len(ticks), dim))
    for block in np.unique(blocks):
        in_block = blocks == block
        result[in_block] = read(int(block))[rows[in_block]]
    return result


@lru_cache(maxsize=256)  # more than the blocks of a replay buffer, whose ticks are drawn at random
def factor_block(dynamics: Dynamics, block: int) -> np.ndarray:
    """Return the factors of ticks [block * BLOCK, (block + 1) * BLOCK), [BLOCK, F], read-only.

    Raises:
        ValueError: Custom dynamics returned something else than finite numbers of that shape.
    """
    ticks = np.arange(block * BLOCK, (block + 1) * BLOCK)
    values = np.array(dynamics.factors(ticks), dtype=np.float64)
    expected = (BLOCK, dynamics.motion.dim)
    if values.shape != expected or not np.isfinite(values).all():
        raise ValueError(
            f"{type(dynamics).__name__}.factors returned {values.shape} or a value that is not finite for "
            f"{BLOCK} ticks from {ticks[0]} on: return finite numbers {expected}"
        )
    values.flags.writeable = False
    return values
