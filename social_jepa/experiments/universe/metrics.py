"""Metrics and notes of universe: thresholds, agents, joiners, pairs, shuffled rows, corruption."""

from itertools import permutations

import numpy as np

from social_jepa.experiments.common.similarity_baselines import Baselines, similarity
from social_jepa.experiments.framework.experiment import Metric, Results
from social_jepa.experiments.framework.threshold import Threshold
from social_jepa.experiments.universe.settings import Settings
from social_jepa.experiments.universe.shuffles import BOTH_INTACT, EDGE_KINDS

SEARCH_NOTE = (
    "Search, on seed 100 alone: a dozen settings of sizes, steps and learning rate, until all of 16 agents "
    "detected both boxes. With latents of 8 dimensions three of some fifty agents did not, at learning rates "
    "of 5e-3 and 3e-3."
)


def metrics(results: Results, settings: Settings) -> list[Metric]:
    """Return the metrics of the results table."""
    return [
        *_threshold_metrics(results, settings),
        *_agent_count_metrics(results, settings),
        *_joiner_metrics(results, settings),
        *_pair_count_metrics(results, settings),
        *_shuffled_metrics(results, settings),
        *_corrupted_metrics(results, settings),
    ]


def _threshold_metrics(results: Results, settings: Settings) -> list[Metric]:
    agents = f"{settings.max_agents} agents"
    gain = results.estimate("toy", f"universe, {agents}") - results.estimate("toy", f"pairwise, {agents}")
    suffix = f"100% of {settings.shuffled_pair_counts[0]} shuffled"
    null_gain = results.mean("toy", f"universe, {suffix}") - results.mean("toy", f"pairwise, {suffix}")
    cycle = results.estimate("toy", f"cycle error, universe, {agents}")
    baseline = results.mean("toy", f"cycle error, pairwise, {agents}")
    null = results.mean("toy", f"cycle error, shuffled, {agents}")
    sent = results.estimate("toy", f"messages, join, {agents}")
    refit = results.mean("toy", f"messages, refit, {agents}")
    universe, pairwise = (
        similarity(results, "toy", f"{name}, {agents}") for name in ("universe", "pairwise")
    )
    group = "thresholds"
    return [
        Metric(
            f"{agents}: R2 of the universe minus pairwise", gain, null_gain,
            threshold=Threshold(">=", 0), group=group,
            untrained=universe["untrained"] - pairwise["untrained"],
            pixel_pca=universe["pixel_pca"] - pairwise["pixel_pca"],
        ),
        Metric(f"{agents}: cycle error of the universe", cycle, null, baseline, Threshold("<", 1e-5), group),
        Metric(
            f"{agents}: messages for a join", sent, None, refit, Threshold("==", 1),
            self_test="The maps of the members do not change by construction, so that the joiner's rows are "
            "the only message.",
        ),
    ]  # fmt: skip


def _agent_count_metrics(results: Results, settings: Settings) -> list[Metric]:
    group = f"{settings.pairs} pairs; baseline: pairwise"
    table = []
    for count in settings.agent_counts:
        name = f"universe, {count} agents"
        null = results.mean("toy", f"null, {count} agents")
        baseline = results.mean("toy", f"pairwise, {count} agents")
        learned_nothing = similarity(results, "toy", name) if count == settings.max_agents else Baselines()
        table.append(
            Metric(
                f"R2: {name}", results.estimate("toy", name), null, baseline, group=group, **learned_nothing
            )
        )
    baseline = results.mean("toy", f"pairwise, {settings.max_agents} agents")
    for hops in settings.hops:
        estimate = results.estimate("toy", f"through {hops}")
        null = results.mean("toy", f"through {hops}, null")
        name = f"R2: pairwise maps composed through {hops} agent{'s' * (hops > 1)}"
        table.append(Metric(name, estimate, null, baseline, group=group))
    suffix = f"equal cores, {settings.max_agents} agents"
    estimate = results.estimate("toy", f"cycle error, universe, {suffix}")
    null, baseline = (
        results.mean("toy", f"cycle error, {maps}, {suffix}") for maps in ("shuffled", "pairwise")
    )
    table.append(
        Metric(
            "cycle error: universe, equal cores",
            estimate,
            null,
            baseline,
            Threshold("<", 1e-5),
            self_test="An identity: maps into a common space and back cancel around a cycle if they are "
            "square and orthogonal.",
        )
    )
    baseline = results.mean("toy", f"kilobytes, pairwise, {settings.max_agents} agents")
    sent = results.estimate("toy", f"kilobytes, universe, {settings.max_agents} agents")
    table.append(Metric("kilobytes sent: universe", sent, None, baseline, group=group))
    return table


