"""Metrics and notes of universe: thresholds, agents, joiners, pairs, shuffled rows, corruption."""

from itertools import permutations

import numpy as np

from social_jepa.experiments.common.similarity_baselines import Baselines, difference, similarity
from social_jepa.experiments.framework.experiment import Metric, Results
from social_jepa.experiments.framework.score import Estimate
from social_jepa.experiments.framework.threshold import Threshold
from social_jepa.experiments.universe.settings import Settings
from social_jepa.experiments.universe.shuffles import BOTH_INTACT, EDGE_KINDS

MOST_LOST = 0.005  # R2, from the fewest agents to the most
SEARCH_NOTE = (
    "Search, on seed 100 alone: a dozen settings of sizes, steps and learning rate in an earlier version, "
    "until all of 16 agents detected both boxes. With latents of 8 dimensions three of some fifty agents did "
    "not, at learning rates of 5e-3 and 3e-3."
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
    most, least = settings.max_agents, settings.agent_counts[0]
    group = "thresholds"
    lost = {
        (method, suffix): _estimate(results, method, suffix, least) - _estimate(results, method, suffix, most)
        for method in ("universe", "pairwise")
        for suffix in ("", ", first edges")
    }
    few = f"{settings.few} agents"
    baselines = difference(
        *(similarity(results, "toy", f"{name}, {few}") for name in ("universe", "pairwise"))
    )
    gain = _estimate(results, "universe", "", most) - _estimate(results, "pairwise", "", most)
    return [
        Metric(
            f"R2 of the first edges, {least} agents minus {most}", lost["universe", ", first edges"], None,
            lost["pairwise", ", first edges"].value, Threshold("<=", MOST_LOST), group,
        ),
        Metric(
            f"R2 of all edges, {least} agents minus {most}, beyond pairwise maps",
            lost["universe", ""] - lost["pairwise", ""], None, lost["pairwise", ""].value,
            Threshold("<=", MOST_LOST), group,
        ),
        Metric(
            f"{most} agents: R2 of the universe minus pairwise (baselines: of {few})", gain,
            threshold=Threshold(">=", -MOST_LOST), group=group, **baselines,
        ),
        Metric(
            f"{most} agents: common dimension", results.estimate("toy", f"common dimension, {most} agents"),
            None, results.mean("toy", f"common dimension, {least} agents"),
            Threshold("==", settings.factors), group,
        ),
        *_self_tests(results, f"{most} agents"),
    ]  # fmt: skip


def _estimate(results: Results, method: str, suffix: str, agents: int) -> Estimate:
    return results.estimate("toy", f"{method}{suffix}, {agents} agents")


def _self_tests(results: Results, agents: str) -> list[Metric]:
    null, baseline = (
        results.estimate("toy", f"cycle error, {maps}, {agents}").as_geometric().value
        for maps in ("shifted", "pairwise")
    )
    return [
        Metric(
            f"{agents}: cycle error on the common block",
            results.estimate("toy", f"cycle error, universe, {agents}"), null, baseline,
            Threshold("<", 1e-5),
            self_test="An identity: maps into a common space and back cancel around a cycle on what all "
            "agents have.",
        ),
        Metric(
            f"{agents}: messages for a join", results.estimate("toy", f"messages, join, {agents}"), None,
            results.mean("toy", f"messages, refit, {agents}"), Threshold("==", 1),
            self_test="The maps of the members do not change by construction, so that the joiner's rows are "
            "the only message.",
        ),
    ]  # fmt: skip


def _agent_count_metrics(results: Results, settings: Settings) -> list[Metric]:
    group = f"{settings.pairs} pairs; baseline: pairwise"
    table = []
    for suffix in ("", ", first edges"):
        for count in settings.agent_counts:
            name = f"universe{suffix}, {count} agents"
            null = None if suffix else results.mean("toy", f"null, {count} agents")
            baseline = results.mean("toy", f"pairwise{suffix}, {count} agents")
            learned_nothing = Baselines()
            if count == settings.few and not suffix:
                learned_nothing = similarity(results, "toy", name)
            table.append(
                Metric(
                    f"R2: {name}", results.estimate("toy", name), null, baseline, group=group,
                    **learned_nothing,
                )
            )  # fmt: skip
    baseline = results.mean("toy", f"pairwise, {settings.few} agents")
    for hops in settings.hops:
        estimate = results.estimate("toy", f"through {hops}")
        null = results.mean("toy", f"through {hops}, null")
        name = f"R2: pairwise maps composed through {hops} agent{'s' * (hops > 1)}"
        table.append(Metric(name, estimate, null, baseline, group=group))
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
            group=f"{settings.few} agents; baseline: pairwise",
        )
        for pairs in settings.pair_counts
    ]  # fmt: skip


def _shuffled_metrics(results: Results, settings: Settings) -> list[Metric]:
    group = f"{settings.few} agents, shuffled rows, whole cores; baseline: pairwise"
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
