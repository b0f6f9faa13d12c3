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
