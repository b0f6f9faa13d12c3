"""Published agents that negotiate in one process, all at once or block by block."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.protocol.identity import Identity
from agents.protocol.topology import Topology
from agents.side_negotiation import Side, negotiate_sides
from social_jepa.runtime.turns import blocks_of, key_holders
from tests.support.swarm import CONFIG, comparable, negotiate_all, planted_negotiation, tiny_spec

SESSION = bytes(16)


def partners(count, topology="all"):
    found = Topology.parse(topology).partners([f"agent-{k}" for k in range(count)])
    return {name: frozenset(peers) for name, peers in found.items()}


@given(
    st.integers(2, 40),
    st.integers(1, 12),
    st.sampled_from(["all", "ring", "tree", "hubs(2)", "k_regular(4)"]),
)
def test_blocks_hold_every_pair_once_and_at_most_two_blocks_of_agents(count, size, topology):
    wanted = partners(count, topology)
    blocks = blocks_of(wanted, size)

    pairs = [(name, peer) for block in blocks for name, peers in block.items() for peer in peers]
    assert len(pairs) == len(set(pairs))
    assert set(pairs) == {(name, peer) for name, peers in wanted.items() for peer in peers}
    for block in blocks:
        assert len(block) <= 2 * size
        assert all(name in block[peer] for name, peers in block.items() for peer in peers)


@pytest.fixture
def sides(tmp_path):
    found = []
    for index in range(5):
        planted = planted_negotiation(index)
        spec = tiny_spec(index, tmp_path)
        spec = type(spec)(**{**vars(spec), "negotiation": CONFIG})
        found.append(Side(spec, 1 + index, planted.peer_info, planted.pools))
    return found


def negotiate_in_blocks(sides, size):
    """Return all edges by pair, and the messages that each agent has sent."""
    identities = {side.spec.name: Identity.generate() for side in sides}
    by_name = {side.spec.name: side for side in sides}
    edges, sent = {}, []
    for block in blocks_of(partners(len(sides)), size):
        chosen = [Side(**{**vars(by_name[name]), "peers": peers}) for name, peers in block.items()]
        for events in negotiate_sides(chosen, identities, SESSION).values():
            edges |= {(edge.source, edge.target): edge for edge in events.edges}
            sent += [(entry.sender, entry.receiver, entry.type) for entry in events.sent]
            assert events.refused == ()
    return edges, sorted(sent)


def test_edges_and_messages_do_not_depend_on_the_size_of_the_blocks(sides):
    edges, sent = negotiate_in_blocks(sides, 8)
    assert set(edges) == set(itertools.permutations([side.spec.name for side in sides], 2))
    for size in (1, 2):
        others, messages = negotiate_in_blocks(sides, size)
        assert {pair: comparable(edge)[1:] for pair, edge in others.items()} == {
            pair: comparable(edge)[1:] for pair, edge in edges.items()
        }
        assert messages == sent
    assert {edge.incarnations for edge in edges.values()} == set(itertools.permutations(range(1, 6), 2))


def test_edges_are_those_of_agents_in_processes_of_their_own(sides):
    edges, _ = negotiate_in_blocks(sides, 8)
    alone = {side.spec.name: side.negotiation() for side in sides}
    negotiate_all(alone)
    for (source, target), edge in edges.items():
        expected = alone[target].edges[source]
        assert comparable(edge)[1:] == comparable(expected)[1:]
        assert edge.status == expected.status == "accepted"


def test_an_agent_has_one_key_in_all_of_its_edges_so_those_negotiate_who_have_it():
    placed = {"worker-0": "far", "worker-1": "here", "worker-2": "here"}
    assert key_holders(sorted(placed), placed, "here") == ["worker-1", "worker-2"]
    assert key_holders(sorted(placed), dict.fromkeys(placed, "far"), "here") == ["worker-0"]
