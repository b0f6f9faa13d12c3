"""The universe of a run: a map per agent into one space, fitted by whoever holds everybody's anchors."""

from collections.abc import Container
from typing import TYPE_CHECKING, Any

import torch

from alignment.anchors import choose_ticks, shared
from alignment.graph import Edge, NoPathError
from alignment.linear_map import LinearMap
from alignment.score import r2
from alignment.status import Status
from alignment.universe import Universe, fit_universe

if TYPE_CHECKING:
    from social_jepa.graph.results import Results

UNIVERSE = "universe"  # in place of agents to go through


def build_universe(results: "Results") -> Universe:
    """Fit the common space of all agents that an accepted edge touches.

    On as many instants as an edge is fitted on, from the stretch that edges are fitted on; those that score
    stay unseen.

    Raises:
        NoPathError: No edge is accepted.
    """
    names = sorted({name for pair in _accepted(results) for name in pair})
    if not names:
        raise NoPathError("there is no universe yet: no edge is accepted; social-jepa graph shows why")
    sets = [results.pools(name).anchors for name in names]
    ticks = set(sets[0].ids).intersection(*(anchors.ids for anchors in sets))
    count = min(len(ticks), results.config.negotiation.anchors)
    chosen = choose_ticks(sorted(ticks), count, results.config.seed)
    shown = [anchors.core()[anchors.rows(chosen)] for anchors in sets]
    return fit_universe(dict(zip(names, shown, strict=True)))


def between(universe: Universe, source: str, target: str) -> LinearMap:
    """Return the translation through the common space.

    Raises:
        NoPathError: One of them is not part of it.
    """
    for name in (source, target):
        if name not in universe.maps:
            raise NoPathError(f"{name} is not part of the universe: no accepted edge touches it")
    return universe.between(source, target)


def scoring_cores(results: "Results", source: str, target: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what two agents make of the instants that score, [K, d] each: nothing was fitted on them."""
    pools = [results.pools(name).heldout for name in (source, target)]
    shown, seen = shared(*pools)
    return shown[:, : pools[0].core_dim].double(), seen[:, : pools[1].core_dim].double()


def universe_entry(results: "Results", kept: Container[str]) -> dict[str, Any] | None:
    """Return what the common space is worth beside the direct edges, on held-out anchors.

    Both means are over the ordered pairs whose direct edge is accepted. None where there is no such pair, or
    where the anchors of one of them are not those of this graph any more.

    Args:
        results: A graph.
        kept: Agents whose anchors on disk are those of the graph.
    """
    edges = _accepted(results)
    pairs = sorted(edges)
    if not pairs or not all(name in kept for pair in pairs for name in pair):
        return None
    universe = results.universe()
    through, direct = [], []
    for source, target in pairs:
        theirs, ours = scoring_cores(results, source, target)
        through.append(r2(universe.between(source, target)(theirs), ours))
        edge_map = edges[source, target].map
        assert edge_map is not None  # an accepted edge has one
        direct.append(r2(edge_map(theirs), ours))
    mean = torch.tensor([through, direct], dtype=torch.float64).mean(1).tolist()
    dim = universe.consensus.shape[1]
    return {"agents": sorted(universe.maps), "dim": dim, "r2": mean[0], "direct_r2": mean[1]}


def _accepted(results: "Results") -> dict[tuple[str, str], Edge]:
    return {
        (edge.source, edge.target): edge for edge in results.graph.edges if edge.status is Status.ACCEPTED
    }
