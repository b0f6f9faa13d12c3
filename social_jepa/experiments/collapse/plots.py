"""Plots of collapse: distances over errors, distance matrices of one process, and the adversarial search."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from social_jepa.experiments.collapse.settings import SEARCH, SEARCHES, Settings
from social_jepa.experiments.framework.experiment import Results


def plots(results: Results, settings: Settings) -> dict[str, Figure]:
    """Return the matplotlib figures by name."""
    return {
        "distances": plot_distances(results, settings),
        "example": plot_example(results),
        "search": plot_search(results, settings),
    }


def plot_distances(results: Results, settings: Settings) -> Figure:
    """Plot distances of pairs over the worst errors of T and P, and over their lower bounds."""
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    axes = figure.subplots(1, 3, sharey=True)
    pairs = np.concatenate([results.array("joint", "pairs", seed) for seed in results.seeds])
    for axis, column, name in zip(axes, (2, 3), ("T", "P"), strict=False):
        for bisimilar, label, color in ((0, "not bisimilar", "C0"), (1, "bisimilar", "C1")):
            rows = pairs[pairs[:, 4] == bisimilar]
            axis.loglog(rows[:, column], rows[:, 0].clip(1e-12), ".", color=color, label=label, markersize=3)
        axis.axvline(settings.threshold, color="gray", linestyle=":", label="threshold")
        axis.set(
            xlabel=f"worst squared error of {name} in the process",
            title=f"joint: distance over the error of {name}",
        )
    different = pairs[(pairs[:, 4] == 0) & (pairs[:, 1] > 0)]
    axes[2].loglog(different[:, 1], different[:, 0], ".", markersize=3)
    ends = [different[:, 1].min(initial=1), different[:, 1].max(initial=1)]
    axes[2].loglog(ends, ends, color="gray")
    axes[2].set(xlabel="lower bound", title="joint: distance over its lower bound")
    axes[0].set_ylabel("distance of latents")
    for axis in axes:
        axis.axhline(settings.tolerance, color="gray", linestyle="--", label="tolerance")
    axes[0].legend(fontsize=7)
    return figure


def plot_example(results: Results) -> Figure:
    """Plot the distance matrices of the process with the most bisimilar pairs, for three conditions."""
    figure = Figure(figsize=(14, 3.6), layout="constrained")
    axes = figure.subplots(1, 4)
    classes = results.array("joint", "example classes")
    axes[0].imshow(classes[:, None] != classes[None, :], cmap="magma")
    axes[0].set_title("bright: not bisimilar")
    for axis, condition in zip(axes[1:], ("joint", "collapsed-start", "collapsed-dynamics"), strict=True):
        image = axis.imshow(results.array(condition, "example distances"), cmap="magma", vmin=0, vmax=1)
        axis.set_title(f"{condition}: distance of latents", fontsize=9)
        figure.colorbar(image, ax=axis, shrink=0.8)
    figure.suptitle("The process with the most bisimilar pairs, states sorted by class")
    return figure


def plot_search(results: Results, settings: Settings) -> Figure:
    """Plot distances over the steps of the search, and the smallest distances over their lower bounds."""
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    axes = figure.subplots(1, 3)
    for axis, condition in zip(axes, SEARCHES, strict=False):
        history = results.array(condition, "history")
        steps = np.arange(len(history)) * settings.steps / max(1, len(history))
        axis.semilogy(steps, history, linewidth=0.6, alpha=0.6)
        axis.set(title=condition, xlabel="step", ylabel="distance of the pair, if errors are below")
        axis.axhline(settings.tolerance, color="gray", linestyle="--")
    _plot_bounds(axes[2], results)
    return figure


def _plot_bounds(axis: Axes, results: Results) -> None:
    closest, bounds = (results.array(SEARCH, name) for name in ("closest", "bounds"))
    kept = np.isfinite(closest) & (bounds > 0)
    axis.loglog(bounds[kept], closest[kept], ".")
    ends = [bounds[kept].min(initial=1), bounds[kept].max(initial=0.01)]
    axis.loglog(ends, ends, color="gray")
    axis.set(
        title="search: smallest distance over its lower bound",
        xlabel="lower bound",
        ylabel="smallest distance",
    )
