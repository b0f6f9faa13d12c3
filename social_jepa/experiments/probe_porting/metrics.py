"""Table and notes of probe-porting."""

from social_jepa.experiments.common.similarity_baselines import Baselines, difference, similarity
from social_jepa.experiments.framework.experiment import Metric, Results
from social_jepa.experiments.framework.threshold import Threshold
from social_jepa.experiments.probe_porting.probes import REFERENCES
from social_jepa.experiments.probe_porting.settings import Settings

CONDITION = "ring"  # the only condition
MOST_LOST = 0.01
TABLE_ANCHORS = (8, 32)  # numbers of anchors in the table, besides that of the threshold and the largest


def make_metrics(results: Results, settings: Settings) -> list[Metric]:
    """Return the loss that has a threshold first, then every score."""
    return [_loss_metric(results, settings.threshold_anchors), *_score_metrics(results, settings)]


def _loss_metric(results: Results, anchors: int) -> Metric:
    own, ported, no_map = (
        results.estimate(CONDITION, name) for name in ("own", f"ported, {anchors}", "no map")
    )
    return Metric(
        f"positions: own minus ported, {anchors} anchors", own - ported,
        own.value - _shuffled(results, anchors), own.value - no_map.value,
        Threshold("<=", MOST_LOST), "thresholds", **_lost_without_learning(results, anchors),
    )  # fmt: skip


def _lost_without_learning(results: Results, anchors: int) -> Baselines:
    """Return own minus ported of the baselines."""
    return difference(*(similarity(results, CONDITION, name) for name in ("own", f"ported, {anchors}")))


def _score_metrics(results: Results, settings: Settings) -> list[Metric]:
    anchors = settings.threshold_anchors
    counts = sorted(
        {count for count in settings.anchor_counts if count in TABLE_ANCHORS}
        | {anchors, max(settings.anchor_counts)}
    )
    own, null = results.estimate(CONDITION, "own").value, _shuffled(results, anchors)
    rows = dict.fromkeys(REFERENCES, null)
    rows |= {f"ported, {count}": _shuffled(results, count) for count in counts}
    compared, none = (*REFERENCES, f"ported, {anchors}"), Baselines()
    group = "R2 of positions"
    metrics = [
        Metric(
            f"positions: {name}", results.estimate(CONDITION, name), null, own, group=group,
            **(similarity(results, CONDITION, name) if name in compared else none),
        )
        for name, null in rows.items()
    ]  # fmt: skip
    labeled = results.estimate(CONDITION, f"own probe, {anchors} labels")
    worst = results.estimate(CONDITION, "worst loss")
    return [
        *metrics,
        Metric(f"positions: own probe fitted on {anchors} labels", labeled, group=group),
        Metric("positions: largest loss of any edge", worst, group=group),
    ]


def _shuffled(results: Results, count: int) -> float:
    """Return the score with a map fitted on as many shuffled anchors: the null."""
    return results.mean(CONDITION, f"shuffled, {count}")


def make_notes(results: Results, settings: Settings) -> list[str]:
    """Return notes on costs, and on nulls and baselines."""
    flops = results.condition_results[CONDITION, results.seeds[0]].flops / 1e12
    return [
        f"Counted training TFLOPs of the {settings.agents} agents, seed {results.seeds[0]}: {flops:.2f}. "
        "Porting a probe needs no training: an SVD of a matrix as large as the core, and one product a tick.",
        "Null of a metric: maps fitted on as many anchors, shuffled; of metrics without a map, on "
        f"{settings.threshold_anchors}. Baseline: B's own probe; of the loss, the loss without a map.",
    ]
