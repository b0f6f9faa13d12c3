"""Scores on held-out samples and their confidence intervals.

An interval comes from a two-level bootstrap: seeds are resampled with replacement, and within each resampled
seed its samples. Both levels resample the same rows for every score of an experiment, so that the difference
of two methods tested on the same samples is a paired difference.

Coverage of these intervals, simulated with 200 samples of unit standard deviation per seed: 99 % where
seeds hardly differ, and 92 % with three seeds whose means have a standard deviation of 0.1. With 0.3, more
than the samples' standard error, 78 % with three seeds, 86 % with five and 93 % with ten: few seeds are too
few to estimate how much seeds differ. Student's t over seeds (`Estimate.t_interval`) needs no samples, and is
right where the scores of seeds are normal.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

RESAMPLES = 1000
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

    def resampled(self, counts: np.ndarray) -> np.ndarray:
        """Return the score of each resample, [R], given how often each sample is drawn, counts [R, n]."""
        drawn = counts.sum(1)
        values = counts @ self.values / drawn
        if self.deviations is None:
            return values
        return 1 - values / np.maximum(counts @ self.deviations / drawn, 1e-12)


@dataclass(frozen=True, eq=False)
class Estimate:
    """Mean over seeds with its bootstrap resamples; estimates of one experiment can be subtracted.

    Attributes:
        value: Mean of the seeds' scores.
        resamples: float64 [R].
        seeds: Score of each seed.
    """

    value: float
    resamples: np.ndarray
    seeds: tuple[float, ...]

    @classmethod
    def from_scores(cls, scores: Sequence[Score], resamples: int = RESAMPLES) -> "Estimate":
        """Return the estimate from the score of each seed, in the order of the seeds.

        Raises:
            ValueError: There are no scores.
        """
        if not scores:
            raise ValueError("an estimate needs the score of at least one seed")
        drawn_seeds = _generator(0).integers(len(scores), size=(resamples, len(scores)))
        by_seed = np.stack([
            score.resampled(_counts(seed, len(score.values), resamples)) for seed, score in enumerate(scores)
        ])  # fmt: skip
        resampled = np.take_along_axis(by_seed.T, drawn_seeds, axis=1).mean(1)
        seeds = tuple(score.score for score in scores)
        return cls(float(np.mean(seeds)), resampled, seeds)

    def __sub__(self, other: "Estimate") -> "Estimate":
        """Return the paired difference, resample by resample and seed by seed."""
        seeds = tuple(a - b for a, b in zip(self.seeds, other.seeds, strict=True))
        return Estimate(self.value - other.value, self.resamples - other.resamples, seeds)

    @property
    def t_interval(self) -> tuple[float, float]:
        """The 95 % interval of Student's t over seeds."""
        return t_interval(self.seeds)

    @property
    def interval(self) -> tuple[float, float]:
        """The middle 95 % of the resamples; NaN for a single number of a single seed."""
        if len(self.seeds) < 2 and float(np.ptp(self.resamples)) == 0:
            return math.nan, math.nan
        tail = 50 * (1 - CONFIDENCE)
        low, high = np.percentile(self.resamples, [tail, 100 - tail])
        return float(low), float(high)


def t_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % interval of Student's t, ``mean +- t s / sqrt(n)``; NaN for a single value."""
    from scipy.special import stdtrit  # late: commands that compute no interval load no scipy

    count, mean = len(values), float(np.mean(values))
    if count < 2:
        return math.nan, math.nan
    half = stdtrit(count - 1, (1 + CONFIDENCE) / 2) * np.std(values, ddof=1) / math.sqrt(count)
    return float(mean - half), float(mean + half)


def _counts(seed: int, samples: int, resamples: int) -> np.ndarray:
    """Return the draw counts of each sample of a seed, [R, n]; equal arguments give equal counts."""
    if samples == 1:
        return np.ones((resamples, 1))
    return _sample_counts(seed, samples, resamples).astype(np.float64)


@lru_cache(maxsize=16)  # scores of a seed with the same number of samples share their counts
def _sample_counts(seed: int, samples: int, resamples: int) -> np.ndarray:
    shares = np.full(samples, 1 / samples)
    counts = _generator(1 + seed).multinomial(samples, shares, size=resamples)
    return counts.astype(np.uint16 if samples < 2**16 else np.uint32)


def _generator(stream: int) -> np.random.Generator:
    return np.random.default_rng([20_26, stream])
