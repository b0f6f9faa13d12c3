"""Rows of tables that repeat each other up to rounding, and tables whose rows repeat by nature."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

import numpy as np
import torch
from torch import Tensor

COPY: Final = 1e-5  # spreads of a column, root mean square: what another batch or device changes in float32
ROUNDED: Final = 0.05  # spread, relative to the mean, below which a column of float32 holds COPY as rounding
DISCRETE: Final = 0.1  # distinct values of a column, relative to the rows
SKETCH: Final = 4  # random directions of each table
SKETCH_RADIUS: Final = 4.0 * (2 * SKETCH) ** 0.5  # times COPY: rows so near in both tables lie within
BLOCK_ROWS: Final = 1024


def find_new(fit: tuple[Tensor, Tensor], held: tuple[Tensor, Tensor]) -> Tensor:
    """Return which held-out anchors have rows that repeat no other anchor's in both tables, bool [H].

    An item that was embedded under two ids, once to fit on and once to score, would be scored on what was
    fitted. Rows repeat each other if they are equal up to the rounding of an encoder: in both tables the
    root mean square of their difference, in spreads of each column, is at most COPY.

    Args:
        fit: Embeddings of the anchors to fit on in both tables, [K, D_i] and [K, D_j].
        held: Those of the held-out anchors, [H, D_i] and [H, D_j].
    """
    tables = [torch.cat(part) for part in zip(fit, held, strict=True)]
    first, new = len(fit[0]), torch.zeros(len(held[0]), dtype=torch.bool)
    distinct = _first_rows(tables)
    new[distinct[distinct >= first] - first] = True
    scaled = [_in_spreads(table[distinct]) for table in tables]
    generator = torch.Generator().manual_seed(0)
    # copies are near in any projection: few rows are left to compare
    sketch = torch.cat(
        [
            table @ torch.randn(table.shape[1], SKETCH, generator=generator, dtype=table.dtype)
            for table in scaled
        ],
        1,
    )
    rows = _near_pairs(sketch.double(), SKETCH_RADIUS * COPY)
    later = distinct[rows[_repeat(scaled, rows), 1]]
    new[later[later >= first] - first] = False
    return new


def _first_rows(tables: Sequence[Tensor]) -> Tensor:
    """Return the first of the rows that are equal in every table, int64, ascending."""
    seen: dict[bytes, int] = {}
    for row, parts in enumerate(zip(*tables, strict=True)):
        content = b"".join(part.numpy().tobytes() for part in parts)
        seen.setdefault(blake2b(content, digest_size=16).digest(), row)
    return torch.tensor(list(seen.values()), dtype=torch.int64)


def is_discrete(rows: Tensor) -> bool:
    """Return whether half of the columns that vary take few values, as one-hot codes and ratings do."""
    counts = [len(column.unique()) for column in rows[: 4 * BLOCK_ROWS].T]
    varying = [count for count in counts if count > 1]
    few = DISCRETE * min(len(rows), 4 * BLOCK_ROWS)
    return bool(varying) and float(np.median(varying)) < few


def _near_pairs(points: Tensor, radius: float) -> Tensor:
    """Return the pairs of points [n, m] that differ by at most a radius in every coordinate, int64 [M, 2].

    Points are compared with those that follow them along the first coordinate: few, unless many are copies.
    """
    order = points[:, 0].argsort()
    along, found = points[order], [torch.zeros(0, 2, dtype=torch.int64)]
    for shift in range(1, len(along)):
        close = (along[shift:, 0] - along[:-shift, 0] <= radius).nonzero().flatten()
        if not len(close):
            break
        near = close[((along[close + shift] - along[close]).abs() <= radius).all(1)]
        found.append(torch.stack([order[near], order[near + shift]], 1))
    return torch.cat(found).sort(1).values


def _repeat(tables: Sequence[Tensor], pairs: Tensor) -> Tensor:
    """Return which pairs of rows, int64 [M, 2], are at most COPY apart in every table, bool [M]."""
    found = [torch.zeros(0, dtype=torch.bool)]
    for block in pairs.split(BLOCK_ROWS):
        apart = [torch.linalg.vector_norm(table[block[:, 0]] - table[block[:, 1]], dim=1) for table in tables]
        found.append((torch.stack(apart) <= COPY).all(0))
    return torch.cat(found)


def _in_spreads(rows: Tensor) -> Tensor:
    """Return rows in spreads of each column over the root of their number, [n, D].

    The spread is that of the middle half of the rows, which one extreme row does not change, or the standard
    deviation where that half is equal; of a column that hardly varies, a share of its mean.
    """
    rows = rows.to(torch.promote_types(rows.dtype, torch.float32))
    middle = rows[:: max(1, len(rows) // (4 * BLOCK_ROWS))].quantile(rows.new_tensor([0.25, 0.75]), 0)
    spread = (middle[1] - middle[0]) / 1.349  # a normal column's standard deviation
    spread = torch.where(spread > 0, spread, rows.std(0))
    spread = torch.maximum(spread, ROUNDED * rows.mean(0).abs())
    return (rows - rows.mean(0)) / torch.where(spread > 0, spread, 1.0) / max(rows.shape[1], 1) ** 0.5
