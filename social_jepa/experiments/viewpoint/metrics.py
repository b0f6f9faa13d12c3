"""The table and the notes of the viewpoint experiment."""

from typing import Any

from social_jepa.experiments.framework.experiment import Metric, Results, Threshold, missed_thresholds
from social_jepa.experiments.viewpoint.views import CAMERAS, WALL, degrees_name

FACES = (
    "Overlap of object surfaces stays well above 0 at 180 degrees: from this height all cameras see the tops "
    "of the boxes, and two of them the sides that look at the line between them. A bare floor tells nothing."
)
CHANCE = (
    "A direction counts as shared if its correlation beats the largest of 400 shuffles, which one that is "
    "not shared does once in 401 times by chance; two of the wall's six are not. The first full run took 20 "
    "shuffles, so that in a quarter of all runs of three seeds some direction passes by chance; one did, and "
    "4.33 dimensions stood where 4 were expected. The number of shuffles is all that changed."
)
UNSEEN = (
    "The hidden object is left out of one agent's pictures; no wall stands in the room. What that object "
    "would have hidden stays in sight."
)
READ = {  # figures of the wall: name, measure
    "R2 into the smaller core, from few pairs": "to blind, few",
    "R2 from the smaller core into the larger": "from blind",
    "R2 of the refused directions, from behind the wall": "blind, refused",
    "R2 of the hidden object, from the refused directions": "refused, hidden",
    "R2 of the hidden object, from the aligned directions": "aligned, hidden",
    "R2 of the other objects, from the refused directions": "refused, others",
    "R2 of the other objects, from the aligned directions": "aligned, others",
    "R2 of the other objects, from behind the wall": "blind, others",
}


def figures(results: Results, settings: Any) -> list[Metric]:
    """Return the goals' figures first, then every separation, camera and what the wall leaves."""
    found = goals(results, settings)
    for degrees in settings.separations:
        found += edge_figures(results, "separation", degrees_name(degrees), settings)
    for camera in CAMERAS:
        found += edge_figures(results, "others", camera, settings)
    found += [
        Metric(name, results.estimate("others", measure), group="wall") for name, measure in READ.items()
    ]
    cores = Metric("dimensions of the core behind the wall", results.estimate("others", f"core, {WALL}"))
    return [*found, Metric(cores.name, cores.estimate, group="wall")]


def goals(results: Results, settings: Any) -> list[Metric]:
    """Return the figures that have a goal."""

    def wall(measure: str) -> float:
        return results.mean("others", measure)

    far = settings.farthest
    return [
        Metric(
            f"R2 of the core at {far}, {settings.pairs} pairs", results.estimate("separation", f"R2, {far}"),
            results.mean("separation", f"null, {far}"), results.mean("separation", "untrained"),
            Threshold(">=", 0.92), "goals",
        ),
        Metric(
            "dimensions shared across the wall", results.estimate("others", "shared"), wall("shared, null"),
            wall("shared without a wall"), Threshold("==", 4.0), "goals",
        ),
        Metric(
            "R2 of the shared block, into the smaller core", results.estimate("others", "to blind"),
            wall("to blind, null"), threshold=Threshold(">=", 0.9), group="goals",
        ),
        Metric(
            "R2 of the hidden object, from behind the wall", results.estimate("others", "blind, hidden"),
            wall("blind, hidden, null"), wall("seer, hidden"), Threshold("<=", 0.05), "goals",
        ),
    ]  # fmt: skip


def edge_figures(results: Results, part: str, name: str, settings: Any) -> list[Metric]:
    """Return what the edge between the reference and a view is worth, and how much their views overlap."""
    null = results.mean(part, f"null, {name}")
    lines = {
        f"{name}: R2, {settings.pairs} pairs": ("R2", null),
        f"{name}: pixel overlap": ("pixels", None),
        f"{name}: overlap of object surfaces": ("surface", None),
    }
    return [
        Metric(line, results.estimate(part, f"{measure}, {name}"), chance, group=part)
        for line, (measure, chance) in lines.items()
    ]


def notes(results: Results, settings: Any) -> list[str]:
    """Return what it cost, what few pairs give, what the product says of the wall, and what was missed."""
    spent = ", ".join(
        f"{part} {results.condition_results[part, results.seeds[0]].flops / 1e12:.1f}"
        for part in ("separation", "others")
    )
    names = [degrees_name(degrees) for degrees in settings.separations]
    few = [results.mean("separation", f"R2 of few, {name}") for name in names]
    smallest = [results.mean("separation", f"smallest, {name}") for name in names]
    there, back = results.array("others", "verdicts").tolist()
    return [
        f"Counted training TFLOPs, seed {results.seeds[0]}: {spent}.",
        f"Over all separations, R2 from {settings.few} pairs is at least {min(few):.3f}, and the smallest "
        f"singular value of a least-squares map between two cores {min(smallest):.3f}.",
        f"A run's negotiation says of the edge into the smaller core {there!r}, of the way back {back!r}.",
        FACES,
        UNSEEN,
        CHANCE,
        *missed_thresholds(figures(results, settings)),
    ]
