"""Scores on held-out samples of each seed, and their mean over seeds with its confidence interval.

The 95 % interval is that of Student's t over seeds: it covers as often as it says where the scores of seeds
are normal, and needs at least two seeds. Samples of one seed are not independent of each other as seeds are,
so that they widen or narrow nothing.
"""

import math
from collections.abc import Sequence
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
    """

    seeds: tuple[float, ...]

    @classmethod
    def from_scores(cls, scores: Sequence[Score]) -> "Estimate":
        """Return the estimate from the score of each seed, in the order of the seeds.

        Raises:
            ValueError: There are no scores.
        """
        if not scores:
            raise ValueError("an estimate needs the score of at least one seed")
        return cls(tuple(score.score for score in scores))

    def __sub__(self, other: "Estimate") -> "Estimate":
        """Return the paired difference, seed by seed."""
        return Estimate(tuple(a - b for a, b in zip(self.seeds, other.seeds, strict=True)))

    @property
    def value(self) -> float:
        """The mean over seeds."""
        return float(np.mean(self.seeds))

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of Student's t over seeds; NaN for a single seed."""
        return t_interval(self.seeds)


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
