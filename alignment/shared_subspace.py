r"""The shared subspace of two latent spaces: directions that agree on held-out pairs, with a null.

With both spaces white, the cross-covariance of the pairs to fit on, ``X^T Y / K = U diag(s) V^T``, pairs a
direction of one space with a direction of the other, the most correlated first (canonical correlation
analysis: Hotelling 1936). What each pair of directions is worth is measured on held-out pairs: its
correlation there cannot exceed 1, and is that of chance where the two agents share nothing.

Chance is what the same directions reach when the target is read at another time. Latents of one tick resemble
those of the next, so that shuffled rows, which are independent, correlate less by chance than a slow world
does. A circular shift of the target by more than the scene's memory keeps every autocorrelation and leaves
out only what the two have in common (for spike trains and climate series alike: a time-shift surrogate). A
direction is shared if it exceeds the largest correlation of any direction at any of S shifts. Where the
shifts span many memories, a target that shares nothing does so about once in S + 1.

Rows without an order in time, such as embeddings of the pictures of a data set, are independent of each
other: for these chance is what the same directions reach after a random permutation of the target's rows.

Directions that are estimated from few pairs mix what is shared with what is private, and then more of them
correlate than the world shares. Where held-out pairs are many for the dimensions, the number of shared
directions is therefore also bounded by the number of their canonical correlations that exceed those of every
shift, which no fit enters.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import torch
from torch import Tensor

from alignment.arrays import AlignmentError, AnyArray
from alignment.core import ROUNDING, whitener
from alignment.fit import check_pairs
from alignment.held_out import SHIFTS, HeldOut, null_sums
from alignment.linear_map import LinearMap
from alignment.shapes_repr import shapes_repr

GUMBEL_99: Final = 3.14  # standard deviations from the mean of a Gumbel distribution to its 99 % quantile
PAIRS_PER_DIM: Final = 10  # held-out pairs for each dimension, below which chance correlates much


@dataclass(frozen=True, eq=False)
class SharedSubspace:
    """The directions of two latent spaces that agree, and the map between them.

    Attributes:
        source_axes: [D_i, m], directions of the source with orthonormal columns; m is the smaller dimension.
        target_axes: [D_j, m], the direction of the target that belongs to each.
        correlations: [m], held-out correlation of each pair of directions, descending; 0 where the pairs to
            fit on leave it undetermined.
        null: [S], largest correlation of any direction at each shift or permutation.
        null_level: Correlation that a direction must exceed to be shared.
        dim: k, number of leading directions that are shared.
        undetermined: Directions that the pairs to fit on leave undetermined; never shared.
    """

    source_axes: Tensor
    target_axes: Tensor
    correlations: Tensor
    null: Tensor
    null_level: float
    dim: int
    undetermined: int

    __repr__ = shapes_repr

    @cached_property
    def map(self) -> LinearMap:
        """The map U_k V_k^T, [D_i, D_j]: a rotation of the shared directions that drops all others."""
        weight = self.source_axes[:, : self.dim] @ self.target_axes[:, : self.dim].T
        return LinearMap(weight, weight.new_zeros(weight.shape[1]), self.dim, undetermined=0)

    @cached_property
    def regression(self) -> LinearMap:
        """The map U_k diag(c_k) V_k^T, [D_i, D_j]: least squares on the shared directions alone."""
        correlations = self.correlations[: self.dim]
        weight = (self.source_axes[:, : self.dim] * correlations) @ self.target_axes[:, : self.dim].T
        return LinearMap(weight, weight.new_zeros(weight.shape[1]), self.dim, undetermined=0)

    def r2(self, source: AnyArray, target: AnyArray) -> float:
        """Return R2 of the map on the shared directions of the target, [K, D_i] and [K, D_j]; 0 without any.

        The share of the target's variance within its shared subspace that the map explains.
        """
        if self.dim == 0:
            return 0.0
        x, y = check_pairs(source, target)
        predicted = x.double() @ self.source_axes[:, : self.dim]
        actual = y.double() @ self.target_axes[:, : self.dim]
        total = (actual - actual.mean(0)).square().sum()
        return float(1 - (predicted - actual).square().sum() / total) if total > 0 else 0.0


def find_shared(
    source: AnyArray, target: AnyArray, held: HeldOut, shifts: int = SHIFTS, extrapolate: bool = False
) -> SharedSubspace:
    """Return the shared subspace of two latent spaces; the module describes the method.

    Args:
        source: [K, D_i], pairs to fit on; white about the origin, as the coordinates of a `CoreBasis` are.
        target: [K, D_j].
        held: Held-out pairs.
        shifts: Number of draws of the null, fewer where the stretch has fewer shifts.
        extrapolate: Whether the level of the null is at least the 99 % quantile of a Gumbel distribution, the
            limit of largest values (Fisher and Tippett 1928), with the mean and the variance of the null. A
            stretch of few memories has few independent shifts, and chance exceeds all of them more often.

    Raises:
        AlignmentError: Pairs or held-out pairs do not fit together.
    """
    x, y = (rows.double() for rows in check_pairs(source, target))
    if x.shape[1] != held.source.shape[1] or y.shape[1] != held.stretch.shape[1]:
        raise AlignmentError(
            f"pairs of {x.shape[1]} and {y.shape[1]} dimensions are held out as {held.source.shape[1]} and "
            f"{held.stretch.shape[1]}",
            "pass embeddings by one encoder in both",
        )
    u, s, vt = torch.linalg.svd(x.mT @ y / len(x), full_matrices=False)
    v = vt.mT
    determined = s > ROUNDING**0.5 * torch.linalg.matrix_norm(x) * torch.linalg.matrix_norm(y) / len(x)
    a, b = held.source.double() @ u, held.stretch.double() @ v
    found = torch.where(determined, _correlations(a, b[held.rows]), 0.0)
    by_chance = torch.where(determined, _null_correlations(a, b, held, shifts), 0.0)  # [S, m]
    order = found.argsort(descending=True, stable=True)
    null = by_chance.amax(1) if len(s) else found.new_zeros(0)
    level = float(null.max()) if len(null) else 1.0
    if extrapolate and len(null) > 1:
        level = max(level, min(1.0, float(null.mean() + GUMBEL_99 * null.std())))
    dim = min(int((found > level).sum()), _canonical_dim(held, shifts)) if len(s) else 0
    undetermined = int((~determined).sum())
    return SharedSubspace(u[:, order], v[:, order], found[order], null, level, dim, undetermined)


def _correlations(a: Tensor, b: Tensor) -> Tensor:
    """Return the correlation of each column of a [K, m] with that of b [K, m], as [m]."""
    a, b = a - a.mean(0), b - b.mean(0)
    size = a.square().sum(0) * b.square().sum(0)
    return torch.where(size > 0, (a * b).sum(0) * size.rsqrt(), 0.0).clamp(-1, 1)


def _null_correlations(a: Tensor, b: Tensor, held: HeldOut, count: int) -> Tensor:
    """Return the correlation of each column of a [K, m] with that of b [P, m] at each draw, as [S, m]."""
    a, b = a - a.mean(0), b - b.mean(0)
    ones = a.new_ones(len(a), 1)
    mean = null_sums(ones, b, held, count, matched=True) / max(len(a), 1)
    squares = null_sums(ones, b.square(), held, count, matched=True)
    variance = squares - len(a) * mean.square()
    variance = torch.where(variance > ROUNDING * squares, variance, 0.0)  # else it is what rounding left
    size = a.square().sum(0) * variance
    products = null_sums(a, b, held, count, matched=True)
    return torch.where(size > 0, products * size.rsqrt(), 0.0).clamp(-1, 1)


def _canonical_dim(held: HeldOut, count: int) -> int:
    """Return the number of canonical correlations of the held-out pairs that exceed those of every draw.

    All of them where the pairs are few for the dimensions: then chance alone has large ones.

    Args:
        held: Held-out pairs.
        count: Draws of the null.
    """
    if len(held.source) < PAIRS_PER_DIM * (held.source.shape[1] + held.stretch.shape[1]):
        return min(held.source.shape[1], held.stretch.shape[1])
    x, y = _whiten(held.source.double()), _whiten(held.stretch.double())
    found = torch.linalg.svdvals(x.mT @ y[held.rows] / len(x))
    drawn = null_sums(x, y, held, count) / len(x)
    # the squares of their largest singular values, in two thirds of the time of these
    by_chance = torch.linalg.eigvalsh(drawn.mT @ drawn)[:, -1]
    return int((found.square() > by_chance.max()).sum())


def _whiten(rows: Tensor) -> Tensor:
    """Return centered rows rotated and scaled to unit variance; directions of rounding alone become small."""
    centered = rows - rows.mean(0)
    rounding = ROUNDING * rows.square().mean().item()
    return centered @ whitener(centered.mT @ centered / len(rows), ridge=0.0, rounding=rounding)
