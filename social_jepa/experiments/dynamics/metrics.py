"""Table and notes of the dynamics experiment."""

from collections.abc import Sequence

from social_jepa.experiments.dynamics.scores import POLICIES, PREDICTORS
from social_jepa.experiments.dynamics.settings import THRESHOLD_HORIZON, Settings
from social_jepa.experiments.framework.experiment import Metric, Results
from social_jepa.experiments.framework.score import Estimate
from social_jepa.experiments.framework.threshold import Threshold

NULLS = {"peer's goal": "goal, shuffled map", "peer's predictor": "predictor, shuffled map"}
DISTANCE_NOTE = ("own goal", "peer's goal", "random", "true state")
PERCEPTRON = (
    "A perceptron can learn, besides the motion, the nonlinearity of its own encoder. Such nonlinearities "
    "differ between encoders, and no linear map transfers them. The threshold applies to the linear "
    "predictor alone."
)
PASSIVE = (
    "Without actions, all coordinates of this scene have the same autocorrelation: the best predictor "
    "shrinks every latent by one factor, which no rotation changes, so that it transfers through any "
    "orthogonal map, or none. Five ticks ahead at most 0.7^10 = 0.03 of the variance can be predicted. That "
    "curve does not test W."
)


def make_metrics(results: Results, settings: Settings) -> list[Metric]:
    """Return the metrics with thresholds first, then predictors and plans of each pair of cameras."""
    conditions, group = settings.conditions, "thresholds"
    metrics = [
        _error_ratio(results, condition, "linear", Threshold("<=", 1.15), group) for condition in conditions
    ]
    metrics += [
        _success_ratio(results, condition, "peer's goal", Threshold(">=", 0.9), group)
        for condition in conditions
    ]
    for condition in conditions:
        metrics += [*_predictor_metrics(results, condition), *_plan_metrics(results, condition)]
    return metrics


def _error_ratio(
    results: Results, condition: str, kind: str, threshold: Threshold | None, group: str
) -> Metric:
    ratio, null = (
        one_minus(results.estimate(condition, f"{kind}: 1 - error ratio of {name}, {THRESHOLD_HORIZON}"))
        for name in ("fitted map", "shuffled map")
    )
    name = f"{condition}: error {THRESHOLD_HORIZON} ticks ahead, peer's / own predictor, {kind}"
    return Metric(name, ratio, null.value, 1.0, threshold, group)


def _success_ratio(
    results: Results, condition: str, policy: str, threshold: Threshold | None, group: str
) -> Metric:
    ratio, null = (
        one_minus(results.estimate(condition, f"1 - success ratio of {name}"))
        for name in (policy, NULLS[policy])
    )
    return Metric(f"{condition}: success, {policy} / own goal", ratio, null.value, 1.0, threshold, group)


def _predictor_metrics(results: Results, condition: str) -> list[Metric]:
    def estimate(score: str) -> Estimate:
        return results.estimate(condition, score)

    group = f"predictors, {condition}"
    null = estimate("map: shuffled map").value
    metrics = [Metric(f"{condition}: R2 of the map", estimate("map: fitted map"), null, group=group)]
    metrics.append(_error_ratio(results, condition, "perceptron", None, group))
    for kind in PREDICTORS:
        own, mapped, unmapped, shuffled = (
            estimate(f"{kind}: {name}, {THRESHOLD_HORIZON}")
            for name in ("own", "fitted map", "no map", "shuffled map")
        )
        copied = estimate(f"copy, {THRESHOLD_HORIZON}").value
        name, chance = f"{condition}: R2 {THRESHOLD_HORIZON} ticks ahead, {kind}", shuffled.value
        metrics.append(Metric(f"{name}, own", own, baseline=copied, group=group))
        metrics.append(Metric(f"{name}, peer's", mapped, chance, own.value, group=group))
        if kind != "perceptron":
            metrics.append(Metric(f"{name}, peer's without a map", unmapped, chance, own.value, group=group))
    return metrics


def _plan_metrics(results: Results, condition: str) -> list[Metric]:
    group = f"plans, {condition}"
    metrics = [_success_ratio(results, condition, "peer's predictor", None, group)]
    null, own = (results.estimate(condition, policy).value for policy in ("random", "own goal"))
    for policy in POLICIES:
        if policy != "random":
            estimate = results.estimate(condition, policy)
            metrics.append(Metric(f"{condition}: success, {policy}", estimate, null, own, group=group))
    return metrics


def make_notes(results: Results, settings: Settings) -> list[str]:
    """Return notes on costs, distances and predictors."""
    seed = results.seeds[0]
    conditions = [condition for condition, first in results.condition_results if first == seed]
    flops = ", ".join(
        f"{condition} {results.condition_results[condition, seed].flops / 1e12:.2f}"
        for condition in conditions
    )
    distances = "; ".join(
        f"{condition}: {_list_values(results, condition, 'distance: {}', DISTANCE_NOTE)}"
        for condition in conditions
    )
    template = f"{{}}: {{{{}}}}, {THRESHOLD_HORIZON}"
    r2 = "; ".join(
        f"{condition}: "
        f"{_list_values(results, condition, template.format(kind), ('own', 'fitted map'))} ({kind})"
        for condition in conditions
        for kind in PREDICTORS[:2]
    )
    return [
        f"Counted training TFLOPs of two agents and their perceptrons, seed {seed}: {flops}.",
        f"Mean distance to the goal at the end, positions from -1 to 1: {distances}.",
        f"R2 {THRESHOLD_HORIZON} ticks ahead: {r2}. {PERCEPTRON}",
        PASSIVE,
    ]


def _list_values(results: Results, condition: str, template: str, names: Sequence[str]) -> str:
    values = {name: results.estimate(condition, template.format(name)).value for name in names}
    return ", ".join(f"{name} {value:.3f}" for name, value in values.items())


def one_minus(estimate: Estimate) -> Estimate:
    """Return one minus an estimate: the unexplained share of variance of an R2, or a ratio."""
    return Estimate(tuple(1 - seed for seed in estimate.seeds))
