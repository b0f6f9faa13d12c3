"""Metrics and notes of scant-overlap: thresholds, and overlap and agreement at each level."""

from social_jepa.experiments.common.similarity_baselines import METHODS, baseline_name, similarity
from social_jepa.experiments.framework.experiment import Metric, Results
from social_jepa.experiments.framework.score import Estimate
from social_jepa.experiments.framework.threshold import Threshold
from social_jepa.experiments.scant_overlap.layout import LEVELS, SHARED_FACTORS
from social_jepa.experiments.scant_overlap.settings import Settings

LEAST_R2 = 0.85
DECIDING = "overlap 0.1"  # the level that thresholds are set at
R2 = {  # metric: score
    "R2 on the shared subspace": "R2 shared",
    "R2 of all shared factors, missing directions unexplained": "R2 of all",
}
OVERLAPS = {
    "surfaces of the shared boxes": "surface overlap",
    "surfaces of the shared boxes that one camera sees": "surface overlap of one camera",
    "pixels": "pixel overlap",
}
PROBE = "linear probe of the shared boxes' state from the core, R2; null: shuffled states"


def make_metrics(results: Results, settings: Settings) -> list[Metric]:
    """Return the metrics with thresholds, then overlaps, edges and agents by level."""
    return [
        *_threshold_metrics(results),
        *(
            _r2_metric(results, level, name)
            for name in R2
            for level in LEVELS
            if level != DECIDING
        ),
        *_overlap_metrics(results), *_edge_metrics(results), *_agent_metrics(results),
    ]  # fmt: skip


def _r2_metric(results: Results, level: str, name: str, threshold: Threshold | None = None) -> Metric:
    score = R2[name]
    return Metric(
        f"{name}, {level}", results.estimate(level, score), results.mean(level, f"shifted, {score}"),
        threshold=threshold, group="thresholds" if threshold else f"{name}; null: time shifts",
        **similarity(results, level, score),
    )  # fmt: skip


def _threshold_metrics(results: Results) -> list[Metric]:
    gain = results.estimate(DECIDING, "R2 of all") - _best_baseline(results)
    return [
        *(_r2_metric(results, DECIDING, name, Threshold(">=", LEAST_R2)) for name in R2),
        Metric(
            f"R2 of all shared factors minus the best baseline, {DECIDING}", gain,
            threshold=Threshold(">", 0.0), group="thresholds",
        ),
    ]  # fmt: skip


def _best_baseline(results: Results) -> Estimate:
    """Return R2 of all shared factors of the best baseline of each seed; 0 where all are below it."""
    found = [results.estimate(DECIDING, baseline_name(name, "R2 of all")) for name in METHODS]
    return Estimate.highest([*found, Estimate((0.0,) * len(results.seeds))])


def _overlap_metrics(results: Results) -> list[Metric]:
    return [
        Metric(level, results.estimate(level, score), group=f"overlap of {name}")
        for name, score in OVERLAPS.items()
        for level in LEVELS
    ]


def _edge_metrics(results: Results) -> list[Metric]:
    number = "number of shared directions; baseline: the true one"
    weakest, score = "correlation of the weakest shared direction; null: time shifts", "shared dim"
    weak = "weakest shared correlation"
    return [
        *(
            Metric(level, results.estimate(level, score), None, len(SHARED_FACTORS), group=number,
                   **similarity(results, level, score))
            for level in LEVELS
        ),
        *(
            Metric(level, results.estimate(level, weak), results.mean(level, "null correlation"),
                   group=weakest, **similarity(results, level, weak))
            for level in LEVELS
        ),
    ]  # fmt: skip


def _agent_metrics(results: Results) -> list[Metric]:
    def untrained(level: str, score: str) -> float:
        return results.mean(level, baseline_name("untrained", score))

    return [
        *(
            Metric(level, results.estimate(level, "state R2"), results.mean(level, "state R2, shuffled"),
                   untrained(level, "state R2"), group=f"{PROBE}; baseline: untrained")
            for level in LEVELS
        ),
        *(Metric(level, results.estimate(level, "core dim"), group="dimensions of the core")
          for level in LEVELS),
    ]  # fmt: skip


def make_notes(results: Results, settings: Settings) -> list[str]:
    """Return notes on the directions of each seed, on the heights of cameras, and on costs."""

    def by_seed(score: str) -> str:
        return "; ".join(
            f"{level} {', '.join(f'{value:g}' for value in results.estimate(level, score).seeds)}"
            for level in LEVELS
        )

    first = next(iter(LEVELS))
    flops = results.condition_results[first, results.seeds[0]].flops / 1e12
    return [
        f"Shared directions by seed: {by_seed('shared dim')}. Dimensions of the core, mean of both agents: "
        f"{by_seed('core dim')}.",
        "Opposite cameras that look down both see the tops of the boxes, a fifth of their visible surface, "
        "however far apart they stand: less needs cameras lower than the boxes. Those measure distance by "
        "size alone and see boxes occlude each other, so that each agent by itself knows less of the state; "
        "its own probe says how much.",
        f"Counted training TFLOPs of one agent, seed {results.seeds[0]}: {flops:.2f}.",
    ]
