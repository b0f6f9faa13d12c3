"""Equal discs that move freely between elastic collisions, simulated from event to event.

Only Python's floats, + - * / and sqrt are used, in a fixed order, so that the result is the same on every
machine. ``sum`` and ``**`` are not: their rounding depends on the version of Python and on the C library.
"""

import math
from dataclasses import dataclass, field

from env.dynamics.random_numbers import uniforms

MAX_FILL = 0.35  # share of the room that discs may cover; from 0.55 on random places are rarely found
Path = list[tuple[float, float, float, float, float]]  # (time, x, y, u, v) at the start and at each collision
TRIES = 64  # places drawn for a disc before all are drawn anew


@dataclass
class DiscGas:
    """Discs whose centers move in the square [-1, 1] x [-1, 1].

    Attributes:
        diameter: Of each disc.
        x: Centers along the first axis, one number per disc.
        y: Centers along the second axis.
        u: Velocities along the first axis, per unit of time.
        v: Velocities along the second axis.
    """

    diameter: float
    x: list[float]
    y: list[float]
    u: list[float]
    v: list[float]

    def copy(self) -> "DiscGas":
        """Return an independent copy."""
        return DiscGas(self.diameter, [*self.x], [*self.y], [*self.u], [*self.v])

    def advance(self, duration: float) -> list[Path]:
        """Move all discs, and return the path of each."""
        return _Flight(self).run(duration)


def check_collisions(objects: int, object_size: float, object_range: float) -> None:
    """Raise ValueError for a single object, or if the discs around the boxes would cover too much room."""
    if objects < 2:
        raise ValueError("one object has nothing to collide with: raise objects, or set dynamics to bounce")
    diameter = math.sqrt(2) * object_size / object_range
    fill = objects * math.pi * (diameter / 2) ** 2 / (2 + diameter) ** 2
    if fill > MAX_FILL:
        raise ValueError(
            f"{objects} objects that collide would cover {fill:.0%} of the room, and have space to move up "
            f"to {MAX_FILL:.0%}: lower objects or object_size, got {objects} and {object_size:g}, or raise "
            f"object_range, got {object_range:g}"
        )


def start_gas(name: str, objects: int, diameter: float, speed: float) -> DiscGas:
    """Return discs at random places without overlap, with random velocities.

    Args:
        name: Of the random stream.
        objects: Number of discs.
        diameter: Of each disc.
        speed: Root mean square of all components of the velocities, per unit of time.
    """
    x, y = _random_places(name, objects, diameter)
    draws = (2.0 * uniforms(f"{name}:velocities", 0, 1, 2 * objects)[0] - 1.0).tolist()
    squares = 0.0
    for draw in draws:
        squares += draw * draw
    scale = speed * math.sqrt(2 * objects / squares)
    return DiscGas(
        diameter, x, y, [scale * draw for draw in draws[:objects]], [scale * draw for draw in draws[objects:]]
    )


def _random_places(name: str, objects: int, diameter: float) -> tuple[list[float], list[float]]:
    """Return centers at least a diameter apart, each uniform over what the earlier ones leave free."""
    attempt = 0
    while True:
        draws = (2.0 * uniforms(f"{name}:places", attempt, objects * TRIES, 2) - 1.0).tolist()
        attempt += 1
        x: list[float] = []
        y: list[float] = []
        for disc in range(objects):
            for px, py in draws[disc * TRIES : (disc + 1) * TRIES]:
                gaps = ((px - a, py - b) for a, b in zip(x, y, strict=True))
                if all(dx * dx + dy * dy > diameter * diameter for dx, dy in gaps):
                    x.append(px)
                    y.append(py)
                    break
        if len(x) == objects:
            return x, y


