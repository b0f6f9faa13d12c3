"""The universe of a run (arXiv:2602.06205): one map per agent into a common space, fitted by the observer."""

from collections.abc import Callable, Container

import torch

from agents.protocol.edge import AnchorPools
from alignment.anchors import choose_ticks
from alignment.anchors import shared as shared_rows
from alignment.edge import Edge
from alignment.graph import NoPathError, TranslationGraph
from alignment.linear_map import LinearMap
from alignment.natural_order import natural_key
from alignment.score import image_r2
from alignment.status import Status
from alignment.universe import Universe, fit_universe
from social_jepa.records import UniverseRecord

UNIVERSE = "universe"  # in place of the agents of a path
FindPools = Callable[[str], AnchorPools]  # the anchor pools of an agent, by its name


def build_universe(graph: TranslationGraph, pools: FindPools, anchors: int, seed: int) -> Universe:
    """Fit the common space of all agents that an accepted edge touches.

    Args:
        graph: Its edges.
        pools: Embeddings of each agent; only the ticks that edges are fitted on are used.
        anchors: Number of ticks to fit on, as many as an edge; fewer where agents share fewer.
        seed: Of the choice of ticks.

    Raises:
        NoPathError: No edge is accepted.
    """
    names = sorted({name for pair in _accepted(graph) for name in pair}, key=natural_key)
    if not names:
        raise NoPathError("there is no universe yet: no edge is accepted, and each edge says why")
    sets = [pools(name).anchors for name in names]
    ticks = set(sets[0].ids).intersection(*(each.ids for each in sets))
    chosen = choose_ticks(sorted(ticks), min(len(ticks), anchors), seed)
    cores = [each.core()[each.rows(chosen)] for each in sets]
    shared = {pair: edge.map for pair, edge in _accepted(graph).items() if edge.map is not None}
    return fit_universe(dict(zip(names, cores, strict=True)), shared=shared)


def between(universe: Universe, source: str, target: str) -> LinearMap:
    """Return the translation through the common space.

    Raises:
        NoPathError: One of the two has no map into it.
    """
    for name in (source, target):
        if name not in universe.maps:
            raise NoPathError(f"{name} is not part of the universe: no accepted edge touches it")
    return universe.between(source, target)


def scoring_cores(source: AnchorPools, target: AnchorPools) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the core latents of two agents at their shared held-out ticks, [K, d] each."""
    held = source.heldout, target.heldout
    from_source, from_target = shared_rows(*held)
    return from_source[:, : held[0].core_dim].double(), from_target[:, : held[1].core_dim].double()


def universe_record(
    graph: TranslationGraph, pools: FindPools, universe: Callable[[], Universe], usable: Container[str]
) -> UniverseRecord | None:
    """Return the held-out R2 of the common space beside that of the direct edges.

    Of the directions that arrive, see `image_r2`. Both means are over the ordered pairs whose direct edge is
    accepted. None where there is no such pair, or where the anchors of one of them are not those of this
    graph any more.

    Args:
        graph: Its edges.
        pools: Embeddings of each agent.
        universe: Returns the common space; called only if it can be scored.
        usable: Agents whose anchors on disk are those of the graph.
    """
    edges = _accepted(graph)
    pairs = sorted(edges)
    if not pairs or not all(name in usable for pair in pairs for name in pair):
        return None
    common = universe()
    through, direct = [], []
    for source, target in pairs:
        from_source, from_target = scoring_cores(pools(source), pools(target))
        through.append(image_r2(common.between(source, target), from_source, from_target))
        edge_map = edges[source, target].map
        assert edge_map is not None  # an accepted edge has one
        direct.append(image_r2(edge_map, from_source, from_target))
    mean = torch.tensor([through, direct], dtype=torch.float64).mean(1).tolist()
    return UniverseRecord(
        agents=tuple(sorted(common.maps, key=natural_key)),
        dim=common.consensus.shape[1],
        common_dim=common.common_dim,
        r2=mean[0],
        direct_r2=mean[1],
    )


def _accepted(graph: TranslationGraph) -> dict[tuple[str, str], Edge]:
    return {(edge.source, edge.target): edge for edge in graph.edges if edge.status is Status.ACCEPTED}
