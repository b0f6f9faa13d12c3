"""The pictures of invariance-equivariance: views, bars, curves over lengths, nearest neighbours."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from social_jepa.experiments.framework.experiment import Results
from social_jepa.experiments.framework.score import Estimate
from social_jepa.experiments.invariance_equivariance.scores import TEST_LENGTHS

# Okabe and Ito's colours, told apart by all common kinds of colour vision
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#999999", "#000000")
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


def rows_of_frames(picture: Figure, frames: np.ndarray, labels: Sequence[str], title: str) -> None:
    """Fill a matplotlib figure, or a part of one, with frames uint8 [rows, columns, H, W, 3]."""
    axes = picture.subplots(*frames.shape[:2], squeeze=False)
    for row, label in enumerate(labels):
        for column in range(frames.shape[1]):
            axis = axes[row, column]
            axis.imshow(frames[row, column])
            axis.set_xticks([])
            axis.set_yticks([])
        axes[row, 0].set_ylabel(label, rotation=0, ha="right", va="center")
    picture.suptitle(title)


def views_picture(frames: np.ndarray) -> Figure:
    """Show objects of the pool, uint8 [N, M, H, W, 3], a row each."""
    picture = Figure(figsize=(1.2 * frames.shape[1] + 1.2, 1.2 * len(frames) + 0.6), layout="constrained")
    labels = [f"object {row + 1}" for row in range(len(frames))]
    rows_of_frames(picture, frames, labels, "Objects as training sees them")
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
                bars(axis, found, place, 4, f"{kind}, {probe}", COLORS[place])
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
            bars(axis, found, place, len(kinds), kind, COLORS[place])
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
        curve(axis, x, found, NAMES[part], COLORS[place], "osD^v"[place])
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
        rows_of_frames(half, shown, labels, f"{NAMES[part]}: a view and its nearest")
    return picture


def bars(
    axis: Axes, found: Sequence[Estimate | None], place: int, places: int, label: str, color: str,
    floor: float = LOWEST,
) -> None:  # fmt: skip
    """Draw one bar per estimate with its interval; what was not measured has none.

    One failed probe would flatten all others: the caller cuts the axis at the floor, and a bar that goes
    deeper says there how deep. Bar and interval themselves are drawn where they belong.
    """
    width = 0.8 / places
    for x, estimate in enumerate(found):
        if estimate is not None:
            at = x - 0.4 + (place + 0.5) * width
            axis.bar(at, estimate.value, width, color=color, label=label)
            axis.errorbar(at, estimate.value, yerr=whisker(estimate), color="black", lw=1)
            if estimate.value < floor:
                box = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
                axis.text(at, floor, f"{estimate.value:.1f}", ha="center", va="bottom", fontsize=6, bbox=box)
            label = "_"  # one entry of the legend is enough


def finish(axis: Axes, title: str, label: str) -> None:
    """Name the axes of a bar chart of all methods, and cut it where bars become too deep."""
    axis.set_ylim(bottom=max(axis.get_ylim()[0], LOWEST))
    axis.set_title(title, loc="left", fontsize=10)
    axis.set_ylabel(label)
    axis.axhline(0, color="black", lw=0.8)
    axis.set_xticks(range(len(NAMES)), list(NAMES.values()), rotation=30, ha="right")


def curve(
    axis: Axes, x: Sequence[float], found: Sequence[Estimate], label: str, color: str, marker: str
) -> None:
    """Draw a line through estimates with their intervals."""
    y = [estimate.value for estimate in found]
    span = np.concatenate([whisker(estimate) for estimate in found], axis=1)
    axis.errorbar(x, y, yerr=span, label=label, color=color, marker=marker, lw=1.5, ms=5, capsize=2)


def whisker(estimate: Estimate) -> np.ndarray:
    """Return how far the interval reaches below and above the value, [2, 1]; 0 where there is none."""
    low, high = estimate.interval
    return np.nan_to_num(np.maximum([[estimate.value - low], [high - estimate.value]], 0.0))


def _estimate(results: Results, part: str, measure: str) -> Estimate | None:
    known = results.condition_results[part, results.seeds[0]].scores
    return results.estimate(part, measure) if measure in known else None
