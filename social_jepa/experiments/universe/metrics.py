"""The table of society: goals first, then numbers of agents, paths, newcomers, pairs, and shuffled rows."""

from itertools import permutations
from typing import Any

import numpy as np

from social_jepa.experiments.framework.experiment import Metric, Results, Threshold, missed_thresholds
from social_jepa.experiments.universe.shuffles import ENDS

SEARCH = (
    "Search, on seed 100 alone: a dozen settings of size, steps and rate, until none of 16 agents missed a "
    "box. With codes of 8 dimensions three of some fifty did, at rates of 5e-3 and 3e-3."
)


def figures(results: Results, settings: Any) -> list[Metric]:
    """Return the lines of the table."""
    return [
        *_goals(results, settings),
        *_agents(results, settings),
        *_newcomers(results, settings),
        *_pairs(results, settings),
        *_shuffles(results, settings),
        *_few(results, settings),
    ]


def _goals(results: Results, settings: Any) -> list[Metric]:
    most = f"{settings.most} agents"
    gain = results.estimate("toy", f"universe, {most}") - results.estimate("toy", f"pairwise, {most}")
    words = f"100% of {settings.dealt[0]} shuffled"
    chance = results.mean("toy", f"universe, {words}") - results.mean("toy", f"pairwise, {words}")
    cycle = results.estimate("toy", f"cycle error, universe, {most}")
    baseline = results.mean("toy", f"cycle error, pairwise, {most}")
    null = results.mean("toy", f"cycle error, shuffled, {most}")
    sent = results.estimate("toy", f"messages, join, {most}")
    refit = results.mean("toy", f"messages, refit, {most}")
    return [
        Metric(
            f"{most}: R2 of the universe minus pairwise",
            gain,
            chance,
            threshold=Threshold(">=", 0),
            group="goals",
        ),
        Metric(f"{most}: cycle error of the universe", cycle, null, baseline, Threshold("<", 1e-5), "goals"),
        Metric(f"{most}: messages for a join", sent, None, refit, Threshold("==", 1), "goals"),
    ]


def _agents(results: Results, settings: Any) -> list[Metric]:
    group = f"{settings.pairs} pairs; baseline: pairwise"
    found = []
    for count in settings.sizes:
        name = f"universe, {count} agents"
        null = results.mean("toy", f"null, {count} agents")
        baseline = results.mean("toy", f"pairwise, {count} agents")
        found.append(Metric(f"R2: {name}", results.estimate("toy", name), null, baseline, group=group))
    baseline = results.mean("toy", f"pairwise, {settings.most} agents")
    for hops in settings.hops:
        estimate = results.estimate("toy", f"through {hops}")
        null = results.mean("toy", f"through {hops}, null")
        found.append(Metric(f"R2: pairwise through {hops}", estimate, null, baseline, group=group))
    ending = f"one size, {settings.most} agents"
    estimate = results.estimate("toy", f"cycle error, universe, {ending}")
    null, baseline = (
        results.mean("toy", f"cycle error, {way}, {ending}") for way in ("shuffled", "pairwise")
    )
    found.append(Metric("cycle error: universe, one size", estimate, null, baseline, group=group))
    baseline = results.mean("toy", f"kilobytes, pairwise, {settings.most} agents")
    sent = results.estimate("toy", f"kilobytes, universe, {settings.most} agents")
    found.append(Metric("kilobytes sent: universe", sent, None, baseline, group=group))
    return found


def _newcomers(results: Results, settings: Any) -> list[Metric]:
    group = "newcomer; baseline: all fitted anew"
    found = []
    for count in settings.sizes:
        estimate = results.estimate("toy", f"newcomer, join, {count} agents")
        null = results.mean("toy", f"newcomer, null, {count} agents")
        baseline = results.mean("toy", f"newcomer, refit, {count} agents")
        found.append(Metric(f"R2 of its edges: joins {count - 1}", estimate, null, baseline, group=group))
    return found


def _pairs(results: Results, settings: Any) -> list[Metric]:
    return [
        Metric(
            f"R2: universe, {pairs} pairs", results.estimate("toy", f"universe, {pairs} pairs"),
            results.mean("toy", f"null, {pairs} pairs"),
            results.mean("toy", f"pairwise, {pairs} pairs"),
            group=f"{settings.most} agents; baseline: pairwise",
        )
        for pairs in settings.budgets
    ]  # fmt: skip


def _shuffles(results: Results, settings: Any) -> list[Metric]:
    found = []
    for pairs in settings.dealt:
        for ending in ("", ", trimmed"):
            null = results.mean("toy", f"universe{ending}, 100% of {pairs} shuffled")
            for share in filter(None, settings.shares):
                words = f"{ending}, {share:.0%} of {pairs} shuffled"
                estimate = results.estimate("toy", f"universe{words}")
                baseline = results.mean("toy", f"pairwise{words}")
                group = f"{settings.most} agents, shuffled rows; baseline: pairwise"
                found.append(Metric(f"R2: universe{words}", estimate, null, baseline, group=group))
    return found


def _few(results: Results, settings: Any) -> list[Metric]:
    found = []
    group = (
        f"{settings.company} agents, {settings.mixed:.0%} of the rows of {settings.few} of them shuffled; "
        "baseline: pairwise"
    )
    for pairs in settings.dealt:
        for ends in ENDS[:2]:
            words = f"{ends}, {pairs}"
            found.append(Metric(
                f"R2 between {ends}: universe, {pairs} pairs, none shuffled",
                results.estimate("toy", f"few, universe, {words}, clean"),
                results.mean("toy", f"few, universe, {words}, null"),
                results.mean("toy", f"few, pairwise, {words}, clean"), group=group,
            ))  # fmt: skip
        for ending in ("", ", trimmed"):
            for ends in ENDS:
                words = f"{ending}, {ends}, {pairs}"
                null = f"few, universe{words}, null"
                if ends == ENDS[-1]:  # nothing of theirs is shuffled there
                    null = f"universe{ending}, 100% of {pairs} shuffled"
                found.append(Metric(
                    f"R2 between {ends}: universe{ending}, {pairs} pairs",
                    results.estimate("toy", f"few, universe{words}"),
                    results.mean("toy", null),
                    results.mean("toy", f"few, pairwise{words}"), group=group,
                ))  # fmt: skip
    return found


def _gains(results: Results, size: int = 0) -> str:
    """Return each seed's mean gain of an edge through the universe; of edges between cores of one size."""
    said = []
    for seed in results.seeds:
        gain = results.array("toy", "universe", seed) - results.array("toy", "pairwise", seed)
        sizes = results.array("toy", "core sizes", seed)
        kept = [not size or sizes[a] == sizes[b] == size for a, b in permutations(range(len(sizes)), 2)]
        said.append(f"{gain[kept].mean():.2g}")
    return ", ".join(said)


def notes(results: Results, settings: Any) -> list[str]:
    """Return what the trainings cost, which agents fell short, and by how much goals are missed."""
    spent = results.condition_results["toy", results.seeds[0]].flops / 1e12
    sizes = np.concatenate([results.array("toy", "core sizes", seed) for seed in results.seeds])
    usual = int(np.bincount(sizes).argmax())
    return [
        f"Counted training TFLOPs of {settings.most} agents, seed {results.seeds[0]}: {spent:.2f}.",
        f"{(sizes != usual).sum()} of {len(sizes)} agents found a core of another size than {usual}.",
        SEARCH,
        f"Universe minus pairwise by seed: {_gains(results)}; of edges between two cores of {usual} "
        f"dimensions: {_gains(results, usual)}.",
        *missed_thresholds(figures(results, settings)),
    ]
