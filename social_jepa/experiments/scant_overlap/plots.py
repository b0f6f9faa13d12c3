"""Plots of scant-overlap: agreement over overlap, the correlation of each direction, and the views."""

import numpy as np
from matplotlib.figure import Figure

from social_jepa.experiments.common.plotting import COLORS, MARKERS, draw_curve, draw_frame_grid
from social_jepa.experiments.common.similarity_baselines import METHODS, baseline_name
from social_jepa.experiments.framework.experiment import Results
from social_jepa.experiments.scant_overlap.layout import LEVELS, SHARED_FACTORS
from social_jepa.experiments.scant_overlap.metrics import LEAST_R2
from social_jepa.experiments.scant_overlap.settings import Settings


def make_plots(results: Results, settings: Settings) -> dict[str, Figure]:
    """Return the matplotlib figures by file name."""
    return {
        "curve": plot_curve(results),
        "correlations": plot_correlations(results),
        "views": plot_views(results),
    }


def plot_curve(results: Results) -> Figure:
    """Plot R2 of all shared factors over the measured overlap, with the baselines and the agents' probes."""
    figure = Figure(figsize=(7, 4.4), layout="constrained")
    axis = figure.subplots()
    overlaps = [results.estimate(level, "surface overlap").value for level in LEVELS]
    curves = {"map between agents": "R2 of all", "state, from an agent's own core": "state R2"}
    curves |= {f"map between agents, {name}": baseline_name(name, "R2 of all") for name in METHODS}
    for (label, score), color, marker in zip(curves.items(), COLORS, MARKERS, strict=False):
        estimates = [results.estimate(level, score) for level in LEVELS]
        draw_curve(axis, overlaps, estimates, label, color, marker)
    axis.axhline(LEAST_R2, color="black", ls="--", lw=1)
    axis.set_ylim(min(-0.05, axis.get_ylim()[0]), 1.02)
    axis.set_xlabel("share of the shared boxes' visible surfaces that both cameras see")
    axis.set_ylabel("R2 of all shared factors, held-out ticks")
    axis.legend(frameon=False)
    return figure


def plot_correlations(results: Results) -> Figure:
    """Plot the held-out correlation of each pair of core directions with the null, one panel a level."""
    figure = Figure(figsize=(10, 2.9), layout="constrained")
    axes = figure.subplots(1, len(LEVELS), sharey=True)
    for axis, level in zip(axes, LEVELS, strict=True):
        for seed in results.seeds:
            curve = results.array(level, "correlations", seed)
            axis.plot(np.arange(len(curve)) + 1, curve, "o-", color=COLORS[0], ms=3, lw=0.8, alpha=0.6)
        null = max(float(results.array(level, "null", seed)) for seed in results.seeds)
        axis.axhline(null, color="black", ls="--", lw=1)
        axis.axvline(len(SHARED_FACTORS) + 0.5, color=COLORS[6], lw=1)
        axis.set_title(level, loc="left", fontsize=9)
        axis.set_xlabel("pair of core directions")
    axes[0].set_ylabel("held-out correlation")
    figure.suptitle(
        "one line a seed; dashed: largest of the time shifts in any seed; gray: the true number of shared "
        "directions",
        fontsize=9,
    )  # fmt: skip
    return figure


def plot_views(results: Results) -> Figure:
    """Show a frame of both cameras at each level, at one tick."""
    figure = Figure(figsize=(7, 3.8), layout="constrained")
    frames = np.stack([results.array(level, "frames") for level in LEVELS], axis=1)  # [2, levels, H, W, 3]
    draw_frame_grid(figure, frames, ("first", "second"), ", ".join(LEVELS))
    return figure
