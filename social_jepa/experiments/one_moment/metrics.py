"""Metrics and notes of one-moment: the threshold, methods by number of moments, spacings, and found cores."""

import numpy as np

from social_jepa.experiments.common.similarity_baselines import (
    METHODS,
    UNTRAINED,
    Baselines,
    baseline_name,
    similarity,
)
from social_jepa.experiments.framework.experiment import Metric, Results
from social_jepa.experiments.framework.score import Estimate
from social_jepa.experiments.framework.threshold import Threshold
from social_jepa.experiments.one_moment.scores import (
    ORTHOGONAL,
    PERMUTATION,
    SHRUNK,
    SHRUNK_ORTHOGONAL,
    SIGNS,
    SKEWNESS,
    null_name,
)
from social_jepa.experiments.one_moment.settings import Settings

LEAST_R2 = 0.9
BESIDE = "baseline: orthogonal map, shrunk beside shrunk signs; null: moments shifted in time"
SEARCH_NOTE = (
    "Searched on seed 100 alone, at a spacing of 0.025: how many ticks axes are found on. Signs from one "
    "moment gave 0.888 with 65,536 ticks, 0.930 with 131,072 and 0.931 with 196,608; shrunk signs 0.896, "
    "0.930 and 0.930. Frames of MiniWorld, tried first, gave 0.904 with 92,415 ticks and cost twice as much."
)
ORDER_NOTE = (
    "Axes are sorted by autocorrelations on all ticks that they were found on. In a run they are sorted on "
    "2,048 ticks, where the estimate of one has a standard deviation of 0.02: neighbors 0.025 apart then "
    "often change places."
)


def make_metrics(results: Results, settings: Settings) -> list[Metric]:
    """Return the metrics of the results table."""
    distinct = settings.condition(settings.distinct_spacing)
    table = [_metric(results, distinct, SIGNS, 1, "threshold", Threshold(">=", LEAST_R2))]
    group = f"distinct autocorrelations; {BESIDE}"
    table.append(_gain(results, distinct, group))
    shown = {SIGNS: settings.moments[1:], SHRUNK: settings.moments, PERMUTATION: settings.moments}
    for method, counts in shown.items():
        table += [_metric(results, distinct, method, count, group) for count in counts]
    group = f"other spacings; {BESIDE}"
    for condition in settings.conditions:
        if condition != distinct:
            for method, count in ((SIGNS, 1), (PERMUTATION, 1), (PERMUTATION, settings.moments[-1])):
                table.append(_metric(results, condition, method, count, group))
    for condition in settings.conditions:
        estimate = results.estimate(condition, SKEWNESS)
        null = results.mean(condition, null_name(SKEWNESS))
        name = f"R2: {condition}, skewness"
        table.append(Metric(name, estimate, null, group="no moment; null: random signs"))
    group = f"share of agents that found {settings.factors} axes, the number of factors"
    table += [
        Metric(condition, results.estimate(condition, "exact cores"), group=group)
        for condition in settings.conditions
    ]
    return table


def _metric(
    results: Results, condition: str, method: str, count: int, group: str, threshold: Threshold | None = None
) -> Metric:
    """Return R2 of a method beside that of the orthogonal map from the same moments, and the baselines.

    Beside shrunk signs stands the shrunk orthogonal map.
    """
    score = f"{method}, {count}"
    fitted = SHRUNK_ORTHOGONAL if method == SHRUNK else ORTHOGONAL
    compared = results.has_score(condition, baseline_name(UNTRAINED, score))
    return Metric(
        f"R2: {condition}, {method}, {count} moment{'s' * (count > 1)}", results.estimate(condition, score),
        results.mean(condition, null_name(score)), results.mean(condition, f"{fitted}, {count}"),
        threshold, group, **(similarity(results, condition, score) if compared else Baselines()),
    )  # fmt: skip


def _gain(results: Results, condition: str, group: str) -> Metric:
    """Return R2 of signs from one moment minus that of the best of untrained, pixel PCA and linear tICA."""
    score = f"{SIGNS}, 1"
    best = Estimate.highest(results.estimate(condition, baseline_name(name, score)) for name in METHODS)
    name = f"R2: {condition}, {SIGNS}, 1 moment, minus the best of untrained, pixel PCA, linear tICA"
    return Metric(name, results.estimate(condition, score) - best, group=group)


def make_notes(results: Results, settings: Settings) -> list[str]:
    """Return training costs, the axes found, their correlations, and the search of settings."""
    conditions, seed = settings.conditions, results.seeds[0]
    spent = sum(results.condition_results[condition, seed].flops for condition in conditions) / 1e12
    return [
        f"Counted training TFLOPs of all agents, seed {seed}: {spent:.2f}.",
        *(f"Axes found, both agents by seed, {name}: {_sizes(results, name)}." for name in conditions),
        *(
            f"Correlations of axes of equal rank, means over seeds, {name}: {_correlations(results, name)}."
            for name in conditions
        ),
        SEARCH_NOTE,
        ORDER_NOTE,
    ]


def _sizes(results: Results, condition: str) -> str:
    sizes = (results.array(condition, "sizes", seed) for seed in results.seeds)
    return "; ".join(", ".join(map(str, pair)) for pair in sizes)


def _correlations(results: Results, condition: str) -> str:
    """Return the correlations of axes of equal rank, of the ranks that all seeds have, as text."""
    diagonals = [np.abs(np.diag(results.array(condition, "peer", seed))) for seed in results.seeds]
    common = min(map(len, diagonals))
    means = np.mean([diagonal[:common] for diagonal in diagonals], axis=0)
    return ", ".join(f"{value:.2f}" for value in means)
