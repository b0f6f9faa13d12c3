"""Table and notes of the plan-transfer experiment."""

import math
from collections.abc import Callable

from social_jepa.experiments.common.similarity_baselines import (
    METHODS,
    PIXEL_PCA,
    TICA,
    UNTRAINED,
    Baselines,
    baseline_name,
    similarity,
)
from social_jepa.experiments.framework.experiment import Metric, Results
from social_jepa.experiments.framework.score import Estimate
from social_jepa.experiments.framework.threshold import Threshold
from social_jepa.experiments.plan_transfer.scores import BASELINE_POLICIES, POLICIES, PREDICTORS
from social_jepa.experiments.plan_transfer.settings import THRESHOLD_HORIZON, Settings

MOST_ERROR, LEAST_SUCCESS = 1.10, 0.95
NULLS = {"peer's goal": "goal, shifted map", "peer's predictor": "predictor, shifted map"}
DISTANCE_NOTE = ("own goal", "peer's goal", "random", "true state")
BOUNDS = (
    "A ratio to the own predictor or goal says nothing of how good those are, which R2 and success do; a "
    "bound that is met without a map, by a map of anchors shifted in time, or by a fitted map between agents "
    "that learn nothing shows nothing of what agents learn. In the mean over seeds these meet it:"
)
PERCEPTRON = (
    "A perceptron can learn, besides the motion, the nonlinearity of its own encoder. Such nonlinearities "
    "differ between encoders, and no linear map transfers them. The threshold applies to the linear "
    "predictor alone."
)


def make_metrics(results: Results, settings: Settings) -> list[Metric]:
    """Return the metrics with thresholds first, then predictors and plans of each pair of cameras."""
    metrics = [*_threshold_metrics(results, settings), *_gain_metrics(results, settings)]
    for condition in settings.conditions:
        metrics += [*_predictor_metrics(results, condition), *_plan_metrics(results, condition)]
    return metrics


def _threshold_metrics(results: Results, settings: Settings) -> list[Metric]:
    """Return the error ratio of each condition, then the success ratio of each."""
    conditions, group = settings.conditions, "thresholds"
    error, success = Threshold("<=", MOST_ERROR), Threshold(">=", LEAST_SUCCESS)
    return [
        *(_error_ratio(results, condition, "linear", group, error) for condition in conditions),
        *(_success_ratio(results, condition, "peer's goal", group, success) for condition in conditions),
    ]


def _gain_metrics(results: Results, settings: Settings) -> list[Metric]:
    """Return what agents that learn have above the best baseline, by condition.

    R2 is that of all factors (`HeldoutWindows.scores`), so that agents with fewer axes than a baseline are
    not scored on these alone.
    """
    ahead = THRESHOLD_HORIZON
    compared = {
        f"R2 of all factors {ahead} ticks ahead, peer's linear predictor": f"linear: fitted map, {ahead}",
        "success, peer's goal": "peer's goal",
    }
    metrics = []
    for text, found in compared.items():
        for condition in settings.conditions:
            best = Estimate.highest(
                results.estimate(condition, baseline_name(name, found)) for name in METHODS
            )
            gain = results.estimate(condition, found) - best
            name = f"{condition}: {text}, minus the best baseline"
            metrics.append(Metric(name, gain, threshold=Threshold(">", 0.0), group="thresholds"))
    return metrics


def _error_ratio(
    results: Results, condition: str, kind: str, group: str, threshold: Threshold | None = None
) -> Metric:
    fitted, shifted = (_ratio_score(kind, name) for name in ("fitted map", "shifted map"))
    name = f"{condition}: error {THRESHOLD_HORIZON} ticks ahead, peer's / own predictor, {kind}"
    compared = Baselines()
    if kind == "linear":
        compared = _of_baselines(lambda name: 1 - results.mean(condition, baseline_name(name, fitted)))
    ratio, null = results.estimate(condition, fitted).complement(), 1 - results.mean(condition, shifted)
    return Metric(name, ratio, null, 1.0, threshold, group, **compared)


def _ratio_score(kind: str, edge: str) -> str:
    return f"{kind}: 1 - error ratio of {edge}, {THRESHOLD_HORIZON}"


def _success_ratio(
    results: Results, condition: str, policy: str, group: str, threshold: Threshold | None = None
) -> Metric:
    score = "1 - success ratio of {}"
    ratio = results.estimate(condition, score.format(policy)).complement()
    null = 1 - results.mean(condition, score.format(NULLS[policy]))
    compared = Baselines()
    if policy in BASELINE_POLICIES:
        compared = _of_baselines(lambda name: _success_of_baseline(results, condition, name, policy))
    name = f"{condition}: success, {policy} / own goal"
    return Metric(name, ratio, null, 1.0, threshold, group, **compared)


def _success_of_baseline(results: Results, condition: str, baseline: str, policy: str) -> float:
    """Return the ratio of mean successes: where nothing is learned, a seed alone may have none."""
    found, own = (results.mean(condition, baseline_name(baseline, name)) for name in (policy, "own goal"))
    return found / own if own else math.nan


