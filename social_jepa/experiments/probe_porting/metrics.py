"""Table and notes of probe-porting."""

from social_jepa.experiments.common.similarity_baselines import Baselines, similarity
from social_jepa.experiments.framework.experiment import Metric, Results
from social_jepa.experiments.framework.threshold import Threshold
from social_jepa.experiments.probe_porting.probes import REFERENCES, TASKS
from social_jepa.experiments.probe_porting.settings import Settings

CONDITION = "ring"  # the only condition
TABLE_ANCHORS = (8, 32)  # numbers of anchors in the table, besides that of the thresholds and the largest


def make_metrics(results: Results, settings: Settings) -> list[Metric]:
    """Return the losses that have thresholds first, then every score of each task."""
    losses = [_loss_metric(results, task, settings.threshold_anchors) for task in TASKS]
    return [*losses, *(metric for task in TASKS for metric in _task_metrics(results, task, settings))]


def _loss_metric(results: Results, task: str, anchors: int) -> Metric:
    own, ported, no_map = (
        results.estimate(CONDITION, f"{task}: {name}") for name in ("own", f"ported, {anchors}", "no map")
    )
    return Metric(
        f"{task}: own minus ported, {anchors} anchors", own - ported,
        own.value - _shuffled(results, task, anchors), own.value - no_map.value,
        Threshold("<=", 0.01), "thresholds", **_lost_without_learning(results, task, anchors),
    )  # fmt: skip


def _lost_without_learning(results: Results, task: str, anchors: int) -> Baselines:
    """Return own minus ported of both baselines."""
    own, ported = (
        similarity(results, CONDITION, f"{task}: {name}") for name in ("own", f"ported, {anchors}")
    )
    return {
        "untrained": own["untrained"] - ported["untrained"],
        "pixel_pca": own["pixel_pca"] - ported["pixel_pca"],
    }


def _task_metrics(results: Results, task: str, settings: Settings) -> list[Metric]:
    anchors = settings.threshold_anchors
    counts = sorted(
        {count for count in settings.anchor_counts if count in TABLE_ANCHORS}
        | {anchors, max(settings.anchor_counts)}
    )
    own, null = results.estimate(CONDITION, f"{task}: own").value, _shuffled(results, task, anchors)
    rows = dict.fromkeys(REFERENCES, null)
    rows |= {f"ported, {count}": _shuffled(results, task, count) for count in counts}
    compared, none = (*REFERENCES, f"ported, {anchors}"), Baselines()
    metrics = [
        Metric(
            f"{task}: {name}",
            results.estimate(CONDITION, f"{task}: {name}"),
            null,
            own,
            group=task,
            **(similarity(results, CONDITION, f"{task}: {name}") if name in compared else none),
        )
        for name, null in rows.items()
    ]
    labeled = results.estimate(CONDITION, f"{task}: own probe, {anchors} labels")
    worst = results.estimate(CONDITION, f"{task}: worst loss")
    return [
        *metrics,
        Metric(f"{task}: own probe fitted on {anchors} labels", labeled, group=task),
        Metric(f"{task}: largest loss of any edge", worst, group=task),
    ]


def _shuffled(results: Results, task: str, count: int) -> float:
    """Return the score with a map fitted on as many shuffled anchors: the null."""
    return results.mean(CONDITION, f"{task}: shuffled, {count}")


def make_notes(results: Results, settings: Settings) -> list[str]:
    """Return notes on costs, and on nulls and baselines."""
    flops = results.condition_results[CONDITION, results.seeds[0]].flops / 1e12
    return [
        f"Counted training TFLOPs of the {settings.agents} agents, seed {results.seeds[0]}: {flops:.2f}. "
        "Porting a probe needs no training: an SVD of a matrix as large as the core, and one product a tick.",
        "Null of a metric: maps fitted on as many anchors, shuffled; of metrics without a map, on "
        f"{settings.threshold_anchors}. Baseline: B's own probe; of the losses, the loss without a map.",
    ]
