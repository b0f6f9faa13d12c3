"""The pictures of isometry: pairs, methods, canonical correlations, and what cameras see."""

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from social_jepa.experiments.common.plotting import COLORS, draw_bars, draw_curve, draw_frame_grid
from social_jepa.experiments.framework.experiment import Results
from social_jepa.experiments.isometry.methods import METHODS

if TYPE_CHECKING:
    from social_jepa.experiments.isometry.run import Settings

LONG = "jepa-long"
FITTED = {
    "procrustes": "core, orthogonal", "robust": "core, orthogonal, trimmed",
    "universe": "core, through a common space", "ridge": "core, ridge",
    "all dimensions": "all dimensions, ridge",
}  # fmt: skip
SCORED = ("leading axes", "core as found", "all dimensions")
NULLS = "ridge, shuffled pairs (orthogonal: about -1)"
LOWEST = -0.3  # of R2: the axis ends here, and bars that go deeper say how deep


def pictures(results: Results, settings: "Settings") -> dict[str, Figure]:
    """Return the matplotlib figures by name."""
    return {
        "pairs": pairs_picture(results, settings),
        "methods": methods_picture(results, settings),
        "correlations": correlations_picture(results),
        "views": views_picture(results),
    }


def pairs_picture(results: Results, settings: "Settings") -> Figure:
    """Show held-out R2 over pairs by method of fitting: all of it, and what is near 1."""
    picture = Figure(figsize=(10, 4.6), layout="constrained")
    axes = picture.subplots(1, 2)
    for axis in axes:
        for place, (name, label) in enumerate(FITTED.items()):
            found = [results.estimate(LONG, f"{name}, {pairs}") for pairs in settings.budgets]
            beside = [pairs * 2 ** (0.12 * (place - 2)) for pairs in settings.budgets]  # they lie so close
            draw_curve(axis, beside, found, label, COLORS[place], "osD^v"[place])
        axis.set_xscale("log", base=2)
        axis.set_xticks(settings.budgets[::2], [str(pairs) for pairs in settings.budgets[::2]])
        axis.set_xlabel("pairs that a map is fitted on")
    for name, style in (("procrustes", "--"), ("ridge", ":")):
        null = [results.estimate(LONG, f"shuffled, {name}, {pairs}").value for pairs in settings.budgets]
        label = f"shuffled pairs, {FITTED[name].removeprefix('core, ')}"
        axes[0].plot(settings.budgets, null, color="black", ls=style, lw=1.2, label=label)
    unmapped = results.estimate(LONG, "unmapped, 0").value
    axes[0].axhline(unmapped, color=COLORS[6], lw=1.2, label="no pair and no map")
    axes[0].set_ylabel("held-out R2, mean over edges")
    axes[0].set_ylim(-1.4, 1.05)
    axes[1].set_ylim(0.8, 1.0)
    axes[0].set_title("All of it", loc="left", fontsize=10)
    axes[1].set_title("The top", loc="left", fontsize=10)
    picture.legend(*axes[0].get_legend_handles_labels(), ncols=3, loc="outside lower center", frameon=False)
    return picture


def methods_picture(results: Results, settings: "Settings") -> Figure:
    """Show R2 by method of learning, the null of ridge, and how well the true state can be read."""
    picture = Figure(figsize=(10, 4.8), layout="constrained")
    axis = picture.subplots()
    lines = [(part, "", method.title) for part, method in METHODS.items()]
    lines.insert(1, ("jepa", "other times, ", "JEPA, other times"))
    fits = (
        f"{settings.axes} leading axes, orthogonal, {settings.enough} pairs",
        f"core as found, orthogonal, {settings.enough} pairs",
        "all dimensions, ridge, all pairs",
    )
    for place, (name, label) in enumerate(zip(SCORED, fits, strict=True)):
        found = [results.estimate(part, which + name) for part, which, _ in lines]
        draw_bars(axis, found, place, len(SCORED), label, COLORS[place], LOWEST)
    null = [results.estimate(part, f"{which}shuffled, {SCORED[2]}").value for part, which, _ in lines]
    axis.plot(np.arange(len(lines)) + 0.27, null, "_", color="black", ms=8, label=NULLS)
    state = [results.estimate(part, f"{which}state").value for part, which, _ in lines]
    axis.plot(range(len(lines)), state, "D", color="black", ms=4, label="true state, read linearly")
    axis.axhline(0, color="black", lw=0.8)
    axis.set_ylim(LOWEST, 1.05)
    axis.set_ylabel("held-out R2")
    axis.set_xticks(range(len(lines)), [title for *_, title in lines], rotation=30, ha="right")
    picture.legend(*axis.get_legend_handles_labels(), ncols=3, loc="outside upper center", frameon=False)
    return picture


def correlations_picture(results: Results) -> Figure:
    """Show canonical correlations by rank: of the long course with its nulls, and of each method."""
    picture = Figure(figsize=(10, 4.4), layout="constrained")
    axes = picture.subplots(1, 2, sharey=True)

    def mean(part: str, name: str) -> np.ndarray:
        return np.mean([results.array(part, name, seed) for seed in results.seeds], axis=0)

    styles = {"": ("same ticks", "-o"), "shuffled, ": ("shuffled", "--"), "rolled, ": ("rolled", ":")}
    for place, (relation, (label, style)) in enumerate(styles.items()):
        found = mean(LONG, f"{relation}correlations")
        axes[0].plot(range(1, len(found) + 1), found, style, color=COLORS[place], ms=4, label=label)
    for place, (part, method) in enumerate(METHODS.items()):
        found = mean(part, "correlations")
        style = "-" if place < 5 else "--"
        axes[1].plot(range(1, len(found) + 1), found, style, color=COLORS[place % 5], label=method.title)
    for axis, title in zip(axes, ("JEPA, the long course", "Two agents of each method"), strict=True):
        axis.set_title(title, loc="left", fontsize=10)
        axis.set_xlabel("rank")
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.set_ylim(0, 1.02)
    axes[0].set_ylabel("canonical correlation on held-out ticks")
    axes[0].legend(frameon=False)
    axes[1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return picture


def views_picture(results: Results) -> Figure:
    """Show what each camera sees at the same three ticks, a row each."""
    frames = results.array(LONG, "views")
    picture = Figure(figsize=(1.5 * frames.shape[1] + 1.2, 1.5 * len(frames) + 0.5), layout="constrained")
    labels = [f"camera {row + 1}" for row in range(len(frames))]
    draw_frame_grid(picture, frames, labels, "The same ticks, seen from each camera")
    return picture
