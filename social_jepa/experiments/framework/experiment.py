"""Definition of an experiment: a question, conditions that run independently, and metrics with thresholds."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np

from social_jepa.experiments.framework.document import MetricRow
from social_jepa.experiments.framework.score import Estimate, Score
from social_jepa.experiments.framework.threshold import Threshold

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Log: TypeAlias = Callable[[str], None]
Value = TypeVar("Value")


@dataclass(frozen=True)
class Metric:
    """One row of the results table: an estimate beside its null, its baseline and its threshold.

    Attributes:
        name: Name of the row.
        estimate: Estimate over seeds.
        null: Measured chance level: shuffled pairs, a constant prediction.
        baseline: Value of the method that it is compared with.
        untrained: Of a similarity of latents, its value for encoders with initial weights.
        pixel_pca: Of a similarity of latents, its value for principal components of pixels.
        tica: Of a similarity of latents, its value for the most predictable functions of 256 of them.
        threshold: Threshold, set before the run; of a self-test, the bound that every seed meets.
        group: Metrics of one group are adjacent in the table, below its name.
        self_test: Why an identity or a theorem determines the metric, so that it tests the code alone; "" if
            it can fail. A self-test is listed apart and is never counted as a threshold.
    """

    name: str
    estimate: Estimate
    null: float | None = None
    baseline: float | None = None
    threshold: Threshold | None = None
    group: str = ""
    self_test: str = ""
    untrained: float | None = None
    pixel_pca: float | None = None
    tica: float | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for a self-test without a bound."""
        if self.self_test and self.threshold is None:
            raise ValueError(f"{self.name}: a self-test needs a threshold, the bound that it checks")

    @property
    def met(self) -> bool | None:
        """Whether the seeds meet the threshold; None if it is open, without one, and of a self-test."""
        if self.threshold is None or self.self_test:
            return None
        return self.threshold.decide(self.estimate)

    def to_row(self) -> MetricRow:
        """Return the row of the results document; numbers that are not finite become None."""
        low, high = self.estimate.interval
        return MetricRow(
            name=self.name, group=self.group, value=finite_or_none(self.estimate.value),
            low=finite_or_none(low), high=finite_or_none(high),
            by_seed=tuple(finite_or_none(value) for value in self.estimate.seeds),
            null=finite_or_none(self.null), baseline=finite_or_none(self.baseline),
            threshold=None if self.threshold is None else str(self.threshold), met=self.met,
            self_test=self.self_test, untrained=finite_or_none(self.untrained),
            pixel_pca=finite_or_none(self.pixel_pca), tica=finite_or_none(self.tica),
            geometric=self.estimate.geometric, trials=self.estimate.trials,
        )  # fmt: skip


@dataclass(frozen=True)
class ConditionResult:
    """Result of one condition with one seed.

    Attributes:
        scores: Scores on held-out samples, by name.
        arrays: Arrays for plots and metrics, by name: latents, curves, matrices.
        seconds: CPU time of its process; the framework sets it.
        flops: Floating-point operations of training, counted by torch's counter; 0 without training.
    """

    scores: Mapping[str, Score]
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    seconds: float = 0.0
    flops: float = 0.0


class Results:
    """Results of all conditions and seeds of a run."""

    def __init__(
        self, condition_results: Mapping[tuple[str, int], ConditionResult], seeds: Sequence[int]
    ) -> None:
        """Create it from the results by (condition, seed)."""
        self.condition_results = dict(condition_results)
        self.seeds = tuple(seeds)

    @property
    def conditions(self) -> list[str]:
        """Names of the conditions, in the order in which they were run."""
        return list(dict.fromkeys(condition for condition, _ in self.condition_results))

    def estimate(self, condition: str, score: str) -> Estimate:
        """Return the estimate of a score of a condition over all seeds.

        Raises:
            KeyError: The condition has no such score.
        """
        return Estimate.from_scores(
            [self.condition_results[condition, seed].scores[score] for seed in self.seeds]
        )

    def mean(self, condition: str, score: str) -> float:
        """Return the mean of a score over all seeds, for a null or a baseline, which need no interval.

        Raises:
            KeyError: The condition has no such score.
        """
        return float(
            np.mean([self.condition_results[condition, seed].scores[score].score for seed in self.seeds])
        )

    def array(self, condition: str, name: str, seed: int | None = None) -> np.ndarray:
        """Return an array of a condition, by default of the first seed.

        Raises:
            KeyError: The condition has no such array.
        """
        return self.condition_results[condition, self.seeds[0] if seed is None else seed].arrays[name]

    def has_score(self, condition: str, score: str) -> bool:
        """Return whether a condition has a score."""
        return score in self.condition_results[condition, self.seeds[0]].scores

    def has_array(self, condition: str, name: str) -> bool:
        """Return whether a condition has an array."""
        return name in self.condition_results[condition, self.seeds[0]].arrays

    def derived(self, name: str, compute: Callable[[], np.ndarray]) -> np.ndarray:
        """Return an array that is computed from these results, under a name that is unique in the experiment.

        A plot that reads many or large arrays computes what it shows in here: the results document keeps
        the returned array in place of all that `compute` read.
        """
        return compute()


class PartialResults(Results):
    """Results of some conditions of a run; every score and array of another condition is NaN.

    An experiment's own metrics can then be computed of the conditions that ran, and are NaN for the others.
    """

    def __init__(
        self, condition_results: Mapping[tuple[str, int], ConditionResult], seeds: Sequence[int]
    ) -> None:
        """Create it from the results by (condition, seed)."""
        super().__init__(condition_results, seeds)
        self.condition_results = _WithMissing(condition_results)


class _WithMissing(dict[tuple[str, int], ConditionResult]):
    def __missing__(self, key: tuple[str, int]) -> ConditionResult:
        return ConditionResult(_Always(Score.single(math.nan)), _Always(np.array(math.nan)))


class _Always(Mapping[str, Value]):
    """A mapping with one value under every name, which lists none."""

    def __init__(self, value: Value) -> None:
        self._value = value

    def __getitem__(self, name: str) -> Value:
        return self._value

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


@dataclass(frozen=True)
class Experiment:
    """One experiment. The docstring of its module states question, protocol, baselines and thresholds.

    Attributes:
        name: Name on the command line, lowercase words joined by hyphens.
        question: One sentence.
        settings: Frozen dataclass of numbers and strings; its defaults are the full run.
        quick: Overrides for a run of at most three minutes on two CPUs: all conditions and one seed.
        conditions: settings -> names of the conditions of one seed, each of which can run on its own.
        run: (condition, seed, settings, log) -> ConditionResult. Equal arguments give equal results.
        metrics: (results, settings) -> rows of the results table.
        plots: (results, settings) -> matplotlib figures by file name without suffix. Plots read results by
            its methods alone, so that they can be drawn again from the results document.
        notes: (results, settings) -> sentences for the page: failures, omissions, costs.
        methods: settings -> data, splits, model, training and scores, as a paper's methods section states
            them, with every number from the settings; the statistics are added.
        seeds: Seeds of the full run; a run with another number of seeds begins with the same one, and a quick
            run with 0.
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
    methods: Callable[[Any], str] = lambda settings: ""
    seeds: range = range(3)


def finite_or_none(value: float | None) -> float | None:
    """Return a number that JSON can represent, or None for NaN and infinities."""
    return None if value is None or not math.isfinite(value) else float(value)
