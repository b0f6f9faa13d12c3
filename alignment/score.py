r"""Held-out scores of a map between two latent spaces.

The scores are functions of one spectrum: with both spaces white and W by least squares, the singular values
of W are the canonical correlations c, and

    R2 = mean c^2        Procrustes error per dimension = 2 (1 - mean c)
    kappa(W) = c_max / c_min        isometry deviation = sqrt(mean (1 - c^2)^2)

An isometry has all c near 1. Degenerate sets get the worst score, never NaN: a collapsed agent must not
score well.

Sets are tensors or NumPy arrays of any real type, and arrays are returned in the type that was given. Every
score raises `alignment.arrays.AlignmentError` for sets that `alignment.fit.check_pairs` refuses.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from alignment.arrays import AlignmentError, Array, check_generator, like, to_tensor
from alignment.core import ROUNDING, varies
from alignment.fit import center, check_pairs
from alignment.linear_map import KEPT, LinearMap

Pairs = tuple[Tensor, Tensor]  # [K, D_i] and [K, D_j]: row k of both is the same tick


def r2(predicted: Array, target: Array) -> float:
    """Return the share of the target's variance, pooled over dimensions, that the prediction explains.

    ``1 - sum |y - f|^2 / sum |y - mean y|^2``: 1 is perfect, 0 the mean as prediction, -1 a random rotation
    between white cores. A constant target, or a single pair, scores 0.

    Args:
        predicted: f, [K, D].
        target: y, [K, D].
    """
    f, y = _same_shape(predicted, target)
    return float(_r2_each(f[None], y)[0])


def r2_each(predicted: Array, target: Array) -> Array:
    """Return the R2 (see `r2`) of several predictions of one target, [P, K, D] and [K, D] -> [P]."""
    f, y = to_tensor(predicted, "predicted"), to_tensor(target, "target")
    f, y = _same_shape(f, y.expand(len(f), *y.shape) if f.ndim == 3 and y.ndim == 2 else y)
    return like(_r2_each(f, y[0]), predicted)


def _r2_each(predicted: Tensor, target: Tensor) -> Tensor:
    if not varies(target):
        return torch.zeros(len(predicted), dtype=torch.float64, device=target.device)
    error, total = (target.double() - predicted).square().sum((-2, -1)), center(target)[0].square().sum()
    return 1 - error / total


def _same_shape(predicted: Array, target: Array) -> tuple[Tensor, Tensor]:
    """Return predictions and targets as tensors; unlike pairs they lie in one space."""
    f, y = check_pairs(predicted, target)
    if f.shape != y.shape:
        raise AlignmentError(
            f"predictions and targets differ in their dimensions, got {tuple(f.shape)} and {tuple(y.shape)}",
            "map the source first: r2(found(source), target)",
        )
    return f, y


def spectrum(source: Array, target: Array) -> Array:
    r"""Return the singular values of the least-squares map, descending, [min(K, D_i, D_j)].

    Both sets should be white. As ``W = X^+ Y = V S^-1 U^T Y`` and V rotates only the source, they are those
    of ``S^-1 U^T Y``. With K <= D_i a map fits anything, as the null then shows.
    """
    x, y = _one_set(source, target)
    u, inverse = _directions(x)
    return like(torch.linalg.svdvals(inverse[:, None] * (u.T @ center(y)[0])), source)


def canonical_correlations(source: Array, target: Array) -> Array:
    r"""Return the cosines between the two column spaces, descending, [min(K, D_i, D_j)] (Hotelling 1936).

    They are the `spectrum` after both sets are whitened on these pairs: singular values of ``U_x^T U_y``. A
    direction without variance has correlation 0.
    """
    x, y = _one_set(source, target)
    return like(torch.linalg.svdvals(_directions(x)[0].T @ _directions(y)[0]), source)


def kappa(values: Array) -> float:
    """Return the condition number c_max / c_min of a spectrum: infinite when it is empty or reaches 0."""
    c = to_tensor(values, "a spectrum").double()
    if c.numel() == 0 or not c.min() > 0:
        return float("inf")
    return float(c.max() / c.min())


def isometry_deviation(values: Array) -> float:
    """Return ``sqrt(mean (1 - c^2)^2)``: 0 for an isometry, 1 for unrelated or empty spaces."""
    c = to_tensor(values, "a spectrum")
    if c.numel() == 0:
        return 1.0
    return float((1 - c.double().square()).square().mean().sqrt())


def linear_cka(source: Array, target: Array) -> float:
    r"""Return the centered kernel alignment ``|X^T Y|^2 / (|X^T X| |Y^T Y|)`` (Kornblith et al. 2019).

    Sets of many dimensions and few pairs score high without being related; a constant set scores 0.
    """
    x, y = _one_set(source, target)
    if not (varies(x) and varies(y)):
        return 0.0
    x, y = center(x)[0], center(y)[0]
    norm = torch.linalg.matrix_norm
    return float(norm(x.T @ y).square() / (norm(x.T @ x) * norm(y.T @ y)))


def mutual_knn(source: Array, target: Array, k: int = 10) -> float:
    """Return the mean share of a row's k nearest neighbors that both spaces have in common (Huh et al. 2024).

    Chance is k / (K - 1); k is at most K - 1. A constant set scores 0.
    """
    x, y = _one_set(source, target)
    k = min(k, len(x) - 1)
    if k < 1 or not (varies(x) and varies(y)):
        return 0.0
    first, second = (_nearest(center(rows)[0], k) for rows in (x, y))
    larger = torch.maximum(first.sum(1), second.sum(1))  # k, but for exact ties
    return float((first & second).sum() / larger.sum())


def retrieval_at(predicted: Array, target: Array, k: int = 1) -> float:
    """Return the share of predictions whose target is among the k nearest of all K targets.

    Distances are Euclidean; chance is k / K. Ties count as misses, so a constant set scores 0.
    """
    f, y = _one_set(*_same_shape(predicted, target))
    distance = _distances(f, y)
    rank = (distance <= distance.diagonal()[:, None]).sum(1)
    return float((rank <= k).double().mean())


def image(found: LinearMap) -> Tensor:
    """Return orthonormal directions of the target that a map reaches, [D_j, s].

    For maps made of rotations that drop directions: one that is kept has nearly its length, and one that is
    dropped none, up to rounding.
    """
    _, s, vt = torch.linalg.svd(found.weight.double(), full_matrices=False)
    return vt[s > KEPT].T


def image_r2(found: LinearMap, source: Array, target: Array) -> float:
    """Return the R2 of a map on the directions of the target that it reaches; 0 if it reaches none.

    Args:
        found: The map, [D_i, D_j].
        source: [K, D_i].
        target: [K, D_j].
    """
    x, y = _one_set(source, target)
    axes = image(found)
    return r2(found(x.double()) @ axes, y.double() @ axes) if axes.shape[1] else 0.0


def cycle_error(maps: Sequence[LinearMap], points: Array) -> float:
    """Return ``sum |path(z) - z|^2 / sum |z|^2`` around a cycle of maps: 0 consistent, about 2 unrelated.

    Args:
        maps: Maps in order; the last one leads back to the space of the points.
        points: [K, D] in the source space of the first map.

    Raises:
        AlignmentError: A map takes another dimension than the one before it returns, or the last one does not
            lead back.
    """
    start = back = to_tensor(points, "points").double()
    for step in maps:
        back = step(back)
    if back.shape != start.shape:
        raise AlignmentError(
            f"these maps lead from {start.shape[-1]} dimensions to {back.shape[-1]}",
            "end the cycle with a map into the space that it starts in",
        )
    error, size = (back - start).square().sum(), start.square().sum()
    return float(error / size) if size > 0 else (0.0 if error == 0 else float("inf"))


def shuffle_pairs(target: Array, generator: torch.Generator) -> Array:
    """Return the rows in a random order: only the pairing is lost."""
    check_generator(generator)
    rows = to_tensor(target, "target")
    return like(rows[torch.randperm(len(rows), generator=generator).to(rows.device)], target)


def _one_set(source: Array, target: Array) -> tuple[Tensor, Tensor]:
    """Return pairs as tensors, [K, D_i] and [K, D_j]: these scores take no stack."""
    x, y = check_pairs(source, target)
    if x.ndim != 2:
        raise AlignmentError(
            f"this score takes one set of pairs, got stacks {tuple(x.shape)} and {tuple(y.shape)}",
            "score the sets of a stack one by one",
        )
    return x, y


def _directions(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return U [K, m] and 1 / S [m] of the SVD of centered rows; 0 for directions of rounding alone."""
    u, s, _ = torch.linalg.svd(center(rows)[0], full_matrices=False)
    real = s > ROUNDING**0.5 * torch.linalg.matrix_norm(rows.double())
    return u * real, torch.where(real, 1 / s, 0.0)


def _nearest(rows: Tensor, k: int) -> Tensor:
    """Return which other rows are among the k nearest of each of centered rows, bool [K, K].

    All of those that are as near as the last one count.
    """
    size = rows.square().sum(1)
    distance = (size + size[:, None] - 2 * rows @ rows.T).clamp_min(0).fill_diagonal_(torch.inf)
    distance = distance.float()  # numpy then takes a fifth of the time of torch's topk
    last = np.partition(distance.numpy(force=True), k - 1, axis=1)[:, k - 1 : k]
    return distance <= torch.from_numpy(last).to(distance)


def _distances(a: Tensor, b: Tensor) -> Tensor:
    """Return Euclidean distances [K, K]; the fast product formula would break exact ties."""
    return torch.cdist(a.double(), b.double(), compute_mode="donot_use_mm_for_euclid_dist")
