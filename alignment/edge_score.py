"""One edge, fitted and scored: its maps, its scores, and R2 by number of pairs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

import torch
from torch import Tensor

from alignment.arrays import AlignmentError, AnyArray, check_generator
from alignment.fit import Fit, check_pairs, fit_procrustes, fit_ridge, fit_robust
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

Pairs = tuple[AnyArray, AnyArray]  # [K, D_i] and [K, D_j]: row k of both is the same tick
TensorPairs = tuple[Tensor, Tensor]
DRAWN_PAIRS: Final = 512  # pairs drawn for one point of the budget curve: 32 choices of 16, 8 choices of 64
MAX_DRAWS: Final = 32

# Cores are white about the mean of many ticks, so that the origins of two cores correspond.
fit_core: Final[Fit] = partial(fit_procrustes, centered=False)
BUDGET_METHODS: Final[Mapping[str, Fit]] = {
    "procrustes": fit_core,
    "ridge": fit_ridge,
    "robust": partial(fit_robust, centered=False),
}


class EdgeMaps(NamedTuple):
    """The two maps of an edge: of all dimensions (ridge), and of the cores (orthogonal).

    `LinearMap.undetermined` counts the directions that the pairs leave undetermined: what either map does
    there is arbitrary, and held-out pairs that do not span them do not show it.
    """

    full: LinearMap
    core: LinearMap


@dataclass(frozen=True)
class EdgeScore:
    """Scores of an edge, all on held-out pairs.

    Attributes:
        r2: R2 of the full map.
        r2_core: R2 of the core map.
        null_r2: The largest R2 of any shuffle by either map; that of unrelated rotations alone is near -1,
            which is too easy to exceed.
        spectrum: Canonical spectrum of the cores, descending.
        null_spectrum: The largest of any shuffle, at each rank.
        kappa: Condition number of the spectrum.
        isometry_deviation: Deviation of the spectrum from 1.
        retrieval_at_1: Retrieval by the core map; chance is 1 / K.
        cka: Linear CKA of all dimensions; needs no map.
        mutual_knn: Common nearest neighbors in all dimensions; needs no map.
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


def score_edge(
    fit: Pairs, held: Pairs, core_dims: tuple[int, int], generator: torch.Generator,
    core_fit: Fit = fit_core, ridge: float = 4.0,
) -> tuple[EdgeMaps, EdgeScore]:  # fmt: skip
    """Return the maps of an edge fitted on one set of pairs, and its scores and null scores on another.

    The null is fitted on shuffled pairs and scored on shuffled held-out pairs.

    Args:
        fit: Pairs to fit on, [K, D_i] and [K, D_j].
        held: Pairs to score on.
        core_dims: Number of leading core columns of source and target; with 0 (collapsed) scores are worst.
        generator: Source of the shuffles.
        core_fit: Fit of the core map.
        ridge: Penalty of the full map, see `alignment.fit.fit_ridge`.

    Raises:
        AlignmentError: Pairs, or the two sets of them, or the core dimensions do not fit together.
    """
    fitted, (x, y) = _check_edge(fit, held, core_dims, generator)
    cores = x[:, : (i := core_dims[0])], y[:, : (j := core_dims[1])]

    def fit_maps(source: Tensor, target: Tensor) -> EdgeMaps:
        return EdgeMaps(fit_ridge(source, target, ridge), core_fit(source[:, :i], target[:, :j]))

    def best_null_r2(source: Tensor, shuffled: Tensor) -> float:
        return max(_held_out_r2(fit_maps(source, shuffled), x, shuffle_pairs(y, generator), i, j))

    maps, values = fit_maps(*fitted), spectrum(*cores)
    return maps, EdgeScore(
        *_held_out_r2(maps, x, y, i, j),
        null_r2=float(shuffled_null(*fitted, best_null_r2, generator).max()),
        spectrum=tuple(values.tolist()),
        null_spectrum=tuple(shuffled_null(*cores, spectrum, generator).amax(0).tolist()),
        kappa=kappa(values),
        isometry_deviation=isometry_deviation(values),
        retrieval_at_1=retrieval_at(maps.core(cores[0]), cores[1]),
        cka=linear_cka(x, y),
        mutual_knn=mutual_knn(x, y),
    )


def _held_out_r2(maps: EdgeMaps, source: Tensor, target: Tensor, i: int, j: int) -> tuple[float, float]:
    """Return the R2 of the full map and of the core map, from i to j core columns."""
    return r2(maps.full(source), target), r2(maps.core(source[:, :i]), target[:, :j])


def budget_curve(
    fit: Pairs, held: Pairs, budgets: Sequence[int], core_dims: tuple[int, int],
    generator: torch.Generator,
) -> list[dict[str, int | str | float]]:  # fmt: skip
    """Return held-out R2 by number of fit pairs: a row ``{"pairs", "method", "r2"}`` per budget and method.

    Procrustes and robust map the cores, ridge all dimensions. The R2 of a budget is the mean over random
    choices of that many fit pairs, with more choices for smaller budgets: with few pairs, a single choice
    depends mostly on chance.

    Args:
        fit: Pairs to choose from, [K, D_i] and [K, D_j].
        held: Pairs to score on.
        budgets: Numbers of pairs, 1 to K.
        core_dims: Number of leading core columns of source and target.
        generator: Source of the choices.

    Raises:
        AlignmentError: As for `score_edge`, or a budget is outside 1 to K.
    """
    fitted, scored = _check_edge(fit, held, core_dims, generator)
    available = len(fitted[0])
    if not all(1 <= pairs <= available for pairs in budgets):
        raise AlignmentError(
            f"budgets must lie between 1 and the {available} fit pairs, got {list(budgets)}",
            "leave out the others",
        )
    curve: list[dict[str, int | str | float]] = []
    for pairs in budgets:
        draws = min(MAX_DRAWS, max(1, DRAWN_PAIRS // pairs)) if pairs < available else 1
        rows = torch.stack([torch.randperm(available, generator=generator)[:pairs] for _ in range(draws)])
        for method, fit_method in BUDGET_METHODS.items():
            i, j = (None, None) if method == "ridge" else core_dims
            found = fit_method(fitted[0][rows, :i], fitted[1][rows, :j])  # rows [draws, pairs]
            scores = r2_each(found(scored[0][None, :, :i]), scored[1][:, :j])  # [draws]
            curve.append({"pairs": pairs, "method": method, "r2": float(scores.mean())})
    return curve


def _check_edge(
    fit: Pairs, held: Pairs, core_dims: tuple[int, int], generator: torch.Generator
) -> tuple[TensorPairs, TensorPairs]:
    """Return the pairs of an edge as tensors."""
    check_generator(generator)
    fitted, scored = check_pairs(*fit), check_pairs(*held)
    dims, held_dims = (tuple(rows.shape[1:]) for rows in fitted), (tuple(rows.shape[1:]) for rows in scored)
    for side, dim, held_dim, core in zip(("source", "target"), dims, held_dims, core_dims, strict=True):
        if len(dim) != 1 or dim != held_dim:
            raise AlignmentError(
                f"the {side} has {dim} dimensions in the pairs to fit on and {held_dim} in those to score on",
                "pass embeddings [K, D] by one encoder in both",
            )
        if not 0 <= core <= dim[0]:
            raise AlignmentError(
                f"a core of {core} of the {dim[0]} columns of the {side} is not possible",
                f"choose from 0 to {dim[0]}",
            )
    return fitted, scored
