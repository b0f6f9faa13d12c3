"""Plots of path-integration: R2 over the number of actions, and example sequences."""

from matplotlib.figure import Figure

from social_jepa.experiments.common.plotting import COLORS, draw_curve, draw_frame_grid
from social_jepa.experiments.framework.experiment import Results
from social_jepa.experiments.path_integration.settings import (
    INPUTS,
    OBJECT_ROTATIONS,
    SCENE_VIEWS,
    Settings,
)

TITLES = {SCENE_VIEWS: "Views of the scene", OBJECT_ROTATIONS: "Rotations of an object"}
LINES = (*INPUTS, "untrained")


def plots(results: Results, settings: Settings) -> dict[str, Figure]:
    """Return the matplotlib figures by name."""
    return {
        "curves": r2_over_actions(results, settings.max_actions, "", "MLP"),
        "curves-linear": r2_over_actions(results, settings.max_actions, ", linear", "ridge regression"),
        "scene-views": plot_sequences(results, SCENE_VIEWS),
        "object-rotations": plot_sequences(results, OBJECT_ROTATIONS),
    }


def r2_over_actions(results: Results, max_actions: int, suffix: str, probe: str) -> Figure:
    """Plot R2 of the total action over the number of actions, by condition and input."""
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    lengths = list(range(1, max_actions + 1))
    for axis, (condition, title) in zip(axes, TITLES.items(), strict=True):
        for line, color, marker in zip(LINES, COLORS, "osDv^", strict=False):
            estimates = [results.estimate(condition, f"{line}, {actions}{suffix}") for actions in lengths]
            label = f"{line}, vision and action" if line == "untrained" else line
            draw_curve(axis, lengths, estimates, label, color, marker)
        axis.axhline(0, color="black", lw=0.8)
        axis.set_xticks(lengths)
        axis.set_xlabel("actions")
        axis.set_title(title, loc="left", fontsize=10)
    axes[0].set_ylabel(f"R2 of the total action ({probe})")
    figure.legend(*axes[0].get_legend_handles_labels(), ncols=3, loc="outside lower center", frameon=False)
    return figure


def plot_sequences(results: Results, condition: str) -> Figure:
    """Show training sequences of a condition, one row for each."""
    frames = results.array(condition, "views")
    figure = Figure(figsize=(1.1 * frames.shape[1] + 1.2, 1.2 * len(frames) + 0.5), layout="constrained")
    labels = [f"sequence {row + 1}" for row in range(len(frames))]
    draw_frame_grid(figure, frames, labels, TITLES[condition])
    return figure
