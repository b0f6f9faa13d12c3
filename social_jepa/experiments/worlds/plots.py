"""Plots of worlds: the correlation of each direction with the null, R2 by world, and the cameras' views."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from alignment.held_out import SHIFTS
from social_jepa.experiments.common.plotting import COLORS, draw_frame_grid
from social_jepa.experiments.framework.experiment import Results
from social_jepa.experiments.worlds.metrics import LEAST_R2
from social_jepa.experiments.worlds.settings import WORLDS, Settings


def make_plots(results: Results, settings: Settings) -> dict[str, Figure]:
    """Return the matplotlib figures by file name."""
    return {
        "correlations": plot_correlations(results),
        "r2": plot_r2(results),
        "views": plot_views(results),
    }


def plot_correlations(results: Results) -> Figure:
    """Plot the held-out correlation of each pair of core directions, with the null, one panel a world."""
    figure = Figure(figsize=(10, 5.4), layout="constrained")
    axes = figure.subplots(2, len(WORLDS) // 2, sharey=True)
    for axis, (name, world) in zip(axes.ravel(), WORLDS.items(), strict=True):
        curves = [results.array(name, "correlations", seed) for seed in results.seeds]
        level = max(float(results.array(name, "null", seed)) for seed in results.seeds)
        _draw_directions(axis, curves, world.shared_dim)
        axis.axhline(level, color="black", ls="--", lw=1)
        axis.set_title(f"{name}: {world.title}", loc="left", fontsize=8)
        axis.set_ylim(min(-0.15, *(float(curve.min(initial=0.0)) for curve in curves)), 1.03)
    for axis in axes[:, 0]:
        axis.set_ylabel("held-out correlation")
    for axis in axes[-1]:
        axis.set_xlabel("pair of core directions")
    figure.suptitle(
        "bars: mean over seeds, blue where both cameras see a factor; dots: seeds; dashed: largest of "
        f"{SHIFTS} time shifts in any seed",
        fontsize=9,
    )
    return figure


def _draw_directions(axis: Axes, curves: list[np.ndarray], shared: int) -> None:
    """Draw a bar for each direction, the mean of the seeds that have it, and a dot for each seed."""
    longest = max(shared, *(len(curve) for curve in curves))
    for place in range(longest):
        values = [curve[place] for curve in curves if place < len(curve)]
        color = COLORS[0] if place < shared else COLORS[6]
        axis.bar(place + 1, np.mean(values) if values else 0.0, 0.8, color=color, alpha=0.6)
        axis.plot([place + 1] * len(values), values, "o", color="black", ms=2.5)
    axis.set_xticks(range(1, longest + 1))


def plot_r2(results: Results) -> Figure:
    """Plot R2 on the shared directions by world, the same of untrained agents, and the number shared."""
    figure = Figure(figsize=(8.2, 5), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    positions = np.arange(len(WORLDS))
    for shift, prefix, color, label in (
        (-0.2, "", COLORS[0], "trained"), (0.2, "untrained, ", COLORS[6], "untrained"),
    ):  # fmt: skip
        found = [results.estimate(name, f"{prefix}R2 of all") for name in WORLDS]
        half = np.nan_to_num([estimate.interval[1] - estimate.value for estimate in found])
        heights = [estimate.value for estimate in found]
        upper.bar(positions + shift, heights, 0.38, color=color, label=label, yerr=half, capsize=2)
        for position, name in zip(positions, WORLDS, strict=True):
            dims = results.estimate(name, f"{prefix}shared dim").seeds
            lower.plot([position + shift] * len(dims), dims, "o", color=color, ms=5, alpha=0.7)
    upper.axhline(LEAST_R2, color="black", ls="--", lw=1)
    upper.set_ylim(min(0.0, upper.get_ylim()[0]), 1.02)
    upper.set_ylabel("R2 of all factors that both see")
    upper.legend(frameon=False, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    for position, world in zip(positions, WORLDS.values(), strict=True):
        lower.hlines(world.shared_dim, position - 0.4, position + 0.4, color="black", lw=1)
    lower.set_ylabel("shared directions\n(line: true)")
    lower.set_ylim(bottom=0)
    lower.set_xticks(positions, list(WORLDS))
    return figure


def plot_views(results: Results) -> Figure:
    """Show a frame of both cameras in each world, at one tick."""
    figure = Figure(figsize=(8.2, 2.6), layout="constrained")
    frames = np.stack([results.array(name, "frames") for name in WORLDS], axis=1)  # [2, worlds, H, W, 3]
    draw_frame_grid(figure, frames, ("first", "second"), ", ".join(WORLDS))
    return figure
