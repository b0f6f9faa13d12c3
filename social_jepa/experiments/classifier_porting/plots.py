"""Plots of classifier-porting: accuracy by number of pairs and by class, and the views of the cameras."""

import numpy as np
from matplotlib.figure import Figure

from social_jepa.experiments.classifier_porting.metrics import CONDITION
from social_jepa.experiments.classifier_porting.settings import Settings
from social_jepa.experiments.common.plotting import COLORS, MARKERS, draw_curve, draw_frame_grid
from social_jepa.experiments.common.similarity_baselines import METHODS, baseline_name
from social_jepa.experiments.framework.experiment import Results

CURVES = {
    "ported, {}": "ported classifier", "own, {} labels": "own classifier, as many labels",
    "shifted, {}": "ported classifier, map of time-shifted pairs",
}  # fmt: skip


def make_plots(results: Results, settings: Settings) -> dict[str, Figure]:
    """Return the matplotlib figures by file name."""
    return {
        "by-pairs": plot_by_pairs(results, settings),
        "classes": plot_classes(results, settings),
        "views": plot_views(results, settings),
    }


def plot_by_pairs(results: Results, settings: Settings) -> Figure:
    """Plot top-1 over the number of pairs: ported, own, the null and the baselines."""
    figure = Figure(figsize=(7.5, 4.6), layout="constrained")
    axis = figure.subplots()
    curves = CURVES | {
        baseline_name(name, "ported, {}"): f"ported classifier, {method.title}"
        for name, method in METHODS.items()
    }
    counts = settings.pair_counts
    for (name, label), color, marker in zip(curves.items(), COLORS, MARKERS, strict=False):
        estimates = [results.estimate(CONDITION, name.format(count)) for count in counts]
        draw_curve(axis, counts, estimates, label, color, marker)
    levels = {"own": ("own classifier, all labels", "-"), "chance": ("most common class", ":")}
    for name, (label, style) in levels.items():
        level = results.estimate(CONDITION, name).value
        axis.axhline(level, color="black", ls=style, lw=1.2, label=label)
    axis.set_xscale("log", base=2)
    axis.set_xticks(counts, [str(count) for count in counts])
    axis.set_ylim(0, 1.02)
    axis.set_xlabel("pairs that the map is fitted on")
    axis.set_ylabel("top-1 on unseen instances")
    figure.legend(*axis.get_legend_handles_labels(), ncols=2, loc="outside lower center", frameon=False)
    return figure


def plot_classes(results: Results, settings: Settings) -> Figure:
    """Plot top-1 by class, own and ported over the widest angle, of the first seed."""
    names = settings.setup.scene.shapes
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axis = figure.subplots()
    by_class = results.array(CONDITION, "by class")
    for row, (label, shift) in enumerate((("own", -0.2), ("ported", 0.2))):
        axis.bar(np.arange(len(names)) + shift, by_class[row], 0.38, color=COLORS[row], label=label)
    axis.set_xticks(range(len(names)), [name.replace("_", " ") for name in names], rotation=40, ha="right")
    axis.set_ylim(0, 1.02)
    axis.set_ylabel(f"top-1, seed {results.seeds[0]}")
    axis.set_title(
        f"{max(settings.separations):g} degrees, {settings.threshold_pairs} pairs", loc="left", fontsize=10
    )
    axis.legend(frameon=False, ncols=2, loc="lower right")
    return figure


def plot_views(results: Results, settings: Settings) -> Figure:
    """Show the views of each camera at the same ticks, one row per camera."""
    frames = results.array(CONDITION, "frames")
    figure = Figure(figsize=(1.2 * frames.shape[1] + 1.2, 1.2 * len(frames) + 0.5), layout="constrained")
    labels = [f"{settings.degrees(0, number):g}°" for number in range(len(frames))]
    draw_frame_grid(figure, frames, labels, "Instances at the same ticks, seen from each camera")
    return figure
