"""What happens to the edges of pairs where a topology, a joiner or a leaver changes which pairs negotiate.

The edges of a pair that is parted end with a tombstone. Where the pair negotiates again, its last edge holds
again: a map belongs to two models, not to the time for which their agents were peers. An end that has missed
both peer lists keeps that edge and never reports it again, and what an end reports that has settled anew is
the same edge in a round that is recorded already.
"""

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import NamedTuple

from agents.protocol.topology import Topology
from alignment.status import Status
from social_jepa.records import EdgeRecord, MemberRecord, replace
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.partners import negotiating_pairs

Pair = tuple[str, str]


class ChangedEdges(NamedTuple):
    """Edges to record, and their maps as safetensors, by (source, target)."""

    edges: Sequence[EdgeRecord]
    maps: Mapping[Pair, bytes]


def end_edges(edges: Iterable[EdgeRecord], reason: str) -> list[EdgeRecord]:
    """Return the tombstones of those of some edges that have none."""
    return [
        replace(edge, status=Status.ENDED, reason=reason) for edge in edges if edge.status is not Status.ENDED
    ]


def _edges_held_again(ledger: Ledger, pairs: Iterable[Pair]) -> ChangedEdges:
    """Return the last edge of each pair that has ended and negotiates again, with its maps.

    It gets a round of its own, in which it is another row of the ledger than the one before the tombstone.
    """
    edges, maps = [], dict[Pair, bytes]()
    for pair in sorted(pairs):
        history = ledger.history(*pair)
        if not history or history[-1].status is not Status.ENDED:
            continue
        last, packed = ledger.last_settled(*pair)
        edges.append(replace(last, round=1 + max(edge.round for edge in history)))
        if packed is not None:
            maps[pair] = packed
    return ChangedEdges(edges, maps)


def change_pairs(ledger: Ledger, before: Set[Pair], after: Set[Pair], reason: str) -> ChangedEdges:
    """Return the edges of pairs that are parted, as ended, and of those that negotiate again.

    Args:
        ledger: The ledger.
        before: Pairs that negotiate until now.
        after: Pairs that negotiate from now on.
        reason: Why pairs are parted.
    """
    newest = [found[-1] for pair in sorted(before - after) if (found := ledger.history(*pair))]
    again = _edges_held_again(ledger, after - before)
    return ChangedEdges([*end_edges(newest, reason), *again.edges], again.maps)


def record_topology(
    ledger: Ledger, before: Topology, topology: Topology, members: Iterable[MemberRecord]
) -> None:
    """Record which pairs negotiate from now on, and what follows for the edges.

    Args:
        ledger: The ledger.
        before: The topology so far.
        topology: The one from now on.
        members: All present members, in the order of their number.
    """
    members = list(members)
    earlier, pairs = (negotiating_pairs(each, members) for each in (before, topology))
    lost = (edge for edge, _ in ledger.edges() if (edge.source, edge.target) not in pairs)
    again = _edges_held_again(ledger, pairs - earlier)
    edges = [*end_edges(lost, f"the topology is {topology} now"), *again.edges]
    change = {"topology": str(topology), "before": str(before)}
    ledger.record(edges=edges, maps=again.maps, events=[("topology", change)])
