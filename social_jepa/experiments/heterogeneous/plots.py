"""The pictures of the heterogeneous society: who understands whom, what each knows, what each sees."""

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from social_jepa.experiments.common.plotting import COLORS
from social_jepa.experiments.framework.experiment import Results
from social_jepa.experiments.heterogeneous.society import MEMBERS, Edge, society

BRIGHT = 0.55  # R2 above which dark digits are read better
READINGS: tuple[Callable[[Edge], float], ...] = (
    lambda edge: edge.core.score, lambda edge: edge.ridge.score, lambda edge: not edge.accepted,
)  # fmt: skip


def pictures(results: Results, settings: Any) -> dict[str, Figure]:
    """Return the matplotlib figures by name."""
    config = settings.upbringing.negotiation
    societies = [society(results, seed, config) for seed in results.seeds]
    core, ridge, refused = (
        grid([{pair: read(edge) for pair, edge in edges.items()} for edges in societies]) for read in READINGS
    )
    return {
        "matrix": matrix(core, refused, "Orthogonal map, core to core"),
        "matrix-ridge": matrix(ridge, refused, "Ridge regression, all dimensions to the target's core"),
        "state": state_bars(results),
        "views": views(results),
    }


def grid(seeds: list[dict[tuple[str, str], float]]) -> np.ndarray:
    """Return the mean over seeds of a figure of each ordered pair, [source, target]; NaN with oneself."""
    names = list(MEMBERS)
    found = [[[edges.get((a, b), np.nan) for b in names] for a in names] for edges in seeds]
    return np.mean(np.array(found, dtype=np.float64), axis=0)


def matrix(values: np.ndarray, refused: np.ndarray, title: str) -> Figure:
    """Show R2 of every ordered pair, [source, target]; pairs refused in any seed are hatched."""
    picture = Figure(figsize=(8.2, 7.2), layout="constrained")
    axis = picture.subplots()
    shown = axis.imshow(values, vmin=0, vmax=1, cmap="viridis")
    for row, column in np.argwhere(np.isfinite(values)):
        value = values[row, column]
        color = "black" if value > BRIGHT else "white"
        axis.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=7.5, color=color)
        if refused[row, column] > 0:
            corner = (column - 0.5, row - 0.5)
            axis.add_patch(Rectangle(corner, 1, 1, fill=False, hatch="///", edgecolor="#D55E00", lw=0))
    axis.set_xticks(range(len(MEMBERS)), list(MEMBERS), rotation=45, ha="right")
    axis.set_yticks(range(len(MEMBERS)), list(MEMBERS))
    axis.set_xlabel("target: who judges")
    axis.set_ylabel("source: who is understood")
    axis.set_title(f"{title} (hatched: refused in a seed)", loc="left", fontsize=10)
    picture.colorbar(shown, ax=axis, label="held-out R2, mean over seeds", shrink=0.8)
    return picture


def state_bars(results: Results) -> Figure:
    """Show how well the true state is read off each agent, and how large a core each found."""
    picture = Figure(figsize=(8.2, 5.2), layout="constrained")
    upper, lower = picture.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    places = np.arange(len(MEMBERS))
    for shift, measure, color in ((-0.2, "state", COLORS[0]), (0.2, "state from the core", COLORS[1])):
        label = "all dimensions" if measure == "state" else "core alone"
        _bars(upper, places + shift, results, measure, color, label)
    upper.set_ylim(0, 1.02)
    upper.set_ylabel("R2 of the true state")
    upper.legend(frameon=False, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    for place, name in enumerate(MEMBERS):
        found = results.estimate(name, "core").seeds
        lower.plot([place] * len(found), found, "o", color=COLORS[2], ms=5, alpha=0.7)
    lower.set_ylabel("dimensions\nof the core")
    lower.set_ylim(bottom=0)
    lower.grid(axis="y", alpha=0.3)
    lower.set_xticks(places, list(MEMBERS), rotation=45, ha="right")
    return picture


def _bars(axis: Axes, x: np.ndarray, results: Results, measure: str, color: str, label: str) -> None:
    found = [results.estimate(name, measure) for name in MEMBERS]
    heights = np.array([estimate.value for estimate in found])
    ends = np.array([estimate.interval for estimate in found]).T  # [2, members]
    gaps = np.nan_to_num(np.abs(ends - heights))
    axis.bar(x, heights, 0.38, color=color, label=label, yerr=gaps, ecolor="black", capsize=2)
    for place, height in zip(x, heights, strict=True):
        if height < 0:  # below the axis: say how deep
            axis.text(place, 0.02, f"{height:.2f}", ha="center", va="bottom", fontsize=7.5, rotation=90)


def views(results: Results) -> Figure:
    """Show what each agent's camera sees at one tick."""
    picture = Figure(figsize=(8.2, 2.9), layout="constrained")
    axes = picture.subplots(2, (len(MEMBERS) + 1) // 2).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, name in zip(axes, MEMBERS, strict=False):
        axis.imshow(results.array(name, "seen"))
        axis.set_title(name, fontsize=7.5)
    return picture
