r"""Held-out scores of a map between two latent spaces, and of shuffled pairs.

The scores are functions of one spectrum: with both spaces white and W by least squares, the singular values
of W are the canonical correlations c, and

    R2 = mean c^2        Procrustes error per dimension = 2 (1 - mean c)
    kappa(W) = c_max / c_min        isometry deviation = sqrt(mean (1 - c^2)^2)

An isometry has all c near 1. Each score is compared with its shuffled-pair null, its value for unrelated
agents. Degenerate sets get the worst score, never NaN: a collapsed agent must not score well.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from alignment.core import ROUNDING, varies
from alignment.fit import center, check_pairs
from alignment.linear_map import LinearMap

Score = Callable[[Tensor, Tensor], float | Tensor]
Pairs = tuple[Tensor, Tensor]  # [K, D_i] and [K, D_j]: row k of both is the same tick


def r2(predicted: Tensor, target: Tensor) -> float:
    """Return the share of the target's variance, pooled over dimensions, that the prediction explains.

    ``1 - sum |y - f|^2 / sum |y - mean y|^2``: 1 is perfect, 0 the mean as prediction, -1 a random rotation
    between white cores. A constant target, or a single pair, scores 0.

    Args:
        predicted: f, [K, D].
        target: y, [K, D].
    """
    check_pairs(predicted, target)
    return float(r2_each(predicted[None], target)[0])


def r2_each(predicted: Tensor, target: Tensor) -> Tensor:
    """Return the R2 (see `r2`) of several predictions of one target, [P, K, D] and [K, D] -> [P]."""
    if not varies(target):
        return torch.zeros(len(predicted), dtype=torch.float64)
    error, total = (target.double() - predicted).square().sum((-2, -1)), center(target)[0].square().sum()
    return 1 - error / total


def spectrum(source: Tensor, target: Tensor) -> Tensor:
    r"""Return the singular values of the least-squares map, descending, [min(K, D_i, D_j)].

    Both sets should be white. As ``W = X^+ Y = V S^-1 U^T Y`` and V rotates only the source, they are those
    of ``S^-1 U^T Y``. With K <= D_i a map fits anything, as the null then shows.
    """
    check_pairs(source, target)
    u, inverse = _directions(source)
    return torch.linalg.svdvals(inverse[:, None] * (u.T @ center(target)[0]))


def canonical_correlations(source: Tensor, target: Tensor) -> Tensor:
    r"""Return the cosines between the two column spaces, descending, [min(K, D_i, D_j)] (Hotelling 1936).

    They are the `spectrum` after both sets are whitened on these pairs: singular values of ``U_x^T U_y``. A
    direction without variance has correlation 0.
    """
    check_pairs(source, target)
    return torch.linalg.svdvals(_directions(source)[0].T @ _directions(target)[0])


def kappa(values: Tensor) -> float:
    """Return the condition number c_max / c_min of a spectrum: infinite when it is empty or reaches 0."""
    if values.numel() == 0 or values.min() <= 0:
        return float("inf")
    return float(values.max() / values.min())


def isometry_deviation(values: Tensor) -> float:
    """Return ``sqrt(mean (1 - c^2)^2)``: 0 for an isometry, 1 for unrelated or empty spaces."""
    if values.numel() == 0:
        return 1.0
    return float((1 - values.double().square()).square().mean().sqrt())


def linear_cka(source: Tensor, target: Tensor) -> float:
    r"""Return the centered kernel alignment ``|X^T Y|^2 / (|X^T X| |Y^T Y|)`` (Kornblith et al. 2019).

    Sets of many dimensions and few pairs score high without being related; a constant set scores 0.
    """
    check_pairs(source, target)
    if not (varies(source) and varies(target)):
        return 0.0
    x, y = center(source)[0], center(target)[0]
    norm = torch.linalg.matrix_norm
    return float(norm(x.T @ y).square() / (norm(x.T @ x) * norm(y.T @ y)))


def mutual_knn(source: Tensor, target: Tensor, k: int = 10) -> float:
    """Return the mean share of a row's k nearest neighbors that both spaces have in common (Huh et al. 2024).

    Chance is k / (K - 1); k is at most K - 1. A constant set scores 0.
    """
    check_pairs(source, target)
    k = min(k, len(source) - 1)
    if k < 1 or not (varies(source) and varies(target)):
        return 0.0
    first, second = (
        _distances(rows, rows).fill_diagonal_(torch.inf).topk(k, largest=False).indices
        for rows in (source, target)
    )  # [K, k] each
    agreed = (first[:, :, None] == second[:, None, :]).sum()
    return float(agreed / (k * len(source)))


def retrieval_at(predicted: Tensor, target: Tensor, k: int = 1) -> float:
    """Return the share of predictions whose target is among the k nearest of all K targets.

    Distances are Euclidean; chance is k / K. Ties count as misses, so a constant set scores 0.
    """
    check_pairs(predicted, target)
    distance = _distances(predicted, target)
    rank = (distance <= distance.diagonal()[:, None]).sum(1)
    return float((rank <= k).double().mean())


def cycle_error(maps: Sequence[LinearMap], points: Tensor) -> float:
    """Return ``sum |path(z) - z|^2 / sum |z|^2`` around a cycle of maps: 0 consistent, about 2 unrelated."""
    back = points.double()
    for step in maps:
        back = step(back)
    error, size = (back - points).square().sum(), points.double().square().sum()
    return float(error / size) if size > 0 else (0.0 if error == 0 else float("inf"))


def shuffle_pairs(target: Tensor, generator: torch.Generator) -> Tensor:
    """Return the rows in a random order: only the pairing is lost."""
    return target[torch.randperm(len(target), generator=generator)]


def shuffled_null(
    source: Tensor, target: Tensor, score_fn: Score, generator: torch.Generator, rounds: int = 5
) -> Tensor:
    """Return the score of shuffled pairs, one per round, [rounds, ...]."""
    scores = [score_fn(source, shuffle_pairs(target, generator)) for _ in range(rounds)]
    return torch.stack([torch.as_tensor(score, dtype=torch.float64) for score in scores])


def _directions(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return U [K, m] and 1 / S [m] of the SVD of centered rows; 0 for directions of rounding alone."""
    u, s, _ = torch.linalg.svd(center(rows)[0], full_matrices=False)
    real = s > ROUNDING**0.5 * torch.linalg.matrix_norm(rows.double())
    return u * real, torch.where(real, 1 / s, 0.0)


def _distances(a: Tensor, b: Tensor) -> Tensor:
    """Return Euclidean distances [K, K]; the fast product formula would break exact ties."""
    return torch.cdist(a.double(), b.double(), compute_mode="donot_use_mm_for_euclid_dist")
