"""What an experiment is: a question, parts that run by themselves, and figures with goals set beforehand."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from social_jepa.experiments.framework.score import Estimate, Score

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Log: TypeAlias = Callable[[str], None]


@dataclass(frozen=True)
class Threshold:
    """A threshold that was set before the run; NaN never meets it."""

    sign: str  # one of >= <= > < ==
    value: float

    def __post_init__(self) -> None:
        """Refuse a sign that compares nothing."""
        if self.sign not in (">=", "<=", ">", "<", "=="):
            raise ValueError(f"a goal compares by >=, <=, >, < or ==, got {self.sign!r}")

    def met(self, value: float) -> bool:
        """Return whether a value meets it."""
        return {
            ">=": value >= self.value, "<=": value <= self.value, ">": value > self.value,
            "<": value < self.value, "==": value == self.value,
        }[self.sign]  # fmt: skip

    def __str__(self) -> str:
        """Return it as a reader writes it."""
        return f"{self.sign} {self.value:g}"


@dataclass(frozen=True)
class Metric:
    """One line of the results: a value with its interval, beside its null, its baseline and its goal."""

    name: str
    estimate: Estimate
    null: float | None = None  # what chance gives, measured: shuffled pairs, a constant guess
    baseline: float | None = None  # what the method that it is compared with gives
    threshold: Threshold | None = None
    group: str = ""  # figures of one group stand together in the page's table

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None without one."""
        return None if self.threshold is None else self.threshold.met(self.estimate.value)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values; what is no number is None."""
        low, high = self.estimate.interval
        return {
            "name": self.name, "group": self.group, "value": _plain(self.estimate.value), "low": _plain(low),
            "high": _plain(high), "seeds": [_plain(seed) for seed in self.estimate.seeds],
            "null": _plain(self.null), "baseline": _plain(self.baseline),
            "goal": None if self.threshold is None else str(self.threshold), "met": self.met,
        }  # fmt: skip


@dataclass(frozen=True)
class ConditionResult:
    """What one part found with one seed.

    Attributes:
        measures: By name, what was scored on held-out samples.
        arrays: By name, what the pictures need: latents, curves, matrices.
        seconds: Wall time; the harness fills it in.
        flops: Floating-point operations of training, counted by torch's counter; 0 where nothing is trained.
    """

    scores: Mapping[str, Score]
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    seconds: float = 0.0
    flops: float = 0.0


class Results:
    """The outcomes of all parts and seeds of a run."""

    def __init__(self, outcomes: Mapping[tuple[str, int], ConditionResult], seeds: Sequence[int]) -> None:
        """Take outcomes by (part, seed)."""
        self.condition_results = dict(outcomes)
        self.seeds = tuple(seeds)

    def estimate(self, condition: str, score: str) -> Estimate:
        """Return a measure of a part over all seeds.

        Raises:
            KeyError: The part measured no such thing.
        """
        return Estimate.from_scores(
            [self.condition_results[condition, seed].scores[score] for seed in self.seeds]
        )

    def mean(self, condition: str, score: str) -> float:
        """Return a measure's mean over all seeds, for a null or a baseline, which need no interval.

        Raises:
            KeyError: The part measured no such thing.
        """
        return float(
            np.mean([self.condition_results[condition, seed].scores[score].score for seed in self.seeds])
        )

    def array(self, condition: str, name: str, seed: int | None = None) -> np.ndarray:
        """Return an array of a part, by default of the first seed."""
        return self.condition_results[condition, self.seeds[0] if seed is None else seed].arrays[name]


@dataclass(frozen=True)
class Experiment:
    """One experiment. Its file states question, protocol, baselines and goals in the docstring at its top.

    Attributes:
        name: As typed on the command line, words joined by hyphens.
        question: One sentence.
        settings: A frozen dataclass of numbers and words; its defaults are the full run.
        quick: Settings that make it a run of at most three minutes on two cores, all parts and one seed.
        parts: Names of the pieces of work of one seed, given the settings; each may run by itself.
        run: (part, seed, settings, say) -> Outcome. Equal arguments give equal outcomes.
        figures: (results, settings) -> the lines of the table.
        pictures: (results, settings) -> matplotlib figures by file name, without an ending.
        notes: (results, settings) -> sentences for the page: what failed, what is left out, costs.
    """

    name: str
    question: str
    settings: type
    quick: Mapping[str, Any]
    conditions: Callable[[Any], Sequence[str]]
    run: Callable[[str, int, Any, Log], ConditionResult]
    metrics: Callable[[Results, Any], Sequence[Metric]]
    plots: Callable[[Results, Any], Mapping[str, "Figure"]]
    notes: Callable[[Results, Any], Sequence[str]] = lambda results, settings: ()


def missed_thresholds(figures: Sequence[Metric]) -> list[str]:
    """Return a sentence for each goal that was missed, for the notes."""
    return [
        f"Missed: {line.name} is {line.estimate.value:.3f}, the goal {line.threshold}."
        for line in figures
        if line.met is False
    ]


def _plain(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)
