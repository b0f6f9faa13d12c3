"""The pictures of migration: score over cost by arm, and what it costs to come near a whole course."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from social_jepa.experiments.common.plotting import COLORS
from social_jepa.experiments.framework.experiment import Results
from social_jepa.experiments.migration.metrics import (
    FLOPS,
    LABELS,
    SCORE,
    SHARES,
    TICKS,
    final,
    named,
    ratio,
    rows_of,
)

MARKERS = dict(zip(LABELS, "os^Dv*XPp", strict=True))
COLOR = dict(zip(LABELS, ("#000000", *COLORS[:5], "#56B4E9", "#999999", "#999999"), strict=True))
BARS = ("taught", "taught, then alone", "taught, early", "taught, untrained", "taught, shuffled", "mutual")


def pictures(results: Results, settings: Any) -> dict[str, Figure]:
    """Return the matplotlib figures by name."""
    found = {"ratios": ratios(results, settings)}
    for scene in settings.scenes:
        found[f"by-flops-{scene}"] = by_cost(
            results, scene, FLOPS, 1e-12, "TFLOPs of the newcomer's learning"
        )
        found[f"by-frames-{scene}"] = by_cost(results, scene, TICKS, 1, "distinct frames learned from")
    return found


def by_cost(results: Results, scene: int, column: int, unit: float, label: str) -> Figure:
    """Show the score of every way of learning over a cost, the mean over seeds, a colour per arm."""
    picture = Figure(figsize=(8.5, 4.6), layout="constrained")
    axis = picture.subplots()
    hidden = {"mutual, the peer"} | ({"one course"} if column == TICKS else set())  # all frames, as alone
    for arm in (arm for arm in LABELS if arm not in hidden):
        rows = np.mean([rows_of(results, scene, arm, seed) for seed in results.seeds], axis=0)
        line = column == FLOPS and arm in ("one course", "mutual")
        axis.plot(
            rows[:, column] * unit, rows[:, SCORE], color=COLOR[arm], marker=MARKERS[arm], ms=6,
            ls="-" if line else "none", lw=1.2, label=LABELS[arm], zorder=3 if arm == "one course" else 2,
        )  # fmt: skip
    end = float(np.mean([final(results, scene, seed) for seed in results.seeds]))
    for share, style in zip(SHARES, (":", "--"), strict=True):
        axis.axhline(
            share * end, color="black", lw=0.8, ls=style, label=f"{100 * share:.0f} % of the end alone"
        )
    axis.set_xscale("log")
    axis.set_xlabel(label)
    axis.set_ylabel("R2 of the true state, held-out ticks")
    axis.set_title(named(scene), loc="left", fontsize=10)
    axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8)
    return picture


def ratios(results: Results, settings: Any) -> Figure:
    """Show what each arm costs over the cheapest way alone, a bar per share of the score."""
    scenes = settings.scenes
    picture = Figure(figsize=(8, 1 + 2.6 * len(scenes)), layout="constrained")
    axes = picture.subplots(len(scenes), 1, squeeze=False)[:, 0]
    for axis, scene in zip(axes, scenes, strict=True):
        for place, share in enumerate(SHARES):
            _bars(axis, results, scene, share, place)
        axis.axvline(1, color="black", lw=0.8)
        axis.axvline(0.28, color="black", lw=0.8, ls="--", label="goal: 0.28")
        axis.set_yticks(range(len(BARS)), [LABELS[arm] for arm in BARS])
        axis.set_ylim(len(BARS) - 0.4, -0.6)
        axis.set_title(named(scene), loc="left", fontsize=10)
        axis.set_xlabel("FLOPs over the cheapest way alone")
        axis.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return picture


def _bars(axis: Axes, results: Results, scene: int, share: float, place: int) -> None:
    """Draw the mean over seeds as a bar and the seeds as dots; say where a seed never got there."""
    label = f"to {100 * share:.0f} % of the end alone"
    for row, arm in enumerate(BARS):
        found, at = ratio(results, scene, arm, share), row - 0.2 + 0.4 * place
        if np.isfinite(found.value):
            axis.barh(at, found.value, 0.38, color=COLORS[place], label=label)
            axis.plot(found.seeds, [at] * len(found.seeds), "k.", ms=4)
            label = "_"  # one entry of the legend is enough
        else:
            axis.text(0.01, at, "not reached", va="center", fontsize=7, color=COLORS[place])
