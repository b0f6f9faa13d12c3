"""Metrics and notes of time-or-jepa: agreement at equal state R2, what is left of it, and every method."""

from collections.abc import Callable
from functools import partial

import numpy as np

from social_jepa.experiments.common.similarity_baselines import Baselines, similarity_of
from social_jepa.experiments.framework.experiment import Metric, Results
from social_jepa.experiments.framework.score import Estimate, Score
from social_jepa.experiments.framework.threshold import Threshold
from social_jepa.experiments.time_or_jepa.settings import (
    FLAT,
    JEPAS,
    METHODS,
    SCHEDULED,
    TEMPORAL_INFONCE,
    TICA,
    Settings,
)

UNTRAINED = ("untrained", "pixel-pca")  # the baselines of every similarity, with linear tICA
LEAST_GAIN, LEAST_RESIDUAL = 0.05, 0.3
MAPS = ("free map", "rotation")
FINAL = {
    "state": "state R2", "free map": "agreement, free map", "rotation": "agreement, rotation",
    "residual": "agreement of what the linear state leaves",
    "residual, degree 2": "agreement of what squares and products of the state leave too",
    "residual share": "share of the variance that the linear state leaves",
}  # fmt: skip
Gain = Callable[[str], Estimate]  # of a JEPA


def make_metrics(results: Results, settings: Settings) -> list[Metric]:
    """Return the metrics with thresholds, then agreement at equal state R2 by baseline, then every method."""
    return [
        *_threshold_metrics(results, settings),
        *_baseline_metrics(results, settings),
        *_final_metrics(results),
    ]


def _threshold_metrics(results: Results, settings: Settings) -> list[Metric]:
    title = SCHEDULED[TEMPORAL_INFONCE].title
    gains = {
        name: partial(matched_gain, results, baseline=TEMPORAL_INFONCE, score=name, settings=settings)
        for name in MAPS
    }
    metrics = [
        metric
        for name in MAPS
        for metric in _of_each_jepa(
            f"minus {title} at equal state R2, {name}", gains[name], Threshold(">=", LEAST_GAIN), name
        )
    ]
    metrics += _of_each_jepa(
        "residual agreement", lambda jepa: results.estimate(jepa, "residual"),
        Threshold(">=", LEAST_RESIDUAL), "beyond the state",
        similarity_of(results, *UNTRAINED, "residual", TICA),
    )  # fmt: skip
    baseline = Estimate.highest(results.estimate(name, "residual") for name in (*UNTRAINED, TICA))
    worst = metrics[-1]
    gain = worst.estimate - baseline
    name = f"{worst.name} minus the better baseline"
    return [*metrics, Metric(name, gain, threshold=Threshold(">", 0.0), group=worst.group)]


def _of_each_jepa(
    name: str, estimate: Gain, threshold: Threshold, group: str, baselines: Baselines | None = None
) -> list[Metric]:
    """Return a metric of each JEPA, and of the worst in each seed."""
    found = {JEPAS[jepa].title: estimate(jepa) for jepa in JEPAS}
    found["worst JEPA"] = Estimate.lowest(found.values())
    return [
        Metric(f"{title} {name}", one, threshold=threshold, group=f"thresholds: {group}", **(baselines or {}))
        for title, one in found.items()
    ]


def matched_gain(results: Results, jepa: str, baseline: str, score: str, settings: Settings) -> Estimate:
    """Return the agreement of a JEPA minus that of a baseline at equal state R2.

    Args:
        results: Results of both.
        jepa: Condition of the JEPA.
        baseline: Condition of the baseline, which has the checkpoints of the settings.
        score: Name of the agreement.
        settings: Settings of the run.
    """

    def of_seed(place: int) -> float:
        own, other = (
            [
                np.array([results.estimate(name, f"{each}, {step}").seeds[place]
                          for step in settings.checkpoints])
                for each in ("state", score)
            ]
            for name in (jepa, baseline)
        )  # fmt: skip
        return gain_at_equal_state((own[0], own[1]), (other[0], other[1]), settings.tolerance)

    scores = [Score.single(of_seed(place)) for place in range(len(results.seeds))]
    return Estimate.from_scores(scores)


def gain_at_equal_state(
    own: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray], tolerance: float
) -> float:
    """Return the mean difference of two curves where their state R2 is equal; NaN where it never is.

    Args:
        own: State R2 and agreement at each checkpoint, [n] each.
        other: The same of the other method, [m] each; its agreement is interpolated between checkpoints.
        tolerance: Distance from the other's range of state R2 within which its nearest end counts.
    """
    (state, agreement), (states, agreements) = own, other
    order = np.argsort(states)
    matched = (state >= states.min() - tolerance) & (state <= states.max() + tolerance)
    if not matched.any():
        return float("nan")
    expected = np.interp(state[matched], states[order], agreements[order])
    return float((agreement[matched] - expected).mean())


def _baseline_metrics(results: Results, settings: Settings) -> list[Metric]:
    """Return the gain of each JEPA over the other methods that have the same checkpoints."""
    return [
        Metric(
            f"{JEPAS[jepa].title} minus {SCHEDULED[baseline].title}, {score}",
            matched_gain(results, jepa, baseline, score, settings),
            group="agreement at equal state R2, other methods",
        )
        for baseline in SCHEDULED
        if baseline != TEMPORAL_INFONCE
        for jepa in JEPAS
        for score in MAPS
    ]  # fmt: skip


def _final_metrics(results: Results) -> list[Metric]:
    """Return the scores at the end of training, one group for each."""
    return [
        Metric(
            f"{method.title}: {title}", results.estimate(name, score),
            results.mean(name, "null") if score == "free map" else None,
            group=f"{title}, at the end; null: time shifts",
            **similarity_of(results, *UNTRAINED, score, TICA),
        )
        for score, title in FINAL.items()
        for name, method in METHODS.items()
    ]  # fmt: skip


def make_notes(results: Results, settings: Settings) -> list[str]:
    """Return notes on where the loss was not flat, and on the equal budgets."""
    seed = results.seeds[0]
    flops = ", ".join(f"{name} {results.condition_results[name, seed].flops / 1e12:.2f}" for name in METHODS)
    long = "; ".join(
        f"{method.title} {', '.join(f'{steps:g}' for steps in results.estimate(name, 'step').seeds)}"
        + ("" if results.mean(name, "flat") == 1 else ", not flat in every agent")
        for name, method in FLAT.items()
    )
    return [
        f"Steps until the loss was flat, by seed: {long}.",
        f"Counted training TFLOPs of one agent, seed {seed}: {flops}. tICA and pixel PCA decompose frames "
        "once, not counted.",
    ]
