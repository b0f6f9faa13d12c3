"""Whitening by the owner of a table, on its own rows: principal components of unit variance."""

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from alignment.arrays import AlignmentError, Array, like, to_tensor
from alignment.core import ROUNDING
from alignment.embeddings.pairs import spread
from alignment.embeddings.table import EmbeddingTable
from alignment.shapes_repr import shapes_repr

MAX_ROWS: Final = 65_536  # that a covariance is estimated from
BLOCK: Final = 2**22  # values that are read at once
MAX_DIM: Final = 8_192  # of an eigendecomposition: 512 MiB, minutes
UNIT: Final = 1e5  # times the spread of every other column: a column that varies more has a unit of its own


@dataclass(frozen=True, eq=False)
class Whitening:
    """Coordinates in which a table is white.

    Those of `whiten` are principal components, the largest variance first. They are nested: the leading r of
    them are the same, whatever number is used. A column with a unit of its own counts there as if it
    varied as much as the next one, see `_units`.

    Attributes:
        mean: [D], the origin.
        transform: [D, r], from centered embeddings to coordinates.
        inverse: [r, D], from coordinates to centered embeddings.
    """

    mean: Tensor
    transform: Tensor
    inverse: Tensor

    __repr__ = shapes_repr

    @property
    def dim(self) -> int:
        """Number of coordinates, r."""
        return len(self.inverse)

    def leading(self, dim: int) -> "Whitening":
        """Return the leading coordinates alone."""
        return Whitening(self.mean, self.transform[:, :dim], self.inverse[:dim])

    def refined(self, rows: Tensor) -> "Whitening":
        """Return the same directions, turned and scaled so that some rows are white exactly, [K, D].

        With pairs that are white exactly, the cross-covariance gives their canonical correlations, and a
        noiseless relation is found exactly; rows that vary in fewer directions stay as they are.
        """
        if len(rows) <= self.dim:
            return self
        white = self(rows)
        centered = white - white.mean(0)
        variance, axes = torch.linalg.eigh(centered.T @ centered / len(rows))
        if not variance[0] > ROUNDING * variance[-1]:
            return self
        return Whitening(
            self.mean + white.mean(0) @ self.inverse,
            self.transform @ (axes * variance.rsqrt()),
            (axes * variance.sqrt()).T @ self.inverse,
        )

    def __call__(self, rows: Array) -> Array:
        """Return coordinates of embeddings, [..., D] -> [..., r], float64.

        Raises:
            AlignmentError: The embeddings have another dimension.
        """
        found = to_tensor(rows, "embeddings")
        if found.shape[-1:] != self.mean.shape:
            raise AlignmentError(
                f"this whitening takes {len(self.mean)} dimensions, got {tuple(found.shape)}",
                "pass embeddings by the encoder that it was found for",
            )
        return like((found.double().cpu() - self.mean) @ self.transform, rows)


def whiten(table: EmbeddingTable, rows: Tensor) -> Whitening:
    """Return the whitening of some rows of a table; directions without variance are left out.

    Args:
        table: The table.
        rows: Rows to use, int64 [n]; of more than 65,536, evenly spread ones.

    Raises:
        AlignmentError: All rows are equal, a value is not finite, or the dimensions are too many.
    """
    rows = spread(rows, MAX_ROWS)
    if min(len(rows), table.dim) > MAX_DIM:
        raise AlignmentError(
            f"{table.name} has {table.dim} dimensions in {len(rows)} rows; at most {MAX_DIM} are whitened",
            "reduce it to its leading principal components first",
        )
    mean, squares = _mean(table, rows)
    if not math.isfinite(float(squares.sum())):
        raise AlignmentError(
            f"squares of the values of {table.name} exceed the largest number",
            "divide the table by a constant",
        )
    axes, variance, units = _principal(table, rows, mean, squares)
    squares = squares / units.square()
    # what rounds a large column is not in a direction that has no part in it
    rounded = table.resolution**2 * (axes.square() * squares[:, None]).sum(0)
    kept = variance > rounded.clamp_min(ROUNDING * float(squares.sum()) / max(table.dim, 1))
    if not kept.any():
        raise AlignmentError(
            f"all {len(rows)} rows of {table.name} are the same up to rounding",
            "check the encoder that made it",
        )
    axes, scale = axes[:, kept], variance[kept].sqrt()
    return Whitening(mean, axes / units[:, None] / scale, (axes * scale).T * units)


def _blocks(table: EmbeddingTable, rows: Tensor) -> tuple[Tensor, ...]:
    return rows.split(max(1, BLOCK // max(table.dim, 1)))


def _mean(table: EmbeddingTable, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean of rows and their mean square, of each column, [D]."""
    total, square = torch.zeros(2, table.dim, dtype=torch.float64)
    for block in _blocks(table, rows):
        values = table.take(block)
        total += values.sum(0)
        square += values.square().sum(0)
    return total / len(rows), square / len(rows)


def _units(table: EmbeddingTable, variance: Tensor, squares: Tensor) -> Tensor:
    """Return what each column is divided by before principal directions are found, [D]: 1, except for one.

    That column varies more than UNIT times as much as any other one, and would hide them in rounding. Where
    several columns vary so much more than the rest, the rest may as well be rounding, as the last principal
    components are, or dead units: nothing is divided then. Powers of two round nothing.

    Args:
        table: The table.
        variance: Variance of each column, [D].
        squares: Mean square of each column, [D].
    """
    units = torch.ones_like(variance)
    varies = variance > max(ROUNDING, table.resolution**2) * squares
    found, columns = torch.where(varies, variance, 0.0).sqrt().sort(descending=True)
    if len(found) > 1 and found[0] > UNIT * found[1] > 0:
        units[columns[0]] = 2.0 ** round(math.log2(float(found[0] / found[1])))
    return units


def _principal(
    table: EmbeddingTable, rows: Tensor, mean: Tensor, squares: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return principal directions [D, m] and variances [m], descending, and the `_units` of columns [D]."""
    if len(rows) <= table.dim:
        centered = table.take(rows) - mean
        units = _units(table, centered.square().mean(0), squares)
        _, s, vt = torch.linalg.svd(centered / units, full_matrices=False)
        return vt.T, s.square() / len(centered), units
    covariance = _covariance(table, rows, mean)
    units = _units(table, covariance.diagonal(), squares)
    variance, axes = torch.linalg.eigh(covariance / units[:, None] / units)
    return axes.flip(1), variance.flip(0), units


def _covariance(table: EmbeddingTable, rows: Tensor, mean: Tensor) -> Tensor:
    """Return the covariance [D, D] of many rows."""
    covariance = torch.zeros(table.dim, table.dim, dtype=torch.float64)
    for block in _blocks(table, rows):
        values = table.take(block) - mean
        covariance += values.T @ values
    return covariance / len(rows)
