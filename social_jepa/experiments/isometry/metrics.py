"""Table and notes of isometry."""

from social_jepa.experiments.common.similarity_baselines import METHODS, baseline_name, similarity
from social_jepa.experiments.framework.experiment import Metric, Results
from social_jepa.experiments.framework.score import Estimate
from social_jepa.experiments.framework.threshold import Threshold
from social_jepa.experiments.isometry.settings import Settings

CONDITION = "default"  # the only condition
LEAST_CORE, LEAST_CORE_FEW, LEAST_LATENT, LEAST_CORRELATION = 0.95, 0.93, 0.85, 0.95
AGREEMENT = (
    "linear CKA", "mutual 10 nearest neighbors", "retrieval at 1", "retrieval at 5", "R2 of the worst edge",
)  # fmt: skip
OTHER_FITS = ("ridge", "robust", "universe")  # fits of maps between cores besides Procrustes
TABLE_PAIRS = (4, 16, 256, 1024)  # numbers of pairs in the table besides those of thresholds


def make_metrics(results: Results, settings: Settings) -> list[Metric]:
    """Return the metrics with thresholds first, then other measures and numbers of pairs."""
    return [
        *_threshold_metrics(results, settings), *_agreement_metrics(results),
        *_pair_metrics(results, settings),
    ]  # fmt: skip


def _metric(results: Results, name: str, score: str, threshold: Threshold | None, group: str) -> Metric:
    return Metric(
        name, results.estimate(CONDITION, score), results.mean(CONDITION, f"shifted, {score}"),
        threshold=threshold, group=group, **similarity(results, CONDITION, score),
    )  # fmt: skip


def _threshold_metrics(results: Results, settings: Settings) -> list[Metric]:
    few, reference, latent = settings.few_pairs, settings.reference_pairs, settings.latent_pairs
    group, core = "thresholds", f"procrustes, {reference}"
    best = Estimate.highest(results.estimate(CONDITION, baseline_name(name, core)) for name in METHODS)
    exact, weakest, null = (
        results.estimate(CONDITION, f"edges, {name}")
        for name in ("exact", "weakest correlation", "null correlation")
    )
    return [
        _metric(results, f"core R2, orthogonal map from {reference} pairs", core,
                Threshold(">=", LEAST_CORE), group),
        _metric(results, f"core R2, orthogonal map from {few} pairs", f"procrustes, {few}",
                Threshold(">=", LEAST_CORE_FEW), group),
        _metric(results, f"R2 of all dimensions, ridge from {latent} pairs", f"all dimensions, {latent}",
                Threshold(">=", LEAST_LATENT), group),
        Metric(f"share of edges with exactly {settings.factors} shared directions", exact,
               threshold=Threshold("==", 1.0), group=group),
        Metric("correlation of the weakest shared direction of any edge", weakest, null.value,
               threshold=Threshold(">=", LEAST_CORRELATION), group=group),
        Metric(f"core R2 from {reference} pairs minus the best baseline",
               results.estimate(CONDITION, core) - best, threshold=Threshold(">", 0.0), group=group),
    ]  # fmt: skip


def _agreement_metrics(results: Results) -> list[Metric]:
    return [_metric(results, name, name, None, "maps between cores; null: time shifts") for name in AGREEMENT]


def _pair_metrics(results: Results, settings: Settings) -> list[Metric]:
    titles = {"no map, 0": "core, no pairs and no map"}
    titles |= {f"procrustes, {pairs}": f"core, orthogonal, {pairs} pairs" for pairs in TABLE_PAIRS}
    reference = settings.reference_pairs
    titles |= {f"{name}, {reference}": f"core, {name}, {reference} pairs" for name in OTHER_FITS}
    titles |= {
        f"all dimensions, {pairs}": f"all dimensions, ridge, {pairs} pairs"
        for pairs in {reference, settings.pair_counts[-1]}
    }
    return [
        _metric(results, title, name, None, "R2 by number of pairs; null: time shifts")
        for name, title in titles.items()
        if results.has_score(CONDITION, name)
    ]


def make_notes(results: Results, settings: Settings) -> list[str]:
    """Return notes on costs, on cores and on the search of settings."""
    seed = results.seeds[0]
    flops = results.condition_results[CONDITION, seed].flops / 1e12
    cores = ", ".join(f"{value:g}" for value in results.estimate(CONDITION, "core dimension").seeds)
    return [
        f"Counted training TFLOPs of one agent, seed {seed}: {flops:.2f}.",
        f"Dimension of the core, mean of the agents, by seed: {cores}; the scene has {settings.factors} "
        "factors.",
        "Training has the settings of a run, which were searched on the seeds 100 to 104.",
    ]
