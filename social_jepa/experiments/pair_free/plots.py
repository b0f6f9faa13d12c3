"""Plots of pair-free: R2 over anchors, R2 over the spacing, and correlations between axes."""

import numpy as np
from matplotlib.figure import Figure

from social_jepa.experiments.common.plotting import COLORS, draw_curve
from social_jepa.experiments.framework.experiment import Results
from social_jepa.experiments.pair_free.settings import Settings

LINES = {
    "signs": ("signs, random anchors", COLORS[0], "o"),
    "selected": ("signs, selected anchors", COLORS[2], "^"),
    "shrunk": ("shrunk signs", COLORS[5], "v"),
    "permutation": ("signed permutation", COLORS[3], "D"),
    "procrustes": ("Procrustes", COLORS[4], "s"),
}
DISJOINT = (COLORS[6], "P")


def plots(results: Results, settings: Settings) -> dict[str, Figure]:
    """Return the matplotlib figures by name."""
    return {
        "anchors": r2_over_anchors(results, settings),
        "spacing": r2_over_spacings(results, settings),
        "axes": axis_correlations(results, settings),
    }


def r2_over_anchors(results: Results, settings: Settings) -> Figure:
    """Plot R2 over anchors by method, for distinct and for equal autocorrelations."""
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    conditions = (settings.condition(settings.distinct_spacing), settings.conditions[-1])
    for axis, condition in zip(axes, conditions, strict=True):
        for method, (label, color, marker) in LINES.items():
            estimates = [results.estimate(condition, f"{method}, {count}") for count in settings.anchors]
            draw_curve(axis, settings.anchors, estimates, label, color, marker)
        for method, marker in (("third moments", "x"), ("point clouds", "P")):
            value = results.estimate(condition, f"{method}, 0").value
            axis.plot([0], [value], ls="None", marker=marker, color="black", label=method)
        axis.axhline(0.9, color="black", lw=0.8, ls=":")
        axis.axhline(0, color="black", lw=0.8)
        axis.set_xticks([0, *settings.anchors])
        axis.set_xlabel("anchors")
        axis.set_title(f"{settings.axes} axes, {condition} of autocorrelations", loc="left", fontsize=10)
    axes[0].set_ylabel("held-out R2 (dotted: threshold)")
    figure.legend(*axes[0].get_legend_handles_labels(), ncols=4, loc="outside lower center", frameon=False)
    return figure


def r2_over_spacings(results: Results, settings: Settings) -> Figure:
    """Plot R2 over the spacing of the autocorrelations, by method."""
    most = settings.anchors[-1]
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axis = figure.subplots()
    lines = (
        ("signs", 1, "signs, 1 random anchor"), ("selected", 1, "signs, 1 selected anchor"),
        ("disjoint ticks: selected", 1, "1 selected anchor, axes of disjoint ticks"),
        ("permutation", most, f"signed permutation, {most} anchors"),
        ("procrustes", most, f"Procrustes, {most} anchors"),
    )  # fmt: skip
    for method, count, label in lines:
        color, marker = LINES[method][1:] if method in LINES else DISJOINT
        estimates = [results.estimate(condition, f"{method}, {count}") for condition in settings.conditions]
        draw_curve(axis, settings.spacings, estimates, label, color, marker)
    axis.axhline(0, color="black", lw=0.8)
    axis.set_xlabel("spacing of the lag-1 autocorrelations")
    axis.set_ylabel("held-out R2")
    figure.legend(*axis.get_legend_handles_labels(), ncols=2, loc="outside lower center", frameon=False)
    return figure


def axis_correlations(results: Results, settings: Settings) -> Figure:
    """Plot correlations of agent 0's axes with agent 1's, of the same and disjoint ticks, and the state."""
    conditions = (settings.condition(settings.distinct_spacing), settings.conditions[-1])
    labels = {
        "same ticks": "axis of agent 1, same ticks", "disjoint ticks": "axis of agent 1, disjoint ticks",
        "state": "factor of the true state",
    }  # fmt: skip
    figure = Figure(figsize=(10.5, 6.8), layout="constrained")
    axes, ticks = figure.subplots(2, 3, squeeze=False), np.arange(settings.axes)
    for row, condition in zip(axes, conditions, strict=True):
        for axis, (name, label) in zip(row, labels.items(), strict=True):
            values = np.abs(results.array(condition, name))
            image = axis.imshow(values, vmin=0, vmax=1, cmap="Blues")
            axis.set_xlabel(label)
            axis.set_xticks(ticks, ticks + 1)
            axis.set_yticks(ticks, ticks + 1)
            for (y, x), value in np.ndenumerate(values):
                color = "white" if value > 0.6 else "black"
                axis.text(x, y, f"{value:.2f}", ha="center", va="center", fontsize=7, color=color)
        row[0].set_ylabel(f"{condition}: axis of agent 0")
    figure.colorbar(image, ax=axes, label="absolute correlation, held-out ticks", shrink=0.6)
    return figure
