"""Cycles of three nodes against a plain enumeration."""

from itertools import permutations

import numpy as np
import pytest

from alignment.three_cycles import ENUMERATED, count_three_cycles, three_cycles


def random_graph(nodes, density, seed=0):
    adjacency = np.random.default_rng(seed).random((nodes, nodes)) < density
    return adjacency & ~np.eye(nodes, dtype=bool)


def enumerate_plainly(adjacency):
    return [
        (i, j, k)
        for i, j, k in permutations(range(len(adjacency)), 3)
        if i < min(j, k) and adjacency[i, j] and adjacency[j, k] and adjacency[k, i]
    ]


@pytest.mark.parametrize(("nodes", "density"), [(0, 1), (2, 1), (7, 1), (12, 0.5), (30, 0.2), (30, 0)])
def test_all_cycles_are_listed_once_in_order(nodes, density):
    adjacency = random_graph(nodes, density)
    expected = enumerate_plainly(adjacency)

    assert [tuple(cycle) for cycle in three_cycles(adjacency, 10_000)[0].tolist()] == expected
    assert three_cycles(adjacency, 10_000)[1] == count_three_cycles(adjacency) == len(expected)


@pytest.mark.parametrize("most", [5, 40, 300])
@pytest.mark.parametrize("density", [1, 0.4])
def test_a_sample_holds_so_many_distinct_cycles_of_the_graph_and_is_the_same_again(most, density):
    adjacency = random_graph(14, density)
    every = enumerate_plainly(adjacency)
    found = [tuple(cycle) for cycle in three_cycles(adjacency, most)[0].tolist()]

    assert len(found) == len(set(found)) == min(most, len(every))
    assert set(found) <= set(every)
    assert found == sorted(found)
    assert found == [tuple(cycle) for cycle in three_cycles(adjacency, most)[0].tolist()]


@pytest.mark.parametrize("most", [40, 200])  # drawn, and chosen among all
def test_every_cycle_is_drawn_equally_often(most):
    """In graphs of the same shape whose nodes are named in another order, each cycle has the same chance."""
    nodes, trials = 14, 120
    adjacency = random_graph(nodes, 1)
    total = count_three_cycles(adjacency)
    assert (total > ENUMERATED * most) == (most == 40)
    members = np.zeros(nodes)
    for seed in range(trials):
        order = np.random.default_rng(seed).permutation(nodes)
        members += np.bincount(order[three_cycles(adjacency, most)[0]].ravel(), minlength=nodes)
    direction = three_cycles(adjacency, most)[0]

    assert members / trials == pytest.approx(3 * most / nodes, rel=0.1)
    assert 0.3 < np.mean(direction[:, 1] < direction[:, 2]) < 0.7


def test_the_cycles_of_a_sparse_graph_of_a_thousand_nodes_are_those_of_its_definition():
    nodes, reach = 1000, 4
    distance = (np.arange(nodes) - np.arange(nodes)[:, None]) % nodes
    adjacency = (distance <= reach) & (distance > 0) | (distance >= nodes - reach)
    found = three_cycles(adjacency, 20_000)[0]

    assert len(found) == len(np.unique(found, axis=0)) == 12_000  # 6 triples from each node on, both ways
    assert adjacency[found, found[:, [1, 2, 0]]].all()
    assert (found[:, 0] < found[:, 1:].min(1)).all()


def test_a_complete_graph_of_a_thousand_nodes_is_sampled_without_being_enumerated():
    adjacency = random_graph(1000, 1)

    assert count_three_cycles(adjacency) == 1000 * 999 * 998 // 3
    assert three_cycles(adjacency, 2000)[0].shape == (2000, 3)
