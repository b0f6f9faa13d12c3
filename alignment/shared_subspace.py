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

from alignment.arrays import AlignmentError, AnyArray, check_devices, check_finite, to_tensor
from alignment.core import ROUNDING, whitener
from alignment.fit import check_pairs
from alignment.linear_map import LinearMap
from alignment.shapes_repr import shapes_repr

SHIFTS: Final = 199  # chance beats all of them about once in 200
PERMUTATION_SEED: Final = 0  # both directions of an edge, and every repetition, see the same permutations
CHUNK: Final = 2**24  # correlated values held at once, 128 MiB
GUMBEL_99: Final = 3.14  # standard deviations from the mean of a Gumbel distribution to its 99 % quantile
PAIRS_PER_DIM: Final = 10  # held-out pairs for each dimension, below which chance correlates much


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Held-out pairs, and the target's embeddings of the whole stretch of time that they lie in.

    Attributes:
        source: [K, D_i].
        stretch: [P, D_j], the target at P ticks at equal distances.
        rows: [K], int64, which row of the stretch belongs to each row of the source.
        memory: Rows of the stretch after which the scene no longer resembles itself, at least 1; None where
            rows have no order in time, so that the null permutes the pairs.
    """

    source: Tensor
    stretch: Tensor
    rows: Tensor
    memory: int | None

    __repr__ = shapes_repr

    def __post_init__(self) -> None:
        """Raise AlignmentError for parts that do not fit together, or a stretch too short to shift."""
        object.__setattr__(self, "source", to_tensor(self.source, "the held-out source"))
        object.__setattr__(self, "stretch", to_tensor(self.stretch, "the held-out stretch"))
        object.__setattr__(self, "rows", torch.as_tensor(self.rows, dtype=torch.int64).cpu())
        check_devices(source=self.source, stretch=self.stretch)
        if self.source.ndim != 2 or self.stretch.ndim != 2 or self.rows.shape != self.source.shape[:1]:
            raise AlignmentError(
                "held-out pairs need source [K, D_i], stretch [P, D_j] and one row number for each of K, got "
                f"{tuple(self.source.shape)}, {tuple(self.stretch.shape)} and {tuple(self.rows.shape)}",
                "pass the target's embeddings of all ticks of the stretch, and which of them are paired",
            )
        if len(self.rows) and not 0 <= int(self.rows.min()) <= int(self.rows.max()) < len(self.stretch):
            raise AlignmentError(
                f"a row number lies outside the {len(self.stretch)} rows of the stretch", "count rows from 0"
            )
        if self.memory is not None and (self.memory < 1 or len(self.stretch) <= 2 * self.memory):
            raise AlignmentError(
                f"a stretch of {len(self.stretch)} rows cannot be shifted by more than a memory of "
                f"{self.memory} rows",
                "score on a longer stretch, or on ticks that lie further apart",
            )
        check_finite(self.stretch, "the held-out stretch", "check the encoder that made it")

    @classmethod
    def of_pairs(cls, source: AnyArray, target: AnyArray, memory: int | None = 1) -> "HeldOut":
        """Return held-out pairs whose rows are themselves at equal distances in time, [K, D_i] and [K, D_j].

        Args:
            source: [K, D_i].
            target: [K, D_j].
            memory: Rows after which the scene no longer resembles itself; None where rows have no order.
        """
        x, y = check_pairs(source, target)
        return cls(x, y, torch.arange(len(y)), memory)

    @property
    def target(self) -> Tensor:
        """The target's embeddings of the paired ticks, [K, D_j]."""
        return self.stretch[self.rows]

    def leading(self, source_dim: int, target_dim: int) -> "HeldOut":
        """Return the pairs of the leading dimensions alone."""
        return HeldOut(self.source[:, :source_dim], self.stretch[:, :target_dim], self.rows, self.memory)

    def null_rows(self, count: int = SHIFTS) -> Tensor:
        """Return the rows of the stretch that the pairs have by chance, int64 [S, K].

        Those after up to ``count`` circular shifts, or of ``count`` permutations of pairs without an order.
        """
        if self.memory is not None:
            return self.shifted_rows(self.shifts(count))
        generator = torch.Generator().manual_seed(PERMUTATION_SEED)
        orders = [torch.randperm(len(self.rows), generator=generator) for _ in range(count)]
        return self.rows[torch.stack(orders)]

    def shifts(self, count: int = SHIFTS) -> Tensor:
        """Return up to ``count`` circular shifts by the memory or more, evenly spread, int64 [S]."""
        memory = self.memory or 1
        first, last = memory, len(self.stretch) - memory
        count = min(count, last - first + 1)
        return torch.linspace(first, last, count, dtype=torch.float64).round().long()

    def shifted_rows(self, shifts: Tensor) -> Tensor:
        """Return the rows of the stretch that the pairs have after each circular shift, int64 [S, K]."""
        return (self.rows + shifts[:, None]) % len(self.stretch)


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
    rows = torch.cat([held.rows[None], held.null_rows(shifts)])
    a, b = held.source.double() @ u, held.stretch.double() @ v
    chunks = rows.split(max(1, CHUNK // max(a.numel(), 1)))
    correlations = torch.where(determined, torch.cat([_correlations(a, b[part]) for part in chunks]), 0.0)
    order = correlations[0].argsort(descending=True, stable=True)  # correlations [1 + S, m]
    found, null = correlations[0][order], correlations[1:].amax(1) if len(s) else correlations.new_zeros(0)
    level = float(null.max()) if len(null) else 1.0
    if extrapolate and len(null) > 1:
        level = max(level, float(null.mean() + GUMBEL_99 * null.std()))
    dim = min(int((found > level).sum()), _canonical_dim(held, rows)) if len(s) else 0
    return SharedSubspace(u[:, order], v[:, order], found, null, level, dim, int((~determined).sum()))


def _correlations(a: Tensor, b: Tensor) -> Tensor:
    """Return the correlation of each column of a [K, m] with that of each b [S, K, m], as [S, m]."""
    a, b = a - a.mean(0), b - b.mean(1, keepdim=True)
    size = a.square().sum(0) * b.square().sum(1)
    return torch.where(size > 0, torch.einsum("km,skm->sm", a, b) * size.rsqrt(), 0.0).clamp(-1, 1)


def _canonical_dim(held: HeldOut, rows: Tensor) -> int:
    """Return the number of canonical correlations of the held-out pairs that exceed those of every shift.

    All of them where the pairs are few for the dimensions: then chance alone has large ones.

    Args:
        held: Held-out pairs.
        rows: [1 + S, K], rows of the stretch that are paired, and those of each draw of the null.
    """
    if len(held.source) < PAIRS_PER_DIM * (held.source.shape[1] + held.stretch.shape[1]):
        return min(held.source.shape[1], held.stretch.shape[1])
    x, y = _whiten(held.source.double()), _whiten(held.stretch.double())
    chunks = rows.split(max(1, CHUNK // max(x.shape[0] * y.shape[1], 1)))
    values = torch.cat([
        torch.linalg.svdvals(torch.einsum("ki,skj->sij", x, y[part]) / len(x)) for part in chunks
    ])  # [1 + S, m]  # fmt: skip
    return int((values[0] > values[1:, 0].max()).sum())


def _whiten(rows: Tensor) -> Tensor:
    """Return centered rows rotated and scaled to unit variance; directions of rounding alone become small."""
    centered = rows - rows.mean(0)
    rounding = ROUNDING * rows.square().mean().item()
    return centered @ whitener(centered.mT @ centered / len(rows), ridge=0.0, rounding=rounding)
