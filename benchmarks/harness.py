"""Metrics and their thresholds, and timing two measurements in turns on a busy machine."""

import math
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

Measurement = Callable[[], Mapping[str, float]]  # one round: values by name


class BenchmarkError(RuntimeError):
    """A benchmark cannot be run; the message names the cause and the remedy."""


@dataclass(frozen=True)
class Threshold:
    """A bound set beforehand.

    Attributes:
        bound: The bound.
        is_minimum: Whether the value must be at least the bound; otherwise at most.
        of_ratio: Whether the bound applies to the ratio to the reference instead of the value.
    """

    bound: float
    is_minimum: bool
    of_ratio: bool = False

    def met(self, value: float) -> bool:
        """Return whether a value is on the right side of the bound; NaN never is."""
        return value >= self.bound if self.is_minimum else value <= self.bound

    def __str__(self) -> str:
        return f"{'≥' if self.is_minimum else '≤'} {format_number(self.bound)}{'x' if self.of_ratio else ''}"


def at_least(bound: float, of_ratio: bool = False) -> Threshold:
    """Return a lower bound as a threshold."""
    return Threshold(bound, True, of_ratio)


def at_most(bound: float, of_ratio: bool = False) -> Threshold:
    """Return an upper bound as a threshold."""
    return Threshold(bound, False, of_ratio)


@dataclass(frozen=True)
class Metric:
    """One measured value beside its reference.

    Attributes:
        name: What was measured, in words.
        value: Ours.
        unit: Of both values.
        reference: What it is compared with, in words.
        reference_value: Measured or counted in the same run.
        threshold: Bound on the value or the ratio, if any.
    """

    name: str
    value: float
    unit: str
    reference: str
    reference_value: float
    threshold: Threshold | None = None

    @property
    def ratio(self) -> float:
        """Value over reference; NaN unless the reference is positive."""
        return self.value / self.reference_value if self.reference_value > 0 else math.nan

    @property
    def met(self) -> bool | None:
        """Whether the threshold is met; None without a threshold."""
        if self.threshold is None:
            return None
        return self.threshold.met(self.ratio if self.threshold.of_ratio else self.value)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, with None in place of NaN and infinity."""
        threshold = self.threshold and asdict(self.threshold)
        plain = asdict(self) | {"ratio": self.ratio, "threshold": threshold, "met": self.met}
        return {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in plain.items()
        }


@dataclass(frozen=True)
class Effort:
    """Amount of work to spend.

    Attributes:
        rounds: Rounds in which ours and the reference take turns.
        size: Share of the usual work in each round; tests use a small one.
        settings: Overrides for every simulation, KEY=VALUE.
    """

    rounds: int = 7
    size: float = 1.0
    settings: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        """Raise ValueError for an effort that measures nothing."""
        if self.rounds < 1 or not self.size > 0:
            raise ValueError(
                f"rounds must be at least 1 and size above 0, got {self.rounds} and {self.size:g}"
            )

    def of(self, count: int) -> int:
        """Return the share of a count, at least 1."""
        return max(1, round(self.size * count))


def alternate(measurements: Mapping[str, Measurement], rounds: int) -> dict[str, dict[str, float]]:
    """Run several measurements in turns and return the median of each of their values.

    The load of the machine varies; in turns it slows all measurements alike. The order is reversed every
    other round, so that none always follows the same one. With more than one round, every measurement first
    runs once uncounted, to fill caches and let libraries choose their algorithms.
    """
    if rounds > 1:
        for measurement in measurements.values():
            measurement()
    values: dict[str, list[Mapping[str, float]]] = {name: [] for name in measurements}
    for number in range(rounds):
        log(f"  round {number + 1} of {rounds}")
        for name in list(measurements)[:: -1 if number % 2 else 1]:
            values[name].append(measurements[name]())
    return {
        name: {key: statistics.median(each[key] for each in found) for key in found[0]}
        for name, found in values.items()
    }


def seconds(work: Callable[[], object]) -> float:
    """Return the wall-clock seconds of a function call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


class CpuTimer:
    """CPU seconds of this process by section, over all its threads.

    A rate per CPU is work by CPU second: the load of other processes does not count, and the threads that
    libraries start do.
    """

    def __init__(self) -> None:
        """Start with no sections."""
        self.sections: dict[str, float] = {}

    def timed(self, section: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """Return a wrapper that adds the CPU time of each call to a section."""

        def call(*args: Any, **kwargs: Any) -> Any:
            began = time.process_time()
            try:
                return work(*args, **kwargs)
            finally:
                self.sections[section] = self.sections.get(section, 0.0) + time.process_time() - began

        return call

    def wrap(self, owner: Any, method: str, section: str) -> None:
        """Time a method of an object, or of all objects of a class, from now on."""
        setattr(owner, method, self.timed(section, getattr(owner, method)))


def log(text: str) -> None:
    """Print progress to stderr."""
    print(text, file=sys.stderr, flush=True)


def format_number(value: float) -> str:
    """Return a number with about four digits, large ones in groups of three."""
    if not math.isfinite(value):
        return "–"
    if value == 0 or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}" if abs(value) >= 1 else f"{value:.3g}"
