from itertools import product

import numpy as np
import pytest
import torch

from social_jepa.experiments.collapse.mdp import (
    Mdp,
    bisimulation,
    chain,
    cycle,
    duplicated,
    family,
    grid,
    random_process,
)
from social_jepa.experiments.collapse.mdp_models import Jepas, Worlds, distances, lower_bound, spread
from social_jepa.experiments.collapse.mdp_scores import broken
from social_jepa.experiments.collapse.run import EXPERIMENT, PARTS, CollapseSettings, pulled, run
from social_jepa.experiments.framework.experiment import Results

TINY = CollapseSettings(random=1, dim=3, hidden=8, steps=3, pairs=1)


def same_fate(mdp: Mdp) -> np.ndarray:
    """Whether two states have equal p after every sequence of up to S actions, followed one by one."""
    states, actions = mdp.successors.shape
    equal = np.ones((states, states), dtype=bool)
    for length in range(states + 1):
        for word in product(range(actions), repeat=length):
            place = np.arange(states)
            for action in word:
                place = mdp.successors[place, action]
            equal &= mdp.values[place][:, None] == mdp.values[place]
    return equal


def small_processes() -> list[Mdp]:
    rng = np.random.default_rng(0)
    drawn = [random_process(rng, int(rng.integers(2, 7)), int(rng.integers(1, 4))) for _ in range(20)]
    built = [chain(6), cycle(7, 7), cycle(6, 3), grid(2, 3), duplicated(rng, chain(3), 2)]
    return drawn + built + [Mdp("blind", rng.integers(4, size=(4, 2)), np.zeros(4))]


@pytest.mark.parametrize("mdp", small_processes(), ids=lambda mdp: f"{mdp.name} of {len(mdp.values)}")
def test_refinement_finds_what_no_sequence_of_actions_tells_apart(mdp):
    classes = bisimulation(mdp)

    assert np.array_equal(classes[:, None] == classes, same_fate(mdp))


def test_copies_are_bisimilar_and_the_ends_of_a_chain_are_not():
    rng = np.random.default_rng(1)
    twice = bisimulation(duplicated(rng, cycle(5, 5), 2))

    assert np.array_equal(twice[:5], twice[5:])
    assert len(np.unique(bisimulation(chain(9)))) == 9
    assert len(np.unique(bisimulation(cycle(12, 4)))) == 4


def test_a_family_has_what_it_is_asked_for_and_some_bisimilar_states():
    found = family(np.random.default_rng(3), 12)
    again = family(np.random.default_rng(3), 12)

    assert len(found) == 24
    assert all(6 <= len(mdp.values) <= 12 and np.ptp(mdp.values) == 1 for mdp in found)
    assert all(np.array_equal(a.successors, b.successors) for a, b in zip(found, again, strict=True))
    assert sum(len(np.unique(bisimulation(mdp))) < len(mdp.values) for mdp in found) >= 4
    with pytest.raises(ValueError, match="two states"):
        random_process(np.random.default_rng(0), 1, 2)


def planted(mdp: Mdp, rng: np.random.Generator, noise: float = 0.0) -> tuple[np.ndarray, ...]:
    """Codes of one random vector for each class, and a T and a P that are right but for noise."""
    classes = bisimulation(mdp)
    codes = rng.normal(size=(classes.max() + 1, 4))[classes]
    ahead = codes[mdp.successors]
    return (
        codes, ahead + noise * rng.normal(size=ahead.shape),
        mdp.values + noise * rng.normal(size=len(codes)),
    )  # fmt: skip


@pytest.mark.parametrize("mdp", small_processes(), ids=lambda mdp: f"{mdp.name} of {len(mdp.values)}")
def test_without_errors_the_bound_is_positive_exactly_where_states_are_not_bisimilar(mdp):
    codes, ahead, told = planted(mdp, np.random.default_rng(0))
    bound, distance = lower_bound(mdp, codes, ahead, told), distances(codes)

    assert np.array_equal(bound > 0, ~same_fate(mdp))
    assert (bound <= distance + 1e-12).all()
    assert broken(distance, bound) == 0


@pytest.mark.parametrize("noise", [1e-3, 0.1, 3.0])
def test_no_codes_break_the_bound_whatever_the_errors(noise):
    for mdp in small_processes():
        rng = np.random.default_rng(7)
        codes, ahead, told = planted(mdp, rng, noise)
        codes += noise * rng.normal(size=codes.shape)

        assert broken(distances(codes), lower_bound(mdp, codes, ahead, told)) == 0


