"""Plots of plan-transfer: errors over the horizon, success and distance by policy, and one episode."""

import numpy as np
from matplotlib.figure import Figure

from social_jepa.experiments.common.planning_plots import plot_distances, plot_success
from social_jepa.experiments.common.plotting import COLORS, draw_curve, draw_frame_grid
from social_jepa.experiments.framework.experiment import Results
from social_jepa.experiments.plan_transfer.scores import POLICIES
from social_jepa.experiments.plan_transfer.settings import Settings

CURVES = (
    ("own", "own", "o"), ("fitted map", "peer's, fitted map", "s"), ("no map", "peer's, no map", "D"),
    ("shifted map", "peer's, map of anchors shifted in time", "v"), ("copy", "last latent copied", "^"),
)  # fmt: skip
TITLES = {"linear": "given the actions", "passive": "passive"}
EPISODE_TICKS = (0, 1, 2, 3, 5)  # plotted ticks of an episode, besides its last


def make_plots(results: Results, settings: Settings) -> dict[str, Figure]:
    """Return the matplotlib figures by file name."""
    planning = settings.planning
    titles = {condition: f"cameras {condition} apart" for condition in settings.conditions}
    return {
        "errors": plot_errors(results, settings.conditions, settings.max_horizon),
        "success": plot_success(results, titles, POLICIES, planning.success_distance),
        "distances": plot_distances(results, titles, POLICIES, planning.success_distance),
        "episode": plot_episode(results, settings.conditions[0], planning.ticks),
    }


def plot_errors(results: Results, conditions: tuple[str, ...], max_horizon: int) -> Figure:
    """Plot the error over the horizon: a column per pair of cameras, rows with and without actions."""
    figure = Figure(figsize=(4.2 * len(conditions) + 0.6, 6.4), layout="constrained")
    axes = figure.subplots(len(TITLES), len(conditions), sharex=True, sharey="row", squeeze=False)
    x = list(range(1, max_horizon + 1))
    for row, (kind, title) in zip(axes, TITLES.items(), strict=True):
        for axis, condition in zip(row, conditions, strict=True):
            for index, (curve, label, marker) in enumerate(CURVES):
                name = curve if curve == "copy" else f"{kind}: {curve}"
                errors = [results.estimate(condition, f"{name}, {ahead}").complement() for ahead in x]
                offset_x = [ahead + 0.08 * (index - 2) for ahead in x]  # so that equal curves stay visible
                draw_curve(axis, offset_x, errors, label, COLORS[index], marker)
            axis.axhline(1, color="black", lw=0.8)
            axis.set_yscale("log" if kind == "linear" else "linear")
            axis.set_title(f"{condition} apart, {title}", loc="left", fontsize=10)
        row[0].set_ylabel("squared error / variance of all factors")
    for axis in axes[-1]:
        axis.set_xlabel("ticks ahead")
        axis.set_xticks(x)
    handles = axes[0, 0].get_legend_handles_labels()
    figure.legend(*handles, ncols=3, loc="outside lower center", frameon=False)
    return figure


def plot_episode(results: Results, condition: str, ticks: int) -> Figure:
    """Plot one episode of the first seed: its goal frame, then the views of the agent that plans."""
    columns = [tick for tick in EPISODE_TICKS if tick < ticks] + [ticks]
    goals = {
        "own goal": "own goal frame", "peer's goal": "peer's goal frame", "goal, no map": "peer's goal frame",
    }  # fmt: skip
    rows = [
        np.concatenate([
            results.array(condition, goal), results.array(condition, f"frames: {policy}")[columns]
        ])
        for policy, goal in goals.items()
    ]  # fmt: skip
    figure = Figure(figsize=(1.15 * len(rows[0]) + 1.2, 4.3), layout="constrained")
    title = "One episode: the red box moves to its position in the goal frame"
    draw_frame_grid(figure, np.stack(rows), list(goals), title)
    titles = ["goal", *(f"tick {tick}" for tick in columns)]
    for axis, text in zip(figure.axes, titles, strict=False):
        axis.set_title(text, fontsize=9)
    return figure
