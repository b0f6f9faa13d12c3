"""Plots of isometry: R2 over pairs, canonical correlations, and the views of the cameras."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from social_jepa.experiments.common.plotting import COLORS, draw_curve, draw_frame_grid
from social_jepa.experiments.framework.experiment import Results
from social_jepa.experiments.isometry.metrics import CONDITION
from social_jepa.experiments.isometry.settings import Settings

FIT_LABELS = {
    "procrustes": "core, orthogonal", "robust": "core, orthogonal, trimmed",
    "universe": "core, through a universe", "ridge": "core, ridge",
    "all dimensions": "all dimensions, ridge",
}  # fmt: skip


def make_plots(results: Results, settings: Settings) -> dict[str, Figure]:
    """Return the matplotlib figures by file name."""
    return {
        "pairs": plot_pairs(results, settings),
        "correlations": plot_correlations(results),
        "views": plot_views(results),
    }


def plot_pairs(results: Results, settings: Settings) -> Figure:
    """Plot held-out R2 over the number of pairs by fit: the full range, and the range near 1."""
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    axes = figure.subplots(1, 2)
    counts = settings.pair_counts
    for axis in axes:
        for index, (name, label) in enumerate(FIT_LABELS.items()):
            estimates = [results.estimate(CONDITION, f"{name}, {pairs}") for pairs in counts]
            offset_x = [pairs * 2 ** (0.12 * (index - 2)) for pairs in counts]  # curves nearly coincide
            draw_curve(axis, offset_x, estimates, label, COLORS[index], "osD^v"[index])
        axis.set_xscale("log", base=2)
        axis.set_xticks(counts[::2], [str(pairs) for pairs in counts[::2]])
        axis.set_xlabel("pairs that a map is fitted on")
    for name, style in (("procrustes", "--"), ("ridge", ":")):
        null = [results.estimate(CONDITION, f"shifted, {name}, {pairs}").value for pairs in counts]
        label = f"shifted in time, {FIT_LABELS[name].removeprefix('core, ')}"
        axes[0].plot(counts, null, color="black", ls=style, lw=1.2, label=label)
    unmapped = results.estimate(CONDITION, "no map, 0").value
    axes[0].axhline(unmapped, color=COLORS[6], lw=1.2, label="no pairs and no map")
    axes[0].set_ylabel("held-out R2, mean over edges")
    axes[0].set_ylim(-1.4, 1.05)
    axes[1].set_ylim(0.8, 1.0)
    axes[0].set_title("Full range", loc="left", fontsize=10)
    axes[1].set_title("0.8 to 1", loc="left", fontsize=10)
    figure.legend(*axes[0].get_legend_handles_labels(), ncols=3, loc="outside lower center", frameon=False)
    return figure


def plot_correlations(results: Results) -> Figure:
    """Plot canonical correlations of all dimensions by rank, beside those of shifted rows."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axis = figure.subplots()
    styles = {"": ("same ticks", "-o"), "shifted, ": ("shifted in time", "--")}
    for index, (prefix, (label, style)) in enumerate(styles.items()):
        found = [results.array(CONDITION, f"{prefix}correlations", seed) for seed in results.seeds]
        values = np.mean(found, axis=0)
        axis.plot(range(1, len(values) + 1), values, style, color=COLORS[index], ms=4, label=label)
    axis.set_xlabel("rank")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_ylim(0, 1.02)
    axis.set_ylabel("canonical correlation on held-out ticks")
    axis.legend(frameon=False)
    return figure


def plot_views(results: Results) -> Figure:
    """Plot the views of each camera at the same three ticks, one row per camera."""
    frames = results.array(CONDITION, "views")
    figure = Figure(figsize=(1.5 * frames.shape[1] + 1.2, 1.5 * len(frames) + 0.5), layout="constrained")
    labels = [f"camera {row + 1}" for row in range(len(frames))]
    draw_frame_grid(figure, frames, labels, "The same ticks, seen from each camera")
    return figure
