"""Metrics and notes of heterogeneous: thresholds, edges with the default agent, and probes."""

from collections.abc import Callable, Iterable
from itertools import permutations

import numpy as np

from social_jepa.experiments.common.similarity_baselines import Baselines, similarity
from social_jepa.experiments.framework.experiment import Metric, Results
from social_jepa.experiments.framework.score import Estimate, Score
from social_jepa.experiments.framework.threshold import Threshold
from social_jepa.experiments.heterogeneous.edges import Edge, Pair, negotiate_edges, peer_info
from social_jepa.experiments.heterogeneous.settings import (
    CONTROL,
    SIZE_VARIANTS,
    TRAINED_JEPAS,
    VARIANTS,
    Settings,
)

PILOT_NOTE = (
    "Pilot, seed 100 alone, each agent once; no setting was searched. It ran before the whitened loss was "
    "corrected for the batch that it is fitted on, and before seq-jepa predicted the next tick. double-dim "
    "whitened 32 dimensions on the 192 pairs of a step: 25 of its 512 held-out anchors exceeded 8 standard "
    "deviations in some dimension (13 of seq-jepa's, none of the others'). In the scene of isometry, seed "
    "100, R2 of the state from such an agent was 0.82, and 0.95 with 128 segments a step in place of 64. "
    "vicreg found no gap in its spectrum there, so that its whole space counted as core."
)
TWINS = [("jepa", "jepa-twin"), ("jepa-twin", "jepa")]


class EdgeResults:
    """The edges of all seeds."""

    def __init__(self, results: Results, settings: Settings) -> None:
        """Negotiate the edges of every seed."""
        config, memory = settings.setup.negotiation, settings.setup.scene.decorrelation_ticks
        self.by_seed = [negotiate_edges(results, seed, config, memory) for seed in results.seeds]

    def of_pair(self, pair: Pair) -> list[Edge]:
        """Return the edge of a pair in each seed."""
        return [edges[pair] for edges in self.by_seed]

    def core(self, pair: Pair) -> Estimate:
        """Return R2 of the map between the cores of a pair."""
        return Estimate.from_scores([edge.core for edge in self.of_pair(pair)])

    def extreme(self, pairs: Iterable[Pair], pick: Callable[..., Score]) -> Estimate:
        """Return R2 of the pair that is the worst (pick=min) or the best (pick=max) in each seed."""
        pairs = list(pairs)
        return Estimate.from_scores([
            pick((edges[pair].core for pair in pairs), key=lambda score: score.score)
            for edges in self.by_seed
        ])  # fmt: skip

    def mean(self, pairs: Iterable[Pair], read: Callable[[Edge], float]) -> float | None:
        """Return the mean over pairs and seeds, without NaN; None if all are NaN."""
        values = np.array([read(edge) for pair in pairs for edge in self.of_pair(pair)])
        return float(np.nanmean(values)) if np.isfinite(values).any() else None


def metrics(results: Results, settings: Settings) -> list[Metric]:
    """Return the metrics of the results table."""
    edges = EdgeResults(results, settings)
    baselines = similarity(results, CONTROL, "core")
    return [*_threshold_metrics(edges, baselines), *_default_agent_metrics(edges), *_probe_metrics(results)]


def _threshold_metrics(edges: EdgeResults, baselines: Baselines) -> list[Metric]:
    sizes, trained = list(permutations(SIZE_VARIANTS, 2)), list(permutations(TRAINED_JEPAS, 2))
    patches = list(permutations(("jepa", "patch-mixer"), 2))
    every = list(permutations(VARIANTS, 2))
    control = [pair for pair in every if CONTROL in pair]
    twins = edges.mean(TWINS, lambda edge: edge.core.score)
    best, worst = edges.extreme(control, max), edges.extreme(trained, min)
    group = "thresholds"

    def metric(name: str, estimate: Estimate, pairs: list[Pair], threshold: Threshold) -> Metric:
        null = edges.mean(pairs, lambda edge: edge.null)
        return Metric(name, estimate, null, twins, threshold, group, **baselines)

    accepted = [[seed_edges[pair].accepted for pair in every] for seed_edges in edges.by_seed]
    shares = Estimate.from_scores([Score.single(float(np.mean(values))) for values in accepted])
    size_r2, patch_r2 = edges.extreme(sizes, min), edges.extreme(patches, min)
    return [
        metric("R2: worst pair that differs in size only", size_r2, sizes, Threshold(">=", 0.88)),
        metric("R2: patch-mixer and jepa, worse direction", patch_r2, patches, Threshold(">=", 0.85)),
        metric("R2: best pair with the untrained agent", best, control, Threshold("<", 0.5)),
        Metric(
            "R2: worst pair of trained jepas minus best pair with the untrained agent", worst - best,
            threshold=Threshold(">", 0.0), group=group,
        ),
        Metric("share of accepted edges", shares, group=group),
    ]  # fmt: skip


def _default_agent_metrics(edges: EdgeResults) -> list[Metric]:
    others = list(VARIANTS)[1:]
    table = []
    for pair in [("jepa", name) for name in others] + [(name, "jepa") for name in others]:
        null = edges.mean([pair], lambda edge: edge.null)
        ridge = edges.mean([pair], lambda edge: edge.ridge.score)
        group = "edges of the default agent; baseline: ridge from all dimensions"
        table.append(Metric(f"R2: {' to '.join(pair)}", edges.core(pair), null, ridge, group=group))
    return table


def _probe_metrics(results: Results) -> list[Metric]:
    def value(name: str, score: str) -> float:
        return results.estimate(name, score).value

    return [
        Metric(
            f"R2: state from {name}", results.estimate(name, "state"), value(name, "state, shuffled"),
            value(name, "state, core only"), group="linear probes of the true state; baseline: core only",
        )
        for name in VARIANTS
    ]  # fmt: skip


def notes(results: Results, settings: Settings) -> list[str]:
    """Return core sizes, refused edges, training costs and the pilot."""
    cores = "; ".join(f"{name} {', '.join(map(str, _core_dims(results, name)))}" for name in VARIANTS)
    first = results.seeds[0]
    spent = ", ".join(
        f"{name} {results.condition_results[name, first].flops / 1e12:.2f}" for name in VARIANTS
    )
    refused = [
        f"{source} to {target}"
        for (source, target), edge in EdgeResults(results, settings).by_seed[0].items()
        if not edge.accepted
    ]
    return [
        f"Dimensions of the core of each agent, by seed: {cores}. R2 of a map into a core of more dimensions "
        "than the source's core cannot exceed the ratio of the two.",
        f"Refused edges in seed {first}: {', '.join(refused) or 'none'}.",
        f"Counted training TFLOPs, seed {first}: {spent}.",
        PILOT_NOTE,
    ]


def _core_dims(results: Results, name: str) -> list[int]:
    return [peer_info(results, name, seed).core_dim for seed in results.seeds]
