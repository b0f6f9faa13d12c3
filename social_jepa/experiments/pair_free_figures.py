"""The table of pair-free: the goal first, then methods over anchors, spacings, and what no anchors give."""

from typing import Any

import numpy as np

from social_jepa.experiments.experiment import Figure, Goal, Results, missed

SEARCH = (
    "Search, on seed 100 alone: two spacings. At 0.05 one anchor that the source chose gave 0.62, because "
    "squares of slow coordinates stood among the six axes; at 0.03 it gave 0.93."
)
LUCK = (
    "A random anchor is close to 0 on one axis or another, where its sign says nothing. Tried against that: "
    "two anchors, an anchor that the source chose, and axes shortened by doubt."
)


def figures(results: Results, settings: Any) -> list[Figure]:
    """Return the lines of the table."""
    distinct = settings.part(settings.distinct)
    goal = Goal(">=", 0.9)
    found = [_line(results, distinct, method, 1, "goals", goal) for method in ("signs", "chosen")]
    counts = settings.anchors
    for method, few in {"signs": counts[1:], "hedged": counts, "assigned": counts}.items():
        for count in few:
            found.append(_line(results, distinct, method, count, "distinct rates; baseline: Procrustes"))
    for part in settings.parts:
        if part != distinct:
            for method, count in (("signs", 1), ("chosen", 1), ("assigned", settings.anchors[-1])):
                found.append(_line(results, part, method, count, "other spacings; baseline: Procrustes"))
    group = "axes of different stretches of time; baseline: of one"
    for part in settings.parts:
        for method, count in (("chosen", 1), ("assigned", settings.anchors[-1])):
            found.append(_line(results, part, f"apart: {method}", count, group))
    for part in settings.parts:
        for method in ("moments", "clouds"):
            estimate = results.estimate(part, f"{method}, 0")
            null = results.mean(part, f"{method}, 0, null")
            found.append(Figure(f"R2: {part}, {method}", estimate, null, group="no anchors"))
    estimate = results.estimate(settings.parts[-1], "control, 0")
    found.append(Figure("R2: control, clouds of clusters", estimate, group="no anchors"))
    return found


def _line(
    results: Results, part: str, method: str, count: int, group: str, goal: Goal | None = None
) -> Figure:
    words = f"{method}, {count}"
    baseline = f"procrustes, {count}" if "apart" not in method else f"{method.split()[-1]}, {count}"
    return Figure(
        f"R2: {part}, {method}, {count} anchor{'s' * (count > 1)}", results.estimate(part, words),
        results.mean(part, f"{words}, null"), results.mean(part, baseline), goal, group,
    )  # fmt: skip


def notes(results: Results, settings: Any) -> list[str]:
    """Return what the trainings cost, how alike the axes are, and by how much the goal is missed."""
    spent = sum(results.outcomes[part, results.seeds[0]].flops for part in settings.parts) / 1e12
    sizes = [results.array(settings.part(settings.distinct), "core sizes", seed) for seed in results.seeds]
    return [
        f"Counted training TFLOPs of all spacings, seed {results.seeds[0]}: {spent:.2f}.",
        *(f"Correlations of like-ranked axes, {part}: {_alike(results, part)}." for part in settings.parts),
        f"Where rates are distinct, agents found cores of {', '.join(map(str, np.concatenate(sizes)))} axes: "
        f"behind the first {settings.axes}, which are compared here, predictability hardly drops.",
        SEARCH,
        LUCK,
        *missed(figures(results, settings)),
    ]


def _alike(results: Results, part: str) -> str:
    """Return the correlations of like-ranked axes, means over seeds, as they stand in a sentence."""
    said = []
    for name in ("axes", "apart"):
        each = [np.abs(np.diag(results.array(part, name, seed))) for seed in results.seeds]
        said.append(", ".join(f"{value:.2f}" for value in np.mean(each, axis=0)))
    return f"{said[0]}; apart {said[1]}"
