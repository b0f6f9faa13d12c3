"""Anchors: ticks of the shared scene, and one agent's embeddings of them."""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

import torch
from torch import Tensor

from alignment.anchor_ids import choose_ids
from alignment.arrays import AlignmentError, AnyArray, check_devices, check_finite, to_integers, to_tensor
from alignment.shapes_repr import shapes_repr

CHOSEN: Final = 64  # anchors up to which `choose_spread` tells more than a random choice


@dataclass(frozen=True, eq=False)
class AnchorSet:
    """One agent's embeddings of a set of ticks, one row per tick.

    Attributes:
        ids: K distinct ticks, of any integer type; equal ids in two sets name the same tick of the scene.
        vectors: [K, D], columns sorted by predictability, see `alignment.core.find_core`; a NumPy array
            becomes a tensor.
        core_dim: Number of leading columns that are the core, 0 to D.
    """

    ids: tuple[int, ...]
    vectors: Tensor
    core_dim: int

    __repr__ = shapes_repr

    def __post_init__(self) -> None:
        """Raise AlignmentError for parts that contradict each other."""
        object.__setattr__(self, "ids", to_integers(self.ids, "ticks"))
        object.__setattr__(self, "vectors", to_tensor(self.vectors, "vectors"))
        if self.vectors.ndim != 2 or len(self.vectors) != len(self.ids):
            raise AlignmentError(
                f"anchors need one row per tick: {len(self.ids)} ticks, vectors {tuple(self.vectors.shape)}",
                "pass vectors [K, D] for K ticks",
            )
        if len(set(self.ids)) != len(self.ids):
            raise AlignmentError("an anchor tick is listed twice", "list each tick once")
        if not 0 <= self.core_dim <= self.vectors.shape[1]:
            raise AlignmentError(
                f"core_dim must lie between 0 and the {self.vectors.shape[1]} columns, got {self.core_dim}",
                "take it from the CoreBasis",
            )
        check_finite(self.vectors, "the anchors", "check the encoder that made it")

    def rows(self, ticks: Iterable[int]) -> list[int]:
        """Return the row of each of these ticks; ticks may repeat.

        Raises:
            KeyError: A tick is not in the set.
        """
        row = {tick: index for index, tick in enumerate(self.ids)}
        wanted = to_integers(ticks, "ticks")
        if missing := sorted(set(wanted) - row.keys()):
            raise KeyError(f"ticks {missing[:5]} are not among the {len(row)} anchors; encode them first")
        return [row[tick] for tick in wanted]

    def core(self) -> Tensor:
        """Return the core columns of every anchor, [K, core_dim]."""
        return self.vectors[:, : self.core_dim]


def shared(a: AnchorSet, b: AnchorSet) -> tuple[Tensor, Tensor]:
    """Return the rows of ticks in both sets, [K, D_a] and [K, D_b], in ascending order of tick.

    K is 0 where the two have no tick in common; a map then cannot be fitted.
    """
    check_devices(first=a.vectors, second=b.vectors)
    row_in_a = {tick: row for row, tick in enumerate(a.ids)}
    row_in_b = {tick: row for row, tick in enumerate(b.ids)}
    both = sorted(row_in_a.keys() & row_in_b.keys())
    rows_a = torch.tensor([row_in_a[tick] for tick in both], dtype=torch.long)
    rows_b = torch.tensor([row_in_b[tick] for tick in both], dtype=torch.long)
    return a.vectors[rows_a], b.vectors[rows_b]


def choose_ticks(pool: Sequence[int], count: int, seed: int) -> tuple[int, ...]:
    """Return ``count`` ticks of a pool, ascending; equal seeds give equal ticks on every machine.

    The ticks with the smallest hash of (seed, tick) are chosen, see `alignment.anchor_ids.choose_ids`.

    Args:
        pool: Ticks to choose from; order and repetition do not matter.
        count: How many to choose.
        seed: The joint seed of the two peers.

    Raises:
        AlignmentError: The count is negative or larger than the pool, or a tick is no whole number.
    """
    ticks = set(to_integers(pool, "ticks"))
    if count < 0:
        raise AlignmentError(f"cannot choose {count} anchors", "request zero or more")
    if count > len(ticks):
        raise AlignmentError(
            f"more anchors than ticks: {count} of {len(ticks)} requested", "enlarge the pool or request fewer"
        )

    return tuple(sorted(choose_ids(sorted(ticks), count, seed)))


def choose_spread(vectors: AnyArray, count: int) -> list[int]:
    r"""Return rows that determine a rotation well: of ordinary length, in as many directions as possible.

    The error of a map fitted on rows X is proportional to ``tr (X^T X)^-1``, which a random choice of few
    rows makes large whenever it happens to miss a direction. Of the candidates, the row x of the largest
    ``x^T A^-1 x`` is taken again and again, A the sum of the outer products of the rows taken so far and of
    the identity: the greedy choice of the largest ``det A`` (D-optimal design: Fedorov 1972; Dykstra 1971).
    The candidates are the rows whose length is nearest to the median, half of all or more: the longest rows
    would be chosen otherwise, and an encoder is least linear at the extremes of what it sees.

    Args:
        vectors: [P, D], white.
        count: Number of rows, 0 to P.

    Returns:
        ``count`` distinct rows, in the order of choice: fewer are those at the front.

    Raises:
        AlignmentError: The count is negative or larger than P.
    """
    rows = to_tensor(vectors, "vectors").double()
    if not 0 <= count <= len(rows):
        raise AlignmentError(
            f"cannot choose {count} of {len(rows)} rows", "request fewer, or enlarge the pool"
        )
    check_finite(rows, "the vectors", "check the encoder that made them")
    length = torch.linalg.vector_norm(rows, dim=1)
    ranks = length.argsort(stable=True).argsort()
    distance = (2 * ranks - len(rows) + 1).abs()  # in ranks from the median
    candidates = distance.argsort(stable=True)[: max(count, len(rows) // 2)]
    return candidates[_determining_rows(rows[candidates], count)].tolist()


def _determining_rows(rows: Tensor, count: int) -> Tensor:
    """Return the greedy choice of the largest ``det (I + X^T X)`` among rows [P, D], int64 [count]."""
    inverse = torch.eye(rows.shape[1], dtype=rows.dtype, device=rows.device)  # A^-1
    free = torch.ones(len(rows), dtype=torch.bool, device=rows.device)
    chosen = torch.zeros(count, dtype=torch.int64, device=rows.device)
    for place in range(count):
        leverage = ((rows @ inverse) * rows).sum(1)
        best = torch.where(free, leverage, -1.0).argmax()
        step = inverse @ rows[best]  # Sherman-Morrison
        inverse = inverse - torch.outer(step, step) / (1 + leverage[best])
        free[best] = False
        chosen[place] = best
    return chosen


def digest_ids(ids: Iterable[int], model: str) -> bytes:
    """Return a digest, 16 bytes, of a model and of ticks in the order of the rows that it embeds them in.

    Signed beside embeddings it says what they embed: two lists of ticks with one digest take about 2^64
    hashes to find.

    Args:
        ids: Ticks.
        model: Hash of the checkpoint.

    Raises:
        AlignmentError: A tick is no whole number of 64 bits.
    """
    ticks = to_integers(ids, "ticks")
    if ticks and not -(2**63) <= min(ticks) <= max(ticks) < 2**63:
        raise AlignmentError("a tick does not fit into 64 bits", "count ticks from the start of the scene")
    content = model.encode() + b"\0" + struct.pack(f"<{len(ticks)}q", *ticks)
    return blake2b(content, digest_size=16).digest()
