"""The pictures of dynamics: errors over ticks ahead, success and distance by arm, and one episode."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from social_jepa.experiments.common.plotting import COLORS, draw_bars, draw_curve, draw_frame_grid
from social_jepa.experiments.dynamics.metrics import lost
from social_jepa.experiments.dynamics.scores import ARMS
from social_jepa.experiments.framework.experiment import Results

LINES = (
    ("own", "own", "o"), ("borrowed", "borrowed", "s"), ("no map", "borrowed, no map", "D"),
    ("shuffled map", "borrowed, shuffled map", "v"), ("copy", "last code copied", "^"),
)  # fmt: skip
TITLES = {"linear": "given the pushes", "passive": "passive"}
COLUMNS = (0, 1, 2, 3, 5)  # ticks of the episode that is shown


def pictures(results: Results, settings: Any) -> dict[str, Figure]:
    """Return the matplotlib figures by name."""
    parts = [f"{degrees:g} degrees" for degrees in settings.separations]
    return {
        "errors": errors(results, parts, settings.longest),
        "steering": success(results, parts, settings.steering.threshold),
        "distances": distances(results, parts, settings.steering.threshold),
        "episode": episode(results, parts[0], settings.steering.ticks),
    }


def errors(results: Results, parts: list[str], longest: int) -> Figure:
    """Show the error over ticks ahead: a column per pair of cameras, a row with pushes and one without."""
    picture = Figure(figsize=(4.2 * len(parts) + 0.6, 6.4), layout="constrained")
    axes = picture.subplots(len(TITLES), len(parts), sharex=True, sharey="row", squeeze=False)
    x = list(range(1, longest + 1))
    for row, (kind, title) in zip(axes, TITLES.items(), strict=True):
        for axis, part in zip(row, parts, strict=True):
            for place, (arm, label, marker) in enumerate(LINES):
                name = arm if arm == "copy" else f"{kind}: {arm}"
                found = [lost(results.estimate(part, f"{name}, {ahead}")) for ahead in x]
                aside = [
                    ahead + 0.08 * (place - 2) for ahead in x
                ]  # so that lines that coincide are all seen
                draw_curve(axis, aside, found, label, COLORS[place], marker)
            axis.axhline(1, color="black", lw=0.8)
            axis.set_yscale("log" if kind == "linear" else "linear")
            axis.set_title(f"{part} apart, {title}", loc="left", fontsize=10)
        row[0].set_ylabel("squared error / variance")
    for axis in axes[-1]:
        axis.set_xlabel("ticks ahead")
        axis.set_xticks(x)
    picture.legend(
        *axes[0, 0].get_legend_handles_labels(), ncols=3, loc="outside lower center", frameon=False
    )
    return picture


def success(results: Results, parts: list[str], threshold: float) -> Figure:
    """Show success by arm, a bar per pair of cameras."""
    picture = Figure(figsize=(7.5, 3.8), layout="constrained")
    axis = picture.subplots()
    for place, part in enumerate(parts):
        found = [results.estimate(part, arm) for arm in ARMS]
        draw_bars(axis, found, place, len(parts), f"cameras {part} apart", COLORS[place])
    axis.set_xticks(range(len(ARMS)), ARMS, rotation=20, ha="right")
    axis.set_ylim(0, 1.02)
    axis.set_ylabel(f"share of episodes that\nend within {threshold:g} of the goal")
    handles, labels = axis.get_legend_handles_labels()
    one_each = dict(zip(labels, handles, strict=True))
    picture.legend(one_each.values(), one_each.keys(), ncols=2, loc="outside upper center", frameon=False)
    return picture


def distances(results: Results, parts: list[str], threshold: float) -> Figure:
    """Show the mean distance to the goal over ticks, a panel per pair of cameras and a line per arm."""
    picture = Figure(figsize=(4.2 * len(parts) + 0.6, 4), layout="constrained")
    axes = picture.subplots(1, len(parts), sharey=True, squeeze=False)[0]
    for axis, part in zip(axes, parts, strict=True):
        for arm, color, marker in zip(ARMS, COLORS, "osDv^<XP", strict=False):
            seeds = [results.array(part, f"distance: {arm}", seed) for seed in results.seeds]
            axis.plot(np.mean(seeds, axis=0), label=arm, color=color, marker=marker, ms=4, lw=1.4)
        axis.axhline(threshold, color="black", lw=0.8, ls=":")
        axis.set_title(f"{part} apart", loc="left", fontsize=10)
        axis.set_xlabel("tick of the episode")
    axes[0].set_ylabel("mean distance to the goal\n(places from -1 to 1)")
    axes[0].set_ylim(bottom=0)
    picture.legend(*axes[0].get_legend_handles_labels(), ncols=4, loc="outside lower center", frameon=False)
    return picture


def episode(results: Results, part: str, ticks: int) -> Figure:
    """Show one episode of the first seed: its goal as it was shown, then what the borrower saw."""
    columns = [tick for tick in COLUMNS if tick < ticks] + [ticks]
    shown = {"own goal": "goal here", "other's goal": "goal there", "goal, no map": "goal there"}
    rows = [
        np.concatenate([results.array(part, goal), results.array(part, f"frames: {arm}")[columns]])
        for arm, goal in shown.items()
    ]
    picture = Figure(figsize=(1.15 * len(rows[0]) + 1.2, 4.3), layout="constrained")
    draw_frame_grid(
        picture, np.stack(rows), list(shown), "One episode: the red box goes where the goal has it"
    )
    titles = ["the goal", *(f"tick {tick}" for tick in columns)]
    for axis, title in zip(picture.axes, titles, strict=False):
        axis.set_title(title, fontsize=9)
    return picture
