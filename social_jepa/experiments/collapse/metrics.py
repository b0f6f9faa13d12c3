"""Metrics and notes of collapse: the scores of each condition, with the thresholds of the theorem."""

from social_jepa.experiments.collapse.settings import SEARCH, SEARCH_NO_HEAD, SEARCHES, Settings
from social_jepa.experiments.framework.experiment import Metric, Results
from social_jepa.experiments.framework.threshold import Threshold

PLAIN_CONDITIONS = ("joint", "collapsed-start", "detached", "dynamics-only", "collapsed-dynamics")
SCORES = {  # name in the table, by score
    "processes below": "processes with errors below the threshold",
    "pairs": "pairs not bisimilar, in these processes",
    "counterexamples": "counterexamples to the lower bound",
    "merged pairs": "pairs not bisimilar but merged",
    "merged share": "share of pairs not bisimilar that merged",
    "minimum distance": "minimum distance, not bisimilar",
    "median distance": "median distance, not bisimilar",
    "positive bounds": "share of pairs with a positive lower bound",
    "tightness": "median of lower bound over distance",
    "bisimilar merged share": "share of bisimilar pairs that merged",
    "worst dynamics error": "worst squared error of T",
    "worst head error": "worst squared error of P",
}
SCORES_WITH_NULL = (
    "merged pairs", "merged share", "minimum distance", "median distance", "positive bounds",
    "bisimilar merged share",
)  # fmt: skip
SEARCH_SCORES = {
    "searched pairs": "searched pairs",
    "pairs below": "searched pairs of models with errors below the threshold",
    "search counterexamples": "counterexamples to the lower bound",
    "search merged share": "share of searched pairs that merged",
    "search minimum distance": "minimum of the smallest distances",
    "search median distance": "median of the smallest distances",
}
SEARCH_SCORES_WITH_NULL = ("search merged share", "search minimum distance", "search median distance")
MIN_PROCESSES = 20  # whose errors must be below the threshold
JOINT_THRESHOLDS = {
    "processes below": Threshold(">=", MIN_PROCESSES),
    "counterexamples": Threshold("==", 0),
    "merged pairs": Threshold("==", 0),
}
CONTROL_THRESHOLDS = {"merged share": Threshold("==", 1)}
THRESHOLDS = {  # by condition and score
    "joint": JOINT_THRESHOLDS,
    "collapsed-start": JOINT_THRESHOLDS,
    "dynamics-only": CONTROL_THRESHOLDS,
    "collapsed-dynamics": CONTROL_THRESHOLDS,
    SEARCH: {"search counterexamples": Threshold("==", 0), "search merged share": Threshold("==", 0)},
    SEARCH_NO_HEAD: {"search merged share": Threshold(">=", 0.9)},
}


BOUND_HOLDS = "The bound follows from the measured errors and Lipschitz constants by arithmetic."
NO_GRADIENT = "All latents start equal and the loss is 0 there, so that no gradient separates them."
SELF_TESTS = {  # by condition and score, why it cannot fail
    ("joint", "counterexamples"): BOUND_HOLDS,
    ("collapsed-start", "counterexamples"): BOUND_HOLDS,
    (SEARCH, "search counterexamples"): BOUND_HOLDS,
    ("collapsed-dynamics", "merged share"): NO_GRADIENT,
}


def metrics(results: Results, settings: Settings) -> list[Metric]:
    """Return the metrics of the results table."""
    return [
        *(_metric(results, condition, score) for condition in PLAIN_CONDITIONS for score in SCORES),
        *(_metric(results, condition, score) for condition in SEARCHES for score in SEARCH_SCORES),
    ]


def _metric(results: Results, condition: str, score: str) -> Metric:
    null = None
    if score in SCORES_WITH_NULL:
        null = results.mean("collapsed-dynamics", score)
    elif score in SEARCH_SCORES_WITH_NULL:
        null = results.mean(SEARCH_NO_HEAD, score)
    return Metric(
        f"{condition}: {(SCORES | SEARCH_SCORES)[score]}", results.estimate(condition, score), null=null,
        threshold=THRESHOLDS.get(condition, {}).get(score), group=condition,
        self_test=SELF_TESTS.get((condition, score), ""),
    )  # fmt: skip


def notes(results: Results, settings: Settings) -> list[str]:
    """Return the smallest distance of the search, and the limits of the control without a head."""
    smallest = results.estimate(SEARCH, "search minimum distance").value
    merged = results.estimate("dynamics-only", "merged share").value
    return [
        f"Under the search, the closest pair kept a distance of {smallest:.3g}; the initial spread of the "
        f"latents is 1 and the tolerance is {settings.tolerance:g}, with squared errors below "
        f"{settings.threshold:g}. The theorem excludes only zero: closer latents need a larger Lipschitz "
        "constant of T or P.",
        "Dynamics alone may collapse but need not: from random initial weights "
        f"{merged:.1%} of the pairs not bisimilar merged; in some processes T learned transitions of "
        "latents that remained distinct, which has zero loss too. From equal latents no gradient is left, "
        "because the loss is zero there: that control is exact.",
    ]
