"""Plots of counting: latents in two dimensions, accuracy of pairs of counts, and losses."""

import numpy as np
from matplotlib.figure import Figure

from social_jepa.experiments.counting.settings import PAIRS, Settings
from social_jepa.experiments.framework.experiment import Results


def plots(results: Results, settings: Settings) -> dict[str, Figure]:
    """Return the matplotlib figures by name."""
    return {
        "latents": plot_latents(results),
        "pairs": plot_pair_accuracy(results),
        "losses": plot_losses(results),
    }


def plot_latents(results: Results) -> Figure:
    """Plot held-out latents in their two principal directions, colored by count, for each condition."""
    figure, axes = _axes_grid(len(results.conditions), 3.0)
    for condition, axis in zip(results.conditions, axes, strict=True):
        x, y = results.array(condition, "plane").T
        points = axis.scatter(x, y, c=results.array(condition, "counts"), s=4, cmap="viridis")
        spread = results.estimate(condition, "relative spread").value
        axis.set_title(f"{condition}\nspread {spread:.2g} of untrained", fontsize=9)
        axis.tick_params(labelsize=6)
        axis.ticklabel_format(useOffset=False)
    figure.colorbar(points, ax=axes, label="count", shrink=0.6)
    figure.suptitle("Latents of held-out frames in their two principal directions (different scales)")
    return figure


def plot_pair_accuracy(results: Results) -> Figure:
    """Plot the accuracy of each pair of counts, for each condition."""
    figure, axes = _axes_grid(len(results.conditions), 2.8)
    for condition, axis in zip(results.conditions, axes, strict=True):
        image = axis.imshow(results.array(condition, "pair accuracy"), vmin=0.5, vmax=1, cmap="magma")
        separable = results.estimate(condition, "separable pairs").value
        axis.set_title(f"{condition}: {separable:.3g} of {PAIRS}", fontsize=9)
        axis.tick_params(labelsize=7)
    figure.colorbar(image, ax=axes, label="accuracy on held-out frames", shrink=0.6)
    figure.suptitle("Accuracy of a linear discriminant between two counts")
    return figure


def plot_losses(results: Results) -> Figure:
    """Plot the two terms of the loss over training steps, one line for each condition."""
    figure, axes = _axes_grid(2, 4.5)
    for term, axis in zip(("dynamics", "head"), axes, strict=True):
        for condition in results.conditions:
            if results.has_array(condition, f"curve {term}"):
                axis.semilogy(*results.array(condition, f"curve {term}"), label=condition, linewidth=1)
        axis.set(title=f"{term} loss", xlabel="step")
        axis.legend(fontsize=7)
    return figure


def _axes_grid(count: int, size: float) -> tuple[Figure, np.ndarray]:
    """Return a figure with at least count axes in rows of five, and the axes that are used, [count]."""
    columns = min(count, 5)
    rows = -(-count // columns)
    figure = Figure(figsize=(size * columns, size * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for unused in axes[count:]:
        unused.set_axis_off()
    return figure, axes[:count]
