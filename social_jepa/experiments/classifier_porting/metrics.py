"""Table and notes of classifier-porting."""

from social_jepa.experiments.classifier_porting.settings import Settings
from social_jepa.experiments.common.similarity_baselines import (
    METHODS,
    PIXEL_PCA,
    UNTRAINED,
    Baselines,
    baseline_name,
    difference,
    similarity,
)
from social_jepa.experiments.framework.experiment import Metric, Results
from social_jepa.experiments.framework.score import Estimate
from social_jepa.experiments.framework.threshold import Threshold

CONDITION = "agents"  # the only condition
MOST_LOST, LEAST_OWN, MOST_UNTRAINED, LEAST_ABOVE_PCA = 0.02, 0.8, 0.4, 0.15
SEARCHED = (
    "Scene and thresholds were set before any agent was trained. Searched on seed 100, top-1 own and ported "
    "from 256 pairs: the default training with further encoders 0.829 and 0.345, without 0.869 and 0.721; "
    "1,500 steps 0.906 and 0.790; 750 steps of 128 segments 0.932 and 0.845, of 192 segments with 48 "
    "dimensions 0.931 and 0.828, of 256 with 32 dimensions 0.954 and 0.854, which is scored. There the map "
    "keeps the classes: a classifier fitted on the reader's mapped latents reaches 0.95. What is lost is in "
    "the decision boundaries of the owner's classifier.",
)


def make_metrics(results: Results, settings: Settings) -> list[Metric]:
    """Return the metrics with thresholds, then accuracy by number of pairs and by separation."""
    return [
        *_threshold_metrics(results, settings.threshold_pairs), *_pair_metrics(results, settings),
        *_separation_metrics(results, settings),
    ]  # fmt: skip


def _threshold_metrics(results: Results, pairs: int) -> list[Metric]:
    def estimate(score: str, baseline: str = "") -> Estimate:
        return results.estimate(CONDITION, baseline_name(baseline, score) if baseline else score)

    own, chance, ported = estimate("own"), results.mean(CONDITION, "chance"), f"ported, {pairs}"
    shifted = results.mean(CONDITION, f"shifted, {pairs}")
    group = "thresholds, top-1"
    return [
        Metric(
            f"own minus ported, {pairs} pairs", own - estimate(ported), own.value - shifted,
            threshold=Threshold("<=", MOST_LOST), group=group, **_lost_without_learning(results, pairs),
        ),
        Metric(
            "own", own, chance, threshold=Threshold(">=", LEAST_OWN), group=group,
            **similarity(results, CONDITION, "own"),
        ),
        Metric(
            f"untrained: ported, {pairs} pairs", estimate(ported, UNTRAINED), chance, own.value,
            Threshold("<=", MOST_UNTRAINED), group,
        ),
        Metric(
            f"own minus pixel PCA ported, {pairs} pairs", own - estimate(ported, PIXEL_PCA),
            threshold=Threshold(">=", LEAST_ABOVE_PCA), group=group,
        ),
        Metric(
            "ported minus the best baseline ported",
            estimate(ported) - Estimate.highest(estimate(ported, name) for name in METHODS),
            threshold=Threshold(">", 0.0), group=group,
        ),
    ]  # fmt: skip


def _lost_without_learning(results: Results, pairs: int) -> Baselines:
    """Return own minus ported of the baselines."""
    return difference(*(similarity(results, CONDITION, name) for name in ("own", f"ported, {pairs}")))


def _pair_metrics(results: Results, settings: Settings) -> list[Metric]:
    own = results.mean(CONDITION, "own")
    ported, labeled = "top-1, ported; null: time shifts; baseline: own", "top-1, own, fitted on few labels"
    return [
        *(
            Metric(
                f"ported, {count} pairs", results.estimate(CONDITION, f"ported, {count}"),
                results.mean(CONDITION, f"shifted, {count}"), own, group=ported,
                **similarity(results, CONDITION, f"ported, {count}"),
            )
            for count in settings.pair_counts
        ),
        *(
            Metric(
                f"own, {count} labels", results.estimate(CONDITION, f"own, {count} labels"), None, own,
                group=labeled, **similarity(results, CONDITION, f"own, {count} labels"),
            )
            for count in settings.pair_counts
        ),
    ]  # fmt: skip


def _separation_metrics(results: Results, settings: Settings) -> list[Metric]:
    pairs, group = settings.threshold_pairs, "top-1 by separation"
    metrics = []
    for degrees in settings.separations:
        own, ported = (
            results.estimate(CONDITION, f"{name}, {degrees:g} degrees")
            for name in ("own", f"ported, {pairs}")
        )
        name = f"{degrees:g} degrees: own minus ported, {pairs} pairs"
        metrics.append(Metric(name, own - ported, group=group))
    return metrics


def make_notes(results: Results, settings: Settings) -> list[str]:
    """Return notes on the search of settings, on costs and on what porting saves."""
    first = results.condition_results[CONDITION, results.seeds[0]]
    latents = ", ".join(f"{value:g}" for value in results.estimate(CONDITION, "latents").seeds)
    return [
        *SEARCHED,
        f"Latents of an agent, all encoders together, mean of the agents, by seed: {latents}.",
        f"Counted training TFLOPs of one agent, seed {results.seeds[0]}: {first.flops / 1e12:.2f}. Porting "
        "needs no training: one linear system as large as the latents, and one product a tick.",
    ]
