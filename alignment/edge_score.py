"""One edge, fitted and scored: what two agents share, its maps, and R2 by number of pairs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple, Protocol

import torch
from torch import Tensor

from alignment.anchors import CHOSEN, choose_spread
from alignment.arrays import AlignmentError, AnyArray, check_generator
from alignment.fit import Fit, check_pairs, fit_procrustes, fit_ridge, fit_robust
from alignment.held_out import HeldOut
from alignment.linear_map import LinearMap
from alignment.raw_map import STRONG, RawScore, score_raw
from alignment.score import isometry_deviation, kappa, linear_cka, mutual_knn, r2, r2_each, retrieval_at
from alignment.shapes_repr import shapes_repr
from alignment.shared_subspace import SharedSubspace, find_shared

Pairs = tuple[AnyArray, AnyArray]  # [K, D_i] and [K, D_j]: row k of both is the same tick
TensorPairs = tuple[Tensor, Tensor]
DRAWN_PAIRS: Final = 512  # pairs drawn for one point of the budget curve: 4 choices of 128

# Cores are white about the mean of many ticks, so that the origins of two cores correspond.
fit_core: Final[Fit] = partial(fit_procrustes, centered=False)


class _RankFit(Protocol):
    """A fit of an orthogonal map of some rank."""

    def __call__(self, source: Tensor, target: Tensor, *, rank: int) -> LinearMap:
        """Return the map of pairs [P, K, D]."""


SHARED_METHODS: Final[Mapping[str, _RankFit]] = {
    "procrustes": partial(fit_procrustes, centered=False),
    "robust": partial(fit_robust, centered=False),
}


class EdgeMaps(NamedTuple):
    """The maps of an edge.

    Attributes:
        full: All dimensions to all dimensions, by ridge regression.
        shared: Core to core, a rotation of the shared directions that drops all others.
        regression: The same with each direction scaled by its correlation, which tells the quality of paths.
    """

    full: LinearMap
    shared: LinearMap
    regression: LinearMap


@dataclass(frozen=True)
class EdgeScore:
    """Scores of an edge, all on held-out pairs.

    Attributes:
        r2: R2 of the full map, on all dimensions of the target.
        r2_shared: R2 of the shared map, on the shared directions of the target's core; 0 without any.
        shared_dim: Number of shared directions of the two cores.
        correlations: Correlation of each pair of core directions, descending; shared_dim of them are shared.
        null_correlation: The largest correlation of any pair of core directions at any time shift.
        latent_shared_dim: Number of shared directions of the two latents, functions of factors included.
        latent_correlations: Correlation of each pair of latent directions, descending.
        latent_null_correlation: The largest of these at any time shift.
        kappa: Condition number of the correlations of the shared directions.
        isometry_deviation: Deviation of these from 1.
        retrieval_at_1: Retrieval among the shared directions; chance is 1 / K.
        cka: Linear CKA of all dimensions; needs no map.
        mutual_knn: Common nearest neighbors in all dimensions; needs no map.
        raw: Maps between the raw latents; None where the latents of one side have no scale.
        raw_strong: The same between the directions of latent_correlations that are at least 0.5.
    """

    r2: float
    r2_shared: float
    shared_dim: int
    correlations: tuple[float, ...]
    null_correlation: float
    latent_shared_dim: int
    latent_correlations: tuple[float, ...]
    latent_null_correlation: float
    kappa: float
    isometry_deviation: float
    retrieval_at_1: float
    cka: float
    mutual_knn: float
    raw: RawScore | None = None
    raw_strong: RawScore | None = None

    __repr__ = shapes_repr


def score_edge(
    fit: Pairs, held: HeldOut, core_dims: tuple[int, int], ridge: float = 4.0,
    metrics: TensorPairs | None = None,
) -> tuple[EdgeMaps, SharedSubspace, EdgeScore]:  # fmt: skip
    """Return the maps of an edge, what its cores share, and its scores on held-out pairs.

    Args:
        fit: Pairs to fit on, [K, D_i] and [K, D_j].
        held: Pairs to score on.
        core_dims: Number of leading core columns of source and target; with 0 (collapsed) nothing is shared.
        ridge: Penalty of the full map, see `alignment.fit.fit_ridge`.
        metrics: Metrics of the raw latents of both sides, see `alignment.raw_map`; None where one has none.

    Raises:
        AlignmentError: Pairs, or the two sets of them, or the core dimensions do not fit together.
    """
    source, target = _check_edge(fit, held, core_dims)
    i, j = core_dims
    core = find_shared(source[:, :i], target[:, :j], held.leading(i, j))
    latent = find_shared(source, target, held)
    full = fit_ridge(source, target, ridge)
    x, y = held.source, held.target
    shared_values = core.correlations[: core.dim]
    return EdgeMaps(full, core.map, core.regression), core, EdgeScore(
        r2=r2(full(x), y),
        r2_shared=core.r2(x[:, :i], y[:, :j]),
        shared_dim=core.dim,
        correlations=tuple(core.correlations.tolist()),
        null_correlation=core.null_level,
        latent_shared_dim=latent.dim,
        latent_correlations=tuple(latent.correlations.tolist()),
        latent_null_correlation=latent.null_level,
        kappa=kappa(shared_values),
        isometry_deviation=isometry_deviation(shared_values),
        retrieval_at_1=_retrieval(core, x[:, :i], y[:, :j]),
        cka=linear_cka(x, y),
        mutual_knn=mutual_knn(x, y),
        raw=score_raw((source, target), (x, y), metrics) if metrics else None,
        raw_strong=score_strong((source, target), (x, y), metrics, latent) if metrics else None,
    )  # fmt: skip


def score_strong(fit: Pairs, held: Pairs, metrics: Pairs, latent: SharedSubspace) -> RawScore | None:
    """Return the scores of raw maps between the directions that correlate strongly; None without any.

    Args:
        fit: White coordinates to fit on, [K, D_i] and [K, D_j].
        held: White coordinates to score on, [H, D_i] and [H, D_j].
        metrics: Metric of each side, see `alignment.raw_map`.
        latent: The directions, with their held-out correlations.
    """
    count = int((latent.correlations >= STRONG).sum())
    axes = (latent.source_axes[:, :count], latent.target_axes[:, :count])
    return score_raw(fit, held, metrics, axes) if count else None


def _retrieval(core: SharedSubspace, source: Tensor, target: Tensor) -> float:
    if not core.dim:
        return 0.0
    x, y = source.double() @ core.source_axes, target.double() @ core.target_axes
    return retrieval_at(x[:, : core.dim], y[:, : core.dim])


def budget_curve(
    fit: Pairs, held: HeldOut, budgets: Sequence[int], core_dims: tuple[int, int], core: SharedSubspace,
    generator: torch.Generator, ridge: float = 4.0,
) -> list[dict[str, int | str | float]]:  # fmt: skip
    """Return held-out R2 by number of fit pairs: a row ``{"pairs", "method", "r2"}`` per budget and method.

    Procrustes and robust map the cores and are scored on the shared directions of the target, which all pairs
    together found; ridge maps all dimensions and is scored on all. Pairs of a small budget are chosen as a
    target chooses them (`alignment.anchors.choose_spread`); the R2 of a larger one is the mean over random
    choices.

    Args:
        fit: Pairs to choose from, [K, D_i] and [K, D_j].
        held: Pairs to score on.
        budgets: Numbers of pairs, 1 to K.
        core_dims: Number of leading core columns of source and target.
        core: What the two cores share.
        generator: Source of the choices.
        ridge: As for `score_edge`.

    Raises:
        AlignmentError: As for `score_edge`, or a budget is outside 1 to K.
    """
    check_generator(generator)
    source, target = _check_edge(fit, held, core_dims)
    available = len(source)
    if not all(1 <= pairs <= available for pairs in budgets):
        raise AlignmentError(
            f"budgets must lie between 1 and the {available} fit pairs, got {list(budgets)}",
            "leave out the others",
        )
    curve: list[dict[str, int | str | float]] = []
    chosen = _choices(target[:, : core_dims[1]], budgets, generator)
    for pairs, rows in zip(budgets, chosen, strict=True):
        scores = _mean_r2(source[rows], target[rows], held, core_dims, core, ridge)
        curve += [{"pairs": pairs, "method": method, "r2": value} for method, value in sorted(scores.items())]
    return curve


def _choices(core: Tensor, budgets: Sequence[int], generator: torch.Generator) -> list[Tensor]:
    """Return the rows [P, pairs] of each budget: one spread choice, or some random ones."""
    available = len(core)
    # of up to half of the rows, fewer are the first of more
    nested = max((pairs for pairs in budgets if pairs <= min(CHOSEN, available // 2)), default=0)
    spread, found = choose_spread(core, nested), []
    for pairs in budgets:
        if pairs <= CHOSEN:
            found.append(torch.tensor([spread[:pairs] if pairs <= nested else choose_spread(core, pairs)]))
            continue
        draws = max(1, DRAWN_PAIRS // pairs) if pairs < available else 1
        rows = [torch.randperm(available, generator=generator)[:pairs] for _ in range(draws)]
        found.append(torch.stack(rows))
    return found


def _mean_r2(
    source: Tensor, target: Tensor, held: HeldOut, core_dims: tuple[int, int], core: SharedSubspace,
    ridge: float,
) -> dict[str, float]:  # fmt: skip
    """Return the held-out R2 of each method, averaged over a stack of pairs [P, K, D_i] and [P, K, D_j]."""
    (i, j), axes = core_dims, core.target_axes[:, : core.dim]
    full = fit_ridge(source, target, ridge)
    scores = {"ridge": float(r2_each(full(held.source[None]), held.target).mean())}
    wanted = held.target[:, :j].double() @ axes  # [H, k]
    for method, fit_method in SHARED_METHODS.items():
        scores[method] = 0.0
        if core.dim:
            found = fit_method(source[..., :i], target[..., :j], rank=core.dim)
            scores[method] = float(r2_each(found(held.source[None, :, :i]) @ axes, wanted).mean())
    return scores


def _check_edge(fit: Pairs, held: HeldOut, core_dims: tuple[int, int]) -> TensorPairs:
    """Return the pairs to fit on as tensors."""
    source, target = check_pairs(*fit)
    if source.ndim != 2:
        raise AlignmentError(
            f"an edge is fitted on one set of pairs, got stacks {tuple(source.shape)}", "fit them one by one"
        )
    sides = (
        ("source", source.shape[1], held.source.shape[1]),
        ("target", target.shape[1], held.stretch.shape[1]),
    )
    for (side, dim, held_dim), core in zip(sides, core_dims, strict=True):
        if dim != held_dim:
            raise AlignmentError(
                f"the {side} has {dim} dimensions in the pairs to fit on and {held_dim} in those to score on",
                "pass embeddings [K, D] by one encoder in both",
            )
        if not 0 <= core <= dim:
            raise AlignmentError(
                f"a core of {core} of the {dim} columns of the {side} is not possible",
                f"choose from 0 to {dim}",
            )
    return source, target
