"""Two tables of embeddings, compared in both directions."""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from alignment.arrays import AlignmentError
from alignment.embeddings.copies import find_new, is_discrete
from alignment.embeddings.edge import EmbeddingEdge, Side, fit_edge
from alignment.embeddings.fit import choose_coordinates
from alignment.embeddings.memory import estimate_memory
from alignment.embeddings.pairs import (
    MAX_FIT,
    MAX_HELD,
    MIN_HELD,
    AlignSettings,
    SharedAnchors,
    match,
    split,
    spread,
)
from alignment.embeddings.table import EmbeddingTable
from alignment.embeddings.whitening import Whitening, whiten
from alignment.outliers import find_outliers
from alignment.shapes_repr import shapes_repr

MIN_MEMORIES: Final = 12  # that a held-out stretch spans: with fewer, chance exceeds the null too often


@dataclass(frozen=True, eq=False)
class Alignment:
    """The edges between two tables, in both directions.

    Attributes:
        forward: From the first table to the second.
        backward: From the second table to the first.
        shared_anchors: Anchors that both tables have.
        repeated: Held-out anchors that were left out since their rows repeat others in both tables.
        by_id: Whether rows were matched by id, otherwise by position.
        memory: Rows after which the embeddings no longer resemble themselves; None where rows have no order
            in time.
        settings: How the tables were compared.
    """

    forward: EmbeddingEdge
    backward: EmbeddingEdge
    shared_anchors: int
    repeated: int
    by_id: bool
    memory: int | None
    settings: AlignSettings

    def __repr__(self) -> str:
        """Return names and the number of shared directions."""
        edge = self.forward
        return f"{type(self).__name__}({edge.source} <-> {edge.target}, {edge.shared_dim} directions shared)"


def align_tables(first: EmbeddingTable, second: EmbeddingTable, settings: AlignSettings) -> Alignment:
    """Return the edges between two tables, both fitted on the same anchors and scored on the same others.

    Raises:
        AlignmentError: The tables cannot be compared; the message says what to change.
    """
    return align_sides(compared_sides(first, second, settings), settings)


def align_sides(sides: "ComparedSides", settings: AlignSettings) -> Alignment:
    """Return the edges between the two sides of `compared_sides`."""
    first, second, (a, b) = sides.first, sides.second, sides.coordinates
    return Alignment(
        forward=fit_edge(first, second, (a, b), sides.scored, sides.memory, sides.outliers),
        backward=fit_edge(second, first, (b, a), sides.scored, sides.memory, sides.outliers),
        shared_anchors=sides.shared, repeated=sides.repeated, by_id=sides.by_id, memory=sides.memory,
        settings=settings,
    )  # fmt: skip


def align_into(sides: "ComparedSides") -> EmbeddingEdge:
    """Return the edge from the first side to the second alone: the one that `align_sides` finds."""
    return fit_edge(
        sides.first, sides.second, sides.coordinates, sides.scored, sides.memory, sides.outliers
    )  # fmt: skip


def _compared_coordinates(first: Side, second: Side) -> tuple[Whitening, Whitening]:
    """Return the coordinates of both sides in which the rows to fit on are compared."""
    dims = choose_coordinates(first.whitening(first.fit), second.whitening(second.fit))
    return (
        first.whitening.leading(dims[0]).refined(first.fit),
        second.whitening.leading(dims[1]).refined(second.fit),
    )


@dataclass(frozen=True, eq=False)
class ComparedSides:
    """Two tables, white and on the same anchors.

    Attributes:
        first: The first table.
        second: The second table.
        coordinates: Those of first and second that are compared, white on the rows to fit on.
        outliers: Further rows to fit on, left out since they contradict all others.
        scored: [H], int64, held-out rows that are scored.
        memory: See `Alignment`.
        shared: Number of shared anchors.
        repeated: Number of held-out anchors that were left out.
        by_id: Whether rows were matched by id.
    """

    first: Side
    second: Side
    coordinates: tuple[Whitening, Whitening]
    outliers: int
    scored: Tensor
    memory: int | None
    shared: int
    repeated: int
    by_id: bool

    __repr__ = shapes_repr


