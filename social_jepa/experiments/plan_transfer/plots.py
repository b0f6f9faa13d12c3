"""Plots of plan-transfer: errors over the horizon, success and distance by policy, and one episode."""

import numpy as np
from matplotlib.figure import Figure

from social_jepa.experiments.common.plotting import COLORS, draw_bars, draw_curve, draw_frame_grid
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
    return {
        "errors": plot_errors(results, settings.conditions, settings.max_horizon),
        "success": plot_success(results, settings.conditions, planning.success_distance),
        "distances": plot_distances(results, settings.conditions, planning.success_distance),
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
        row[0].set_ylabel("squared error / variance")
    for axis in axes[-1]:
        axis.set_xlabel("ticks ahead")
        axis.set_xticks(x)
    handles = axes[0, 0].get_legend_handles_labels()
    figure.legend(*handles, ncols=3, loc="outside lower center", frameon=False)
    return figure


def plot_success(results: Results, conditions: tuple[str, ...], success_distance: float) -> Figure:
    """Plot success by policy, a bar per pair of cameras."""
    figure = Figure(figsize=(7.5, 3.8), layout="constrained")
    axis = figure.subplots()
    for index, condition in enumerate(conditions):
        estimates = [results.estimate(condition, policy) for policy in POLICIES]
        draw_bars(axis, estimates, index, len(conditions), f"cameras {condition} apart", COLORS[index])
    axis.set_xticks(range(len(POLICIES)), POLICIES, rotation=20, ha="right")
    axis.set_ylim(0, 1.02)
    axis.set_ylabel(f"share of episodes that\nend within {success_distance:g} of the goal")
    handles, labels = axis.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    figure.legend(unique.values(), unique.keys(), ncols=2, loc="outside upper center", frameon=False)
    return figure


def plot_distances(results: Results, conditions: tuple[str, ...], success_distance: float) -> Figure:
    """Plot the mean distance to the goal over ticks, a panel per pair of cameras and a curve per policy."""
    figure = Figure(figsize=(4.2 * len(conditions) + 0.6, 4), layout="constrained")
    axes = figure.subplots(1, len(conditions), sharey=True, squeeze=False)[0]
    for axis, condition in zip(axes, conditions, strict=True):
        for policy, color, marker in zip(POLICIES, COLORS, "osDv^<XP", strict=False):
            distances = [results.array(condition, f"distance: {policy}", seed) for seed in results.seeds]
            axis.plot(np.mean(distances, axis=0), label=policy, color=color, marker=marker, ms=4, lw=1.4)
        axis.axhline(success_distance, color="black", lw=0.8, ls=":")
        axis.set_title(f"{condition} apart", loc="left", fontsize=10)
        axis.set_xlabel("tick of the episode")
    axes[0].set_ylabel("mean distance to the goal\n(positions from -1 to 1)")
    axes[0].set_ylim(bottom=0)
    figure.legend(*axes[0].get_legend_handles_labels(), ncols=4, loc="outside lower center", frameon=False)
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
