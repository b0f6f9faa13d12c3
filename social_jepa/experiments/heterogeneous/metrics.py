"""The table and the notes of the heterogeneous society."""

from collections.abc import Callable, Iterable
from itertools import permutations
from typing import Any

import numpy as np

from social_jepa.experiments.framework.experiment import Metric, Results, Threshold, missed_thresholds
from social_jepa.experiments.framework.score import Estimate, Score
from social_jepa.experiments.heterogeneous.society import (
    MEMBERS,
    SIZES,
    TRAINED,
    Edge,
    card_of,
    society,
)

Pair = tuple[str, str]
PILOT = (
    "Pilot, seed 100 alone, each agent once; no setting was searched. double-dim whitens 32 dimensions on "
    "the 192 pairs of a step: 25 of its 512 held-out anchors pass 8 standard deviations in some dimension "
    "(13 of seq-jepa's, none of the others'), so that maps and probes of all its dimensions are worse than "
    "those of its core. In the world of isometry, seed 100, such an agent reads 0.82 of the state, and 0.95 "
    "with 128 segments a step in place of 64. vicreg found no rung in its spectrum there, so that its whole "
    "space counted as core. seq-jepa has the settings of the product: nothing in its loss asks what "
    "comes at the next tick."
)
TWINS = [("jepa", "jepa-twin"), ("jepa-twin", "jepa")]


class Edges:
    """All edges of all seeds."""

    def __init__(self, results: Results, settings: Any) -> None:
        """Let the agents of every seed talk."""
        config = settings.upbringing.negotiation
        self.societies = [society(results, seed, config) for seed in results.seeds]

    def each(self, pair: Pair) -> list[Edge]:
        """Return an edge in each seed."""
        return [edges[pair] for edges in self.societies]

    def core(self, pair: Pair) -> Estimate:
        """Return R2 of the map between the cores of a pair."""
        return Estimate.from_scores([edge.core for edge in self.each(pair)])

    def extreme(self, pairs: Iterable[Pair], pick: Callable[..., Score]) -> Estimate:
        """Return R2 of the pair that is the worst (pick=min) or the best (max) in each seed."""
        pairs = list(pairs)
        return Estimate.from_scores([
            pick((edges[pair].core for pair in pairs), key=lambda measure: measure.score)
            for edges in self.societies
        ])  # fmt: skip

    def mean(self, pairs: Iterable[Pair], read: Callable[[Edge], float]) -> float | None:
        """Return the mean over pairs and seeds of what is no NaN; None where nothing is left."""
        found = np.array([read(edge) for pair in pairs for edge in self.each(pair)])
        return float(np.nanmean(found)) if np.isfinite(found).any() else None


def figures(results: Results, settings: Any) -> list[Metric]:
    """Return the goals' figures first, then edges with the default agent, then what each agent knows."""
    edges = Edges(results, settings)
    return [*_goals(edges), *_with_default(edges), *_known(results)]


def _goals(edges: Edges) -> list[Metric]:
    sizes, trained = list(permutations(SIZES, 2)), list(permutations(TRAINED, 2))
    patches = list(permutations(("jepa", "patch-mixer"), 2))
    control = [pair for pair in permutations(MEMBERS, 2) if "untrained" in pair]
    every = list(permutations(MEMBERS, 2))
    twins = edges.mean(TWINS, lambda edge: edge.core.score)
    best = edges.extreme(control, max)

    def line(name: str, estimate: Estimate, pairs: list[Pair], goal: Threshold | None) -> Metric:
        return Metric(name, estimate, edges.mean(pairs, lambda edge: edge.null), twins, goal, "goals")

    worst = edges.extreme(trained, min)
    accepted = [[each[pair].accepted for pair in every] for each in edges.societies]
    shares = Estimate.from_scores([Score.single(float(np.mean(every))) for every in accepted])
    return [
        line("worst pair, sizes", edges.extreme(sizes, min), sizes, Threshold(">=", 0.88)),
        line("patch-mixer and jepa, worse way", edges.extreme(patches, min), patches, Threshold(">=", 0.85)),
        line("best pair with the untrained", best, control, Threshold("<", 0.5)),
        Metric("worst trained jepas minus that", worst - best, threshold=Threshold(">", 0.0), group="goals"),
        Metric("share of edges accepted", shares, group="goals"),
    ]


def _with_default(edges: Edges) -> list[Metric]:
    found = []
    for others in (lambda name: ("jepa", name), lambda name: (name, "jepa")):
        for name in list(MEMBERS)[1:]:
            pair = others(name)
            null = edges.mean([pair], lambda edge: edge.null)
            ridge = edges.mean([pair], lambda edge: edge.ridge.score)
            found.append(Metric(" to ".join(pair), edges.core(pair), null, ridge, group="edges"))
    return found


def _known(results: Results) -> list[Metric]:
    def value(name: str, measure: str) -> float:
        return results.estimate(name, measure).value

    return [
        Metric(
            f"state from {name}", results.estimate(name, "state"), value(name, "shuffled"),
            value(name, "state from the core"), group="state",
        )
        for name in MEMBERS
    ]  # fmt: skip


def notes(results: Results, settings: Any) -> list[str]:
    """Return cores, refusals, costs, and by how much goals are missed."""
    cores = "; ".join(f"{name} {', '.join(map(str, _cores(results, name)))}" for name in MEMBERS)
    first = results.seeds[0]
    spent = ", ".join(f"{name} {results.condition_results[name, first].flops / 1e12:.2f}" for name in MEMBERS)
    refused = [
        f"{source} to {target}"
        for (source, target), edge in society(results, first, settings.upbringing.negotiation).items()
        if not edge.accepted
    ]
    return [
        f"Dimensions of the core that each agent found, seed by seed: {cores}. Into a core of more "
        "dimensions than its own no agent's map can pass the ratio of the two.",
        f"Refused in seed {first}: {', '.join(refused) or 'nobody'}.",
        f"Counted training TFLOPs, seed {first}: {spent}.",
        PILOT,
        *missed_thresholds(figures(results, settings)),
    ]


def _cores(results: Results, name: str) -> list[int]:
    return [card_of(results, name, seed).core_dim for seed in results.seeds]
