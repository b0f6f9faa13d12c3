"""The pictures of society: R2 and cycle error over agents, R2 over pairs and shuffled rows, all edges."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from social_jepa.experiments.common.plotting import COLORS, draw_curve, error_bar
from social_jepa.experiments.framework.experiment import Results
from social_jepa.experiments.universe.shuffles import ENDS

LINES = {
    "universe": ("universe", COLORS[0], "o"), "pairwise": ("pairwise", COLORS[4], "s"),
    "chain": ("pairwise, chain through all", COLORS[1], "^"),
    "universe, trimmed": ("universe, trimmed", COLORS[5], "v"),
    "pairwise, trimmed": ("pairwise, trimmed", COLORS[1], "D"),
}  # fmt: skip
SMALLEST = 1e-32  # an error of exactly 0 has no place on a logarithmic axis


def pictures(results: Results, settings: Any) -> dict[str, Figure]:
    """Return the matplotlib figures by name."""
    return {
        "agents": over_agents(results, settings),
        "shuffled": over_shares(results, settings),
        "few": where_a_few_mix_up(results, settings),
        "edges": all_edges(results, settings),
    }


def over_agents(results: Results, settings: Any) -> Figure:
    """Show R2 and cycle error over the number of agents, and R2 over pairs."""
    picture = Figure(figsize=(11, 3.8), layout="constrained")
    quality, cycles, budgets = picture.subplots(1, 3)
    for name in ("universe", "pairwise", "chain"):
        _line(quality, results, name, settings.sizes, "{}, {} agents")
    for name in ("universe", "pairwise"):
        _, color, marker = LINES[name]
        for ending, dashes in (("", "-"), (", one size", ":")):
            words = f"cycle error, {name}{ending}"
            found = [results.mean("toy", f"{words}, {count} agents") for count in settings.sizes]
            cycles.plot(
                settings.sizes, np.maximum(found, SMALLEST), color=color, marker=marker, ms=5, ls=dashes
            )
        _line(budgets, results, name, settings.budgets, "{}, {} pairs")
    for axis in (quality, cycles):
        axis.set_xlabel("agents")
        axis.set_xticks(settings.sizes)
    cycles.set_yscale("log")
    cycles.axhline(1e-5, color="black", lw=0.8, ls=":")
    cycles.text(settings.most, 3e-6, "goal: below", ha="right", va="top", fontsize=8)
    budgets.set_xscale("log", base=2)
    budgets.set_xticks(settings.budgets, [str(pairs) for pairs in settings.budgets])
    budgets.set_xlabel("pairs")
    quality.set_title(f"R2 of an edge, {settings.pairs} pairs", loc="left", fontsize=10)
    cycles.set_title("Cycle error (dotted: cores of one size)", loc="left", fontsize=10)
    budgets.set_title(f"R2 of an edge, {settings.most} agents", loc="left", fontsize=10)
    picture.legend(*quality.get_legend_handles_labels(), ncols=3, loc="outside lower center", frameon=False)
    return picture


def over_shares(results: Results, settings: Any) -> Figure:
    """Show R2 over the share of rows that is shuffled, a panel for each number of pairs."""
    picture = Figure(figsize=(9, 4), layout="constrained")
    axes = np.atleast_1d(picture.subplots(1, len(settings.dealt), sharey=True))
    shares = sorted({*settings.shares, 1.0})
    for axis, pairs in zip(axes, settings.dealt, strict=True):
        for kind in ("universe", "universe, trimmed", "pairwise", "pairwise, trimmed"):
            label, color, marker = LINES[kind]
            words = [f"{kind}, {share:.0%} of {pairs} shuffled" for share in shares]
            found = [results.estimate("toy", name) for name in words]
            draw_curve(axis, [100 * share for share in shares], found, label, color, marker)
        axis.axhline(0, color="black", lw=0.8)
        axis.set_title(f"{pairs} pairs, {settings.most} agents", loc="left", fontsize=10)
        axis.set_xlabel("rows of each agent that are shuffled (%)")
    axes[0].set_ylabel("held-out R2, mean of all edges")
    picture.legend(*axes[0].get_legend_handles_labels(), ncols=4, loc="outside lower center", frameon=False)
    return picture


def where_a_few_mix_up(results: Results, settings: Any) -> Figure:
    """Show R2 by kind of edge where a few agents have shuffled rows, a panel for each number of pairs."""
    picture = Figure(figsize=(9, 4), layout="constrained")
    axes = np.atleast_1d(picture.subplots(1, len(settings.dealt), sharey=True))
    kinds = ("universe", "universe, trimmed", "pairwise", "pairwise, trimmed")
    for axis, pairs in zip(axes, settings.dealt, strict=True):
        for place, kind in enumerate(kinds):
            label, color, marker = LINES[kind]
            found = [results.estimate("toy", f"few, {kind}, {ends}, {pairs}") for ends in ENDS]
            x, y = np.arange(len(ENDS)) + 0.1 * (place - 1.5), [each.value for each in found]
            span = np.concatenate([error_bar(each) for each in found], axis=1)
            axis.errorbar(x, y, span, ls="None", label=label, color=color, marker=marker, ms=5, capsize=2)
        axis.axhline(0, color="black", lw=0.8)
        axis.set_xticks(range(len(ENDS)), [ends.replace(" and", "\nand") for ends in ENDS])
        axis.set_title(
            f"{pairs} pairs; {settings.few} of {settings.company} agents mix up {settings.mixed:.0%}",
            loc="left", fontsize=10,
        )  # fmt: skip
    axes[0].set_ylabel("held-out R2 between")
    picture.legend(*axes[0].get_legend_handles_labels(), ncols=4, loc="outside lower center", frameon=False)
    return picture


def all_edges(results: Results, settings: Any) -> Figure:
    """Show how much each edge gains by going through the universe, over its R2 by its own map."""
    own, universe = (
        np.concatenate([results.array("toy", name, seed) for seed in results.seeds])
        for name in ("pairwise", "universe")
    )
    picture = Figure(figsize=(5.4, 3.6), layout="constrained")
    axis = picture.subplots()
    axis.plot(own, 1000 * (universe - own), ls="None", marker=".", ms=4, color=COLORS[0], alpha=0.5)
    axis.axhline(0, color="black", lw=0.8)
    axis.set_xlabel("held-out R2 of an edge by its own map")
    axis.set_ylabel("gain through the universe (thousandths)")
    axis.set_title(
        f"{len(own)} edges of {settings.most} agents, {settings.pairs} pairs", loc="left", fontsize=10
    )
    return picture


def _line(axis: Axes, results: Results, name: str, x: Sequence[int], words: str) -> None:
    label, color, marker = LINES[name]
    found = [results.estimate("toy", words.format(name, value)) for value in x]
    draw_curve(axis, x, found, label, color, marker)
