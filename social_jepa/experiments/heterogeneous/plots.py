"""Plots of heterogeneous: R2 of all edges, probes of the state, and views of the cameras."""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from social_jepa.experiments.common.plotting import COLORS
from social_jepa.experiments.framework.experiment import Results
from social_jepa.experiments.heterogeneous.edges import EdgeResults, Pair
from social_jepa.experiments.heterogeneous.settings import VARIANTS, Settings

DARK_TEXT_R2 = 0.55  # R2 above which text is black
EDGE_VALUES = ("r2", "ridge", "accepted")  # attributes of an edge


def make_plots(results: Results, settings: Settings) -> dict[str, Figure]:
    """Return the matplotlib figures by file name."""

    def compute(value: str) -> np.ndarray:
        by_seed = EdgeResults(results, settings).by_seed
        return mean_matrix(
            [{pair: getattr(edge, value) for pair, edge in edges.items()} for edges in by_seed]
        )

    r2, ridge, accepted = (results.derived(name, partial(compute, name)) for name in EDGE_VALUES)
    return {
        "matrix": plot_matrix(r2, accepted, "Map of the shared directions"),
        "matrix-ridge": plot_matrix(ridge, accepted, "Ridge regression from all dimensions"),
        "state": plot_state_probes(results),
        "views": plot_views(results),
    }


def mean_matrix(by_seed: Sequence[Mapping[Pair, float]]) -> np.ndarray:
    """Return the mean over seeds of a value of each ordered pair, [source, target]; NaN on the diagonal."""
    names = list(VARIANTS)
    values = [[[edges.get((a, b), np.nan) for b in names] for a in names] for edges in by_seed]
    return np.mean(np.array(values, dtype=np.float64), axis=0)


def plot_matrix(values: np.ndarray, accepted: np.ndarray, title: str) -> Figure:
    """Plot a matrix of every ordered pair; those refused in any seed are hatched.

    Args:
        values: R2 by [source, target].
        accepted: Share of seeds in which the edge is accepted, by [source, target].
        title: What is mapped.
    """
    figure = Figure(figsize=(9.2, 8.2), layout="constrained")
    axis = figure.subplots()
    image = axis.imshow(values, vmin=0, vmax=1, cmap="viridis")
    for row, column in np.argwhere(np.isfinite(values)):
        value = values[row, column]
        color = "black" if value > DARK_TEXT_R2 else "white"
        axis.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=7, color=color)
        if accepted[row, column] < 1:
            corner = (column - 0.5, row - 0.5)
            axis.add_patch(Rectangle(corner, 1, 1, fill=False, hatch="///", edgecolor="#D55E00", lw=0))
    axis.set_xticks(range(len(VARIANTS)), list(VARIANTS), rotation=45, ha="right")
    axis.set_yticks(range(len(VARIANTS)), list(VARIANTS))
    axis.set_xlabel("target")
    axis.set_ylabel("source")
    axis.set_title(f"{title} (hatched: refused in at least one seed)", loc="left", fontsize=10)
    figure.colorbar(
        image, ax=axis, label="held-out R2 on the factors of the target, mean over seeds", shrink=0.8
    )
    return figure


def plot_state_probes(results: Results) -> Figure:
    """Plot R2 of the linear probes of the true state, and the size of the core, of each agent."""
    figure = Figure(figsize=(8.2, 5.2), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    positions = np.arange(len(VARIANTS))
    for shift, score, color, label in (
        (-0.2, "state", COLORS[0], "all dimensions"), (0.2, "state, core only", COLORS[1], "core only"),
    ):  # fmt: skip
        _bars(upper, positions + shift, results, score, color, label)
    upper.set_ylim(0, 1.02)
    upper.set_ylabel("R2 of the true state")
    upper.legend(frameon=False, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    for position, name in enumerate(VARIANTS):
        dims = results.estimate(name, "core dim").seeds
        lower.plot([position] * len(dims), dims, "o", color=COLORS[2], ms=5, alpha=0.7)
    lower.set_ylabel("dimensions\nof the core")
    lower.set_ylim(bottom=0)
    lower.grid(axis="y", alpha=0.3)
    lower.set_xticks(positions, list(VARIANTS), rotation=45, ha="right")
    return figure


def _bars(axis: Axes, x: np.ndarray, results: Results, score: str, color: str, label: str) -> None:
    estimates = [results.estimate(name, score) for name in VARIANTS]
    heights = np.array([estimate.value for estimate in estimates])
    ends = np.array([estimate.interval for estimate in estimates]).T  # [2, agents]
    spans = np.nan_to_num(np.abs(ends - heights))
    axis.bar(x, heights, 0.38, color=color, label=label, yerr=spans, ecolor="black", capsize=2)
    for position, height in zip(x, heights, strict=True):
        if height < 0:  # below the axis: label the bar with its value
            axis.text(position, 0.02, f"{height:.2f}", ha="center", va="bottom", fontsize=7.5, rotation=90)


def plot_views(results: Results) -> Figure:
    """Show the frame of each agent's camera at one tick."""
    figure = Figure(figsize=(9.2, 2.9), layout="constrained")
    axes = figure.subplots(2, (len(VARIANTS) + 1) // 2).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, name in zip(axes, VARIANTS, strict=False):
        axis.imshow(results.array(name, "frame"))
        axis.set_title(name, fontsize=7.5)
    return figure
