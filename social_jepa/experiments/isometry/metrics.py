"""Table and notes of isometry."""

from social_jepa.experiments.common.similarity_baselines import Baselines, similarity_of
from social_jepa.experiments.framework.experiment import Metric, Results
from social_jepa.experiments.framework.threshold import Threshold
from social_jepa.experiments.isometry.methods import LONG, METHODS
from social_jepa.experiments.isometry.settings import Settings

BASELINES = ("untrained", "pixel-pca")  # of every similarity
SELF_SUPERVISED = ("autoencoder", "masked-autoencoder", "simclr")  # baselines that thresholds are set against
AGREEMENT = (
    "linear CKA", "mutual 10 nearest neighbors", "retrieval at 1", "retrieval at 5", "R2 of the worst edge",
)  # fmt: skip
OTHER_FITS = ("ridge", "robust", "universe")  # fits of maps between cores besides Procrustes
SHUFFLED_AXES = "shuffled, leading axes"
BY_METHOD = {  # scores of all methods, and the groups of their metrics
    "leading axes": "R2 of leading axes by method, default schedule",
    "all dimensions": "R2 of all dimensions by method, ridge on all pairs, default schedule",
    "state": "R2 of the true state, linear probe on all dimensions, default schedule",
}
NO_PAIRS = (
    "Independent rows share nothing: the expected R2 of ridge is 0, less the number of dimensions over the "
    "number of pairs."
)
TABLE_PAIRS = (4, 8, 16, 64, 256, 4096)  # numbers of pairs in the table; the plot shows all
LEARNING_RATES = (
    "All methods use the JEPA's learning rate and its schedule, which were tuned for the JEPA. Others were "
    "tried on seed 100 when that rate was 5e-3, one agent each; R2 of the state: autoencoder 0.30 at 5e-4, "
    "0.30 at 1.5e-3, 0.46 at 5e-3, 0.43 at 1.5e-2; masked autoencoder 0.30 at 1.5e-3, 0.29 at 5e-3, 0.27 at "
    "1.5e-2; SimCLR 0.78 at 1.5e-3, 0.77 at 5e-3, 0.79 at 1.5e-2. None comes near the JEPA. SIGReg by its "
    "weight: 0.32 at 0.02, 0.60 at 0.09 (the default), 0.24 at 1, 0.14 at 5, 0.13 at 25; at a learning rate "
    "of 1.5e-3, 0.68 at 0.09 and 0.29 at 1. Longer schedules of the baselines were not tried."
)


def make_metrics(results: Results, settings: Settings) -> list[Metric]:
    """Return the metrics with thresholds first, then neighbors, numbers of pairs and methods."""
    return [
        *_threshold_metrics(results, settings),
        *_agreement_metrics(results),
        *_pair_metrics(results, settings),
        *_method_metrics(results),
    ]


def leading_name(score: str) -> str:
    """Return the name of a score of jepa-long where agents that learned nothing have it."""
    return f"leading, {score}"


def _baselines(results: Results, score: str) -> Baselines:
    """Return the baselines of a score of jepa-long; none for more pairs than they have."""
    name = leading_name(score)
    return similarity_of(results, *BASELINES, name) if results.has_score(BASELINES[0], name) else {}


def _of_method(results: Results, score: str) -> Baselines:
    """Return the baselines of a score of a method; none of the state, which is no similarity."""
    return {} if score == "state" else similarity_of(results, *BASELINES, score)


def _threshold_metrics(results: Results, settings: Settings) -> list[Metric]:
    def metric(name: str, score: str, threshold: Threshold) -> Metric:
        null = results.mean(LONG, f"shuffled, {score}")
        return Metric(
            name, results.estimate(LONG, score), null, threshold=threshold, group="thresholds",
            **_baselines(results, score),
        )  # fmt: skip

    metrics = [
        metric(f"core R2, orthogonal map from {pairs} pairs", f"procrustes, {pairs}", Threshold(">=", value))
        for pairs, value in ((settings.reference_pairs, 0.95), (settings.few_pairs, 0.93))
    ]
    jepa = results.estimate("jepa", "leading axes")
    for baseline in SELF_SUPERVISED:
        difference = jepa - results.estimate(baseline, "leading axes")
        name = f"JEPA minus {METHODS[baseline].title}"
        null = results.mean("jepa", SHUFFLED_AXES) - results.mean(baseline, SHUFFLED_AXES)
        metrics.append(Metric(name, difference, null, threshold=Threshold(">", 0.0), group="thresholds"))
    name = f"|R2| of shuffled pairs, ridge on all dimensions, {settings.max_pairs} pairs"
    estimate = results.estimate(LONG, "absolute shuffled R2")
    return [*metrics, Metric(name, estimate, threshold=Threshold("<=", 0.02), self_test=NO_PAIRS)]


