"""The quality matrix: status and R2 of the edges between some agents, and what their best paths keep."""

from collections.abc import Sequence

import numpy as np

from alignment.status import Status
from social_jepa.graph.results import Results
from social_jepa.server.responses import QualityMatrix


def quality_matrix(results: Results, names: Sequence[str]) -> QualityMatrix:
    """Return status and held-out R2 of every ordered pair of agents, and the share that its best path keeps.

    ``best`` is the largest product of `alignment.edge.Edge.kept_share` over accepted edges along any path,
    also one through agents that are not among the names: 0 where there is no path.
    """
    place = {name: row for row, name in enumerate(names)}
    status: list[list[Status | None]] = [[None] * len(names) for _ in names]
    direct: list[list[float | None]] = [[None] * len(names) for _ in names]
    for edge in results.document.edges:
        if edge.source in place and edge.target in place:
            row, column = place[edge.source], place[edge.target]
            status[row][column], direct[row][column] = edge.status, edge.r2_shared
    return QualityMatrix(
        agents=list(names), total=len(results.members), status=status, r2_shared=direct,
        best=best_shares(results, names).tolist(),
    )  # fmt: skip


def best_shares(results: Results, names: Sequence[str]) -> np.ndarray:
    """Return the share of the row's core that the best path to the column's agent keeps, [N, N].

    By the algorithm of Bellman and Ford from all rows at once: no edge keeps more than all, so that what the
    best paths of so many edges keep settles after as many rounds as the longest of them has edges.
    """
    place = {name: number for number, name in enumerate(results.graph.agents)}
    edges = sorted(
        (place[edge.target], place[edge.source], edge.kept_share)
        for edge in results.graph.edges
        if edge.status is Status.ACCEPTED
    )
    rows = [place[name] for name in names]
    best = np.zeros((len(rows), len(place)))
    best[np.arange(len(rows)), rows] = 1.0
    if edges:
        targets, sources = (np.array([edge[part] for edge in edges]) for part in (0, 1))
        kept = np.array([edge[2] for edge in edges])
        reached, starts = np.unique(targets, return_index=True)
        while True:
            longer = best.copy()
            arriving = np.maximum.reduceat(best[:, sources] * kept, starts, axis=1)
            longer[:, reached] = np.maximum(best[:, reached], arriving)
            if np.array_equal(longer, best):
                break
            best = longer
    return best[:, rows]
