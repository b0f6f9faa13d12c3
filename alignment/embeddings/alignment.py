"""Two tables of embeddings, compared in both directions."""

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from alignment.arrays import AlignmentError
from alignment.embeddings.edge import EmbeddingEdge, Side, fit_edge
from alignment.embeddings.fit import choose_coordinates
from alignment.embeddings.memory import estimate_memory
from alignment.embeddings.pairs import (
    MAX_FIT,
    MAX_HELD,
    MIN_HELD,
    AlignSettings,
    SharedAnchors,
    find_new,
    match,
    split,
    spread,
)
from alignment.embeddings.table import EmbeddingTable
from alignment.embeddings.whitening import Whitening, whiten
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
    first, second = sides.first, sides.second
    a, b = _compared_coordinates(sides)
    return Alignment(
        forward=fit_edge(first, second, (a, b), sides.scored, sides.memory),
        backward=fit_edge(second, first, (b, a), sides.scored, sides.memory),
        shared_anchors=sides.shared, repeated=sides.repeated, by_id=sides.by_id, memory=sides.memory,
        settings=settings,
    )  # fmt: skip


def align_into(sides: "ComparedSides") -> EmbeddingEdge:
    """Return the edge from the first side to the second alone: the one that `align_sides` finds."""
    return fit_edge(sides.first, sides.second, _compared_coordinates(sides), sides.scored, sides.memory)


def _compared_coordinates(sides: "ComparedSides") -> tuple[Whitening, Whitening]:
    first, second = sides.first, sides.second
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
        scored: [H], int64, held-out rows that are scored.
        memory: See `Alignment`.
        shared: Number of shared anchors.
        repeated: Number of held-out anchors that were left out.
        by_id: Whether rows were matched by id.
    """

    first: Side
    second: Side
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
    whitenings = [
        whiten(table, _own_rows(table, used, scored, settings))
        for table, used, scored in zip(tables, _rows(fit), _rows(held), strict=True)
    ]
    fit_rows, held_rows = _take(tables, fit), _take(tables, held)
    repeated = 0
    if memory is None:
        kept = find_new(fit_rows, held_rows)
        repeated = int((~kept).sum())
        held_rows = (held_rows[0][kept], held_rows[1][kept])
    if len(held_rows[0]) < MIN_HELD:
        raise AlignmentError(
            f"{repeated} held-out anchors have the same rows as others in both tables, and "
            f"{len(held_rows[0])} are left",
            "remove repeated anchors from the tables, or check the encoders",
        )
    sides = [
        Side(*parts) for parts in zip((first.name, second.name), whitenings, fit_rows, held_rows, strict=True)
    ]
    scored_rows = spread(torch.arange(len(held_rows[0])), MAX_HELD)
    return ComparedSides(sides[0], sides[1], scored_rows, memory, len(shared), repeated, shared.by_id)


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
