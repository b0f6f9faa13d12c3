"""Anchors: ticks of the shared scene, and one agent's embeddings of them."""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class AnchorSet:
    """One agent's embeddings of a set of ticks, one row per tick.

    Attributes:
        ids: K distinct ticks; equal ids in two sets name the same tick of the scene.
        vectors: [K, D], columns sorted by predictability, see `alignment.core.find_core`.
        core_dim: Number of leading columns that are the core, 0 to D.
    """

    ids: tuple[int, ...]
    vectors: Tensor
    core_dim: int

    def __post_init__(self) -> None:
        """Raise ValueError for parts that contradict each other."""
        if self.vectors.ndim != 2 or len(self.vectors) != len(self.ids):
            raise ValueError(
                f"anchors need one row per tick: {len(self.ids)} ticks, vectors {tuple(self.vectors.shape)}"
            )
        if len(set(self.ids)) != len(self.ids):
            raise ValueError("an anchor tick is listed twice; list each tick once")
        if not 0 <= self.core_dim <= self.vectors.shape[1]:
            raise ValueError(
                f"core_dim must lie between 0 and the {self.vectors.shape[1]} columns, got {self.core_dim}"
            )
        if not torch.isfinite(self.vectors).all():
            raise ValueError("an anchor holds a value that is not finite; check the encoder that made it")

    def rows(self, ticks: Iterable[int]) -> list[int]:
        """Return the row of each of these ticks; ticks may repeat.

        Raises:
            KeyError: A tick is not in the set.
        """
        row = {tick: index for index, tick in enumerate(self.ids)}
        return [row[tick] for tick in ticks]

    def core(self) -> Tensor:
        """Return the core columns of every anchor, [K, core_dim]."""
        return self.vectors[:, : self.core_dim]


def shared(a: AnchorSet, b: AnchorSet) -> tuple[Tensor, Tensor]:
    """Return the rows of ticks in both sets, [K, D_a] and [K, D_b], in ascending order of tick."""
    row_in_a = {tick: row for row, tick in enumerate(a.ids)}
    row_in_b = {tick: row for row, tick in enumerate(b.ids)}
    both = sorted(row_in_a.keys() & row_in_b.keys())
    rows_a = torch.tensor([row_in_a[tick] for tick in both], dtype=torch.long)
    rows_b = torch.tensor([row_in_b[tick] for tick in both], dtype=torch.long)
    return a.vectors[rows_a], b.vectors[rows_b]


def choose_ticks(pool: Sequence[int], count: int, seed: int) -> tuple[int, ...]:
    """Return ``count`` ticks of a pool, ascending; equal seeds give equal ticks on every machine.

    The ticks with the smallest hash of (seed, tick) are chosen. A hash, unlike a random generator, is the
    same in every version of every library, which peers on different machines need; and a larger count only
    adds ticks to those of a smaller one.

    Args:
        pool: Ticks to choose from; order and repetition do not matter.
        count: How many to choose.
        seed: The joint seed of the two peers.

    Raises:
        ValueError: The count is negative, or larger than the pool.
    """
    ticks = set(pool)
    if count < 0:
        raise ValueError(f"cannot choose {count} anchors; request zero or more")
    if count > len(ticks):
        raise ValueError(
            f"more anchors than ticks: {count} of {len(ticks)} requested; enlarge the pool or request fewer"
        )

    def hash_of(tick: int) -> tuple[bytes, int]:
        return blake2b(f"{int(seed)}:{int(tick)}".encode(), digest_size=16).digest(), tick

    return tuple(sorted(sorted(ticks, key=hash_of)[:count]))


def digest_ids(ids: Iterable[int]) -> bytes:
    """Return an eight-byte digest of a set of ticks, by which two peers check that they mean the same one.

    The order of the ticks does not matter. The digest detects mistakes, not malicious peers.
    """
    ticks = sorted(ids)
    return blake2b(struct.pack(f"<{len(ticks)}q", *ticks), digest_size=8).digest()
