"""Plots of probe-porting: scores by number of anchors, losses, and one ported probe."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from social_jepa.experiments.common.plotting import COLORS, draw_curve
from social_jepa.experiments.framework.experiment import Results
from social_jepa.experiments.probe_porting.metrics import CONDITION
from social_jepa.experiments.probe_porting.settings import Settings

TITLES = {
    "positions": "Positions (R2)",
    "quadrant": "Quadrant of object 0 (accuracy)",
    "nearest": "Object nearest the center (accuracy)",
}
BY_ANCHORS = {
    "ported, {}": "ported probe",
    "own probe, {} labels": "own probe, as many labels",
    "shuffled, {}": "ported probe, shuffled anchors",
}
LEVELS = {
    "own": "own probe, all labels", "no map": "no map", "random map": "random map",
    "chance": "constant guess",
}  # fmt: skip
LOWEST_R2 = -1.3  # lower end of the axis: a probe fitted on two labels can have any R2


def make_plots(results: Results, settings: Settings) -> dict[str, Figure]:
    """Return the matplotlib figures by file name."""
    return {
        "by-anchors": plot_by_anchors(results, settings),
        "loss": plot_loss(results, settings),
        "one-probe": plot_one_probe(results),
    }


def plot_by_anchors(results: Results, settings: Settings) -> Figure:
    """Plot the score of each task over the number of anchors, beside scores that do not depend on it."""
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    axes = figure.subplots(1, 3)
    for axis, (task, title) in zip(axes, TITLES.items(), strict=True):
        for (name, label), color, marker in zip(BY_ANCHORS.items(), COLORS, "osv", strict=False):
            scores = [f"{task}: {name.format(count)}" for count in settings.anchor_counts]
            estimates = [results.estimate(CONDITION, score) for score in scores]
            draw_curve(axis, settings.anchor_counts, estimates, label, color, marker)
        levels = zip(LEVELS.items(), COLORS[3:], ("-", "--", ":", "-."), strict=False)
        for (name, label), color, style in levels:
            level = results.estimate(CONDITION, f"{task}: {name}").value
            axis.axhline(level, color=color, ls=style, lw=1.5, label=label)
        axis.set_title(title, loc="left", fontsize=10)
        _set_anchor_axis(axis, settings.anchor_counts)
    axes[0].set_ylim(LOWEST_R2, 1.05)
    axes[0].set_ylabel("score on held-out ticks")
    figure.legend(*axes[0].get_legend_handles_labels(), ncols=4, loc="outside lower center", frameon=False)
    return figure


def plot_loss(results: Results, settings: Settings) -> Figure:
    """Plot the score of the own probe minus that of the ported one over the number of anchors."""
    figure = Figure(figsize=(6.5, 4), layout="constrained")
    axis = figure.subplots()
    for task, color, marker in zip(TITLES, COLORS, "osv", strict=False):
        own = results.estimate(CONDITION, f"{task}: own")
        counts = [count for count in settings.anchor_counts if count >= 8]
        losses = [own - results.estimate(CONDITION, f"{task}: ported, {count}") for count in counts]
        draw_curve(axis, counts, losses, TITLES[task], color, marker)
    axis.axhline(0.01, color="black", ls="--", lw=1, label="threshold: at most 0.01")
    axis.axhline(0, color="black", lw=0.8)
    axis.set_ylim(-0.01, 0.1)
    axis.set_ylabel("own minus ported, held-out ticks")
    _set_anchor_axis(axis, counts)
    axis.legend(frameon=False)
    return figure


def _set_anchor_axis(axis: Axes, counts: Sequence[int]) -> None:
    axis.set_xscale("log", base=2)
    shown = counts[::2] if len(counts) > 8 else counts
    axis.set_xticks(shown, [str(count) for count in shown])
    axis.set_xlabel("anchors of the map")


def plot_one_probe(results: Results) -> Figure:
    """Plot the predictions for one agent by its own and by ported probes: positions and both classifiers."""
    figure = Figure(figsize=(10, 6.2), layout="constrained")
    axes = figure.subplots(2, 3)
    for row, kind in zip(axes, ("own", "ported"), strict=True):
        for axis, task in zip(row, TITLES, strict=True):
            true, predicted = (results.array(CONDITION, f"{task}, {name}") for name in ("true", kind))
            if task == "positions":
                axis.scatter(true[:, 0], predicted[:, 0], s=8, color=COLORS[0], label="x of object 0")
                axis.scatter(true[:, 1], predicted[:, 1], s=8, color=COLORS[1], label="z of object 0")
                axis.plot([-1, 1], [-1, 1], color="black", lw=0.8)
                axis.set(xlabel="true position", ylabel="predicted", xlim=(-1.1, 1.1), ylim=(-1.3, 1.3))
                axis.legend(frameon=False, fontsize=8, loc="upper left")
            else:
                _draw_confusion(axis, true, predicted)
            axis.set_title(f"{task}, {kind}", loc="left", fontsize=10)
    figure.suptitle("One agent, held-out ticks: its own probes (top) and ported probes (bottom)")
    return figure


def _draw_confusion(axis: Axes, true: np.ndarray, predicted: np.ndarray) -> None:
    """Draw a confusion matrix, normalized by row, of classes int [n]."""
    names = np.unique(np.concatenate([true, predicted]))
    counts = (true[:, None, None] == names[:, None]) & (predicted[:, None, None] == names)
    shares = counts.sum(0) / np.maximum(counts.sum((0, 2)), 1)[:, None]
    axis.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    for (row, column), share in np.ndenumerate(shares):
        color = "white" if share > 0.5 else "black"
        axis.text(column, row, f"{share:.2f}", ha="center", va="center", color=color)
    axis.set_xticks(range(len(names)), [str(name) for name in names])
    axis.set_yticks(range(len(names)), [str(name) for name in names])
    axis.set(xlabel="predicted", ylabel="true")
