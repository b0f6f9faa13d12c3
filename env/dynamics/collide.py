"""Elastic collisions of equal discs in a square room."""

import math
from threading import Lock

import numpy as np

from env.dynamics.bounce import UNIFORM_SCALE
from env.dynamics.contract import BLOCK, Dynamics, Motion, gather
from env.dynamics.disc_gas import Path, check_collisions, start_gas

MIN_CROSSING_TICKS = 32.0  # ticks in which an object of mean energy crosses the room along one axis
CROSSING_TICKS_PER_OBJECT = 16.0
MEMORY_CROSSINGS = 8.0  # after which measured correlations of 2 to 12 objects are below 0.1, most below 0.05


class Collide(Dynamics):
    """Equal masses that collide with each other and with the walls, without loss of energy.

    An object is the disc around its box, of diameter sqrt(2) * object_size, so that boxes never overlap. At
    tick 0 places and directions are drawn from the seed; from there on the motion is simulated from collision
    to collision. It is chaotic: a difference in the last digit grows to the size of the room within some
    hundred ticks. Therefore the simulation uses Python's floats and only + - * / and sqrt, whose results
    IEEE 754 fixes on every machine, in one order, and starts anew from rounded times at every block.

    The state at a tick needs all ticks before it: states at the starts of blocks are kept, so that a process
    pays once for each block. The more objects there are the slower they move, so that the cost of a tick,
    which is the number of collisions, does not grow with the square of their number.

    Positions are nearly uniform in [-1, 1], and factors are sqrt(3) times the position.
    """

    def __init__(self, motion: Motion) -> None:
        """Draw the start.

        Raises:
            ValueError: There is one object only, or the room is too small for so many of this size.
        """
        super().__init__(motion)
        objects = motion.dim // 2
        check_collisions(objects, motion.object_size, motion.object_range)
        self._crossing = max(MIN_CROSSING_TICKS, CROSSING_TICKS_PER_OBJECT * objects)
        diameter = math.sqrt(2) * motion.object_size / motion.object_range
        self._starts = [start_gas(f"collide:{motion.seed}", objects, diameter, 2 / self._crossing)]
        self._lock = Lock()  # threads of one process share these states

    @property
    def decorrelation_ticks(self) -> int:
        """Ticks after which the correlation with the past, found by simulation, is lost in noise."""
        return math.ceil(MEMORY_CROSSINGS * self._crossing)

    def factors(self, ticks: np.ndarray) -> np.ndarray:
        """Return the factors at any ticks from 0 on, [T] -> [T, F]."""
        return gather(ticks, self.motion.dim, self._block)

    def positions(self, factors: np.ndarray) -> np.ndarray:
        """Return positions in [-1, 1] of factors, [...] -> [...]."""
        return factors / UNIFORM_SCALE

    def _block(self, block: int) -> np.ndarray:
        if block < 0:
            raise ValueError("objects that collide start at tick 0: ask for ticks of 0 or later")
        with self._lock:
            while len(self._starts) <= block:
                gas = self._starts[-1].copy()
                gas.advance(BLOCK)
                self._starts.append(gas)
            gas = self._starts[block].copy()
        paths = gas.advance(BLOCK)
        return UNIFORM_SCALE * np.concatenate([_sample(path) for path in paths], axis=1)


def _sample(path: Path) -> np.ndarray:
    """Return the positions of a disc at the ticks of a block, [BLOCK, 2]."""
    times, x, y, u, v = np.array(path).T
    ticks = np.arange(BLOCK)
    last = np.searchsorted(times, ticks, side="right") - 1
    passed = ticks - times[last]
    places = np.stack([x[last] + u[last] * passed, y[last] + v[last] * passed], axis=1)
    return np.clip(places, -1.0, 1.0)  # rounding may put a place at the wall just behind it
