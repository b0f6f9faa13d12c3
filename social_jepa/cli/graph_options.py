"""The options of the command `graph`: which edges are shown in which order, and the matrix of all pairs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from social_jepa.cli.options import CommandError

if TYPE_CHECKING:
    from social_jepa.records import EdgeRecord, GraphDocument

SELF, NO_EDGE, BELOW = "-", "", "."  # cells of a pair that has no number


class Order(StrEnum):
    """Order of the rows of edges."""

    NAME = "name"
    R2 = "r2"


@dataclass(frozen=True)
class EdgeRows:
    """Which edges are shown as rows.

    Attributes:
        sort: Their order.
        agent: Only edges from and to this agent; None: of any.
        limit: Most rows; None: all.
    """

    sort: Order = Order.NAME
    agent: str | None = None
    limit: int | None = None


def check_options(matrix: bool, rows: EdgeRows, min_r2: float | None, as_json: bool) -> None:
    """Raise CommandError for options that contradict each other, or that are no number."""
    if min_r2 is not None and not math.isfinite(min_r2):
        raise CommandError(f"--min-r2 {min_r2}: choose a finite number, for example 0.9")
    if as_json and (matrix or rows != EdgeRows() or min_r2 is not None):
        raise CommandError(
            "--json prints the whole graph: leave out --matrix, --sort, --agent, --limit and --min-r2"
        )
    if matrix and rows != EdgeRows():
        raise CommandError(
            "--sort, --agent and --limit choose rows of edges, of which --matrix has none: leave one out"
        )


def shown_edges(
    edges: Sequence["EdgeRecord"], sort: Order = Order.NAME, min_r2: float | None = None,
    agent: str | None = None, limit: int | None = None,
) -> list["EdgeRecord"]:  # fmt: skip
    """Return the edges to show.

    Args:
        edges: All edges, in natural order of their names.
        sort: By name as they are; or by held-out R2, the largest first and those without one last.
        min_r2: Only accepted edges of at least this R2; None: all edges.
        agent: Only edges from and to this agent; None: of any.
        limit: Most edges; None: all.
    """
    found = [
        edge
        for edge in edges
        if (min_r2 is None or edge.reaches(min_r2)) and agent in (None, edge.source, edge.target)
    ]
    if sort is Order.R2:
        found.sort(key=lambda edge: -_score(edge))
    return found[:limit]


def _score(edge: "EdgeRecord") -> float:
    return float("-inf") if edge.r2_shared is None else edge.r2_shared


def matrix_rows(document: "GraphDocument", min_r2: float | None = None) -> list[list[str]]:
    """Return the cells of the matrix of all ordered pairs, agents in natural order, headings included.

    A cell is the held-out R2 of the edge from the agent of its row to that of its column, if it is accepted;
    else its status, or nothing where the two have none. A dot stands for an R2 below `min_r2`.
    """
    from alignment.natural_order import natural_key

    names = sorted([*(agent.name for agent in document.agents), *document.training], key=natural_key)
    edges = {(edge.source, edge.target): edge for edge in document.edges}
    rows = [["from \\ to", *_short(names)]]
    for source in names:
        cells = (SELF if source == target else _cell(edges.get((source, target)), min_r2) for target in names)
        rows.append([source, *cells])
    return rows


def _cell(edge: "EdgeRecord | None", min_r2: float | None) -> str:
    if edge is None:
        return NO_EDGE
    if edge.accepted_r2 is None:
        return edge.status.value
    return BELOW if min_r2 is not None and edge.accepted_r2 < min_r2 else f"{edge.accepted_r2:.2f}"


def _short(names: Sequence[str]) -> list[str]:
    """Return headings of columns: the numbers of agent-0, agent-1 and so on, or the names."""
    numbers = [name.removeprefix("agent-") for name in names]
    return numbers if all(number.isdigit() for number in numbers) else list(names)


def matrix_text(rows: Sequence[Sequence[str]], width: int | None) -> str:
    """Return the matrix as text.

    Args:
        rows: Cells, headings in the first row and column.
        width: Columns of the terminal; where the matrix is wider its columns are printed in blocks. None: no
            limit.
    """
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    blocks: list[list[int]] = [[]]
    for column in range(1, len(widths)):
        used = widths[0] + sum(widths[each] + 2 for each in [*blocks[-1], column])
        if width is not None and used > width and blocks[-1]:
            blocks.append([])
        blocks[-1].append(column)
    return "\n\n".join("\n".join(_line(row, block, widths) for row in rows) for block in blocks)


def _line(row: Sequence[str], block: Sequence[int], widths: Sequence[int]) -> str:
    cells = (row[column].rjust(widths[column]) for column in block)
    return "  ".join([row[0].ljust(widths[0]), *cells]).rstrip()
