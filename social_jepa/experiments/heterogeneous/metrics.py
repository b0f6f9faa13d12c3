"""Metrics and notes of heterogeneous: thresholds, edges with the default agent, and probes."""

from collections.abc import Callable, Sequence
from itertools import permutations

import numpy as np

from social_jepa.experiments.common.similarity_baselines import METHODS, baseline_name, similarity
from social_jepa.experiments.framework.experiment import Metric, Results
from social_jepa.experiments.framework.score import Estimate
from social_jepa.experiments.framework.threshold import Threshold
from social_jepa.experiments.heterogeneous.edges import EdgeResults, Pair
from social_jepa.experiments.heterogeneous.settings import CONTROL, DIMS, KINDS, VARIANTS, Settings

BASELINE_R2 = "R2"  # score of the baselines, in the condition of the control
LEAST_DIMS, LEAST_KINDS, MOST_UNTRAINED = 0.88, 0.85, 0.5
TWINS = list(permutations(("jepa", "jepa-twin"), 2))
WORST_PAIRS = {
    "dimensions of the latent": list(permutations(DIMS, 2)),
    "kinds that learned": list(permutations(KINDS, 2)),
    "widths of the encoder": list(permutations(("narrow", "jepa", "wide"), 2)),
}


def make_metrics(results: Results, settings: Settings) -> list[Metric]:
    """Return the metrics with thresholds first, then worst pairs, edges of the default agent, and probes."""
    edges = EdgeResults(results, settings)
    return [
        *_threshold_metrics(results, edges), *_shown_metrics(edges), *_default_agent_metrics(edges),
        *_probe_metrics(results),
    ]  # fmt: skip


def _threshold_metrics(results: Results, edges: EdgeResults) -> list[Metric]:
    dims, kinds = WORST_PAIRS["dimensions of the latent"], WORST_PAIRS["kinds that learned"]
    control = [pair for pair in permutations(VARIANTS, 2) if CONTROL in pair]
    twins, baselines = edges.estimate(TWINS).value, similarity(results, CONTROL, BASELINE_R2)
    group = "thresholds; baseline: mean of jepa and jepa-twin; null: the target at other times"

    def metric(
        name: str, pairs: Sequence[Pair], reduce: Callable[..., float], threshold: Threshold
    ) -> Metric:
        found, null = (edges.estimate(pairs, value, reduce) for value in ("r2", "null"))
        return Metric(f"R2: {name}", found, null.value, twins, threshold, group, **baselines)

    best = Estimate.highest(results.estimate(CONTROL, baseline_name(name, BASELINE_R2)) for name in METHODS)
    gain = edges.estimate(kinds, "r2", np.min) - best
    return [
        metric("worst pair of dimensions of the latent", dims, np.min, Threshold(">=", LEAST_DIMS)),
        metric("worst pair of kinds that learned", kinds, np.min, Threshold(">=", LEAST_KINDS)),
        metric("best pair with the untrained agent", control, np.max, Threshold("<", MOST_UNTRAINED)),
        Metric(
            "R2: worst pair of kinds that learned minus the best baseline", gain,
            threshold=Threshold(">", 0.0), group=group,
        ),
    ]  # fmt: skip


def _shown_metrics(edges: EdgeResults) -> list[Metric]:
    group = "all pairs and worst pairs; baseline: ridge from all dimensions; null: the target at other times"
    learned = [pair for pair in permutations(VARIANTS, 2) if CONTROL not in pair]
    table = [
        Metric("share of accepted edges, without the untrained agent", edges.estimate(learned, "accepted"),
               group=group),
    ]  # fmt: skip
    for name, pairs in WORST_PAIRS.items():
        found, null, ridge = (edges.estimate(pairs, value, np.min) for value in ("r2", "null", "ridge"))
        table.append(Metric(f"R2: {name}, worst pair", found, null.value, ridge.value, group=group))
    return table


def _default_agent_metrics(edges: EdgeResults) -> list[Metric]:
    others = [name for name in VARIANTS if name != "jepa"]
    group = "edges of the default agent; baseline: ridge from all dimensions"
    table = []
    for pair in [*(("jepa", name) for name in others), *((name, "jepa") for name in others)]:
        found, null, ridge = (edges.estimate([pair], value) for value in ("r2", "null", "ridge"))
        table.append(Metric(f"R2: {' to '.join(pair)}", found, null.value, ridge.value, group=group))
    return table


def _probe_metrics(results: Results) -> list[Metric]:
    group = "linear probes of the true state; baseline: core only; null: states shifted in time"
    return [
        Metric(
            f"R2: state from {name}", results.estimate(name, "state"), results.mean(name, "state, shifted"),
            results.mean(name, "state, core only"), group=group,
        )
        for name in VARIANTS
    ]  # fmt: skip


def make_notes(results: Results, settings: Settings) -> list[str]:
    """Return core sizes, refused edges, what has no threshold, and training costs."""
    first = results.seeds[0]
    cores = "; ".join(
        f"{name} {', '.join(f'{value:g}' for value in results.estimate(name, 'core dim').seeds)}"
        for name in VARIANTS
    )
    spent = ", ".join(
        f"{name} {results.condition_results[name, first].flops / 1e12:.2f}" for name in VARIANTS
    )
    refused = [
        f"{' to '.join(pair)} ({count} of {len(results.seeds)})"
        for pair, count in _refusals(EdgeResults(results, settings)).items()
        if count and CONTROL not in pair
    ]
    return [
        f"Dimensions of the core of each agent, by seed: {cores}. The scene has {settings.factors} factors. "
        "R2 of a map into a core of more dimensions than the source's cannot exceed the ratio of the two, "
        "and that of a map into a smaller core than the factors their ratio. The untrained agent and the "
        "baselines are compared on as many leading axes as the scene has factors, whatever core they find.",
        f"Refused edges, and in how many seeds, without the untrained agent: {', '.join(refused) or 'none'}.",
        "No threshold applies to p-jepa-positions, p-jepa-random and frozen-encoder: the first two receive "
        "the true actions on the objects, the first and the last were supervised with their positions. A map "
        "between them and an agent of frames alone is no evidence of what frames alone determine.",
        f"Counted training TFLOPs, seed {first}: {spent}; of frozen-encoder those of its pretraining.",
    ]


def _refusals(edges: EdgeResults) -> dict[Pair, int]:
    """Return the number of seeds in which the edge of a pair is refused."""
    return {
        pair: sum(by_pair[pair].accepted == 0 for by_pair in edges.by_seed)
        for pair in permutations(VARIANTS, 2)
    }
