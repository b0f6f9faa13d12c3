"""Table and notes of the theory experiment."""

from collections.abc import Sequence

import numpy as np

from social_jepa.experiments.framework.experiment import Metric, Results
from social_jepa.experiments.framework.score import Estimate, Score
from social_jepa.experiments.framework.threshold import Threshold
from social_jepa.experiments.theory.settings import Settings

SLACK = (
    "2 (b_A + b_B) covers the case of two agents whose errors have opposite directions; where their errors "
    "are unrelated, half of it suffices. The part of delta that comes from degree three and above widens the "
    "bound further."
)
OUTSIDE = (
    "Outside the theory a nonlinear latent space can have a loss below 2 (1 - rho) n. Where delta is below "
    "0, D counts as 0 and the bound is the whitening error alone. Agents may agree even so."
)


def pooled(results: Results, conditions: Sequence[str], score: str) -> Estimate:
    """Return the mean of a score over the samples of several conditions."""

    def values(seed: int) -> np.ndarray:
        found = [results.condition_results[condition, seed] for condition in conditions]
        return np.concatenate([result.scores[score].values for result in found])

    return Estimate.from_scores([Score.mean(values(seed)) for seed in results.seeds])


def make_metrics(results: Results, settings: Settings) -> list[Metric]:
    """Return the metrics with thresholds first, then those of every world, the scene and the symmetry."""
    conditions = settings.theory_conditions
    metrics = _threshold_metrics(results, conditions)
    group = "inside the theory"
    for name, score in (
        ("share of bounds below 2 n", "bound below 2 n"),
        ("share of agents within their own bound", "within own bound"),
    ):
        metrics.append(Metric(name, pooled(results, conditions, score), group=group))
    for condition in (*conditions, "scene"):
        metrics += _deviation_metrics(results, condition, "scene" if condition == "scene" else group)
    for condition in ("scene", *settings.outside_worlds):
        metrics += _agreement_metrics(results, condition)
    return metrics + _symmetry_metrics(results)


def _threshold_metrics(results: Results, conditions: Sequence[str]) -> list[Metric]:
    return [
        Metric(
            "share of pairs within the bound", pooled(results, conditions, "within bound"),
            threshold=Threshold("==", 1),
            self_test="A theorem: where its assumptions hold, no pair can lie outside the bound.",
        ),
        Metric(
            "largest relative change of the whitened loss under A",
            results.estimate("symmetry", "whitened change"),
            baseline=results.estimate("symmetry", "raw factor").value - 1,
            threshold=Threshold("<=", 1e-6),
            self_test="An identity: whitening removes any invertible A, so that only rounding is left.",
        ),
    ]  # fmt: skip


def _deviation_metrics(results: Results, condition: str, group: str) -> list[Metric]:
    def value(score: str) -> float:
        return results.estimate(condition, score).value

    untrained = None if condition == "scene" else value("deviation, untrained")
    ratio = results.estimate(condition, "deviation / bound")
    return [
        Metric(f"{condition}: E|h_B - R h_A|^2", results.estimate(condition, "deviation"),
               value("deviation, shuffled"), untrained, group=group),
        Metric(f"{condition}: bound", results.estimate(condition, "bound"), group=group),
        Metric(f"{condition}: measured over bound, median", ratio, group=group),
    ]  # fmt: skip


def _agreement_metrics(results: Results, condition: str) -> list[Metric]:
    def value(score: str) -> float:
        return results.estimate(condition, score).value

    group = "scene" if condition == "scene" else "outside the theory"
    within, agreement = (results.estimate(condition, s) for s in ("within bound, trained", "agreement"))
    metrics = [
        Metric(f"{condition}: share of pairs within the bound", within, group=group),
        Metric(f"{condition}: R2 between agents", agreement, value("agreement, shuffled"), group=group),
        Metric(f"{condition}: excess loss delta", results.estimate(condition, "excess"), group=group),
    ]
    if condition != "scene":
        factors = results.estimate(condition, "factors")
        null, untrained = value("factors, shuffled"), value("factors, untrained")
        metrics.append(Metric(f"{condition}: R2 of the factors", factors, null, untrained, group=group))
    return metrics


def _symmetry_metrics(results: Results) -> list[Metric]:
    def metric(name: str, score: str, baseline: str = "") -> Metric:
        return Metric(
            name, results.estimate("symmetry", score), group="symmetry",
            baseline=results.estimate("symmetry", baseline).value if baseline else None,
        )  # fmt: skip

    return [
        metric("loss that A is applied to", "loss", "loss, untrained"),
        metric("largest growth of the raw loss, condition number of A 100", "raw factor"),
        metric("share of raw losses within the limits of A", "within limits"),
        metric("planted world without loss: largest raw loss", "planted loss"),
        metric("condition number of the map from h to h A, both whitened", "kappa, whitened", "kappa, raw"),
    ]


def make_notes(results: Results, settings: Settings) -> list[str]:
    """Return notes on costs, and on how to read the bound."""
    seed = results.seeds[0]
    flops = {
        condition: results.condition_results[condition, seed].flops / 1e12
        for condition in (settings.theory_conditions[0], "scene")
    }
    return [
        "Counted training TFLOPs of all agents of a condition, seed "
        f"{seed}: " + ", ".join(f"{condition} {value:.2f}" for condition, value in flops.items()) + ".",
        SLACK,
        OUTSIDE,
        *outside_notes(results, settings),
    ]


def outside_notes(results: Results, settings: Settings) -> list[str]:
    """Return notes on agreement inside and outside the theory, and on what is shared besides the factors."""
    conditions = (settings.nearest_condition, *settings.outside_worlds)
    found = {
        condition: [results.estimate(condition, name) for name in ("agreement", "factors")]
        for condition in conditions
    }
    values = "; ".join(
        f"{condition} {between.value:.3f}, {factors.value:.3f}"
        for condition, (between, factors) in found.items()
    )
    notes = [f"R2 between agents, and of the factors, inside the theory first, then outside it: {values}."]
    gaps = {condition: between - factors for condition, (between, factors) in found.items()}
    beyond = [f"{condition} (by {gap.value:.3f})" for condition, gap in gaps.items() if gap.interval[0] > 0]
    if beyond:
        notes.append(
            f"Agents agree less with the factors than with each other in: {', '.join(beyond)}; the 95 % "
            "interval of that difference lies above 0. What they share there is more than a rotation of the "
            "factors; no metric here says what else it is."
        )
    return notes
