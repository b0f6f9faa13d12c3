"""Which present agents negotiate: those that the topology pairs, and teachers with their students."""

import functools
from collections.abc import Iterable, Mapping

from agents.protocol.topology import Topology
from social_jepa.records import MemberRecord


def partners_of(topology: Topology, members: Iterable[MemberRecord]) -> Mapping[str, frozenset[str]]:
    """Return the peers of each agent.

    A student is a peer of its teacher whatever the topology, since it learns from its messages.

    Args:
        topology: Which pairs negotiate anyway.
        members: All present agents, in the order of their number.
    """
    return _partners(topology, tuple((member.name, member.teacher) for member in members))


def negotiating_pairs(topology: Topology, members: Iterable[MemberRecord]) -> set[tuple[str, str]]:
    """Return the ordered pairs of agents that are peers; for the arguments see `partners_of`."""
    found = partners_of(topology, members)
    return {(name, peer) for name, peers in found.items() for peer in peers}


@functools.lru_cache(maxsize=16)  # a change of N members asks for each of them
def _partners(topology: Topology, teachers: tuple[tuple[str, str], ...]) -> Mapping[str, frozenset[str]]:
    partners = topology.partners([name for name, _ in teachers])
    for name, teacher in teachers:
        if teacher in partners:
            partners[name].add(teacher)
            partners[teacher].add(name)
    return {name: frozenset(peers) for name, peers in partners.items()}
