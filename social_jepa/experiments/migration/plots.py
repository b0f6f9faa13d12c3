"""Plots of migration: score over cost by method, and the cost of reaching shares of the final score."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from social_jepa.experiments.common.plotting import COLORS
from social_jepa.experiments.framework.experiment import Results
from social_jepa.experiments.migration.metrics import (
    FLOPS,
    LABELS,
    SCORE,
    SHARES,
    TICKS,
    cost_ratio,
    final_score,
    get_trials,
    scene_title,
)
from social_jepa.experiments.migration.settings import Settings

MARKERS = dict(zip(LABELS, "os^Dv*XPp", strict=True))
METHOD_COLORS = dict(zip(LABELS, ("#000000", *COLORS[:5], "#56B4E9", "#999999", "#999999"), strict=True))
BARS = (
    "distilled", "distilled, then alone", "distilled, early teacher", "distilled, untrained teacher",
    "distilled, shuffled ticks", "mutual",
)  # fmt: skip


def make_plots(results: Results, settings: Settings) -> dict[str, Figure]:
    """Return the matplotlib figures by file name."""
    figures = {"ratios": plot_ratios(results, settings)}
    for objects in settings.object_counts:
        figures[f"by-flops-{objects}"] = plot_by_cost(
            results, objects, FLOPS, 1e-12, "training TFLOPs of the student"
        )
        figures[f"by-frames-{objects}"] = plot_by_cost(results, objects, TICKS, 1, "distinct training frames")
    return figures


def plot_by_cost(results: Results, objects: int, column: int, unit: float, label: str) -> Figure:
    """Plot the score of every trial over a cost, mean over seeds, one color per method."""
    figure = Figure(figsize=(8.5, 4.6), layout="constrained")
    axis = figure.subplots()
    hidden = {"mutual, peer"} | ({"full schedule"} if column == TICKS else set())  # all frames, as alone
    for method in (method for method in LABELS if method not in hidden):
        rows = np.mean([get_trials(results, objects, method, seed) for seed in results.seeds], axis=0)
        line = column == FLOPS and method in ("full schedule", "mutual")
        axis.plot(
            rows[:, column] * unit, rows[:, SCORE], color=METHOD_COLORS[method], marker=MARKERS[method], ms=6,
            ls="-" if line else "none", lw=1.2, label=LABELS[method],
            zorder=3 if method == "full schedule" else 2,
        )  # fmt: skip
    final = float(np.mean([final_score(results, objects, seed) for seed in results.seeds]))
    for share, style in zip(SHARES, (":", "--"), strict=True):
        share_label = f"{100 * share:.0f} % of the final score alone"
        axis.axhline(share * final, color="black", lw=0.8, ls=style, label=share_label)
    axis.set_xscale("log")
    axis.set_xlabel(label)
    axis.set_ylabel("R2 of the true state, held-out ticks")
    axis.set_title(scene_title(objects), loc="left", fontsize=10)
    axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8)
    return figure


def plot_ratios(results: Results, settings: Settings) -> Figure:
    """Plot the cost of each method relative to the cheapest schedule alone, a bar per share of the score."""
    scenes = settings.object_counts
    figure = Figure(figsize=(8, 1 + 2.6 * len(scenes)), layout="constrained")
    axes = figure.subplots(len(scenes), 1, squeeze=False)[:, 0]
    for axis, objects in zip(axes, scenes, strict=True):
        for index, share in enumerate(SHARES):
            _draw_ratios(axis, results, objects, share, index)
        axis.axvline(1, color="black", lw=0.8)
        axis.axvline(0.28, color="black", lw=0.8, ls="--", label="threshold: 0.28")
        axis.set_yticks(range(len(BARS)), [LABELS[method] for method in BARS])
        axis.set_ylim(len(BARS) - 0.4, -0.6)
        axis.set_title(scene_title(objects), loc="left", fontsize=10)
        axis.set_xlabel("FLOPs relative to the cheapest schedule alone")
        axis.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def _draw_ratios(axis: Axes, results: Results, objects: int, share: float, index: int) -> None:
    """Draw means over seeds as bars and seeds as dots; label methods that do not reach the score."""
    label = f"to {100 * share:.0f} % of the final score alone"
    for row, method in enumerate(BARS):
        ratio, y = cost_ratio(results, objects, method, share), row - 0.2 + 0.4 * index
        if np.isfinite(ratio.value):
            axis.barh(y, ratio.value, 0.38, color=COLORS[index], label=label)
            axis.plot(ratio.seeds, [y] * len(ratio.seeds), "k.", ms=4)
            label = "_"  # one entry of the legend is enough
        else:
            axis.text(0.01, y, "not reached", va="center", fontsize=7, color=COLORS[index])