def compared_sides(first: EmbeddingTable, second: EmbeddingTable, settings: AlignSettings) -> ComparedSides:
    """Return the rows that edges between two tables are fitted and scored on.

    Raises:
        AlignmentError: As for `align_tables`.
    """
    tables = (first, second)
    shared = match(first, second, settings)
    memory = _memory(tables, shared, settings) if settings.time_order else None
    fit, held = split(shared, settings, memory or 0)
    held_rows = _take(tables, held)
    repeated = 0
    if memory is None:
        kept = find_new(_take(tables, fit), held_rows)
        repeated = int((~kept).sum())
        held_rows = (held_rows[0][kept], held_rows[1][kept])
    if len(held_rows[0]) < MIN_HELD:
        raise AlignmentError(
            f"{repeated} held-out anchors have the same rows as others in both tables, and "
            f"{len(held_rows[0])} are left",
            "remove repeated anchors from the tables, or check the encoders",
        )
    sides = _make_sides(tables, fit, held, held_rows, settings)
    coordinates = _compared_coordinates(*sides)
    outliers = _find_outliers(*sides, coordinates)
    if outliers.any():
        left_out = fit.select(outliers.nonzero().flatten())
        fit = fit.select((~outliers).nonzero().flatten())
        sides = _make_sides(tables, fit, held, held_rows, settings, left_out)
        coordinates = _compared_coordinates(*sides)
    scored_rows = spread(torch.arange(len(held_rows[0])), MAX_HELD)
    return ComparedSides(
        *sides, coordinates, int(outliers.sum()), scored_rows, memory, len(shared), repeated, shared.by_id
    )  # fmt: skip


def _make_sides(
    tables: tuple[EmbeddingTable, EmbeddingTable], fit: SharedAnchors, held: SharedAnchors,
    held_rows: tuple[Tensor, Tensor], settings: AlignSettings, left_out: SharedAnchors | None = None,
) -> tuple[Side, Side]:  # fmt: skip
    """Return both tables on the anchors to fit on, each whitened on what its owner may use of it."""
    apart = [held] if left_out is None else [held, left_out]
    sides = []
    for number, (table, fit_rows) in enumerate(zip(tables, _take(tables, fit), strict=True)):
        used = _rows(fit)[number]
        own = _own_rows(table, used, torch.cat([_rows(each)[number] for each in apart]), settings)
        sides.append(Side(table.name, whiten(table, own), fit_rows, held_rows[number]))
    return sides[0], sides[1]


def _find_outliers(first: Side, second: Side, coordinates: tuple[Whitening, Whitening]) -> Tensor:
    """Return which anchors to fit on contradict the others, bool [K]; see `alignment.outliers`.

    None of discrete tables, such as one-hot codes or ratings, which that test does not judge.
    """
    if is_discrete(first.fit) or is_discrete(second.fit):
        return torch.zeros(len(first.fit), dtype=torch.bool)
    return find_outliers(coordinates[0](first.fit), coordinates[1](second.fit))


def _rows(anchors: SharedAnchors) -> tuple[Tensor, Tensor]:
    return anchors.first, anchors.second


def _take(tables: tuple[EmbeddingTable, EmbeddingTable], anchors: SharedAnchors) -> tuple[Tensor, Tensor]:
    return tables[0].take(anchors.first), tables[1].take(anchors.second)


def _own_rows(table: EmbeddingTable, fit: Tensor, held: Tensor, settings: AlignSettings) -> Tensor:
    """Return the rows that a table's owner whitens on: all but those held out; in time, the ones before.

    They are in the order of their ids, so that the order of a table changes no digit of what is summed.
    """
    if settings.time_order:
        return fit
    own = torch.ones(len(table), dtype=torch.bool)
    own[held] = False
    rows = own.nonzero().flatten()
    if table.ids is None:
        return rows
    ids = table.ids
    return torch.tensor(sorted(rows.tolist(), key=lambda row: ids[row]))


def _memory(
    tables: tuple[EmbeddingTable, EmbeddingTable], shared: SharedAnchors, settings: AlignSettings
) -> int:
    """Return the memory of the tables' rows, and check that the held-out stretch spans enough of it.

    Raises:
        AlignmentError: It does not.
    """
    held = round(settings.heldout * len(shared))
    memory = settings.memory
    if memory is None:
        before = shared.select(torch.arange(max(0, len(shared) - held - MAX_FIT), len(shared) - held))
        whitenings = [whiten(table, rows) for table, rows in zip(tables, _rows(before), strict=True)]
        white = [found(rows) for found, rows in zip(whitenings, _take(tables, before), strict=True)]
        memory = estimate_memory(white[0], white[1])
    if held < MIN_MEMORIES * memory:
        raise AlignmentError(
            f"the {held} held-out rows span {held / memory:.1f} memories of {memory} rows, and a null "
            f"of time shifts needs {MIN_MEMORIES}",
            "give more rows, raise heldout, or take rows that lie further apart",
        )
    return memory
