"""Parts of plots that several experiments draw: frames in a grid, bars and curves with intervals."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from social_jepa.experiments.framework.score import Estimate

# The palette of Okabe and Ito, which readers with any common color vision deficiency can tell apart.
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#999999", "#000000")
MARKERS = "osD^vPX*"  # one for each color
LOWEST_BAR = -0.1  # default lower end of an axis of bars; longer bars are cut there


def draw_frame_grid(figure: Figure, frames: np.ndarray, labels: Sequence[str], title: str) -> None:
    """Fill a figure or subfigure with frames, one row of axes for each label.

    Args:
        figure: Figure or subfigure without axes.
        frames: uint8 [rows, columns, H, W, 3].
        labels: Names of the rows.
        title: Title of the figure.
    """
    axes = figure.subplots(*frames.shape[:2], squeeze=False)
    for row, label in enumerate(labels):
        for column in range(frames.shape[1]):
            axis = axes[row, column]
            axis.imshow(frames[row, column])
            axis.set_xticks([])
            axis.set_yticks([])
        axes[row, 0].set_ylabel(label, rotation=0, ha="right", va="center")
    figure.suptitle(title)


def draw_bars(
    axis: Axes, estimates: Sequence[Estimate | None], position: int, bars_per_group: int, label: str,
    color: str, lowest: float = LOWEST_BAR,
) -> None:  # fmt: skip
    """Draw one bar with its interval for each estimate, at x = 0, 1, ...

    Bars and intervals are drawn at full length. Set the lower limit of the axis to `lowest` afterwards, so
    that one strongly negative value does not flatten all others; a bar that goes below it is labeled with its
    value.

    Args:
        axis: Receives the bars.
        estimates: One for each group of bars; None draws no bar.
        position: Position of these bars in their groups, from 0.
        bars_per_group: Number of bars in a group.
        label: Entry in the legend.
        color: Color of the bars.
        lowest: Lower limit of the axis.
    """
    width = 0.8 / bars_per_group
    for group, estimate in enumerate(estimates):
        if estimate is not None:
            x = group - 0.4 + (position + 0.5) * width
            axis.bar(x, estimate.value, width, color=color, label=label)
            axis.errorbar(x, estimate.value, yerr=error_bar(estimate), color="black", lw=1)
            if estimate.value < lowest:
                box = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
                axis.text(x, lowest, f"{estimate.value:.1f}", ha="center", va="bottom", fontsize=6, bbox=box)
            label = "_"  # the legend shows the first bar only


def draw_curve(
    axis: Axes, x: Sequence[float], estimates: Sequence[Estimate], label: str, color: str, marker: str
) -> None:
    """Draw a line through estimates, with their intervals as error bars."""
    values = [estimate.value for estimate in estimates]
    spans = np.concatenate([error_bar(estimate) for estimate in estimates], axis=1)
    axis.errorbar(x, values, yerr=spans, label=label, color=color, marker=marker, lw=1.5, ms=5, capsize=2)


def error_bar(estimate: Estimate) -> np.ndarray:
    """Return the distances from the value to the ends of its interval, [2, 1]; 0 without an interval."""
    low, high = estimate.interval
    return np.nan_to_num(np.maximum([[estimate.value - low], [high - estimate.value]], 0.0))
