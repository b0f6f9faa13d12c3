"""Plots of one-moment: R2 over moments, R2 over the spacing, and correlations between axes."""

import numpy as np
from matplotlib.figure import Figure

from social_jepa.experiments.common.plotting import COLORS, draw_curve
from social_jepa.experiments.framework.experiment import Results
from social_jepa.experiments.one_moment.metrics import LEAST_R2
from social_jepa.experiments.one_moment.scores import (
    ORTHOGONAL,
    PERMUTATION,
    SHRUNK,
    SHRUNK_ORTHOGONAL,
    SIGNS,
    SKEWNESS,
    null_name,
)
from social_jepa.experiments.one_moment.settings import Settings

STYLES = {
    SIGNS: (COLORS[0], "o"), SHRUNK: (COLORS[5], "v"), PERMUTATION: (COLORS[3], "D"),
    ORTHOGONAL: (COLORS[4], "s"), SHRUNK_ORTHOGONAL: (COLORS[1], "P"),
}  # fmt: skip


def make_plots(results: Results, settings: Settings) -> dict[str, Figure]:
    """Return the matplotlib figures by name."""
    return {
        "moments": plot_moments(results, settings),
        "spacing": plot_spacings(results, settings),
        "axes": plot_axes(results, settings),
    }


def plot_moments(results: Results, settings: Settings) -> Figure:
    """Plot R2 over the number of moments by method, for distinct and for equal autocorrelations."""
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    counts = settings.moments
    for axis, condition in zip(axes, _compared(settings), strict=True):
        for method, (color, marker) in STYLES.items():
            estimates = [results.estimate(condition, f"{method}, {count}") for count in counts]
            draw_curve(axis, counts, estimates, method, color, marker)
        null = [results.mean(condition, null_name(f"{SIGNS}, {count}")) for count in counts]
        axis.plot(counts, null, color="black", ls="--", lw=1, label="signs, moments shifted in time")
        without = results.estimate(condition, SKEWNESS).value
        axis.plot([0], [without], ls="None", marker="x", color="black", label="skewness")
        axis.axhline(LEAST_R2, color="black", lw=0.8, ls=":", label="threshold")
        axis.set_xticks([0, *counts])
        axis.set_xlabel("moments")
        axis.set_title(f"{condition} of {settings.factors} autocorrelations", loc="left", fontsize=10)
    axes[0].set_ylabel("held-out R2")
    figure.legend(*axes[0].get_legend_handles_labels(), ncols=4, loc="outside lower center", frameon=False)
    return figure


def plot_spacings(results: Results, settings: Settings) -> Figure:
    """Plot R2 over the spacing of the autocorrelations, from one moment and from most."""
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axis = figure.subplots()
    shown = ((SIGNS, 1), (PERMUTATION, 1), (ORTHOGONAL, 1), (ORTHOGONAL, settings.moments[-1]))
    for index, (method, count) in enumerate(shown):
        estimates = [results.estimate(condition, f"{method}, {count}") for condition in settings.conditions]
        label = f"{method}, {count} moment{'s' * (count > 1)}"
        color = COLORS[6] if index == 2 else STYLES[method][0]
        draw_curve(axis, settings.spacings, estimates, label, color, STYLES[method][1])
    axis.axhline(0, color="black", lw=0.8)
    axis.set_xlabel("spacing of the lag-1 autocorrelations")
    axis.set_ylabel("held-out R2")
    figure.legend(*axis.get_legend_handles_labels(), ncols=2, loc="outside lower center", frameon=False)
    return figure


def plot_axes(results: Results, settings: Settings) -> Figure:
    """Plot correlations of agent 0's axes with agent 1's and with the true state, of the first seed."""
    labels = {"peer": "axis of agent 1", "state": "factor of the true state"}
    figure = Figure(figsize=(7.4, 6.8), layout="constrained")
    axes = figure.subplots(2, 2, squeeze=False)
    for row, condition in zip(axes, _compared(settings), strict=True):
        for axis, (name, label) in zip(row, labels.items(), strict=True):
            values = np.abs(results.array(condition, name))
            image = axis.imshow(values, vmin=0, vmax=1, cmap="Blues")
            axis.set_xlabel(label)
            axis.set_xticks(np.arange(values.shape[1]), np.arange(values.shape[1]) + 1)
            axis.set_yticks(np.arange(values.shape[0]), np.arange(values.shape[0]) + 1)
            for (y, x), value in np.ndenumerate(values):
                color = "white" if value > 0.6 else "black"
                axis.text(x, y, f"{value:.2f}", ha="center", va="center", fontsize=7, color=color)
        row[0].set_ylabel(f"{condition}: axis of agent 0")
    figure.colorbar(image, ax=axes, label="absolute correlation, held-out ticks", shrink=0.6)
    return figure


def _compared(settings: Settings) -> tuple[str, str]:
    """Return the conditions of distinct autocorrelations and of the least distinct ones."""
    return settings.condition(settings.distinct_spacing), settings.conditions[-1]
