"""One edge, fitted and scored: its maps, its figures, and what they cost in pairs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

import torch
from torch import Tensor

from alignment.fit import Fit, fit_procrustes, fit_ridge, fit_robust
from alignment.linear_map import LinearMap
from alignment.score import (
    isometry_deviation,
    kappa,
    linear_cka,
    mutual_knn,
    r2,
    r2_each,
    retrieval_at,
    shuffle_pairs,
    shuffled_null,
    spectrum,
)

Pairs = tuple[Tensor, Tensor]  # [K, D_i] and [K, D_j]: row k of both is the same tick
DRAWN_PAIRS: Final = 512  # pairs drawn for one figure of the budget curve: 32 choices of 16, 8 choices of 64
MOST_DRAWS: Final = 32

# Owners whiten their cores about means of their own, so that the origins of two cores correspond.
fit_core: Final[Fit] = partial(fit_procrustes, centred=False)
BUDGET_METHODS: Final[Mapping[str, Fit]] = {
    "procrustes": fit_core,
    "ridge": fit_ridge,
    "robust": partial(fit_robust, centred=False),
}


class EdgeMaps(NamedTuple):
    """The two maps of an edge: of all dimensions (ridge), and of the cores (orthogonal)."""

    full: LinearMap
    core: LinearMap


@dataclass(frozen=True)
class EdgeScore:
    """What an edge is worth, all on held-out pairs.

    Attributes:
        r2: Of the full map.
        r2_core: Of the core map.
        null_r2: The best of any shuffle by either map; strangers' rotations, near -1, are too easy to beat.
        spectrum: Of the cores, on the held-out pairs themselves as is its null; ``kappa`` and
            ``isometry_deviation`` are its summaries.
        null_spectrum: The largest of any shuffle, at each rank.
        retrieval_at_1: By the core map; chance is 1 / K.
        cka: Of all dimensions, as is ``mutual_knn``: neither needs a map.
    """

    r2: float
    r2_core: float
    null_r2: float
    spectrum: tuple[float, ...]
    null_spectrum: tuple[float, ...]
    kappa: float
    isometry_deviation: float
    retrieval_at_1: float
    cka: float
    mutual_knn: float

    @property
    def beats_null(self) -> bool:
        """True when the core map beats the mean and its null, and the strongest direction beats its own."""
        return self.r2_core > max(0.0, self.null_r2) and self.spectrum[:1] > self.null_spectrum[:1]


def score_edge(
    fit: Pairs,
    held: Pairs,
    core_dims: tuple[int, int],
    generator: torch.Generator,
    core_fit: Fit = fit_core,
    ridge: float = 4.0,
) -> tuple[EdgeMaps, EdgeScore]:
    """Fit an edge on one set of pairs, score it on another, and say what chance would have scored.

    The null treats the agents as strangers: fitted on shuffled pairs, scored on shuffled held-out pairs.
    ``core_dims`` says how many leading columns of each are core; with 0 (collapsed) an edge is worthless.
    """
    i, j = core_dims
    cores = held[0][:, :i], held[1][:, :j]

    def attempt(source: Tensor, target: Tensor, held_target: Tensor) -> tuple[EdgeMaps, float, float]:
        maps = EdgeMaps(fit_ridge(source, target, ridge), core_fit(source[:, :i], target[:, :j]))
        return maps, r2(maps.full(held[0]), held_target), r2(maps.core(cores[0]), held_target[:, :j])

    def strangers(source: Tensor, shuffled: Tensor) -> float:
        return max(attempt(source, shuffled, shuffle_pairs(held[1], generator))[1:])

    maps, r2_full, r2_core = attempt(*fit, held[1])
    values = spectrum(*cores)
    return maps, EdgeScore(
        r2=r2_full,
        r2_core=r2_core,
        null_r2=float(shuffled_null(*fit, strangers, generator).max()),
        spectrum=tuple(values.tolist()),
        null_spectrum=tuple(shuffled_null(*cores, spectrum, generator).amax(0).tolist()),
        kappa=kappa(values),
        isometry_deviation=isometry_deviation(values),
        retrieval_at_1=retrieval_at(maps.core(cores[0]), cores[1]),
        cka=linear_cka(*held),
        mutual_knn=mutual_knn(*held),
    )


def budget_curve(
    fit: Pairs, held: Pairs, budgets: Sequence[int], core_dims: tuple[int, int], generator: torch.Generator
) -> list[dict[str, int | str | float]]:
    """Return held-out R2 against pairs spent: rows ``{"pairs", "method", "r2"}``, one per budget and method.

    Procrustes and robust map the cores, ridge all dimensions. The R2 of a budget is the mean over random
    choices of that many fit pairs, the more choices the smaller the budget: with few pairs a single choice
    says more about luck than about the budget.
    """
    most = len(fit[0])
    if not all(1 <= pairs <= most for pairs in budgets):
        raise ValueError(f"budgets must lie between 1 and the {most} fit pairs, got {list(budgets)}")
    curve: list[dict[str, int | str | float]] = []
    for pairs in budgets:
        draws = min(MOST_DRAWS, max(1, DRAWN_PAIRS // pairs)) if pairs < most else 1
        rows = torch.stack([torch.randperm(most, generator=generator)[:pairs] for _ in range(draws)])
        for method, fit_method in BUDGET_METHODS.items():
            i, j = (None, None) if method == "ridge" else core_dims
            found = fit_method(fit[0][rows, :i], fit[1][rows, :j])  # rows [draws, pairs]
            scores = r2_each(found(held[0][None, :, :i]), held[1][:, :j])  # [draws]
            curve.append({"pairs": pairs, "method": method, "r2": float(scores.mean())})
    return curve
