"""Plots of invariance-equivariance: views, bars, curves over lengths, nearest neighbors."""

from itertools import product
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from social_jepa.experiments.common.plotting import (
    COLORS,
    LOWEST_BAR,
    MARKERS,
    draw_bars,
    draw_curve,
    draw_frame_grid,
)
from social_jepa.experiments.framework.experiment import Results
from social_jepa.experiments.framework.score import Estimate
from social_jepa.experiments.invariance_equivariance.settings import MAIN, TEST_LENGTHS, Settings

LABELS = {
    "seq-jepa-1": "seq-JEPA, 1", "seq-jepa-2": "seq-JEPA, 2", "seq-jepa-3": "seq-JEPA, 3",
    "seq-jepa-3-no-actions": "seq-JEPA, 3, no actions", "simclr": "SimCLR", "byol": "BYOL",
    "vicreg": "VICReg", "untrained": "untrained", "pixel-pca": "pixel PCA",
}  # fmt: skip


def plots(results: Results, settings: Settings) -> dict[str, Figure]:
    """Return the matplotlib figures by name."""
    return {
        "views": plot_views(results.array(MAIN, "views")),
        "rotation": plot_rotation_r2(results),
        "classes": plot_accuracy(results),
        "test-length": plot_accuracy_over_lengths(results),
        "neighbors": plot_neighbors(results),
    }


def plot_views(frames: np.ndarray) -> Figure:
    """Show training objects, uint8 [N, M, H, W, 3], one row for each."""
    figure = Figure(figsize=(1.2 * frames.shape[1] + 1.2, 1.2 * len(frames) + 0.6), layout="constrained")
    labels = [f"object {row + 1}" for row in range(len(frames))]
    draw_frame_grid(figure, frames, labels, "Views of training objects")
    return figure


def plot_rotation_r2(results: Results) -> Figure:
    """Plot R2 of relative and individual rotation by method, for seen and unseen classes."""
    figure = Figure(figsize=(9, 7), layout="constrained")
    axes = figure.subplots(2, 1, sharex=True)
    for axis, prefix, title in zip(axes, ("", "unseen: "), ("Seen classes", "Unseen classes"), strict=True):
        for position, (rotation, probe) in enumerate(product(("relative", "individual"), ("MLP", "linear"))):
            score = f"{prefix}{rotation} rotation, {probe}"
            estimates = [results.estimate(condition, score) for condition in LABELS]
            draw_bars(axis, estimates, position, 4, f"{rotation}, {probe}", COLORS[position])
        label_bars(axis, title, "R2 of rotation")
    axes[0].legend(ncols=4, loc="upper center", bbox_to_anchor=(0.5, 1.32), frameon=False)
    return figure


def plot_accuracy(results: Results) -> Figure:
    """Plot top-1 accuracy of the latent, the mean latent and the longest aggregate by method."""
    inputs = ("single latent", "mean latent", f"aggregate of {TEST_LENGTHS[-1]}")
    figure = Figure(figsize=(9, 7), layout="constrained")
    axes = figure.subplots(2, 1, sharex=True)
    for axis, prefix, title in zip(axes, ("", "unseen: "), ("Seen classes", "Unseen classes"), strict=True):
        for position, name in enumerate(inputs):
            estimates = [_estimate(results, condition, f"{prefix}top-1, {name}") for condition in LABELS]
            draw_bars(axis, estimates, position, len(inputs), name, COLORS[position])
        label_bars(axis, title, "top-1 accuracy")
    axes[0].legend(ncols=3, loc="upper center", bbox_to_anchor=(0.5, 1.32), frameon=False)
    return figure


def plot_accuracy_over_lengths(results: Results) -> Figure:
    """Plot top-1 accuracy of the aggregate over test lengths, one line for each trained model."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axis = figure.subplots()
    conditions = [name for name in LABELS if name.startswith("seq-jepa") or name == "untrained"]
    for index, name in enumerate(conditions):
        estimates = [results.estimate(name, f"top-1, aggregate of {length}") for length in TEST_LENGTHS]
        x = [length + 0.06 * (index - 2) for length in TEST_LENGTHS]
        draw_curve(axis, x, estimates, LABELS[name], COLORS[index], MARKERS[index])
    axis.set_xticks(TEST_LENGTHS)
    axis.set_xlabel("views at test")
    axis.set_ylabel("top-1 accuracy, seen classes")
    axis.legend(title="views at training", loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return figure


def plot_neighbors(results: Results) -> Figure:
    """Show the nearest views of other objects in the latents of seq-JEPA and of SimCLR."""
    figure = Figure(figsize=(12, 5.2), layout="constrained")
    halves: Any = figure.subfigures(1, 2)
    for half, condition in zip(halves, (MAIN, "simclr"), strict=True):
        frames = results.array(condition, "neighbors")
        labels = [f"query {row + 1}" for row in range(len(frames))]
        draw_frame_grid(half, frames, labels, f"{LABELS[condition]}: a view and its nearest neighbors")
    return figure


def label_bars(axis: Axes, title: str, label: str) -> None:
    """Label a bar chart of all methods, and limit it so that strongly negative bars do not flatten others."""
    axis.set_ylim(bottom=max(axis.get_ylim()[0], LOWEST_BAR))
    axis.set_title(title, loc="left", fontsize=10)
    axis.set_ylabel(label)
    axis.axhline(0, color="black", lw=0.8)
    axis.set_xticks(range(len(LABELS)), list(LABELS.values()), rotation=30, ha="right")


def _estimate(results: Results, condition: str, score: str) -> Estimate | None:
    return results.estimate(condition, score) if results.has_score(condition, score) else None
