"""Metrics and notes of native-isometry: thresholds by objective, nulls, and W by number of pairs."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import torch

from alignment.raw_map import RawScore
from social_jepa.experiments.common.similarity_baselines import similarity_of
from social_jepa.experiments.framework.experiment import Metric, Results
from social_jepa.experiments.framework.score import Estimate, Score
from social_jepa.experiments.framework.threshold import Threshold
from social_jepa.experiments.native_isometry.scores import FIELDS, RawLatents, map_score
from social_jepa.experiments.native_isometry.settings import (
    METHODS,
    OBJECTIVES,
    REFERENCE,
    UNTRAINED,
    Settings,
)

LEAST_SHARE, MOST_KAPPA = 0.95, 1.5
ALL = {  # scores from all pairs, and their null
    "R2": ("R2 of W", "shifted R2"),
    "similarity R2": ("R2 of the similarity transform", "shifted similarity R2"),
    "share": ("share of the R2 of W that it keeps", None),
    "kappa": ("kappa of W, all directions", None),
    "s_max": ("largest singular value of W", None),
    "s_min": ("smallest singular value of W", None),
    "strong directions": ("number of strong directions", None),
    "strong kappa": ("kappa of W over strong directions", None),
    "strong share": ("share of R2 kept over strong directions", None),
}
TABLE_PAIRS = (64, 256)  # numbers of pairs in the table, besides all; the plots show every number


def make_metrics(results: Results, settings: Settings) -> list[Metric]:
    """Return the metrics with thresholds, then the nulls and the scores of each method."""
    return [
        *_threshold_metrics(results), *_world_metrics(results),
        *(metric for name in METHODS for metric in _method_metrics(results, name, settings)),
    ]  # fmt: skip


def _threshold_metrics(results: Results) -> list[Metric]:
    def rows(title: str, estimate: Callable[[str, bool], Estimate]) -> list[Metric]:
        """Return the thresholds of an objective, or of the worst: estimate(score, whether least is worst)."""
        share = estimate("share", True)
        table = [
            Metric("share of R2 kept by a similarity transform", share,
                   threshold=Threshold(">=", LEAST_SHARE), **similarity_of(results, *UNTRAINED, "share")),
            Metric("kappa of W, strong directions", estimate("strong kappa", False).as_geometric(),
                   threshold=Threshold("<=", MOST_KAPPA),
                   **similarity_of(results, *UNTRAINED, "strong kappa", geometric=True)),
            Metric("R2 of a similarity transform minus the better baseline",
                   estimate("similarity R2", True) - _better_baseline(results),
                   threshold=Threshold(">", 0.0)),
        ]  # fmt: skip
        group = "thresholds, from all pairs"
        return [replace(row, name=f"{title}: {row.name}", group=group) for row in table]

    table = []
    for name, method in OBJECTIVES.items():
        table += rows(method.title, partial(_of_objective, results, name))
    return [*table, *rows("worst objective", partial(_worst, results))]


def _of_objective(results: Results, name: str, score: str, least: bool) -> Estimate:
    del least  # there is nothing to choose from
    return results.estimate(name, score)


def _worst(results: Results, score: str, least: bool) -> Estimate:
    """Return the estimate of the worst objective of each seed: the least score, or the largest."""
    choose = Estimate.lowest if least else Estimate.highest
    return choose(results.estimate(name, score) for name in OBJECTIVES)


def _better_baseline(results: Results) -> Estimate:
    return Estimate.highest(results.estimate(name, "similarity R2") for name in UNTRAINED)


def _world_metrics(results: Results) -> list[Metric]:
    """Return R2 between agents of two worlds; none with one seed, or of a method that did not run."""
    if len(results.seeds) < 2:
        return []
    group = "agents of another world, from all pairs; baseline: of one world"
    metrics = []
    for name in (name for name in OBJECTIVES if name in results.conditions):
        found = [_other_world(results, name, *seeds) for seeds in _neighbors(results.seeds)]
        for score in ("R2", "similarity R2"):
            values = [getattr(one, FIELDS[score]) for one in found]
            estimate = Estimate.from_scores([Score.single(value) for value in values])
            title = f"{OBJECTIVES[name].title}: {ALL[score][0]}, another world"
            metrics.append(Metric(title, estimate, None, results.mean(name, score), group=group))
    return metrics


def _neighbors(seeds: Sequence[int]) -> list[tuple[int, int]]:
    return list(zip(seeds, [*seeds[1:], seeds[0]], strict=True))


def _other_world(results: Results, condition: str, seed: int, other: int) -> RawScore:
    first, second = (dict(results.condition_results[condition, one].arrays) for one in (seed, other))
    source, target = RawLatents.read(first, "first"), RawLatents.read(second, "second")
    return map_score(source, target, torch.arange(len(source.anchors)))


def _method_metrics(results: Results, condition: str, settings: Settings) -> list[Metric]:
    """Return the scores of a method: from all pairs, then by number of pairs."""
    title = METHODS[condition].title
    group = f"{title}; null: time shifts"
    metrics = [
        Metric(
            f"{title}: {name}", _estimate(results, condition, score),
            None if null is None else results.mean(condition, null), group=group,
            **similarity_of(results, *UNTRAINED, score, geometric="kappa" in score),
        )
        for score, (name, null) in ALL.items()
    ]  # fmt: skip
    for pairs in (pairs for pairs in TABLE_PAIRS if pairs in settings.pair_counts):
        metrics += [
            Metric(
                f"{title}: {name}, {pairs} pairs", _estimate(results, condition, f"{name}, {pairs}"),
                group=group,
                **similarity_of(results, *UNTRAINED, f"{name}, {pairs}", geometric="kappa" in name),
            )
            for name in FIELDS
        ]  # fmt: skip
    return metrics


def _estimate(results: Results, condition: str, score: str) -> Estimate:
    """Return an estimate; that of kappa, which is a ratio, is geometric."""
    estimate = results.estimate(condition, score)
    return estimate.as_geometric() if "kappa" in score else estimate


def make_notes(results: Results, settings: Settings) -> list[str]:
    """Return notes on the reference, on the strong directions of each seed, and on few pairs."""
    strong = "; ".join(
        f"{method.title} {', '.join(f'{count:g}' for count in directions)}"
        for name, method in METHODS.items()
        if (directions := results.estimate(name, "strong directions").seeds)
    )
    return [
        f"The raw latents of {METHODS[REFERENCE].title} are an arbitrary choice, because its loss is "
        "invariant under GL(d): of its rows only the R2 of W means something. They show what the measures "
        "give where there is no metric to agree on.",
        f"Strong directions of {settings.setup.model.dim}, mean of both directions of an edge, by seed: "
        f"{strong}.",
        "A least-squares map from about as many pairs as dimensions fits noise: its R2 on held-out ticks is "
        "far below 0 there, and kappa is infinite with fewer.",
    ]
