r"""Fits between two white tables: how many coordinates the pairs support, and how far to trust each.

Everything here sees the pairs to fit on alone, and judges itself by cross-validation among them.
"""

from typing import Final

import torch
from torch import Tensor

from alignment.fit import center
from alignment.linear_map import LinearMap
from alignment.shared_subspace import PAIRS_PER_DIM

FOLDS: Final = 5
MAX_COORDINATES: Final = 512  # of one table, where the pairs are too few for all
DETERMINED: Final = 1e-7  # least singular value of a direction that pairs determine, relative to the largest
MIN_ERROR: Final = 1e-6  # of a prediction, in standard deviations of the target
# Strengths of the ridge tried, relative to the mean variance per direction of the source, times the pairs.
# The weakest leaves columns of a thousandth of the usual spread their part.
STRENGTHS: Final = tuple(10.0 ** (exponent / 2) for exponent in range(-20, 7))


def choose_coordinates(source: Tensor, target: Tensor) -> tuple[int, int]:
    r"""Return the number of leading coordinates of each side that the pairs support.

    All, where there are ten pairs for each. Otherwise directions that are estimated from too many coordinates
    are mostly noise, and of r leading coordinates of both sides that r is chosen whose directions agree most
    on left-out pairs: the largest sum of squared correlations, over both ways
    to predict. r is at most half the number of pairs.

    Args:
        source: [K, D_i], white, the largest variance first.
        target: [K, D_j].
    """
    pairs, i, j = len(source), source.shape[1], target.shape[1]
    if pairs >= PAIRS_PER_DIM * (i + j):
        return i, j
    largest = max(1, min(max(i, j), pairs // 2, MAX_COORDINATES))
    tried = sorted({*(min(largest, round(2 ** (step / 2))) for step in range(20)), largest})
    found = []
    for r in tried:
        x, y = source[:, :r], target[:, :r]
        found.append((_agreement(x, y) + _agreement(y, x), r))
    best = max(found)[1]
    return min(best, i), min(best, j)


def _agreement(source: Tensor, target: Tensor) -> float:
    """Return the sum of squared correlations of left-out pairs, the expected sum of chance subtracted."""
    _, _, v = directions(source, target)
    predicted, actual = left_out(source, target, v)
    a, b = center(predicted)[0], center(actual)[0]
    size = (a.square().sum(0) * b.square().sum(0)).sqrt()
    correlations = torch.where(size > 0, (a * b).sum(0) / size, 0.0)
    return float((correlations.clamp_min(0).square() - 0.5 / len(source)).sum())


def directions(source: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return U [D_i, m], s [m] and V [D_j, m] of the cross-covariance of pairs, the most correlated first."""
    u, s, vt = torch.linalg.svd(source.T @ target / len(source), full_matrices=False)
    return u, s, vt.T


def left_out(source: Tensor, target: Tensor, axes: Tensor) -> tuple[Tensor, Tensor]:
    """Return coordinates of the target along some axes: predicted by fits on other pairs, and actual.

    A fit on other pairs orders its directions in another way than that of all pairs does: it predicts along
    the axes by its whole rotation, not by as many of its own leading directions.

    Args:
        source: [K, D_i].
        target: [K, D_j].
        axes: [D_j, k], orthonormal.
    """
    predicted = torch.zeros(len(source), axes.shape[1], dtype=torch.float64)
    for rows in torch.arange(len(source)).chunk(min(FOLDS, len(source))):
        others = torch.ones(len(source), dtype=torch.bool)
        others[rows] = False
        u, s, v = directions(source[others], target[others])
        determined = (s > DETERMINED * s[:1]).double()  # further directions are arbitrary
        predicted[rows] = (source[rows] @ u * determined) @ (v.T @ axes)
    return predicted, target @ axes


def calibrate(source: Tensor, target: Tensor, axes: Tensor) -> tuple[Tensor, Tensor]:
    """Return the slope of a rotation along each axis of the target, and its error after scaling, [k].

    A rotation keeps lengths, and so it errs along directions that agree only in part; least squares shrinks
    them. Both numbers are those of left-out pairs: the fitted ones would shrink too little.

    Args:
        source: [K, D_i], white.
        target: [K, D_j], white.
        axes: [D_j, k], shared directions of the target.

    Returns:
        Slopes, 0 to 1, and the root mean squares of the errors, above 0.
    """
    predicted, actual = left_out(source, target, axes)
    size = predicted.square().sum(0)
    slopes = torch.where(size > 0, (predicted * actual).sum(0) / size, 0.0).clamp(0, 1)
    return slopes, (actual - slopes * predicted).square().mean(0).sqrt().clamp_min(MIN_ERROR)


def fit_ridge_left_out(source: Tensor, target: Tensor) -> LinearMap:
    r"""Return the ridge regression whose strength predicts left-out pairs best, [K, D_i] and [K, D_j].

    With ``X = U S V^T`` of centered pairs, strength r predicts ``H Y`` with ``H = U S^2 / (S^2 + r) U^T``.
    The error of a pair that was left out of the fit is its residual over ``1 - h_kk - 1/K`` (the PRESS
    statistic, Allen 1974), so that no fit is repeated.
    """
    x, x_mean = center(source)
    y, y_mean = center(target)
    u, s, vt = torch.linalg.svd(x, full_matrices=False)
    along, power = u.T @ y, s.square()
    unit = float(power.sum()) / max(x.shape[1], 1)
    best, chosen = float("inf"), max(STRENGTHS) * unit
    for strength in STRENGTHS:
        kept = power / (power + strength * unit)
        leverage = (u.square() * kept).sum(1) + 1 / len(x)
        error = ((y - u @ (kept[:, None] * along)) / (1 - leverage).clamp_min(1e-9)[:, None]).square().sum()
        if float(error) < best:
            best, chosen = float(error), strength * unit
    weight = vt.T @ ((s / (power + chosen))[:, None] * along)
    return LinearMap(weight, (y_mean - x_mean @ weight).squeeze(0))
