"""Plots of time-or-jepa: agreement against the agents' own state R2, and every method at the end."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from social_jepa.experiments.common.plotting import COLORS, MARKERS
from social_jepa.experiments.framework.experiment import Results
from social_jepa.experiments.time_or_jepa.metrics import LEAST_RESIDUAL, MAPS
from social_jepa.experiments.time_or_jepa.scores import CURVE
from social_jepa.experiments.time_or_jepa.settings import JEPAS, METHODS, Settings

LOWEST = -0.2  # lower end of the axes


def make_plots(results: Results, settings: Settings) -> dict[str, Figure]:
    """Return the matplotlib figures by file name."""
    return {"state": plot_state(results), "residual": plot_residual(results)}


def plot_state(results: Results) -> Figure:
    """Plot agreement against state R2 over training, one curve a seed and one color a method."""
    figure = Figure(figsize=(10, 4.8), layout="constrained")
    axes = figure.subplots(1, len(MAPS), sharex=True, sharey=True)
    for axis, score in zip(axes, MAPS, strict=True):
        for index, (name, method) in enumerate(METHODS.items()):
            _draw_method(axis, results, name, score, method.title, index)
        axis.set_title(score, loc="left", fontsize=10)
        axis.set_xlabel("state R2 of a linear probe, mean of both agents")
        axis.set_ylim(LOWEST, 1.02)
    axes[0].set_ylabel("agreement, held-out R2, all dimensions")
    figure.legend(*axes[0].get_legend_handles_labels(), ncols=6, loc="outside lower center", frameon=False)
    return figure


def _draw_method(axis: Axes, results: Results, name: str, score: str, title: str, index: int) -> None:
    """Draw the curve of each seed, and a marker at the end of training; dashed if it is no JEPA."""
    color, marker = COLORS[index % len(COLORS)], MARKERS[index % len(MARKERS)]
    style = "-" if name in JEPAS else "--"
    face = color if index < len(COLORS) else "white"  # colors repeat
    for seed in results.seeds:
        found = results.array(name, "curve", seed)
        x, y = found[:, CURVE.index("state")], found[:, CURVE.index(score)]
        label = title if seed == results.seeds[0] else "_"
        axis.plot(x, y, style, color=color, lw=0.9, alpha=0.6)
        axis.plot(x[-1], y[-1], marker, color=color, markerfacecolor=face, ms=5, label=label)


def plot_residual(results: Results) -> Figure:
    """Plot residual agreement by method: after the linear state, and after its squares and products too."""
    figure = Figure(figsize=(8.2, 3.8), layout="constrained")
    axis = figure.subplots()
    positions = np.arange(len(METHODS))
    for shift, score, color, label in (
        (-0.2, "residual", COLORS[0], "linear state removed"),
        (0.2, "residual, degree 2", COLORS[1], "squares and products removed too"),
    ):
        found = [results.estimate(name, score) for name in METHODS]
        half = np.nan_to_num([estimate.interval[1] - estimate.value for estimate in found])
        axis.bar(positions + shift, [one.value for one in found], 0.38, color=color, label=label, yerr=half,
                 capsize=2)  # fmt: skip
    axis.axhline(LEAST_RESIDUAL, color="black", ls="--", lw=1)
    axis.set_ylim(bottom=max(LOWEST, axis.get_ylim()[0]), top=1.02)
    axis.set_ylabel("residual agreement, held-out R2")
    axis.set_xticks(positions, [method.title for method in METHODS.values()], rotation=30, ha="right")
    axis.legend(frameon=False)
    return figure