def _agreement_metrics(results: Results) -> list[Metric]:
    """Return other measures of the long schedule, beside shuffled (null) and rolled pairs (baseline)."""
    group = "maps between cores, long schedule"
    return [
        Metric(
            name, results.estimate(LONG, name), results.mean(LONG, f"shuffled, {name}"),
            results.mean(LONG, f"rolled, {name}"), group=group, **_baselines(results, name),
        )
        for name in AGREEMENT
    ]  # fmt: skip


def _pair_metrics(results: Results, settings: Settings) -> list[Metric]:
    group = "R2 by number of pairs, long schedule"
    reference = settings.reference_pairs
    titles = {"no map, 0": "core, no pairs and no map"}
    titles |= {f"procrustes, {pairs}": f"core, orthogonal, {pairs} pairs" for pairs in TABLE_PAIRS}
    titles |= {f"{name}, {reference}": f"core, {name}, {reference} pairs" for name in OTHER_FITS}
    titles |= {
        f"all dimensions, {pairs}": f"all dimensions, ridge, {pairs} pairs"
        for pairs in (reference, settings.max_pairs)
    }
    return [
        Metric(
            title, results.estimate(LONG, name), results.mean(LONG, f"shuffled, {name}"),
            results.mean(LONG, f"rolled, {name}"), group=group, **_baselines(results, name),
        )
        for name, title in titles.items()
        if results.has_score(LONG, name)
    ]  # fmt: skip


def _method_metrics(results: Results) -> list[Metric]:
    """Return one group of metrics for each compared score; the baseline is the JEPA's. State has no null."""
    rows = [(condition, "", method.title) for condition, method in METHODS.items()]
    rows.append(("jepa", "disjoint ticks, ", "JEPA, second agent trained on other ticks"))
    return [
        Metric(
            title if score == "leading axes" else f"{title}: {score}",
            results.estimate(condition, prefix + score),
            None if score == "state" else results.mean(condition, f"{prefix}shuffled, {score}"),
            results.mean("jepa", score), group=group,
            **_of_method(results, score),
        )
        for score, group in BY_METHOD.items()
        for condition, prefix, title in rows
    ]  # fmt: skip


def make_notes(results: Results, settings: Settings) -> list[str]:
    """Return notes on costs, core dimensions and tuning."""
    seed = results.seeds[0]
    flops = ", ".join(
        f"{condition} {results.condition_results[condition, seed].flops / 1e12:.2f}"
        for condition in (LONG, *METHODS)
    )
    cores = "; ".join(
        f"{method.title} {results.mean(condition, 'core dimension'):g} "
        f"({results.mean(condition, 'detected core'):.3f})"
        for condition, method in METHODS.items()
    )
    return [
        state_note(results),
        f"Counted training TFLOPs of one agent, seed {seed}: {flops}. A step of SimCLR encodes two views of "
        "each frame, and autoencoders train a decoder; pixel PCA decomposes 1024 frames once, not counted.",
        "Dimension of the core that each method detects by the same procedure, mean over agents, and its R2: "
        f"{cores}. In the long schedule {results.mean(LONG, 'core dimension'):g}.",
        LEARNING_RATES,
    ]


def state_note(results: Results) -> str:
    """Return a note on the baselines whose latents contain less of the true state than the JEPA's."""
    jepa = results.estimate("jepa", "state")
    states = {METHODS[baseline].title: results.estimate(baseline, "state") for baseline in SELF_SUPERVISED}
    less = [f"{title} {r2.value:.3f}" for title, r2 in states.items() if (jepa - r2).interval[0] > 0]
    return (
        f"A linear probe on all dimensions of the JEPA predicts the true state with R2 {jepa.value:.3f}. "
        "Baselines of the thresholds whose probe has a lower R2, with the 95 % interval of the difference "
        f"above 0: {', '.join(less) or 'none'}. Such a baseline may agree less with its peer because it "
        "learned less of the state with this schedule, and not only because axes differ. A linear probe "
        "does not measure what is encoded nonlinearly."
    )
