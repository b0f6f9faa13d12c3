"""Cycles of three nodes of a directed graph: their number, and all of them or a random sample."""

from typing import Final

import numpy as np

DRAWN: Final = 2**14  # triples that are drawn at a time
ENUMERATED: Final = 8  # times as many as are wanted: a graph with more cycles is sampled, not enumerated


def count_three_cycles(adjacency: np.ndarray) -> int:
    """Return the number of cycles of three nodes, each direction of its own, bool [N, N]."""
    linked = adjacency.astype(np.float64)  # counts stay exact up to 2^53, and BLAS multiplies floats
    return round(float(((linked @ linked) * linked.T).sum()) / 3)


def three_cycles(adjacency: np.ndarray, most: int) -> tuple[np.ndarray, int]:
    """Return cycles of three nodes, [P, 3], each from its first node on, ascending, and the number of all.

    Of more than `most`, as many are drawn at random, each as likely as any other. Equal graphs give equal
    draws.

    Args:
        adjacency: Which edges there are, bool [N, N], none from a node to itself.
        most: Largest number of cycles.
    """
    total, rng = count_three_cycles(adjacency), np.random.default_rng(0)
    if total > ENUMERATED * most:
        return _draw(adjacency, most, rng), total
    found = _enumerate(adjacency)
    if total > most:
        found = found[np.sort(rng.choice(total, most, replace=False))]
    return found, total


def _enumerate(adjacency: np.ndarray) -> np.ndarray:
    """Return all cycles; those of one first node at a time, among its neighbors alone."""
    found = []
    for first in range(len(adjacency)):
        after, before = (
            first + 1 + edges[first + 1 :].nonzero()[0] for edges in (adjacency[first], adjacency[:, first])
        )
        second, third = adjacency[np.ix_(after, before)].nonzero()
        found.append(np.stack([np.full(len(second), first), after[second], before[third]], 1))
    return np.concatenate(found) if found else np.zeros((0, 3), dtype=np.int64)


def _draw(adjacency: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    edges, nodes = np.argwhere(adjacency), len(adjacency)
    found = np.zeros(0, dtype=np.int64)  # each cycle as one number, in the order in which they were drawn
    while len(found) < most:
        first, second = edges[rng.integers(len(edges), size=DRAWN)].T
        third = rng.integers(nodes, size=DRAWN)
        closed = adjacency[second, third] & adjacency[third, first]
        drawn = np.stack([first, second, third], 1)[closed]
        turned = (drawn.argmin(1)[:, None] + np.arange(3)) % 3
        numbers = np.take_along_axis(drawn, turned, 1) @ np.array([nodes**2, nodes, 1])
        found = np.concatenate([found, numbers])
        _, places = np.unique(found, return_index=True)
        found = found[np.sort(places)]
    kept = np.sort(found[:most])
    return np.stack([kept // nodes**2, kept // nodes % nodes, kept % nodes], 1)
