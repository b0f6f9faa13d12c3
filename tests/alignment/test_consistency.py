"""Which pairs planted maps confirm, and which a liar among them contradicts."""

from itertools import permutations

import numpy as np
import pytest
import torch

from alignment.consistency import contradicted, round_trips, stack_maps
from alignment.linear_map import LinearMap

NAMES = tuple("abcdef")
DIM = 5


def rotation(rng):
    return np.linalg.qr(rng.standard_normal((DIM, DIM)))[0]


def planted(seed=0, noise=0.0, keeps=DIM, turned=None):
    """Return maps between agents whose frames differ; `turned` is how the last turns what it shows."""
    rng = np.random.default_rng(seed)
    frames = {name: rotation(rng) for name in NAMES}
    keep = np.diag([1.0] * keeps + [0.0] * (DIM - keeps))
    shown = turned or {}

    def frame(agent, peer):
        return shown[peer] @ frames[agent] if agent == NAMES[-1] and shown else frames[agent]

    maps = {}
    for a, b in permutations(NAMES, 2):
        weight = frame(a, b).T @ keep @ frame(b, a) + noise * rng.standard_normal((DIM, DIM))
        maps[a, b] = LinearMap(torch.from_numpy(weight), torch.zeros(DIM))
    return maps


def off_diagonal(matrix):
    return matrix[~torch.eye(len(matrix), dtype=torch.bool)]


@pytest.mark.parametrize(("noise", "keeps"), [(0.0, DIM), (0.05, DIM), (0.05, 2)])
def test_honest_agents_confirm_each_other_and_contradict_none(noise, keeps):
    weights = stack_maps(NAMES, planted(noise=noise, keeps=keeps))

    assert off_diagonal(round_trips(weights)).all()
    assert not contradicted(weights).any()


def test_one_rotation_for_all_peers_is_no_contradiction():
    turn = rotation(np.random.default_rng(9))
    weights = stack_maps(NAMES, planted(turned=dict.fromkeys(NAMES, turn)))

    assert off_diagonal(round_trips(weights)).all()
    assert not contradicted(weights).any()


def test_another_rotation_for_each_peer_contradicts_the_pairs_of_that_agent_alone():
    rng = np.random.default_rng(9)
    weights = stack_maps(NAMES, planted(turned={name: rotation(rng) for name in NAMES}))
    expected = torch.zeros(len(NAMES), len(NAMES), dtype=torch.bool)
    expected[-1, :-1] = expected[:-1, -1] = True

    assert off_diagonal(round_trips(weights)).all()  # each pair by itself looks right
    assert torch.equal(contradicted(weights), expected)


def test_a_false_map_does_not_return():
    maps = planted()
    maps["a", "b"] = LinearMap(torch.from_numpy(rotation(np.random.default_rng(9))), torch.zeros(DIM))
    found = round_trips(stack_maps(NAMES, maps))

    assert not found[0, 1]
    assert not found[1, 0]
    assert int((~off_diagonal(found)).sum()) == 2


def test_no_map_confirms_nothing_and_two_agents_have_no_third():
    assert not round_trips(stack_maps(NAMES, {})).any()
    assert not contradicted(stack_maps(NAMES[:2], planted())).any()


def test_maps_between_cores_of_different_size_are_stacked():
    weight = torch.eye(2, 3)
    maps = {("a", "b"): LinearMap(weight, torch.zeros(3)), ("b", "a"): LinearMap(weight.T, torch.zeros(2))}

    assert round_trips(stack_maps(("a", "b"), maps)).tolist() == [[False, True], [True, False]]


@pytest.mark.parametrize("share", [1.0, 0.6, 0.3])
def test_walks_are_those_of_every_triple_of_agents_with_three_maps(share):
    """An independent rewrite, agent by agent, of graphs in which a share of the pairs has a map."""
    rng = np.random.default_rng(int(10 * share))
    maps = planted(noise=0.4, turned={name: rotation(rng) for name in NAMES})
    maps = {pair: found for pair, found in maps.items() if rng.random() < share}
    expected = torch.zeros(len(NAMES), len(NAMES), dtype=torch.bool)
    for i, j in permutations(range(len(NAMES)), 2):
        wrong, walks, thirds = 0, 0, set()
        for first, second in ((i, j), (j, i)):
            for third in set(range(len(NAMES))) - {i, j}:
                steps = [(first, second), (second, third), (third, first)]
                if all((NAMES[a], NAMES[b]) in maps for a, b in steps):
                    walk = torch.linalg.multi_dot([maps[NAMES[a], NAMES[b]].weight for a, b in steps])
                    walks, thirds = walks + 1, thirds | {third}
                    wrong += bool(2 * walk.trace() <= walk.square().sum())
        expected[i, j] = len(thirds) > 1 and 2 * wrong > walks

    assert expected.any() == (share > 0.5)
    assert torch.equal(contradicted(stack_maps(NAMES, maps)), expected)


def test_a_thousand_agents_with_six_partners_each_are_judged_without_a_table_of_all_triples():
    names = [f"agent-{k}" for k in range(1000)]
    maps = {
        (names[k], names[(k + step) % 1000]): LinearMap(torch.eye(2), torch.zeros(2))
        for k in range(1000)
        for step in (-3, -2, -1, 1, 2, 3)
    }
    maps[names[5], names[6]] = LinearMap(-torch.eye(2), torch.zeros(2))
    maps[names[6], names[5]] = LinearMap(-torch.eye(2), torch.zeros(2))
    stacked = stack_maps(names, maps)

    assert contradicted(stacked).nonzero().tolist() == [[5, 6], [6, 5]]
    assert int(round_trips(stacked).sum()) == 6000
