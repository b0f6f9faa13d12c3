"""Plots of embodied: success by policy, distance over ticks, what probes read, and one episode."""

import numpy as np
from matplotlib.figure import Figure

from social_jepa.experiments.common.planning_plots import plot_distances, plot_success
from social_jepa.experiments.common.plotting import COLORS, draw_bars, draw_frame_grid
from social_jepa.experiments.embodied.metrics import MOST_TOLD
from social_jepa.experiments.embodied.scores import POLICIES, READ
from social_jepa.experiments.embodied.settings import MOTIONS, Settings
from social_jepa.experiments.framework.experiment import Results

EPISODE_TICKS = (0, 1, 2, 3, 5)  # plotted ticks of an episode, besides its last


def make_plots(results: Results, settings: Settings) -> dict[str, Figure]:
    """Return the matplotlib figures by file name."""
    planning, titles = settings.planning, {condition: f"cameras {condition}" for condition in MOTIONS}
    return {
        "success": plot_success(results, titles, POLICIES, planning.success_distance),
        "distances": plot_distances(results, titles, POLICIES, planning.success_distance),
        "cameras": plot_cameras(results),
        "episode": plot_episode(results, planning.ticks),
    }


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
    """Plot one episode of the first seed: its goal from both cameras, then the views of who plans."""
    columns = [tick for tick in EPISODE_TICKS if tick < ticks] + [ticks]
    rows = np.stack(
        [results.array(condition, "frames")[[0, 1, *(tick + 2 for tick in columns)]] for condition in MOTIONS]
    )
    figure = Figure(figsize=(1.15 * rows.shape[1] + 1.6, 3.1), layout="constrained")
    draw_frame_grid(figure, rows, list(MOTIONS), "The red object moves to where the other agent saw it")
    titles = ["peer's goal", "same, own view", *(f"tick {tick}" for tick in columns)]
    for axis, text in zip(figure.axes, titles, strict=False):
        axis.set_title(text, fontsize=9)
    return figure
