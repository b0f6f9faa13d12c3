"""Plots of the invariance-equivariance experiment: views, bars, curves over lengths, nearest neighbors."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from social_jepa.experiments.common.plotting import COLORS, draw_bars, draw_curve, draw_frame_grid
from social_jepa.experiments.framework.experiment import Results
from social_jepa.experiments.framework.score import Estimate
from social_jepa.experiments.invariance_equivariance.scores import TEST_LENGTHS

LOWEST = -0.1  # where the axis cuts bars that go deeper; they say how deep
NAMES = {
    "seq-jepa-1": "seq-JEPA, 1", "seq-jepa-2": "seq-JEPA, 2", "seq-jepa-3": "seq-JEPA, 3",
    "seq-jepa-3-no-actions": "seq-JEPA, 3, no actions", "simclr": "SimCLR", "byol": "BYOL",
    "vicreg": "VICReg", "untrained": "untrained", "pixel-pca": "pixel PCA",
}  # fmt: skip


def pictures(results: Results, settings: Any) -> dict[str, Figure]:
    """Return the matplotlib figures by name."""
    return {
        "views": views_picture(results.array("seq-jepa-3", "views")),
        "rotation": rotation_bars(results),
        "classes": class_bars(results),
        "test-length": length_curves(results),
        "neighbours": neighbours_picture(results),
    }


def views_picture(frames: np.ndarray) -> Figure:
    """Show objects of the pool, uint8 [N, M, H, W, 3], a row each."""
    picture = Figure(figsize=(1.2 * frames.shape[1] + 1.2, 1.2 * len(frames) + 0.6), layout="constrained")
    labels = [f"object {row + 1}" for row in range(len(frames))]
    draw_frame_grid(picture, frames, labels, "Objects as training sees them")
    return picture


def rotation_bars(results: Results) -> Figure:
    """Show R2 of relative and of individual rotation by method, for seen and unseen classes."""
    picture = Figure(figsize=(9, 7), layout="constrained")
    axes = picture.subplots(2, 1, sharex=True)
    for axis, prefix, title in zip(axes, ("", "unseen: "), ("Seen classes", "Unseen classes"), strict=True):
        for k, kind in enumerate(("relative", "individual")):
            for style, probe in enumerate(("perceptron", "linear")):
                found = [results.estimate(part, f"{prefix}{kind}, {probe}") for part in NAMES]
                place = 2 * k + style
                draw_bars(axis, found, place, 4, f"{kind}, {probe}", COLORS[place])
        finish(axis, title, "R2 of rotation")
    axes[0].legend(ncols=4, loc="upper center", bbox_to_anchor=(0.5, 1.32), frameon=False)
    return picture


def class_bars(results: Results) -> Figure:
    """Show top-1 of the code, the mean code and the longest aggregate by method."""
    kinds = ("one code", "mean code", f"aggregate of {TEST_LENGTHS[-1]}")
    picture = Figure(figsize=(9, 7), layout="constrained")
    axes = picture.subplots(2, 1, sharex=True)
    for axis, prefix, title in zip(axes, ("", "unseen: "), ("Seen classes", "Unseen classes"), strict=True):
        for place, kind in enumerate(kinds):
            found = [_estimate(results, part, f"{prefix}top-1, {kind}") for part in NAMES]
            draw_bars(axis, found, place, len(kinds), kind, COLORS[place])
        finish(axis, title, "top-1 accuracy")
    axes[0].legend(ncols=3, loc="upper center", bbox_to_anchor=(0.5, 1.32), frameon=False)
    return picture


def length_curves(results: Results) -> Figure:
    """Show top-1 of the aggregate over test lengths, a line per training."""
    picture = Figure(figsize=(7, 4.5), layout="constrained")
    axis = picture.subplots()
    parts = [part for part in NAMES if part.startswith("seq-jepa") or part == "untrained"]
    for place, part in enumerate(parts):
        found = [results.estimate(part, f"top-1, aggregate of {length}") for length in TEST_LENGTHS]
        x = [length + 0.06 * (place - 2) for length in TEST_LENGTHS]
        draw_curve(axis, x, found, NAMES[part], COLORS[place], "osD^v"[place])
    axis.set_xticks(TEST_LENGTHS)
    axis.set_xlabel("views at test")
    axis.set_ylabel("top-1 accuracy, seen classes")
    axis.legend(title="views at training", loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return picture


def neighbours_picture(results: Results) -> Figure:
    """Show which views of other objects are nearest in the codes of seq-JEPA and of SimCLR."""
    parts = ("seq-jepa-3", "simclr")
    frames = [results.array(part, "neighbours") for part in parts]
    picture = Figure(figsize=(12, 5.2), layout="constrained")
    halves: Any = picture.subfigures(1, 2)
    for half, part, shown in zip(halves, parts, frames, strict=True):
        labels = [f"query {row + 1}" for row in range(len(shown))]
        draw_frame_grid(half, shown, labels, f"{NAMES[part]}: a view and its nearest")
    return picture


def finish(axis: Axes, title: str, label: str) -> None:
    """Name the axes of a bar chart of all methods, and cut it where bars become too deep."""
    axis.set_ylim(bottom=max(axis.get_ylim()[0], LOWEST))
    axis.set_title(title, loc="left", fontsize=10)
    axis.set_ylabel(label)
    axis.axhline(0, color="black", lw=0.8)
    axis.set_xticks(range(len(NAMES)), list(NAMES.values()), rotation=30, ha="right")


def _estimate(results: Results, part: str, measure: str) -> Estimate | None:
    return results.estimate(part, measure) if results.has_score(part, measure) else None
