"""Scores on held-out samples of each seed, and their mean over seeds with its confidence interval.

The 95 % interval is that of Student's t over seeds: it covers as often as it says where the scores of seeds
are normal, and needs at least two seeds. Samples of one seed are not independent of each other as seeds are,
so that they widen or narrow nothing. A quantity that is positive and is compared by factors, as a ratio of
costs or a condition number, has the mean and the interval of its logarithm instead: an arithmetic one could
reach below 0. A rare event has the interval of its rate over independent trials (Clopper and Pearson 1934):
where it never happened, scores of seeds do not vary, and their interval would have no width.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95


@dataclass(frozen=True, eq=False)
class Score:
    """One score of one seed, as sums over held-out samples.

    The score is ``mean(values)``, or ``1 - mean(values) / mean(deviations)`` if deviations are given (R2).

    Attributes:
        values: float64 [n], hits or squared errors; one value if a score is no mean over samples.
        deviations: float64 [n], squared deviations from the mean, or None.
    """

    values: np.ndarray
    deviations: np.ndarray | None = None

    @classmethod
    def mean(cls, values: np.ndarray) -> "Score":
        """Return the mean over samples of values, for instance of hits (0 or 1), [n]."""
        return cls(np.asarray(values, dtype=np.float64).reshape(-1))

    @classmethod
    def single(cls, value: float) -> "Score":
        """Return a score that is no mean over samples: its interval comes from seeds alone."""
        return cls(np.array([value], dtype=np.float64))

    @classmethod
    def r2(cls, predicted: np.ndarray, target: np.ndarray) -> "Score":
        """Return R2, averaged over columns, of predictions, [n, K] against [n, K].

        Columns are standardized first, so that each has the same weight.
        """
        target = np.asarray(target, dtype=np.float64).reshape(len(target), -1)
        predicted = np.asarray(predicted, dtype=np.float64).reshape(target.shape)
        centered = target - target.mean(0)
        scale = np.maximum(centered.std(0), 1e-12)
        errors = np.square((predicted - target) / scale).mean(1)
        return cls(errors, np.square(centered / scale).mean(1))

    @classmethod
    def pooled_r2(cls, predicted: np.ndarray, target: np.ndarray) -> "Score":
        """Return R2, pooled over columns, of predictions, [n, K] against [n, K].

        The R2 of `alignment.score.r2`; for white columns it equals `r2`.
        """
        target = np.asarray(target, dtype=np.float64)
        errors = np.square(np.asarray(predicted, dtype=np.float64) - target).sum(1)
        return cls(errors, np.square(target - target.mean(0)).sum(1))

    @classmethod
    def average(cls, scores: Sequence["Score"]) -> "Score":
        """Return the mean of several scores, for instance of edges, on the same samples.

        Raises:
            ValueError: There are no scores, or they differ in kind or number of samples.
        """
        kinds = {(len(score.values), score.deviations is None) for score in scores}
        if len(kinds) != 1:
            raise ValueError(f"an average needs scores of one kind on the same samples, got {sorted(kinds)}")
        pairs = [(score.values, score.deviations) for score in scores]
        values = [v if d is None else v / max(d.mean(), 1e-12) for v, d in pairs]
        deviations = [d / max(d.mean(), 1e-12) for _, d in pairs if d is not None]
        return cls(np.mean(values, axis=0), np.mean(deviations, axis=0) if deviations else None)

    def counting_missing(self, found: int, expected: int) -> "Score":
        """Return an R2 over `found` white columns as one over `expected` columns, the others unexplained.

        Without fewer columns than expected it is the same.

        Raises:
            ValueError: It is no R2.
        """
        if self.deviations is None:
            raise ValueError("only an R2 has columns that may be missing")
        unexplained = max(0, expected - found) / found * self.deviations
        return Score(self.values + unexplained, self.deviations + unexplained)

    @property
    def score(self) -> float:
        """The score on all samples."""
        if self.deviations is None:
            return float(self.values.mean())
        return 1 - float(self.values.mean()) / max(float(self.deviations.mean()), 1e-12)


@dataclass(frozen=True)
class Estimate:
    """Mean of a score over seeds; estimates of one experiment can be subtracted.

    Attributes:
        seeds: Score of each seed.
        geometric: Whether mean and interval are geometric, those of the logarithm.
        trials: Of a rate, the number of independent trials in all seeds; 0 if it is none.
    """

    seeds: tuple[float, ...]
    geometric: bool = False
    trials: int = 0

    @classmethod
    def from_scores(cls, scores: Sequence[Score]) -> "Estimate":
        """Return the estimate from the score of each seed, in the order of the seeds.

        Raises:
            ValueError: There are no scores.
        """
        if not scores:
            raise ValueError("an estimate needs the score of at least one seed")
        return cls(tuple(score.score for score in scores))

    @classmethod
    def highest(cls, estimates: Iterable["Estimate"]) -> "Estimate":
        """Return the highest score of each seed; NaN where one is."""
        return cls(tuple(np.max([estimate.seeds for estimate in estimates], axis=0).tolist()))

    @classmethod
    def lowest(cls, estimates: Iterable["Estimate"]) -> "Estimate":
        """Return the lowest score of each seed; NaN where one is."""
        return cls(tuple(np.min([estimate.seeds for estimate in estimates], axis=0).tolist()))

    def __post_init__(self) -> None:
        """Have the arithmetic mean where a score is not positive, as such scores have no logarithm."""
        object.__setattr__(self, "geometric", self.geometric and all(score > 0 for score in self.seeds))

    def as_geometric(self) -> "Estimate":
        """Return it with the geometric mean and its interval, if every score is positive."""
        return Estimate(self.seeds, geometric=True)

    def as_rate(self, trials: int) -> "Estimate":
        """Return it with the interval of a rate over independent trials, whose share each seed's score is."""
        return Estimate(self.seeds, trials=trials)

    def __sub__(self, other: "Estimate") -> "Estimate":
        """Return the paired difference, seed by seed, with its arithmetic mean."""
        return Estimate(tuple(a - b for a, b in zip(self.seeds, other.seeds, strict=True)))

    def complement(self) -> "Estimate":
        """Return one minus the score of each seed: of an R2 the unexplained share, of a loss the ratio."""
        return Estimate(tuple(1 - score for score in self.seeds))

    @property
    def value(self) -> float:
        """The mean over seeds, arithmetic or geometric."""
        if self.geometric:
            return float(np.exp(np.mean(np.log(self.seeds))))
        return float(np.mean(self.seeds))

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval, of a rate over its trials, else of Student's t over seeds; NaN for one seed."""
        if self.trials and len(self.seeds) > 1:
            return rate_interval(self.value, self.trials)
        if self.geometric:
            low, high = t_interval([math.log(score) for score in self.seeds])
            return math.exp(low), math.exp(high)
        return t_interval(self.seeds)


def rate_interval(rate: float, trials: int) -> tuple[float, float]:
    """Return the 95 % interval of a rate over independent trials (Clopper and Pearson 1934)."""
    from scipy.special import betaincinv  # late, as below

    if not 0 <= rate <= 1:
        return math.nan, math.nan
    hits, tail = rate * trials, (1 - CONFIDENCE) / 2
    low = betaincinv(hits, trials - hits + 1, tail) if hits > 0 else 0.0
    high = betaincinv(hits + 1, trials - hits, 1 - tail) if hits < trials else 1.0
    return float(low), float(high)


def t_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % interval of Student's t, ``mean +- t s / sqrt(n)``.

    It is NaN for a single value, or where a value is not finite.
    """
    from scipy.special import stdtrit  # late: commands that compute no interval load no scipy

    count = len(values)
    if count < 2 or not np.isfinite(values).all():
        return math.nan, math.nan
    mean = float(np.mean(values))
    half = stdtrit(count - 1, (1 + CONFIDENCE) / 2) * np.std(values, ddof=1) / math.sqrt(count)
    return float(mean - half), float(mean + half)
