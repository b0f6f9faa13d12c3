"""Table and notes of the viewpoint experiment."""

from social_jepa.experiments.common.similarity_baselines import Baselines, similarity
from social_jepa.experiments.framework.experiment import Metric, Results
from social_jepa.experiments.framework.threshold import Threshold
from social_jepa.experiments.viewpoint.settings import Settings
from social_jepa.experiments.viewpoint.views import CAMERAS, WALL

SURFACES = (
    "Overlap of object surfaces stays well above 0 at 180 degrees: from this height all cameras see the tops "
    "of the boxes, and any two of them the sides that face the line between them. A bare floor carries no "
    "information."
)
SHUFFLES = (
    "A direction counts as shared if its correlation exceeds the largest of 400 shuffles; a direction that "
    "is not shared does so with probability 1/401; two of the wall's six are not shared. The first full run "
    "used 20 shuffles, so that in a quarter of all runs of three seeds some direction passes by chance; one "
    "did, and the mean was 4.33 dimensions where 4 were expected. Only the number of shuffles has changed "
    "since."
)
HIDDEN = (
    "The hidden object is left out of one agent's views; no wall stands in the room. What that object would "
    "itself have hidden stays visible."
)
WALL_SCORES = {  # metric: score
    "R2 into the smaller core, few pairs": "into occluded, few pairs",
    "R2 from the smaller core into the larger": "from occluded",
    "R2 of the null space, from behind the wall": "occluded, null space",
    "R2 of the hidden object, from the null space": "null space, hidden",
    "R2 of the hidden object, from the mapped directions": "mapped, hidden",
    "R2 of the other objects, from the null space": "null space, others",
    "R2 of the other objects, from the mapped directions": "mapped, others",
    "R2 of the other objects, from behind the wall": "occluded, others",
    "core dimension behind the wall": f"core dimension, {WALL}",
}


def make_metrics(results: Results, settings: Settings) -> list[Metric]:
    """Return the metrics with thresholds first, then every separation, camera and the wall."""
    metrics = _threshold_metrics(results, settings)
    for name in settings.view_names:
        metrics += _edge_metrics(results, "separation", name, settings)
    for camera in CAMERAS:
        metrics += _edge_metrics(results, "cameras", camera, settings)
    return metrics + [
        Metric(name, results.estimate("cameras", score), group="wall") for name, score in WALL_SCORES.items()
    ]


def _threshold_metrics(results: Results, settings: Settings) -> list[Metric]:
    def mean(score: str) -> float:
        return results.mean("cameras", score)

    far = settings.farthest
    return [
        Metric(
            f"R2 of the core at {far}, {settings.pairs} pairs", results.estimate("separation", f"R2, {far}"),
            results.mean("separation", f"null, {far}"), threshold=Threshold(">=", 0.92), group="thresholds",
            **similarity(results, "separation", f"R2, {far}"),
        ),
        Metric(
            "dimensions shared across the wall", results.estimate("cameras", "shared"), mean("shared, null"),
            mean("shared, no wall"), Threshold("==", 4.0), "thresholds",
        ),
        Metric(
            "R2 of the map into the smaller core", results.estimate("cameras", "into occluded"),
            mean("into occluded, null"), threshold=Threshold(">=", 0.9), group="thresholds",
        ),
        Metric(
            "R2 of the hidden object, from behind the wall", results.estimate("cameras", "occluded, hidden"),
            mean("occluded, hidden, null"), mean("full, hidden"), Threshold("<=", 0.05),
            self_test="The object is never drawn for this agent and moves independently of all others: its "
            "frames cannot depend on it.",
        ),
    ]  # fmt: skip


def _edge_metrics(results: Results, condition: str, name: str, settings: Settings) -> list[Metric]:
    """Return the R2 of the edges between the reference and a view, and the overlap of their views."""
    rows = {
        f"{name}: R2, {settings.pairs} pairs": ("R2", results.mean(condition, f"null, {name}")),
        f"{name}: pixel overlap": ("pixels", None),
        f"{name}: overlap of object surfaces": ("surface", None),
    }
    compared = condition == "separation" and name == settings.farthest
    r2: Baselines = similarity(results, condition, f"R2, {name}") if compared else {}
    none: Baselines = {}
    return [
        Metric(
            title, results.estimate(condition, f"{score}, {name}"), null, group=condition,
            **(r2 if score == "R2" else none),
        )
        for title, (score, null) in rows.items()
    ]  # fmt: skip


def make_notes(results: Results, settings: Settings) -> list[str]:
    """Return notes on costs, few pairs and the negotiation across the wall."""
    seed = results.seeds[0]
    flops = ", ".join(
        f"{condition} {results.condition_results[condition, seed].flops / 1e12:.1f}"
        for condition in ("separation", "cameras")
    )
    few = [results.mean("separation", f"R2 from few pairs, {name}") for name in settings.view_names]
    smallest = [
        results.mean("separation", f"smallest singular value, {name}") for name in settings.view_names
    ]
    there, back = results.array("cameras", "verdicts").tolist()
    return [
        f"Counted training TFLOPs, seed {seed}: {flops}.",
        f"Over all separations, R2 from {settings.few_pairs} pairs is at least {min(few):.3f}, and the "
        f"smallest singular value of a least-squares map between two cores {min(smallest):.3f}.",
        f"Negotiated as in a run, the edge into the smaller core is {there!r}, the edge back {back!r}.",
        SURFACES,
        HIDDEN,
        SHUFFLES,
    ]
