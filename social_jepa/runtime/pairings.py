"""What happens to the edges of pairs where a topology, a joiner or a leaver changes which pairs negotiate.

The edges of a pair that is parted end with a tombstone. Where the pair negotiates again, its last edge holds
again if it is between the models that both ends have now: a map belongs to two models, not to the time for
which their agents were peers. An end that has missed both peer lists keeps that edge and never reports it
again, and what an end reports that has settled anew is the same edge in a round that is recorded already.

The tombstone stays where one of the ends has moved or published another model since, or where the last
negotiation failed: then the two have something to settle.
"""

import contextlib
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import NamedTuple

from agents.protocol.topology import Topology
from alignment.status import Status
from social_jepa.records import EdgeRecord, MemberRecord, replace
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.ledger_errors import LedgerUnavailableError
from social_jepa.storage.partners import negotiating_pairs

Pair = tuple[str, str]
FEW_PAIRS = 1024  # are looked up one by one; of more, those that have ended


class ChangedEdges(NamedTuple):
    """Edges to record, and their maps as safetensors, by (source, target)."""

    edges: Sequence[EdgeRecord]
    maps: Mapping[Pair, bytes]


def end_edges(edges: Iterable[EdgeRecord], reason: str) -> list[EdgeRecord]:
    """Return the tombstones of those of some edges that have none."""
    return [
        replace(edge, status=Status.ENDED, reason=reason) for edge in edges if edge.status is not Status.ENDED
    ]


def _current_models(ledger: Ledger) -> dict[str, str]:
    """Return the newest published checkpoint of each agent that has not moved its camera since, by name."""
    published = ledger.agents()
    return {
        member.name: agent.checkpoint
        for member in ledger.members()
        if (agent := published.get(member.name)) and agent.pose_version == member.pose_version
    }


def _edges_held_again(ledger: Ledger, pairs: Set[Pair]) -> ChangedEdges:
    """Return the last edge of each pair that has ended, negotiates again and has the same models, with maps.

    It gets a round of its own, in which it is another row of the ledger than the one before the tombstone.
    """
    edges, maps = [], dict[Pair, bytes]()
    if len(pairs) > FEW_PAIRS:  # most of them are new, or go on
        pairs = pairs & {*ledger.ended_pairs()}
    parted = [found for pair in sorted(pairs) if (found := ledger.parted_edge(*pair))]
    current = _current_models(ledger) if parted else {}
    for last, packed, latest in parted:
        ends = (last.source, last.source_checkpoint), (last.target, last.target_checkpoint)
        if last.status is Status.FAILED or any(current.get(name) != model for name, model in ends):
            continue
        edges.append(replace(last, round=1 + latest))
        if packed is not None:
            maps[last.source, last.target] = packed
    return ChangedEdges(edges, maps)


def hold_again(ledger: Ledger, pairs: Set[Pair]) -> None:
    """Record what holds again of pairs that negotiate although their edges have ended, if that can be done.

    Earlier versions left them so.
    """
    with contextlib.suppress(LedgerUnavailableError), ledger.exclusive():
        again = _edges_held_again(ledger, pairs)
        if again.edges:
            ledger.record(edges=again.edges, maps=again.maps)


def change_pairs(ledger: Ledger, parted: Set[Pair], paired: Set[Pair], reason: str) -> ChangedEdges:
    """Return the edges of pairs that are parted, as ended, and of those that negotiate again.

    Args:
        ledger: The ledger.
        parted: Pairs that negotiate no more.
        paired: Pairs that negotiate and did not before.
        reason: Why pairs are parted.
    """
    newest = [edge for pair in sorted(parted) if (edge := ledger.newest_edge(*pair))]
    again = _edges_held_again(ledger, paired)
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
