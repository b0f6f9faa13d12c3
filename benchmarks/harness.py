"""What a figure is, when it meets its goal, and how to time two things fairly on a busy machine."""

import math
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

Measure = Callable[[], Mapping[str, float]]  # one round: named figures


class BenchmarkError(RuntimeError):
    """A benchmark could not be run; the text says which part and what to do."""


@dataclass(frozen=True)
class Goal:
    """What a figure should reach.

    Attributes:
        bound: Where the goal lies.
        least: Whether the bound is the least that will do; else it is the most.
        of_ratio: Whether it is the ratio to the reference that counts, not the figure itself.
    """

    bound: float
    least: bool
    of_ratio: bool = False

    def met(self, value: float) -> bool:
        """Whether a value is on the right side of the bound; no number never is."""
        return value >= self.bound if self.least else value <= self.bound

    def __str__(self) -> str:
        return f"{'≥' if self.least else '≤'} {brief(self.bound)}{'x' if self.of_ratio else ''}"


def at_least(bound: float, of_ratio: bool = False) -> Goal:
    """Return the goal of reaching a bound from above."""
    return Goal(bound, True, of_ratio)


def at_most(bound: float, of_ratio: bool = False) -> Goal:
    """Return the goal of staying at or below a bound."""
    return Goal(bound, False, of_ratio)


@dataclass(frozen=True)
class Metric:
    """One measured figure beside its reference.

    Attributes:
        name: What was measured, in words.
        value: Ours.
        unit: What both values are counted in.
        reference: What stands beside it, in words.
        reference_value: Measured or counted in the same run.
        goal: What ours should reach, if anybody promised.
    """

    name: str
    value: float
    unit: str
    reference: str
    reference_value: float
    goal: Goal | None = None

    @property
    def ratio(self) -> float:
        """Ours over the reference; NaN beside nothing or less, as of figures that may be negative."""
        return self.value / self.reference_value if self.reference_value > 0 else math.nan

    @property
    def met(self) -> bool | None:
        """Whether the goal was reached; None without a goal."""
        if self.goal is None:
            return None
        return self.goal.met(self.ratio if self.goal.of_ratio else self.value)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, with null for what is no number."""
        plain = asdict(self) | {"ratio": self.ratio, "goal": self.goal and asdict(self.goal), "met": self.met}
        return {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in plain.items()
        }


@dataclass(frozen=True)
class Effort:
    """How much work to spend.

    Attributes:
        rounds: How often ours and the reference take turns.
        size: Share of the usual work in each round; tests use a small one.
        settings: Laid over the settings of every simulation that is run.
    """

    rounds: int = 7
    size: float = 1.0
    settings: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        """Refuse what measures nothing."""
        if self.rounds < 1 or not self.size > 0:
            raise ValueError(
                f"rounds must be at least 1 and size above 0, got {self.rounds} and {self.size:g}"
            )

    def of(self, count: int) -> int:
        """Return that share of a count, at least 1."""
        return max(1, round(self.size * count))


def alternate(measures: Mapping[str, Measure], rounds: int) -> dict[str, dict[str, float]]:
    """Let several measures take turns and return the median of each of their figures.

    What else runs on the machine comes and goes; in turns it slows all of them alike, and the order is
    reversed every other round so that nobody always follows the same one. Before the rounds, if there are
    several, everything runs once uncounted: caches fill and libraries choose their algorithms in it.
    """
    if rounds > 1:
        for measure in measures.values():
            measure()
    seen: dict[str, list[Mapping[str, float]]] = {name: [] for name in measures}
    for number in range(rounds):
        say(f"  round {number + 1} of {rounds}")
        for name in list(measures)[:: -1 if number % 2 else 1]:
            seen[name].append(measures[name]())
    return {
        name: {key: statistics.median(each[key] for each in found) for key in found[0]}
        for name, found in seen.items()
    }


def seconds(work: Callable[[], object]) -> float:
    """Return how long some work takes, by the clock on the wall."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


class CpuStopwatch:
    """CPU seconds of this process by part, all its threads counted.

    A rate per core is work by CPU second: what other processes take of the machine does not count, and
    threads that a library starts behind one's back do.
    """

    def __init__(self) -> None:
        """Start with nothing counted."""
        self.parts: dict[str, float] = {}

    def timed(self, part: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """Return the same function, whose CPU time is added to a part at every call."""

        def call(*args: Any, **kwargs: Any) -> Any:
            began = time.process_time()
            try:
                return work(*args, **kwargs)
            finally:
                self.parts[part] = self.parts.get(part, 0.0) + time.process_time() - began

        return call

    def watch(self, owner: Any, method: str, part: str) -> None:
        """Time a method of an object, or of all objects of a class, from now on."""
        setattr(owner, method, self.timed(part, getattr(owner, method)))


def say(text: str) -> None:
    """Tell the person who waits."""
    print(text, file=sys.stderr, flush=True)


def brief(value: float) -> str:
    """Return a number as people write it: about four digits, large ones in groups of three."""
    if not math.isfinite(value):
        return "–"
    if value == 0 or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}" if abs(value) >= 1 else f"{value:.3g}"