def _of_baselines(value: Callable[[str], float]) -> Baselines:
    untrained, pixel_pca, tica = map(value, METHODS)
    return {"untrained": untrained, "pixel_pca": pixel_pca, "tica": tica}


def _predictor_metrics(results: Results, condition: str) -> list[Metric]:
    def estimate(score: str) -> Estimate:
        return results.estimate(condition, score)

    group, score = f"predictors, {condition}", "map: fitted map"
    null = results.mean(condition, "map: shifted map")
    baselines = similarity(results, condition, score)
    metrics = [
        Metric(
            f"{condition}: R2 of the map, on the receiver's own axes",
            estimate(score),
            null,
            group=group,
            **baselines,
        )
    ]
    metrics.append(_error_ratio(results, condition, "perceptron", group))
    copied = results.mean(condition, f"copy, {THRESHOLD_HORIZON}")
    for kind in PREDICTORS:
        scores = [
            f"{kind}: {name}, {THRESHOLD_HORIZON}" for name in ("own", "fitted map", "no map", "shifted map")
        ]
        own, mapped, unmapped, shifted = map(estimate, scores)
        name, chance = (
            f"{condition}: R2 of all factors {THRESHOLD_HORIZON} ticks ahead, {kind}",
            shifted.value,
        )
        first, second = (
            similarity(results, condition, score) if kind == "linear" else Baselines() for score in scores[:2]
        )
        metrics.append(Metric(f"{name}, own", own, baseline=copied, group=group, **first))
        metrics.append(Metric(f"{name}, peer's", mapped, chance, own.value, group=group, **second))
        if kind != "perceptron":
            metrics.append(Metric(f"{name}, peer's without a map", unmapped, chance, own.value, group=group))
    return metrics


def _plan_metrics(results: Results, condition: str) -> list[Metric]:
    group = f"plans, {condition}"
    metrics = [_success_ratio(results, condition, "peer's predictor", group)]
    null, own = (results.mean(condition, policy) for policy in ("random", "own goal"))
    for policy in POLICIES:
        if policy != "random":
            success = results.estimate(condition, policy)
            compared = similarity(results, condition, policy) if policy in BASELINE_POLICIES else Baselines()
            name = f"{condition}: success, {policy}"
            metrics.append(Metric(name, success, null, own, group=group, **compared))
    return metrics


def make_notes(results: Results, settings: Settings) -> list[str]:
    """Return notes on what else meets the bounds, on distances and predictors, and on cores and costs."""
    seed, conditions = results.seeds[0], settings.conditions

    def distances(condition: str) -> str:
        values = {name: results.mean(condition, f"distance: {name}") for name in DISTANCE_NOTE}
        return ", ".join(f"{name} {value:.3f}" for name, value in values.items())

    def cores(condition: str) -> str:
        return ", ".join(f"{size:g}" for size in results.estimate(condition, "core dimension").seeds)

    def flops(condition: str) -> str:
        return f"{results.condition_results[condition, seed].flops / 1e12:.2f}"

    def list_all(text: Callable[[str], str]) -> str:
        return "; ".join(f"{condition}: {text(condition)}" for condition in conditions)

    return [
        f"{BOUNDS} {'; '.join(_meet_bounds(results, settings))}.",
        f"Mean distance to the goal at the end, positions from -1 to 1: {list_all(distances)}.",
        PERCEPTRON,
        *_passive_notes(settings),
        f"Dimension of the core, mean of both agents, by seed: {list_all(cores)}; the scene has "
        f"{settings.action_dim} factors.",
        f"Counted training TFLOPs of two agents and their perceptrons, seed {seed}: {list_all(flops)}.",
    ]


def _meet_bounds(results: Results, settings: Settings) -> list[str]:
    """Return by threshold what of no map, the null and the baselines meets it in the mean over seeds."""
    scores = _ratio_score("linear", "no map"), "1 - success ratio of goal, no map"
    unmapped = [1 - results.mean(condition, score) for score in scores for condition in settings.conditions]
    lines = []
    for metric, without in zip(_threshold_metrics(results, settings), unmapped, strict=True):
        values = {
            "no map": without, "shifted anchors": metric.null, UNTRAINED: metric.untrained,
            PIXEL_PCA: metric.pixel_pca, TICA: metric.tica,
        }  # fmt: skip
        assert metric.threshold is not None
        meeting = [
            f"{name} {value:.3f}"
            for name, value in values.items()
            if value is not None and metric.threshold.met(value)
        ]
        lines.append(f"{metric.name} {metric.threshold}: {', '.join(meeting) or 'none'}")
    return lines


def _passive_notes(settings: Settings) -> list[str]:
    """Return why a passive predictor needs no map, where all coordinates have one autocorrelation."""
    rates = set(settings.setup.scene.coordinate_autocorrelations)
    if len(rates) > 1:
        return []
    share = rates.pop() ** (2 * THRESHOLD_HORIZON)
    return [
        "Without actions, all coordinates of this scene have the same autocorrelation: the best predictor "
        "shrinks every latent by one factor, which no rotation changes, so that it transfers through any "
        f"orthogonal map, or none. {THRESHOLD_HORIZON} ticks ahead at most {share:.2f} of the variance can "
        "be predicted. That curve does not test W."
    ]
