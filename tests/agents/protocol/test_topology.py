import hashlib
import random
from itertools import permutations

import networkx as nx
import pytest

from agents.protocol import topology
from agents.protocol.topology import Topology

RULES = ("all", "ring", "k_regular(4)", "k_regular(6)", "hubs(1)", "hubs(3)", "tree")


def names(count):
    return [f"agent-{index}" for index in range(count)]


@pytest.mark.parametrize("text", RULES)
@pytest.mark.parametrize("count", [1, 2, 3, 5, 40])
def test_every_topology_connects_all_agents_in_both_directions(text, count):
    found = Topology.parse(text).pairs(names(count))

    assert all((target, source) in found and source != target for source, target in found)
    network = nx.Graph(found)
    network.add_nodes_from(names(count))
    assert nx.is_connected(network)
    assert found <= set(permutations(names(count), 2))


@pytest.mark.parametrize(
    ("text", "pairs"),
    [("all", 40 * 39 // 2), ("ring", 40), ("hubs(1)", 39), ("hubs(3)", 3 * 37 + 3), ("tree", 39)],
)
def test_the_number_of_pairs_is_the_documented_one(text, pairs):
    assert len(Topology.parse(text).pairs(names(40))) == 2 * pairs


@pytest.mark.parametrize("degree", [2, 4, 6, 10])
def test_agents_of_k_regular_have_about_k_partners_whatever_their_number(degree):
    for count in (100, 400):
        partners = Topology("k_regular", degree).partners(names(count))
        mean = sum(map(len, partners.values())) / count
        assert min(map(len, partners.values())) >= 2
        assert degree - 1 <= mean <= degree
        assert max(map(len, partners.values())) <= 4 * degree


@pytest.mark.parametrize("text", ["ring", "k_regular(6)", "hubs(2)", "tree"])
def test_a_joiner_or_leaver_changes_a_number_of_pairs_that_does_not_grow_with_n(text):
    rule, changes = Topology.parse(text), []
    for count in (50, 400):
        before = rule.pairs(names(count))
        joined = rule.pairs(names(count + 1))
        left = rule.pairs([name for name in names(count) if name != "agent-17"])
        changes.append(max(len(before ^ joined), len(before ^ left)) / 2)

    assert max(changes) <= 30


@pytest.mark.parametrize("text", ["k_regular(3)", "k_regular(6)", "tree"])
def test_pairs_after_joins_and_leaves_are_those_of_the_names_from_scratch(text):
    rule, rng, present = Topology.parse(text), random.Random(text), names(3)
    for number in range(3, 60):
        present = [name for name in present if rng.random() < 0.9 or len(present) < 3]
        present.append(f"agent-{number}")
        found = rule.pairs(present)
        topology._newest.clear()
        topology._newest_tree = ([], {})
        assert found == rule.pairs(present)


def test_a_tree_of_names_in_another_order_is_that_of_the_order(monkeypatch):
    shuffled = random.Random(0).sample(names(40), 40)
    after = Topology("tree").pairs(names(40)), Topology("tree").pairs(shuffled)
    monkeypatch.setattr(topology, "_newest_tree", ([], {}))

    assert after[1] == Topology("tree").pairs(shuffled) != after[0]


@pytest.mark.parametrize("text", ["k_regular(6)", "tree"])
def test_a_join_costs_as_many_hashes_as_there_are_agents(text, monkeypatch):
    rule, counted = Topology.parse(text), []
    rule.pairs(names(200))
    blake2b = hashlib.blake2b
    monkeypatch.setattr(topology, "blake2b", lambda *a, **k: counted.append(1) or blake2b(*a, **k))
    rule.pairs(names(201))

    assert 200 <= len(counted) <= 2 * 201


def test_pairs_follow_from_the_names_alone():
    assert Topology.parse("k_regular(6)").pairs(names(30)) == Topology("k_regular", 6).pairs(tuple(names(30)))


@pytest.mark.parametrize("text", RULES)
def test_a_topology_is_written_as_it_is_read(text):
    assert str(Topology.parse(text)) == text


@pytest.mark.parametrize(
    "text", ["", "star", "ring(3)", "hubs", "hubs(0)", "k_regular(1)", "k_regular(-2)", "all()"]
)
def test_what_names_no_topology_is_refused(text):
    with pytest.raises(ValueError, match=r"topology|must be at least"):
        Topology.parse(text)
