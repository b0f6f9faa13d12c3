"""The pictures of probe-porting: scores by number of anchors, what is lost, and one ported probe."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from social_jepa.experiments.common.plotting import COLORS, draw_curve
from social_jepa.experiments.framework.experiment import Results

TITLES = {
    "positions": "Positions (R2)",
    "quadrant": "Quadrant of object 0 (accuracy)",
    "nearest": "Object nearest the centre (accuracy)",
}
BY_ANCHORS = {
    "ported": "another's probe through the map",
    "own labels": "own probe, as many labels",
    "shuffled": "the map of shuffled anchors",
}
LEVELS = {
    "own": "own probe, all labels", "no map": "no map", "random map": "random map",
    "chance": "constant guess",
}  # fmt: skip
LOWEST = -1.3  # R2 below it leaves the picture: a probe of two labels can be arbitrarily wrong


def pictures(results: Results, settings: Any) -> dict[str, Figure]:
    """Return the matplotlib figures by name."""
    return {
        "by-anchors": by_anchors(results, settings),
        "lost": lost(results, settings),
        "one-probe": one_probe(results),
    }


def by_anchors(results: Results, settings: Any) -> Figure:
    """Show the score of each task over the number of anchors, beside what no number of anchors changes."""
    picture = Figure(figsize=(11, 4.2), layout="constrained")
    axes = picture.subplots(1, 3)
    for axis, (task, title) in zip(axes, TITLES.items(), strict=True):
        for (line, label), color, marker in zip(BY_ANCHORS.items(), COLORS, "osv", strict=False):
            names = [f"{task}: {line}, {count}" for count in settings.budgets]
            found = [results.estimate("society", name) for name in names]
            draw_curve(axis, settings.budgets, found, label, color, marker)
        levels = zip(LEVELS.items(), COLORS[3:], ("-", "--", ":", "-."), strict=False)
        for (line, label), color, style in levels:
            level = results.estimate("society", f"{task}: {line}").value
            axis.axhline(level, color=color, ls=style, lw=1.5, label=label)
        axis.set_title(title, loc="left", fontsize=10)
        finish(axis, settings.budgets)
    axes[0].set_ylim(LOWEST, 1.05)
    axes[0].set_ylabel("score on held-out ticks")
    picture.legend(*axes[0].get_legend_handles_labels(), ncols=4, loc="outside lower center", frameon=False)
    return picture


def lost(results: Results, settings: Any) -> Figure:
    """Show by how much the own probe is better than the ported one, over the number of anchors."""
    picture = Figure(figsize=(6.5, 4), layout="constrained")
    axis = picture.subplots()
    for task, color, marker in zip(TITLES, COLORS, "osv", strict=False):
        own = results.estimate("society", f"{task}: own")
        counts = [count for count in settings.budgets if count >= 8]
        found = [own - results.estimate("society", f"{task}: ported, {count}") for count in counts]
        draw_curve(axis, counts, found, TITLES[task], color, marker)
    axis.axhline(0.01, color="black", ls="--", lw=1, label="goal: at most 0.01")
    axis.axhline(0, color="black", lw=0.8)
    axis.set_ylim(-0.01, 0.1)
    axis.set_ylabel("own minus ported, held-out ticks")
    finish(axis, counts)
    axis.legend(frameon=False)
    return picture


def finish(axis: Axes, counts: Sequence[int]) -> None:
    """Name the axis of anchors."""
    axis.set_xscale("log", base=2)
    shown = counts[::2] if len(counts) > 8 else counts
    axis.set_xticks(shown, [str(count) for count in shown])
    axis.set_xlabel("anchors of the map")


def one_probe(results: Results) -> Figure:
    """Show what one agent reads with its own probe and with another's: positions, and both classifiers."""
    picture = Figure(figsize=(10, 6.2), layout="constrained")
    axes = picture.subplots(2, 3)
    for row, reader in zip(axes, ("own", "ported"), strict=True):
        for axis, task in zip(row, TITLES, strict=True):
            true, said = (results.array("society", f"{task}, {kind}") for kind in ("true", reader))
            if task == "positions":
                axis.scatter(true[:, 0], said[:, 0], s=8, color=COLORS[0], label="x of object 0")
                axis.scatter(true[:, 1], said[:, 1], s=8, color=COLORS[1], label="z of object 0")
                axis.plot([-1, 1], [-1, 1], color="black", lw=0.8)
                axis.set(xlabel="true position", ylabel="read", xlim=(-1.1, 1.1), ylim=(-1.3, 1.3))
                axis.legend(frameon=False, fontsize=8, loc="upper left")
            else:
                confusion(axis, true, said)
            axis.set_title(f"{task}, {reader}", loc="left", fontsize=10)
    picture.suptitle("One agent, held-out ticks: its own probes above, those of another below")
    return picture


def confusion(axis: Axes, true: np.ndarray, said: np.ndarray) -> None:
    """Show how often each class, int [n], is taken for each."""
    names = np.unique(np.concatenate([true, said]))
    counts = (true[:, None, None] == names[:, None]) & (said[:, None, None] == names)
    shares = counts.sum(0) / np.maximum(counts.sum((0, 2)), 1)[:, None]
    axis.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    for (row, column), share in np.ndenumerate(shares):
        axis.text(
            column, row, f"{share:.2f}", ha="center", va="center", color="white" if share > 0.5 else "black"
        )
    axis.set_xticks(range(len(names)), [str(name) for name in names])
    axis.set_yticks(range(len(names)), [str(name) for name in names])
    axis.set(xlabel="said", ylabel="true")
