"""The table of the experiment on dynamics, and what stands beside it."""

from collections.abc import Sequence
from typing import Any

from social_jepa.experiments.dynamics.scores import AHEAD, ARMS, KINDS
from social_jepa.experiments.framework.experiment import Metric, Results, Threshold, missed_thresholds
from social_jepa.experiments.framework.score import Estimate

NULLS = {"other's goal": "goal, shuffled map", "other's predictor": "predictor, shuffled map"}
SHOWN = ("own goal", "other's goal", "random", "true state")
PERCEPTRON = (
    "A perceptron can learn, besides the motion, how its own encoder bends the state. Such bends differ "
    "between encoders, and no linear map carries them. The goal is of the linear predictor alone."
)
PASSIVE = (
    "Without pushes, all coordinates of this scene forget alike: the best predictor shrinks every code by "
    "one factor, which no rotation changes, so that it travels through any orthogonal map, or none. Five "
    "ticks ahead no more than 0.7^10 = 0.03 of the variance can be told. That line is no test of W."
)


def figures(results: Results, settings: Any) -> list[Metric]:
    """Return the goals' figures first, then predictors and plans of each pair of cameras."""
    parts = [f"{degrees:g} degrees" for degrees in settings.separations]
    goals = [_ratios(results, part, "linear", Threshold("<=", 1.15), "goals") for part in parts]
    goals += [_success(results, part, "other's goal", Threshold(">=", 0.9), "goals") for part in parts]
    return goals + [line for part in parts for line in (*_predictors(results, part), *_plans(results, part))]


def _ratios(results: Results, part: str, kind: str, goal: Threshold | None, group: str) -> Metric:
    found, null = (
        lost(results.estimate(part, f"{kind}: excess of {arm}, {AHEAD}"))
        for arm in ("borrowed", "shuffled map")
    )
    name = f"{part}: error {AHEAD} ticks ahead, borrowed / own, {kind}"
    return Metric(name, found, null.value, 1.0, goal, group)


def _success(results: Results, part: str, arm: str, goal: Threshold | None, group: str) -> Metric:
    found, null = (lost(results.estimate(part, f"excess of {name}")) for name in (arm, NULLS[arm]))
    return Metric(f"{part}: success, {arm} / own goal", found, null.value, 1.0, goal, group)


def _predictors(results: Results, part: str) -> list[Metric]:
    group = f"predictors, {part}"
    null = results.estimate(part, "map: shuffled map").value
    lines = [Metric(f"{part}: R2 of the map", results.estimate(part, "map: borrowed"), null, group=group)]
    lines.append(_ratios(results, part, "perceptron", None, group))
    for kind in KINDS:
        own, borrowed, unmapped, shuffled = (
            results.estimate(part, f"{kind}: {arm}, {AHEAD}")
            for arm in ("own", "borrowed", "no map", "shuffled map")
        )
        copied = results.estimate(part, f"copy, {AHEAD}").value
        name = f"{part}: R2 {AHEAD} ticks ahead, {kind}"
        lines.append(Metric(f"{name}, own", own, baseline=copied, group=group))
        lines.append(Metric(f"{name}, borrowed", borrowed, shuffled.value, own.value, group=group))
        if kind != "perceptron":
            lines.append(Metric(f"{name}, no map", unmapped, shuffled.value, own.value, group=group))
    return lines


def _plans(results: Results, part: str) -> list[Metric]:
    group = f"plans, {part}"
    lines = [_success(results, part, "other's predictor", None, group)]
    null, own = (results.estimate(part, arm).value for arm in ("random", "own goal"))
    for arm in ARMS:
        if arm != "random":
            found = results.estimate(part, arm)
            lines.append(Metric(f"{part}: success, {arm}", found, null, own, group=group))
    return lines


def notes(results: Results, settings: Any) -> list[str]:
    """Return what it cost, what the passive predictor shows, and by how much goals are missed."""
    lines = figures(results, settings)
    seed = results.seeds[0]
    parts = [part for part, first in results.condition_results if first == seed]
    spent = ", ".join(f"{part} {results.condition_results[part, seed].flops / 1e12:.2f}" for part in parts)
    apart = "; ".join(f"{part}: {_listed(results, part, 'distance: {}', SHOWN)}" for part in parts)
    bent = "; ".join(
        f"{part}: {_listed(results, part, kind + ': {}, ' + str(AHEAD), ('own', 'borrowed'))} ({kind})"
        for part in parts
        for kind in KINDS[:2]
    )
    return [
        f"Counted training TFLOPs of two agents and their perceptrons, seed {seed}: {spent}.",
        f"Mean distance to the goal at the end, places from -1 to 1: {apart}.",
        f"R2 {AHEAD} ticks ahead: {bent}. {PERCEPTRON}",
        PASSIVE,
        *missed_thresholds(lines),
    ]


def _listed(results: Results, part: str, name: str, arms: Sequence[str]) -> str:
    return ", ".join(f"{arm} {results.estimate(part, name.format(arm)).value:.3f}" for arm in arms)


def lost(found: Estimate) -> Estimate:
    """Return one less an estimate: of an R2 the share of variance that is lost, of an excess the ratio."""
    return Estimate(1 - found.value, 1 - found.resamples, tuple(1 - seed for seed in found.seeds))