def test_the_bound_of_a_chain_is_its_derivation():
    """P sees the right end alone, and T halves distances: a state k steps away may be 2^k times farther."""
    mdp = chain(3)
    codes = np.array([[0.0], [1.0], [2.0]])
    bound = lower_bound(mdp, codes, codes[mdp.successors], mdp.values)

    assert bound[1, 2] == pytest.approx(1)  # p differs by 1, K = 1
    assert bound[0, 1] == pytest.approx(1)  # one step right: p differs, L = 1 both ways
    blind = lower_bound(mdp, codes, codes[mdp.successors], np.full(3, 0.5))
    assert not blind.any()  # a head that is wrong by a half everywhere promises nothing


def test_what_is_filled_up_counts_for_nothing():
    worlds = Worlds.of([chain(3), grid(2, 4), cycle(5, 5)], np.random.default_rng(0))
    torch.manual_seed(0)
    model = Jepas(worlds, dim=4, hidden=8)
    seen = model(worlds)
    alone = Worlds.of([chain(3)], np.random.default_rng(0))

    torch.testing.assert_close(spread(seen.codes, worlds.states), torch.ones(3, dtype=torch.float64))
    assert not seen.dynamics[0, 3:].any()
    assert not seen.dynamics[0, :, 2:].any()
    assert not seen.head[0, 3:].any()
    assert (worlds.classes[0] == [*alone.classes[0], -1, -1, -1, -1, -1]).all()
    assert torch.equal(worlds.repeated([1, 0, 0]).successors[2], worlds.successors[0])


def test_models_side_by_side_share_nothing():
    worlds = Worlds.of([chain(4), cycle(5, 5)], np.random.default_rng(0))
    model = Jepas(worlds, dim=3, hidden=6)
    seen = model(worlds)
    (seen.dynamics[0].sum() + seen.head[0].sum()).backward()

    for weight in model.parameters():  # the second half belongs to the second world
        first, second = weight.grad.chunk(2)
        assert first.any()
        assert not second.any()


def test_the_losses_are_their_equations():
    mdp = chain(4)
    worlds = Worlds.of([mdp], np.random.default_rng(0))
    model = Jepas(worlds, dim=3, hidden=6)
    seen = model(worlds)
    for state, action in product(range(4), range(2)):
        rows = seen.codes[:, state].expand(2, 1, 3)  # a network for each action
        ahead = seen.codes[0, state] + model.transition(rows)[action, 0]
        missed = (ahead - seen.codes[0, mdp.successors[state, action]]).square().sum()
        torch.testing.assert_close(seen.dynamics[0, state, action], missed)
    model(worlds, detached=True).head.sum().backward()
    assert model.encoder.last.grad is None


def test_pulled_pairs_share_p_and_are_not_bisimilar():
    worlds = Worlds.of(family(np.random.default_rng(0), 2), np.random.default_rng(0))
    rows, pairs = pulled(worlds, 3, np.random.default_rng(0))

    assert len(rows) == len(pairs) > 20
    for k, (x, y) in zip(rows, pairs, strict=True):
        assert worlds.mdps[k].values[x] == worlds.mdps[k].values[y]
        assert worlds.classes[k, x] != worlds.classes[k, y]


@pytest.mark.parametrize("part", PARTS)
def test_equal_seeds_give_equal_outcomes(part):
    first, again = (run(part, 5, TINY, lambda text: None) for _ in range(2))

    assert first.flops > 0
    assert {k: m.score for k, m in first.scores.items()} == pytest.approx(
        {k: m.score for k, m in again.scores.items()}, nan_ok=True
    )
    assert first.scores["counter-examples"].score == 0


def test_a_head_parts_one_chain_from_one_code_and_dynamics_do_not():
    settings = CollapseSettings(random=0, dim=4, hidden=16, steps=300)
    joint, alone = (
        run(part, 1, settings, lambda text: None).scores for part in ("collapsed-start", "collapsed-dynamics")
    )

    assert joint["farthest"].score > 0.1
    assert alone["farthest"].score == alone["worst dynamics"].score == 0


def test_the_page_has_its_goals_and_draws():
    parts = EXPERIMENT.conditions(TINY)
    results = Results({(part, 5): run(part, 5, TINY, lambda text: None) for part in parts}, [5])
    lines = EXPERIMENT.metrics(results, TINY)

    assert {line.group for line in lines} == set(parts)
    assert sum(line.threshold is not None for line in lines) == 11
    assert set(EXPERIMENT.plots(results, TINY)) == {"distances", "example", "search"}
    assert all(isinstance(note, str) for note in EXPERIMENT.notes(results, TINY))
