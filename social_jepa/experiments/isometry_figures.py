"""Table and notes of isometry."""

from typing import TYPE_CHECKING

from social_jepa.experiments.experiment import Figure, Goal, Results, missed
from social_jepa.experiments.isometry_methods import METHODS

if TYPE_CHECKING:
    from social_jepa.experiments.isometry import Settings

LONG = "jepa-long"
SELF_SUPERVISED = ("autoencoder", "masked-autoencoder", "simclr")  # rivals that goals are set against
SHAPE = (
    "condition number", "isometry deviation", "linear CKA", "mutual 10 nearest neighbours", "retrieval at 1",
    "retrieval at 5", "R2 of the worst edge",
)  # fmt: skip
OTHERS = ("ridge", "robust", "universe")  # ways to fit a map of the core besides Procrustes
BUDGETS = (4, 8, 16, 64, 256, 4096)  # of the table; the picture shows all


def figures(results: Results, settings: "Settings") -> list[Figure]:
    """Return the goals' figures first, then shape, budgets and methods."""
    return [*_goals(results, settings), *_shape(results), *_budgets(results, settings), *_methods(results)]


def _goals(results: Results, settings: "Settings") -> list[Figure]:
    def line(name: str, measure: str, goal: Goal, null: str = "") -> Figure:
        chance = results.mean(LONG, null or f"shuffled, {measure}")
        return Figure(name, results.estimate(LONG, measure), chance, goal=goal, group="goals")

    found = [
        line(f"core R2, orthogonal map from {pairs} pairs", f"procrustes, {pairs}", Goal(">=", value))
        for pairs, value in ((settings.enough, 0.95), (settings.few, 0.93))
    ]
    found += [
        line("largest singular value of any core map", "largest singular value", Goal("<=", 1.02)),
        line("smallest singular value of any core map", "smallest singular value", Goal(">=", 0.93)),
    ]
    ours = results.estimate("jepa", "leading axes")
    for rival in SELF_SUPERVISED:
        theirs = results.estimate(rival, "leading axes")
        name = f"JEPA minus {METHODS[rival].title}"
        found.append(Figure(name, ours - theirs, 0.0, goal=Goal(">", 0.0), group="goals"))
    name = f"|R2| of shuffled pairs, ridge of all dimensions, {settings.pairs} pairs"
    return [*found, Figure(name, results.estimate(LONG, "|null|"), goal=Goal("<=", 0.02), group="goals")]


def _shape(results: Results) -> list[Figure]:
    """Figures of the long course, beside shuffled pairs (null) and rolled ones (baseline)."""
    group = "maps of cores, long course"
    return [
        Figure(
            name, results.estimate(LONG, name), results.mean(LONG, f"shuffled, {name}"),
            results.mean(LONG, f"rolled, {name}"), group=group,
        )
        for name in SHAPE
    ]  # fmt: skip


def _budgets(results: Results, settings: "Settings") -> list[Figure]:
    group = "R2 by pairs, long course"
    wanted = {"unmapped, 0": "core, no pair and no map"}
    wanted |= {f"procrustes, {pairs}": f"core, orthogonal, {pairs} pairs" for pairs in BUDGETS}
    wanted |= {f"{name}, {settings.enough}": f"core, {name}, {settings.enough} pairs" for name in OTHERS}
    wanted |= {
        f"all dimensions, {pairs}": f"all dimensions, ridge, {pairs} pairs"
        for pairs in (settings.enough, settings.pairs)
    }
    known = results.outcomes[LONG, results.seeds[0]].measures
    return [
        Figure(
            title, results.estimate(LONG, name), results.mean(LONG, f"shuffled, {name}"),
            results.mean(LONG, f"rolled, {name}"), group=group,
        )
        for name, title in wanted.items()
        if name in known
    ]  # fmt: skip


def _methods(results: Results) -> list[Figure]:
    """Leading axes of all methods; the baseline is the JEPA's."""
    group = "R2 of leading axes by method, default course"
    ours = results.mean("jepa", "leading axes")
    lines = [("jepa", "other times, ", "JEPA, the other one trained at other times")]
    lines = [(part, "", method.title) for part, method in METHODS.items()] + lines
    return [
        Figure(
            title, results.estimate(part, f"{which}leading axes"),
            results.mean(part, f"{which}shuffled, leading axes"), ours, group=group,
        )
        for part, which, title in lines
    ]  # fmt: skip


def notes(results: Results, settings: "Settings") -> list[str]:
    """Return costs, what each method found for its core, and which goals were missed."""
    first = results.seeds[0]
    spent = ", ".join(f"{part} {results.outcomes[part, first].flops / 1e12:.2f}" for part in (LONG, *METHODS))
    cores = "; ".join(
        f"{method.title} {results.mean(part, 'core size'):g} ({results.mean(part, 'core as found'):.3f})"
        for part, method in METHODS.items()
    )
    return [
        f"Counted training TFLOPs of one agent, seed {first}: {spent}. A step of SimCLR encodes two views of "
        "each frame, and autoencoders pay for a decoder; pixel PCA decomposes 1024 frames once, uncounted.",
        f"Core size each method found by the same procedure, mean over agents, and its R2: {cores}. In "
        f"the long course {results.mean(LONG, 'core size'):g}.",
        "All methods take the JEPA's rate and schedule, which were chosen for it: a rival may be better at a "
        "rate of its own, and none was searched.",
        *missed(figures(results, settings)),
    ]
