"""Table and notes of the theory experiment."""

from typing import Any

import numpy as np

from social_jepa.experiments.framework.experiment import Metric, Results, Threshold, missed_thresholds
from social_jepa.experiments.framework.score import Estimate, Score

SLACK = (
    "2 (b_A + b_B) allows for two agents that err in opposite ways; where their errors are unrelated, half "
    "of it is the most, and what delta counts of degree three and above makes it wider still."
)
OUTSIDE = (
    "Outside the theory a nonlinear code can beat 2 (1 - rho) n: where delta is below 0, D counts as 0 and "
    "the bound is the whitening error alone. Agents may agree even so."
)


def own_parts(settings: Any) -> list[str]:
    """Return the parts of the theory's own setting."""
    return [f"rho {rho:g}" for rho in settings.rhos]


def nearest_part(settings: Any) -> str:
    """Return the part of the theory's own setting whose rho is nearest to that of the worlds outside it."""
    return min(own_parts(settings), key=lambda part: abs(float(part[4:]) - settings.outside_rho))


def pooled(results: Results, parts: list[str], measure: str) -> Estimate:
    """Return the mean of a measure over the samples of several parts."""

    def values(seed: int) -> np.ndarray:
        return np.concatenate(
            [results.condition_results[part, seed].scores[measure].values for part in parts]
        )

    return Estimate.from_scores([Score.mean(values(seed)) for seed in results.seeds])


def figures(results: Results, settings: Any) -> list[Metric]:
    """Return the goals' figures first, then those of every world, the scene and the symmetry."""
    own = own_parts(settings)

    def value(part: str, measure: str) -> float:
        return results.estimate(part, measure).value

    found = [
        Metric(
            "share of pairs inside the bound",
            pooled(results, own, "inside"),
            threshold=Threshold("==", 1),
            group="goals",
        ),
        Metric(
            "greatest change of the whitened loss under A, relative",
            results.estimate("symmetry", "whitened change"),
            baseline=value("symmetry", "raw factor") - 1,
            threshold=Threshold("<=", 1e-6),
            group="goals",
        ),
        Metric("share of bounds below 2 n", pooled(results, own, "not vacuous"), group="own setting"),
        Metric(
            "share of agents inside their own bound", pooled(results, own, "own, inside"), group="own setting"
        ),
    ]
    for part in (*own, "scene"):
        group = "scene" if part == "scene" else "own setting"
        untrained = None if part == "scene" else value(part, "untrained")
        found += [
            Metric(f"{part}: E|h_B - R h_A|^2", results.estimate(part, "deviation"),
                   value(part, "deviation, shuffled"), untrained, group=group),
            Metric(f"{part}: bound", results.estimate(part, "bound"), group=group),
            Metric(f"{part}: measured over bound, median", results.estimate(part, "ratio"), group=group),
        ]  # fmt: skip
    for part in ("scene", *settings.outside):
        group = "scene" if part == "scene" else "outside the theory"
        found.append(Metric(f"{part}: share of pairs inside", results.estimate(part, "inside, trained"),
                            group=group))  # fmt: skip
        found.append(Metric(f"{part}: R2 between agents", results.estimate(part, "agreement"),
                            value(part, "agreement, shuffled"), group=group))  # fmt: skip
        found.append(Metric(f"{part}: excess loss delta", results.estimate(part, "excess"), group=group))
        if part != "scene":
            found.append(Metric(f"{part}: R2 of the latents", results.estimate(part, "latents"),
                                value(part, "latents, shuffled"), value(part, "latents, untrained"),
                                group=group))  # fmt: skip
    return found + _symmetry(results)


def _symmetry(results: Results) -> list[Metric]:
    def line(name: str, measure: str, baseline: str = "") -> Metric:
        return Metric(
            name, results.estimate("symmetry", measure), group="symmetry",
            baseline=results.estimate("symmetry", baseline).value if baseline else None,
        )  # fmt: skip

    return [
        line("loss that A is applied to", "loss", "loss, untrained"),
        line("greatest growth of the raw loss, A of condition 100", "raw factor"),
        line("share of raw losses within the limits of A", "inside"),
        line("planted world without loss: greatest raw loss", "planted loss"),
        line("condition of the map from h to h A, both whitened", "kappa, whitened", "kappa, raw"),
    ]


def notes(results: Results, settings: Any) -> list[str]:
    """Return what trainings cost, how to read the bound, and by how much goals are missed."""
    first = results.seeds[0]
    spent = {
        part: results.condition_results[part, first].flops / 1e12
        for part in (own_parts(settings)[0], "scene")
    }
    return [
        "Counted training TFLOPs of all agents of a part, seed "
        f"{first}: " + ", ".join(f"{part} {flops:.2f}" for part, flops in spent.items()) + ".",
        SLACK,
        OUTSIDE,
        *outside_notes(results, settings),
        *missed_thresholds(figures(results, settings)),
    ]


def outside_notes(results: Results, settings: Any) -> list[str]:
    """Say how well agents agree inside and outside the theory, and where not by the latents alone."""
    parts = (nearest_part(settings), *settings.outside)
    found = {part: [results.estimate(part, name) for name in ("agreement", "latents")] for part in parts}
    values = "; ".join(f"{part} {between.value:.3f}, {of.value:.3f}" for part, (between, of) in found.items())
    said = [f"R2 between agents, and of the latents, from inside the theory outwards: {values}."]
    gaps = {part: between - of for part, (between, of) in found.items()}
    beyond = [f"{part} (by {gap.value:.3f})" for part, gap in gaps.items() if gap.interval[0] > 0]
    if beyond:
        said.append(
            f"Agents agree less with the latents than with each other in: {', '.join(beyond)}; the 95 % "
            "interval of that difference lies above 0. What they share there is more than a rotation of the "
            "latents; no figure says what else it is."
        )
    return said