@dataclass
class _Flight:
    """One simulation of a gas: what is predicted for each disc and each pair of discs.

    Attributes:
        gas: Its positions are those at ``since``.
        now: Time of the newest event.
        since: Time of each disc's position.
        walls: Time at which each disc meets its next wall.
        meetings: Time at which each pair (i, j < i) meets, infinite for never, at i (i - 1) / 2 + j.
    """

    gas: DiscGas
    now: float = 0.0
    since: list[float] = field(default_factory=list)
    walls: list[float] = field(default_factory=list)
    meetings: list[float] = field(default_factory=list)

    def run(self, duration: float) -> list[Path]:
        """Simulate, and return the path of each disc."""
        gas, count = self.gas, len(self.gas.x)
        self.since = [0.0] * count
        self.walls = [math.inf] * count
        self.meetings = [math.inf] * (count * (count - 1) // 2)
        pairs = [(i, j) for i in range(count) for j in range(i)]
        paths: list[Path] = [[(0.0, gas.x[i], gas.y[i], gas.u[i], gas.v[i])] for i in range(count)]
        for i in range(count):
            self._predict(i)
        while True:
            wall, meeting = min(self.walls), min(self.meetings, default=math.inf)
            self.now = min(wall, meeting)
            if self.now >= duration:
                break
            if wall <= meeting:
                changed: tuple[int, ...] = (self.walls.index(wall),)
                self._reflect(*changed)
            else:
                changed = pairs[self.meetings.index(meeting)]
                self._exchange(*changed)
            for i in changed:
                self._predict(i)
                paths[i].append((self.now, gas.x[i], gas.y[i], gas.u[i], gas.v[i]))
        self.now = duration
        for i in range(count):
            self._move(i)
        return paths

    def _move(self, i: int) -> None:
        """Move a disc to where it is now."""
        gas, passed = self.gas, self.now - self.since[i]
        gas.x[i] += gas.u[i] * passed
        gas.y[i] += gas.v[i] * passed
        self.since[i] = self.now

    def _reflect(self, i: int) -> None:
        """Reflect a disc at the wall that it touches."""
        gas = self.gas
        self._move(i)
        if abs(gas.x[i]) >= abs(gas.y[i]):
            gas.x[i] = math.copysign(1.0, gas.u[i])
            gas.u[i] = -gas.u[i]
        else:
            gas.y[i] = math.copysign(1.0, gas.v[i])
            gas.v[i] = -gas.v[i]

    def _exchange(self, i: int, j: int) -> None:
        """Let two discs that touch exchange their velocities along the line of centers."""
        gas = self.gas
        self._move(i)
        self._move(j)
        x, y = gas.x[j] - gas.x[i], gas.y[j] - gas.y[i]
        share = ((gas.u[j] - gas.u[i]) * x + (gas.v[j] - gas.v[i]) * y) / (x * x + y * y)
        gas.u[i] += share * x
        gas.v[i] += share * y
        gas.u[j] -= share * x
        gas.v[j] -= share * y

    def _predict(self, i: int) -> None:
        """Predict the next events of a disc whose position is that of now, by the quadratic formula."""
        gas, now = self.gas, self.now
        square = gas.diameter * gas.diameter
        x, y, u, v = gas.x[i], gas.y[i], gas.u[i], gas.v[i]
        self.walls[i] = now + min(_time_to_wall(x, u), _time_to_wall(y, v))
        first = i * (i - 1) // 2
        for j, (xj, yj, uj, vj, since) in enumerate(zip(gas.x, gas.y, gas.u, gas.v, self.since, strict=True)):
            if j == i:
                continue
            passed, du, dv = now - since, uj - u, vj - v
            dx, dy = xj + uj * passed - x, yj + vj * passed - y
            time, approach = math.inf, du * dx + dv * dy
            if approach < 0.0:
                speed = du * du + dv * dv
                root = approach * approach - speed * (dx * dx + dy * dy - square)
                if root > 0.0:
                    time = now + max((-approach - math.sqrt(root)) / speed, 0.0)
            self.meetings[first + j if j < i else j * (j - 1) // 2 + i] = time


def _time_to_wall(position: float, velocity: float) -> float:
    if velocity == 0.0:
        return math.inf
    return (math.copysign(1.0, velocity) - position) / velocity
