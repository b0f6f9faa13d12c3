"""Held-out pairs, and what they have in common by chance: the target at another time, or permuted."""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from alignment.arrays import AlignmentError, AnyArray, check_devices, check_finite, to_tensor
from alignment.fit import check_pairs
from alignment.shapes_repr import shapes_repr

SHIFTS: Final = 199  # chance beats all of them about once in 200
PERMUTATION_SEED: Final = 0  # both directions of an edge, and every repetition, see the same permutations
CHUNK: Final = 2**24  # values held at once, 128 MiB


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
        for name, rows in (("the held-out source", self.source), ("the held-out stretch", self.stretch)):
            check_finite(rows, name, "check the encoder that made it")

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


def null_sums(a: Tensor, b: Tensor, held: HeldOut, count: int = SHIFTS, matched: bool = False) -> Tensor:
    """Return the sums over pairs of products of columns at each draw of the null, float64.

    For draw s, which pairs row k of a with row r_s(k) of the stretch, they are sum_k a[k, i] b[r_s(k), j].
    Those of all circular shifts together are a cross-correlation, and cost a Fourier transform of each
    column instead of a pass over all pairs for each shift.

    Args:
        a: float64 [K, I], of the held-out pairs.
        b: float64 [P, J], of the stretch.
        held: The pairs.
        count: Draws of the null.
        matched: Whether only column i of a and column i of b are multiplied; one of them may be of width 1.

    Returns:
        [S, I, J]; [S, max(I, J)] if matched.
    """
    if held.memory is None:
        return _permuted_sums(a, b, held.null_rows(count), matched)
    shifts, length = held.shifts(count), len(held.stretch)
    if not a.shape[1] * b.shape[1]:  # some libraries transform no empty array
        return b.new_zeros(len(shifts), *((0,) if matched else (a.shape[1], b.shape[1])))
    spread = a.new_zeros(length, a.shape[1]).index_add(0, held.rows.to(a.device), a)
    waves, others = torch.fft.rfft(spread, dim=0).conj(), torch.fft.rfft(b, dim=0)
    if matched:
        return torch.fft.irfft(waves * others, length, dim=0)[shifts]
    width = max(1, CHUNK // max(length * b.shape[1], 1))
    return torch.cat(
        [
            torch.fft.irfft(part[:, :, None] * others[:, None], length, dim=0)[shifts]
            for part in waves.split(width, 1)
        ],
        1,
    )


def _permuted_sums(a: Tensor, b: Tensor, rows: Tensor, matched: bool) -> Tensor:
    """Return the sums for the rows of b in each draw, [S, K]."""
    sums = "km,skm->sm" if matched else "ki,skj->sij"
    if matched:
        a = a.expand(-1, b.shape[1])
    chunks = rows.split(max(1, CHUNK // max(a.shape[0] * b.shape[1], 1)))
    return torch.cat([torch.einsum(sums, a, b[part]) for part in chunks])