def _joiner_metrics(results: Results, settings: Settings) -> list[Metric]:
    group = "joiner; baseline: universe fitted again"
    table = []
    for count in settings.agent_counts:
        estimate = results.estimate("toy", f"joiner, join, {count} agents")
        null = results.mean("toy", f"joiner, null, {count} agents")
        baseline = results.mean("toy", f"joiner, refit, {count} agents")
        name = f"R2 of the joiner's edges: joins {count - 1} agents"
        table.append(Metric(name, estimate, null, baseline, group=group))
    return table


def _pair_count_metrics(results: Results, settings: Settings) -> list[Metric]:
    return [
        Metric(
            f"R2: universe, {pairs} pairs", results.estimate("toy", f"universe, {pairs} pairs"),
            results.mean("toy", f"null, {pairs} pairs"),
            results.mean("toy", f"pairwise, {pairs} pairs"),
            group=f"{settings.max_agents} agents; baseline: pairwise",
        )
        for pairs in settings.pair_counts
    ]  # fmt: skip


def _shuffled_metrics(results: Results, settings: Settings) -> list[Metric]:
    group = f"{settings.max_agents} agents, shuffled rows; baseline: pairwise"
    table = []
    for pairs in settings.shuffled_pair_counts:
        for trimmed in ("", ", trimmed"):
            null = results.mean("toy", f"universe{trimmed}, 100% of {pairs} shuffled")
            for share in filter(None, settings.shuffled_shares):
                suffix = f"{trimmed}, {share:.0%} of {pairs} shuffled"
                estimate = results.estimate("toy", f"universe{suffix}")
                baseline = results.mean("toy", f"pairwise{suffix}")
                table.append(Metric(f"R2: universe{suffix}", estimate, null, baseline, group=group))
    return table


def _corrupted_metrics(results: Results, settings: Settings) -> list[Metric]:
    table = []
    group = (
        f"{settings.group_size} agents, {settings.corrupted_share:.0%} of the rows of "
        f"{settings.corrupted_agents} of them shuffled; baseline: pairwise"
    )
    for pairs in settings.shuffled_pair_counts:
        for kind in EDGE_KINDS[:2]:
            suffix = f"{kind}, {pairs}"
            table.append(Metric(
                f"R2 between {kind}: universe, {pairs} pairs, none shuffled",
                results.estimate("toy", f"corrupted, universe, {suffix}, clean"),
                results.mean("toy", f"corrupted, universe, {suffix}, null"),
                results.mean("toy", f"corrupted, pairwise, {suffix}, clean"), group=group,
            ))  # fmt: skip
        for trimmed in ("", ", trimmed"):
            for kind in EDGE_KINDS:
                suffix = f"{trimmed}, {kind}, {pairs}"
                null = f"corrupted, universe{suffix}, null"
                if kind == BOTH_INTACT:  # no row of these agents is shuffled in that null
                    null = f"universe{trimmed}, 100% of {pairs} shuffled"
                table.append(Metric(
                    f"R2 between {kind}: universe{trimmed}, {pairs} pairs",
                    results.estimate("toy", f"corrupted, universe{suffix}"),
                    results.mean("toy", null),
                    results.mean("toy", f"corrupted, pairwise{suffix}"), group=group,
                ))  # fmt: skip
    return table


def notes(results: Results, settings: Settings) -> list[str]:
    """Return training costs, core sizes and the gain of the universe by seed."""
    seed = results.seeds[0]
    spent = results.condition_results["toy", seed].flops / 1e12
    sizes = np.concatenate([results.array("toy", "core sizes", seed) for seed in results.seeds])
    common = int(np.bincount(sizes).argmax())
    return [
        f"Counted training TFLOPs of {settings.max_agents} agents, seed {seed}: {spent:.2f}.",
        f"{(sizes != common).sum()} of {len(sizes)} agents found a core of another size than {common}.",
        SEARCH_NOTE,
        f"Universe minus pairwise by seed: {_gains(results)}; of edges between two cores of {common} "
        f"dimensions: {_gains(results, common)}.",
    ]


def _gains(results: Results, size: int = 0) -> str:
    """Return the mean gain of an edge through the universe by seed; of edges between cores of one size."""
    texts = []
    for seed in results.seeds:
        gain = results.array("toy", "universe", seed) - results.array("toy", "pairwise", seed)
        sizes = results.array("toy", "core sizes", seed)
        kept = [not size or sizes[a] == sizes[b] == size for a, b in permutations(range(len(sizes)), 2)]
        texts.append(f"{gain[kept].mean():.2g}")
    return ", ".join(texts)
