"""Plots of isometry: R2 over pairs, methods, canonical correlations, and the views of the cameras."""

import numpy as np
from matplotlib.figure import Figure

from social_jepa.experiments.common.plotting import COLORS, draw_bars, draw_curve, draw_frame_grid
from social_jepa.experiments.framework.experiment import Results
from social_jepa.experiments.isometry.methods import LONG, METHODS
from social_jepa.experiments.isometry.settings import Settings

FIT_LABELS = {
    "procrustes": "core, orthogonal", "robust": "core, orthogonal, trimmed",
    "universe": "core, through a universe", "ridge": "core, ridge",
    "all dimensions": "all dimensions, ridge",
}  # fmt: skip
METHOD_SCORES = ("leading axes", "detected core", "all dimensions")
NULL_LABEL = "ridge, shuffled pairs (orthogonal: about -1)"
LOWEST_R2 = -0.3  # lower end of the axis; bars below it are labeled with their value


def make_plots(results: Results, settings: Settings) -> dict[str, Figure]:
    """Return the matplotlib figures by file name."""
    return {
        "pairs": plot_pairs(results, settings),
        "methods": plot_methods(results, settings),
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
            estimates = [results.estimate(LONG, f"{name}, {pairs}") for pairs in counts]
            offset_x = [pairs * 2 ** (0.12 * (index - 2)) for pairs in counts]  # curves nearly coincide
            draw_curve(axis, offset_x, estimates, label, COLORS[index], "osD^v"[index])
        axis.set_xscale("log", base=2)
        axis.set_xticks(counts[::2], [str(pairs) for pairs in counts[::2]])
        axis.set_xlabel("pairs that a map is fitted on")
    for name, style in (("procrustes", "--"), ("ridge", ":")):
        null = [results.estimate(LONG, f"shuffled, {name}, {pairs}").value for pairs in counts]
        label = f"shuffled pairs, {FIT_LABELS[name].removeprefix('core, ')}"
        axes[0].plot(counts, null, color="black", ls=style, lw=1.2, label=label)
    unmapped = results.estimate(LONG, "no map, 0").value
    axes[0].axhline(unmapped, color=COLORS[6], lw=1.2, label="no pairs and no map")
    axes[0].set_ylabel("held-out R2, mean over edges")
    axes[0].set_ylim(-1.4, 1.05)
    axes[1].set_ylim(0.8, 1.0)
    axes[0].set_title("Full range", loc="left", fontsize=10)
    axes[1].set_title("0.8 to 1", loc="left", fontsize=10)
    figure.legend(*axes[0].get_legend_handles_labels(), ncols=3, loc="outside lower center", frameon=False)
    return figure


def plot_methods(results: Results, settings: Settings) -> Figure:
    """Plot R2 by learning method, the null of ridge, and the R2 of a linear probe of the true state."""
    figure = Figure(figsize=(10, 4.8), layout="constrained")
    axis = figure.subplots()
    rows = [(condition, "", method.title) for condition, method in METHODS.items()]
    rows.insert(1, ("jepa", "disjoint ticks, ", "JEPA, disjoint ticks"))
    labels = (
        f"{settings.leading_axes} leading axes, orthogonal, {settings.reference_pairs} pairs",
        f"detected core, orthogonal, {settings.reference_pairs} pairs",
        "all dimensions, ridge, all pairs",
    )
    for index, (score, label) in enumerate(zip(METHOD_SCORES, labels, strict=True)):
        estimates = [results.estimate(condition, prefix + score) for condition, prefix, _ in rows]
        draw_bars(axis, estimates, index, len(METHOD_SCORES), label, COLORS[index], LOWEST_R2)
    shuffled = f"shuffled, {METHOD_SCORES[2]}"
    null = [results.estimate(condition, prefix + shuffled).value for condition, prefix, _ in rows]
    axis.plot(np.arange(len(rows)) + 0.27, null, "_", color="black", ms=8, label=NULL_LABEL)
    state = [results.estimate(condition, f"{prefix}state").value for condition, prefix, _ in rows]
    axis.plot(range(len(rows)), state, "D", color="black", ms=4, label="true state, linear probe")
    axis.axhline(0, color="black", lw=0.8)
    axis.set_ylim(LOWEST_R2, 1.05)
    axis.set_ylabel("held-out R2")
    axis.set_xticks(range(len(rows)), [title for *_, title in rows], rotation=30, ha="right")
    figure.legend(*axis.get_legend_handles_labels(), ncols=3, loc="outside upper center", frameon=False)
    return figure


def plot_correlations(results: Results) -> Figure:
    """Plot canonical correlations by rank: the long schedule with its nulls, and each method."""
    figure = Figure(figsize=(10, 4.4), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)

    def mean(condition: str, name: str) -> np.ndarray:
        return np.mean([results.array(condition, name, seed) for seed in results.seeds], axis=0)

    styles = {"": ("same ticks", "-o"), "shuffled, ": ("shuffled", "--"), "rolled, ": ("rolled", ":")}
    for index, (prefix, (label, style)) in enumerate(styles.items()):
        values = mean(LONG, f"{prefix}correlations")
        axes[0].plot(range(1, len(values) + 1), values, style, color=COLORS[index], ms=4, label=label)
    for index, (condition, method) in enumerate(METHODS.items()):
        values = mean(condition, "correlations")
        style, color = "-" if index < 5 else "--", COLORS[index % 5]
        axes[1].plot(range(1, len(values) + 1), values, style, color=color, label=method.title)
    for axis, title in zip(axes, ("JEPA, long schedule", "Two agents of each method"), strict=True):
        axis.set_title(title, loc="left", fontsize=10)
        axis.set_xlabel("rank")
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.set_ylim(0, 1.02)
    axes[0].set_ylabel("canonical correlation on held-out ticks")
    axes[0].legend(frameon=False)
    axes[1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return figure


def plot_views(results: Results) -> Figure:
    """Plot the views of each camera at the same three ticks, one row per camera."""
    frames = results.array(LONG, "views")
    figure = Figure(figsize=(1.5 * frames.shape[1] + 1.2, 1.5 * len(frames) + 0.5), layout="constrained")
    labels = [f"camera {row + 1}" for row in range(len(frames))]
    draw_frame_grid(figure, frames, labels, "The same ticks, seen from each camera")
    return figure
