"""Metrics and notes of counting: thresholds, scores of each condition and of the ink, distances."""

import numpy as np

from social_jepa.experiments.counting.settings import COUNTS, PAIRS, Settings
from social_jepa.experiments.framework.experiment import Metric, Results
from social_jepa.experiments.framework.score import Estimate, Score
from social_jepa.experiments.framework.threshold import Threshold

SCORES = (  # (score, name in the table, null)
    ("clusters", "clusters", ""),
    ("cluster accuracy", "frames in a cluster of their count", ""),
    ("separable pairs", f"separable pairs of {PAIRS}", "separable pairs, shuffled"),
    ("separable pairs, with noise", f"separable pairs of {PAIRS}, with noise", "separable pairs, shuffled"),
    ("minimum pair accuracy", "accuracy of the least separable pair", ""),
    ("mean pair accuracy", "accuracy, mean over pairs", "mean pair accuracy, shuffled"),
    ("accuracy", "accuracy of a linear discriminant", "accuracy, shuffled"),
    (
        "accuracy, with noise",
        "accuracy of a linear discriminant, with noise",
        "accuracy, shuffled",
    ),
    ("R2", "R2 of least squares", "R2, shuffled"),
    ("effective rank", "effective rank", ""),
    ("effective rank above the floor", "effective rank above the floor", ""),
    ("relative spread", "spread relative to untrained", ""),
    ("variance share", "variance relative to the mean square", ""),
)


INK_SCORES = (  # (score, name in the table)
    ("ink, table: accuracy", "ink alone: accuracy of a table of exact amounts"),
    ("ink, table: separable pairs", f"ink alone: separable pairs of {PAIRS}, by a table of exact amounts"),
    ("ink, linear: accuracy", "ink alone: accuracy of a linear discriminant"),
    ("ink, linear: separable pairs", f"ink alone: separable pairs of {PAIRS}, by a linear discriminant"),
)


def metrics(results: Results, settings: Settings) -> list[Metric]:
    """Return the metrics of the results table."""
    return [
        *_threshold_metrics(results),
        *(Metric(name, results.estimate("untrained", score), group="ink") for score, name in INK_SCORES),
        *(metric for condition in results.conditions for metric in _condition_metrics(results, condition)),
        *_distance_metrics(results),
    ]


def _threshold_metrics(results: Results) -> list[Metric]:
    joint, reward = (results.estimate(name, "separable pairs") for name in ("joint", "reward-only"))
    ink = results.mean("untrained", "ink, linear: separable pairs")
    floored, spread, group = "effective rank above the floor", "relative spread", "thresholds"
    return [
        Metric(
            f"joint: separable pairs of {PAIRS}", joint, results.mean("joint", "separable pairs, shuffled"),
            ink, Threshold(">=", 35.5), group,
        ),
        Metric(
            f"reward-only: separable pairs of {PAIRS}", reward,
            results.mean("reward-only", "separable pairs, shuffled"), ink, Threshold("<=", 30), group,
        ),
        Metric(
            "reward-only minus joint: separable pairs", reward - joint, null=0.0,
            threshold=Threshold("<", -3), group=group,
        ),
        Metric(
            f"dynamics-only: {floored}", results.estimate("dynamics-only", floored),
            baseline=results.mean("untrained", floored), threshold=Threshold("<", 1.5), group=group,
        ),
        Metric(
            "dynamics-only: spread relative to untrained", results.estimate("dynamics-only", spread),
            baseline=results.mean("untrained", spread), threshold=Threshold("<", 0.01), group=group,
        ),
    ]  # fmt: skip


def _condition_metrics(results: Results, condition: str) -> list[Metric]:
    table = [
        Metric(
            f"{condition}: {name}", results.estimate(condition, score),
            null=results.mean(condition, null) if null else None,
            baseline=None if condition == "untrained" else results.mean("untrained", score),
            group=condition,
        )
        for score, name, null in SCORES
    ]  # fmt: skip
    for name in ("dynamics loss", "head loss"):
        if results.has_score(condition, name):
            table.append(Metric(f"{condition}: {name}", results.estimate(condition, name), group=condition))
    return table


def _distance_metrics(results: Results) -> list[Metric]:
    """Return the largest distance of a detached latent from dynamics-only, relative to the untrained spread.

    It is small, but not 0: gradients are clipped together with those of the head.
    """
    if "detached" not in results.conditions:
        return []
    name = "detached: largest distance of a latent from dynamics-only, relative to the untrained spread"
    return [Metric(name, _distance(results, "detached"), group="controls")]


def _distance(results: Results, condition: str) -> Estimate:
    distances = []
    for seed in results.seeds:
        latents, dynamics_only, untrained = (
            results.array(name, "latents", seed) for name in (condition, "dynamics-only", "untrained")
        )
        spread = np.sqrt(untrained.var(0).sum())
        distances.append(Score.single(float(np.abs(latents - dynamics_only).max() / spread)))
    return Estimate.from_scores(distances)


def notes(results: Results, settings: Settings) -> list[str]:
    """Return differences from the paper, the collapse of dynamics-only, and what joint misses."""
    rank = results.estimate("dynamics-only", "effective rank").value
    spread = results.estimate("dynamics-only", "relative spread").value
    return [
        "The paper trains 300,000 steps of 256 transitions of episodes with latents of 256 dimensions; here "
        f"{settings.steps:,} steps of {settings.batch_size} independent transitions with latents of "
        f"{settings.dim}.",
        f"Dynamics-only: the spread decreases to {spread:.2g} of the untrained one; its effective rank is "
        f"{rank:.2f}, which does not depend on scale. Linear scores without noise amplify what is left.",
        *_missed_notes(results),
    ]


def _missed_notes(results: Results) -> list[str]:
    """Return the pairs and clusters that the joint condition misses."""
    pairs, clusters = (results.estimate("joint", name).value for name in ("separable pairs", "clusters"))
    lines = []
    if pairs < PAIRS:
        accuracy = np.mean([results.array("joint", "pair accuracy", seed) for seed in results.seeds], axis=0)
        x, y = np.unravel_index(np.nanargmin(accuracy), accuracy.shape)
        lines.append(
            f"Joint misses {PAIRS - pairs:.3g} of {PAIRS} pairs; the least separable in the mean over seeds "
            f"is {x} and {y}, at {accuracy[x, y]:.3f}."
        )
    if clusters != COUNTS:
        lines.append(
            f"Joint: {clusters:.3g} clusters of {COUNTS}. A linear discriminant needs about five standard "
            "deviations between two counts, an empty gap in the density about eight."
        )
    return lines
