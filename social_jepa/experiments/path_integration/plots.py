"""The pictures of path-integration: curves over lengths, and what the sequences look like."""

from typing import Any

from matplotlib.figure import Figure

from social_jepa.experiments.common.plotting import COLORS, draw_curve, draw_frame_grid
from social_jepa.experiments.framework.experiment import Results

LINES = ("vision and action", "action only", "vision only", "action, others' views", "untrained")
TITLES = {"glances": "Views at the scene", "rotation": "Turns of an object"}


def pictures(results: Results, settings: Any) -> dict[str, Figure]:
    """Return the matplotlib figures by name."""
    return {
        "curves": curves(results, settings.longest, "", "perceptron"),
        "curves-linear": curves(results, settings.longest, ", linear", "ridge regression"),
        "glances": views(results, "glances"),
        "rotation": views(results, "rotation"),
    }


def curves(results: Results, longest: int, ending: str, probe: str) -> Figure:
    """Show R2 of the summed action over lengths, a panel per world and a line per input."""
    picture = Figure(figsize=(9, 4.2), layout="constrained")
    axes = picture.subplots(1, 2, sharey=True)
    lengths = list(range(1, longest + 1))
    for axis, (world, title) in zip(axes, TITLES.items(), strict=True):
        for line, color, marker in zip(LINES, COLORS, "osDv^", strict=False):
            found = [results.estimate(world, f"{line}, {moves}{ending}") for moves in lengths]
            label = f"{line}, both inputs" if line == "untrained" else line
            draw_curve(axis, lengths, found, label, color, marker)
        axis.axhline(0, color="black", lw=0.8)
        axis.set_xticks(lengths)
        axis.set_xlabel("views that an action leads away from")
        axis.set_title(title, loc="left", fontsize=10)
    axes[0].set_ylabel(f"R2 of the summed action ({probe})")
    picture.legend(*axes[0].get_legend_handles_labels(), ncols=3, loc="outside lower center", frameon=False)
    return picture


def views(results: Results, world: str) -> Figure:
    """Show a few sequences of a world, a row each."""
    frames = results.array(world, "views")
    picture = Figure(figsize=(1.1 * frames.shape[1] + 1.2, 1.2 * len(frames) + 0.5), layout="constrained")
    draw_frame_grid(picture, frames, [f"sequence {row + 1}" for row in range(len(frames))], TITLES[world])
    return picture
