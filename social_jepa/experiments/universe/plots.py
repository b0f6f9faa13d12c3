"""Plots of universe: R2 and cycle error over agents, R2 over pairs and shuffled rows, all edges."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from social_jepa.experiments.common.plotting import COLORS, draw_curve, error_bar
from social_jepa.experiments.framework.experiment import Results
from social_jepa.experiments.universe.settings import Settings
from social_jepa.experiments.universe.shuffles import EDGE_KINDS

LINES = {
    "universe": ("universe", COLORS[0], "o"), "pairwise": ("pairwise", COLORS[4], "s"),
    "chain": ("pairwise, chain through all agents", COLORS[1], "^"),
    "universe, trimmed": ("universe, trimmed", COLORS[5], "v"),
    "pairwise, trimmed": ("pairwise, trimmed", COLORS[1], "D"),
}  # fmt: skip
SHUFFLED_METHODS = ("universe", "universe, trimmed", "pairwise", "pairwise, trimmed")
MIN_ERROR = 1e-32  # plotted for an error of 0 on the logarithmic axis


def plots(results: Results, settings: Settings) -> dict[str, Figure]:
    """Return the matplotlib figures by name."""
    return {
        "agents": r2_over_agents(results, settings),
        "shuffled": r2_over_shuffled_shares(results, settings),
        "corrupted": r2_with_corrupted_agents(results, settings),
        "edges": edge_gains(results, settings),
    }


def r2_over_agents(results: Results, settings: Settings) -> Figure:
    """Plot R2 and cycle error over the number of agents, and R2 over pairs."""
    figure = Figure(figsize=(11, 3.8), layout="constrained")
    r2, cycles, pairs_axis = figure.subplots(1, 3)
    for name in ("universe", "pairwise", "chain"):
        _line(r2, results, name, settings.agent_counts, "{}, {} agents")
    for name in ("universe", "pairwise"):
        _, color, marker = LINES[name]
        means = [
            results.mean("toy", f"cycle error, {name}, {count} agents") for count in settings.agent_counts
        ]
        cycles.plot(settings.agent_counts, np.maximum(means, MIN_ERROR), color=color, marker=marker, ms=5)
        _line(pairs_axis, results, name, settings.pair_counts, "{}, {} pairs")
    for axis in (r2, cycles):
        axis.set_xlabel("agents")
        axis.set_xscale("log", base=2)
        axis.set_xticks(settings.agent_counts, [str(count) for count in settings.agent_counts])
    cycles.set_yscale("log")
    cycles.axhline(1e-5, color="black", lw=0.8, ls=":")
    cycles.text(settings.max_agents, 3e-6, "self-test: below", ha="right", va="top", fontsize=8)
    pairs_axis.set_xscale("log", base=2)
    pairs_axis.set_xticks(settings.pair_counts, [str(pairs) for pairs in settings.pair_counts])
    pairs_axis.set_xlabel("pairs")
    r2.set_title(f"R2 of an edge, {settings.pairs} pairs", loc="left", fontsize=10)
    cycles.set_title("Cycle error on the common block", loc="left", fontsize=10)
    pairs_axis.set_title(f"R2 of an edge, {settings.few} agents", loc="left", fontsize=10)
    figure.legend(*r2.get_legend_handles_labels(), ncols=3, loc="outside lower center", frameon=False)
    return figure


def r2_over_shuffled_shares(results: Results, settings: Settings) -> Figure:
    """Plot R2 over the share of shuffled rows, one panel for each number of pairs."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, len(settings.shuffled_pair_counts), sharey=True))
    shares = sorted({*settings.shuffled_shares, 1.0})
    for axis, pairs in zip(axes, settings.shuffled_pair_counts, strict=True):
        for method in SHUFFLED_METHODS:
            label, color, marker = LINES[method]
            names = [f"{method}, {share:.0%} of {pairs} shuffled" for share in shares]
            estimates = [results.estimate("toy", name) for name in names]
            draw_curve(axis, [100 * share for share in shares], estimates, label, color, marker)
        axis.axhline(0, color="black", lw=0.8)
        axis.set_title(f"{pairs} pairs, {settings.few} agents", loc="left", fontsize=10)
        axis.set_xlabel("shuffled rows of each agent (%)")
    axes[0].set_ylabel("held-out R2, mean over all edges")
    figure.legend(*axes[0].get_legend_handles_labels(), ncols=4, loc="outside lower center", frameon=False)
    return figure


def r2_with_corrupted_agents(results: Results, settings: Settings) -> Figure:
    """Plot R2 by kind of edge if a few agents have shuffled rows, one panel for each number of pairs."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, len(settings.shuffled_pair_counts), sharey=True))
    for axis, pairs in zip(axes, settings.shuffled_pair_counts, strict=True):
        for position, method in enumerate(SHUFFLED_METHODS):
            label, color, marker = LINES[method]
            names = [f"corrupted, {method}, {kind}, {pairs}" for kind in EDGE_KINDS]
            estimates = [results.estimate("toy", name) for name in names]
            x, y = np.arange(len(EDGE_KINDS)) + 0.1 * (position - 1.5), [each.value for each in estimates]
            spans = np.concatenate([error_bar(each) for each in estimates], axis=1)
            axis.errorbar(x, y, spans, ls="None", label=label, color=color, marker=marker, ms=5, capsize=2)
        axis.axhline(0, color="black", lw=0.8)
        axis.set_xticks(range(len(EDGE_KINDS)), [kind.replace(" and", "\nand") for kind in EDGE_KINDS])
        axis.set_title(
            f"{pairs} pairs; {settings.corrupted_agents} of {settings.group_size} agents, "
            f"{settings.corrupted_share:.0%} shuffled", loc="left", fontsize=10,
        )  # fmt: skip
    axes[0].set_ylabel("held-out R2 between")
    figure.legend(*axes[0].get_legend_handles_labels(), ncols=4, loc="outside lower center", frameon=False)
    return figure


def edge_gains(results: Results, settings: Settings) -> Figure:
    """Plot the gain of each edge by mapping through the universe, over the R2 of its pairwise map."""
    pairwise, universe = (
        np.concatenate([results.array("toy", name, seed) for seed in results.seeds])
        for name in ("pairwise", "universe")
    )
    figure = Figure(figsize=(5.4, 3.6), layout="constrained")
    axis = figure.subplots()
    axis.plot(pairwise, 1000 * (universe - pairwise), ls="None", marker=".", ms=4, color=COLORS[0], alpha=0.5)
    axis.axhline(0, color="black", lw=0.8)
    axis.set_xlabel("held-out R2 of the pairwise map of an edge")
    axis.set_ylabel("gain through the universe (thousandths)")
    title = f"{len(pairwise)} edges of {settings.max_agents} agents, {settings.pairs} pairs"
    axis.set_title(title, loc="left", fontsize=10)
    return figure


def _line(axis: Axes, results: Results, name: str, x: Sequence[int], template: str) -> None:
    label, color, marker = LINES[name]
    estimates = [results.estimate("toy", template.format(name, value)) for value in x]
    draw_curve(axis, x, estimates, label, color, marker)
