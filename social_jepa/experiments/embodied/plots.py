"""Plots of embodied: success by policy, distance over ticks, what probes read, and one episode."""

import numpy as np
from matplotlib.figure import Figure

from social_jepa.experiments.common.plotting import COLORS, MARKERS, draw_bars, draw_frame_grid
from social_jepa.experiments.embodied.metrics import MOST_TOLD
from social_jepa.experiments.embodied.scores import POLICIES, READ
from social_jepa.experiments.embodied.settings import MOTIONS, Settings
from social_jepa.experiments.framework.experiment import Results

EPISODE_TICKS = (0, 1, 2, 3, 5)  # plotted ticks of an episode, besides its last


def make_plots(results: Results, settings: Settings) -> dict[str, Figure]:
    """Return the matplotlib figures by file name."""
    planning = settings.planning
    return {
        "success": plot_success(results, planning.success_distance),
        "distances": plot_distances(results, planning.success_distance),
        "cameras": plot_cameras(results),
        "episode": plot_episode(results, planning.ticks),
    }


def plot_success(results: Results, success_distance: float) -> Figure:
    """Plot success by policy, a bar for each condition."""
    figure = Figure(figsize=(7.5, 3.8), layout="constrained")
    axis = figure.subplots()
    for index, condition in enumerate(MOTIONS):
        estimates = [results.estimate(condition, policy) for policy in POLICIES]
        draw_bars(axis, estimates, index, len(MOTIONS), f"cameras {condition}", COLORS[index])
    axis.set_xticks(range(len(POLICIES)), POLICIES, rotation=20, ha="right")
    axis.set_ylim(0, 1.02)
    axis.set_ylabel(f"share of episodes that\nend within {success_distance:g} of the goal")
    axis.legend(frameon=False)
    return figure


def plot_distances(results: Results, success_distance: float) -> Figure:
    """Plot the mean distance to the goal over ticks, a panel for each condition."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.subplots(1, len(MOTIONS), sharey=True)
    for axis, condition in zip(axes, MOTIONS, strict=True):
        for policy, color, marker in zip(POLICIES, COLORS, MARKERS, strict=False):
            distances = [results.array(condition, f"distance: {policy}", seed) for seed in results.seeds]
            axis.plot(np.mean(distances, axis=0), label=policy, color=color, marker=marker, ms=4, lw=1.4)
        axis.axhline(success_distance, color="black", lw=0.8, ls=":")
        axis.set_title(f"cameras {condition}", loc="left", fontsize=10)
        axis.set_xlabel("tick of the episode")
    axes[0].set_ylabel("mean distance to the goal\n(positions from -1 to 1)")
    axes[0].set_ylim(bottom=0)
    figure.legend(*axes[0].get_legend_handles_labels(), ncols=3, loc="outside lower center", frameon=False)
    return figure


def plot_cameras(results: Results) -> Figure:
    """Plot R2 of the camera's offsets by what they are read from, beside that of the objects' state."""
    figure = Figure(figsize=(7, 3.6), layout="constrained")
    axis = figure.subplots()
    scores = {f"camera,\n{of}": f"camera R2: {of}" for of in READ}
    scores["objects,\ntranslated"] = "state R2: translated"
    for index, condition in enumerate(MOTIONS):
        estimates = [results.estimate(condition, score) for score in scores.values()]
        draw_bars(axis, estimates, index, len(MOTIONS), f"cameras {condition}", COLORS[index])
    axis.axhline(MOST_TOLD, color="black", lw=0.8, ls="--")
    axis.set_xticks(range(len(scores)), scores)
    axis.set_ylim(-0.1, 1.02)
    axis.set_ylabel("R2 of a linear probe, held-out ticks")
    axis.legend(frameon=False)
    return figure


def plot_episode(results: Results, ticks: int) -> Figure:
    """Plot one episode of the first seed: the frame of the peer, then the views of the agent that plans."""
    columns = [tick for tick in EPISODE_TICKS if tick < ticks] + [ticks]
    rows = np.stack(
        [results.array(condition, "frames")[[0, *(tick + 1 for tick in columns)]] for condition in MOTIONS]
    )
    figure = Figure(figsize=(1.15 * rows.shape[1] + 1.6, 3.1), layout="constrained")
    draw_frame_grid(figure, rows, list(MOTIONS), "The red box moves to where the other agent saw it")
    titles = ["peer's goal", *(f"tick {tick}" for tick in columns)]
    for axis, text in zip(figure.axes, titles, strict=False):
        axis.set_title(text, fontsize=9)
    return figure
