"""Metrics and notes of embodied: thresholds, then plans, edges and probes by condition."""

from social_jepa.experiments.common.similarity_baselines import (
    METHODS,
    Baselines,
    baseline_name,
    similarity,
)
from social_jepa.experiments.embodied.scores import BASELINE_POLICIES, POLICIES
from social_jepa.experiments.embodied.settings import MOTIONS, Settings
from social_jepa.experiments.framework.experiment import Metric, Results
from social_jepa.experiments.framework.score import Estimate
from social_jepa.experiments.framework.threshold import Threshold

LEAST_RATIO = 0.9  # of success with the peer's goal to that with the own one
MOST_TOLD = 0.05  # R2 of the camera's offset that is told best, from what the map leaves
LEAST_HIDDEN = 0.3  # by which R2 of the offsets from the own latents is higher
LEAST_GAIN = 0.2  # of success with the own goal above that of random actions


def make_metrics(results: Results, settings: Settings) -> list[Metric]:
    """Return the metrics with thresholds, then those of plans, edges and probes."""
    return [
        *(_ratio_metric(results, condition) for condition in MOTIONS),
        *(_told_metric(results, condition) for condition in MOTIONS),
        *(metric for condition in MOTIONS for metric in _difference_metrics(results, condition)),
        *(
            _success_metric(results, condition, policy)
            for condition in MOTIONS
            for policy in POLICIES
            if policy != "random"
        ),
        *(metric for condition in MOTIONS for metric in _edge_metrics(results, condition, settings)),
    ]  # fmt: skip


def _ratio_metric(results: Results, condition: str) -> Metric:
    ratio, unmapped, shifted = (
        results.estimate(condition, f"1 - success ratio of {policy}").complement()
        for policy in ("peer's goal", "goal, no map", "goal, shifted map")
    )
    null = max(unmapped.value, shifted.value)
    name = f"{condition}: success, peer's goal / own goal; null: the better of no map and a shifted one"
    return Metric(name, ratio, null, 1.0, Threshold(">=", LEAST_RATIO), "thresholds")


def _told_metric(results: Results, condition: str) -> Metric:
    told = results.estimate(condition, "camera R2: translated")
    null = results.mean(condition, "camera R2: translated, shifted")
    name = f"{condition}: R2 of the camera's offset that is told best, from what the map leaves"
    return Metric(name, told, null, None, Threshold("<=", MOST_TOLD), "thresholds")


def _difference_metrics(results: Results, condition: str) -> list[Metric]:
    def estimate(score: str) -> Estimate:
        return results.estimate(condition, score)

    hidden = estimate("camera R2: own latents") - estimate("camera R2: translated")
    best = Estimate.highest(estimate(baseline_name(name, "peer's goal")) for name in METHODS)
    rows = {
        "R2 of the camera's offsets, own latents minus what the map leaves": (
            hidden, Threshold(">=", LEAST_HIDDEN),
        ),
        "success, own goal minus random actions": (
            estimate("own goal") - estimate("random"), Threshold(">=", LEAST_GAIN),
        ),
        "success, peer's goal minus the best baseline": (
            estimate("peer's goal") - best, Threshold(">", 0.0),
        ),
    }  # fmt: skip
    return [
        Metric(f"{condition}: {name}", difference, threshold=threshold, group="thresholds")
        for name, (difference, threshold) in rows.items()
    ]


def _success_metric(results: Results, condition: str, policy: str) -> Metric:
    null, ceiling = (results.mean(condition, name) for name in ("random", "true state"))
    group = "plans; null: random actions; baseline: the true state"
    success = results.estimate(condition, policy)
    compared = similarity(results, condition, policy) if policy in BASELINE_POLICIES else Baselines()
    return Metric(f"{condition}: success, {policy}", success, null, ceiling, group=group, **compared)


def _edge_metrics(results: Results, condition: str, settings: Settings) -> list[Metric]:
    group, factors = f"edges and probes, {condition}", 2 * settings.setup.scene.objects

    def metric(name: str, score: str, null: float | None = None, baseline: float | None = None) -> Metric:
        compared = similarity(results, condition, score)
        estimate = results.estimate(condition, score)
        return Metric(f"{condition}: {name}", estimate, null, baseline, group=group, **compared)

    return [
        metric("number of shared directions; baseline: the objects' factors", "shared dim", None, factors),
        metric("R2 of the map on them", "R2 shared"),
        metric("R2 of all factors, missing directions unexplained", "R2 of all"),
        metric(
            "correlation of the weakest shared direction; null: time shifts", "weakest shared correlation",
            results.mean(condition, "null correlation"),
        ),
        metric("R2 of the objects' state from what the map leaves", "state R2: translated"),
        metric("R2 of the camera's offsets from all of its own latents", "camera R2: own latents"),
    ]  # fmt: skip


def make_notes(results: Results, settings: Settings) -> list[str]:
    """Return notes on shared directions, on what the map does not hide, and on costs."""
    seed = results.seeds[0]
    dims = "; ".join(
        f"{condition} {', '.join(f'{value:g}' for value in results.estimate(condition, 'shared dim').seeds)}"
        for condition in MOTIONS
    )
    flops = results.condition_results[next(iter(MOTIONS)), seed].flops / 1e12
    return [
        f"Shared directions by seed, mean of both directions of the pair: {dims}.",
        "The map leaves out what is private, so that a translated goal says nothing of how the peer's camera "
        "stood. The embeddings of anchors that a peer fits the map on are whole: who receives them can read "
        "from them what their owner could.",
        f"Counted training TFLOPs of one agent, seed {seed}: {flops:.2f}.",
    ]
