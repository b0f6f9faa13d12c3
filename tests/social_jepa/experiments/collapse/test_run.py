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
    grid,
    random_process,
    sample_processes,
)
from social_jepa.experiments.collapse.models import (
    BatchedPJepa,
    ProcessBatch,
    distances,
    lower_bound,
    spread,
)
from social_jepa.experiments.collapse.run import EXPERIMENT, run
from social_jepa.experiments.collapse.scores import count_violations
from social_jepa.experiments.collapse.search import sample_search_pairs
from social_jepa.experiments.collapse.settings import CONDITIONS, Settings
from social_jepa.experiments.framework.experiment import Results
from tests.support.stored_plots import stored_plots

TINY = Settings(random_processes=1, dim=3, hidden=8, steps=3, search_pairs=1)


def equal_futures(mdp: Mdp) -> np.ndarray:
    """Return whether two states have equal p after every sequence of up to S actions, by enumeration."""
    states, actions = mdp.successors.shape
    equal = np.ones((states, states), dtype=bool)
    for length in range(states + 1):
        for sequence in product(range(actions), repeat=length):
            state = np.arange(states)
            for action in sequence:
                state = mdp.successors[state, action]
            equal &= mdp.values[state][:, None] == mdp.values[state]
    return equal


def small_processes() -> list[Mdp]:
    rng = np.random.default_rng(0)
    sampled = [random_process(rng, int(rng.integers(2, 7)), int(rng.integers(1, 4))) for _ in range(20)]
    structured = [chain(6), cycle(7, 7), cycle(6, 3), grid(2, 3), duplicated(rng, chain(3), 2)]
    return sampled + structured + [Mdp("constant value", rng.integers(4, size=(4, 2)), np.zeros(4))]


@pytest.mark.parametrize("mdp", small_processes(), ids=lambda mdp: f"{mdp.name} of {len(mdp.values)}")
def test_bisimulation_classes_equal_those_of_all_action_sequences(mdp):
    classes = bisimulation(mdp)

    assert np.array_equal(classes[:, None] == classes, equal_futures(mdp))


def test_copies_are_bisimilar_and_the_ends_of_a_chain_are_not():
    rng = np.random.default_rng(1)
    twice = bisimulation(duplicated(rng, cycle(5, 5), 2))

    assert np.array_equal(twice[:5], twice[5:])
    assert len(np.unique(bisimulation(chain(9)))) == 9
    assert len(np.unique(bisimulation(cycle(12, 4)))) == 4


def test_sampled_processes_are_reproducible_and_some_have_bisimilar_states():
    found = sample_processes(np.random.default_rng(3), 12)
    again = sample_processes(np.random.default_rng(3), 12)

    assert len(found) == 24
    assert all(6 <= len(mdp.values) <= 12 and np.ptp(mdp.values) == 1 for mdp in found)
    assert all(np.array_equal(a.successors, b.successors) for a, b in zip(found, again, strict=True))
    assert sum(len(np.unique(bisimulation(mdp))) < len(mdp.values) for mdp in found) >= 4
    with pytest.raises(ValueError, match="two states"):
        random_process(np.random.default_rng(0), 1, 2)


def planted(mdp: Mdp, rng: np.random.Generator, noise: float = 0.0) -> tuple[np.ndarray, ...]:
    """Return one random latent for each class, and outputs of T and P that are correct up to noise."""
    classes = bisimulation(mdp)
    latents = rng.normal(size=(classes.max() + 1, 4))[classes]
    predicted = latents[mdp.successors]
    return (
        latents, predicted + noise * rng.normal(size=predicted.shape),
        mdp.values + noise * rng.normal(size=len(latents)),
    )  # fmt: skip


@pytest.mark.parametrize("mdp", small_processes(), ids=lambda mdp: f"{mdp.name} of {len(mdp.values)}")
def test_without_errors_the_bound_is_positive_exactly_for_states_that_are_not_bisimilar(mdp):
    latents, predicted, values = planted(mdp, np.random.default_rng(0))
    bound, distance = lower_bound(mdp, latents, predicted, values), distances(latents)

    assert np.array_equal(bound > 0, ~equal_futures(mdp))
    assert (bound <= distance + 1e-12).all()
    assert count_violations(distance, bound) == 0


@pytest.mark.parametrize("noise", [1e-3, 0.1, 3.0])
def test_no_latents_violate_the_bound_for_any_errors(noise):
    for mdp in small_processes():
        rng = np.random.default_rng(7)
        latents, predicted, values = planted(mdp, rng, noise)
        latents += noise * rng.normal(size=latents.shape)

        assert count_violations(distances(latents), lower_bound(mdp, latents, predicted, values)) == 0


def test_the_bound_of_a_chain_equals_its_derivation():
    """The states of a chain differ in p at its right end, and one step before it after one step."""
    mdp = chain(3)
    latents = np.array([[0.0], [1.0], [2.0]])
    bound = lower_bound(mdp, latents, latents[mdp.successors], mdp.values)

    assert bound[1, 2] == pytest.approx(1)  # p differs by 1, K = 1
    assert bound[0, 1] == pytest.approx(1)  # one step right: p differs, L = 1 both ways
    uninformative = lower_bound(mdp, latents, latents[mdp.successors], np.full(3, 0.5))
    assert not uninformative.any()  # the head has an error of a half everywhere


def test_padding_has_no_weight():
    batch = ProcessBatch.from_processes([chain(3), grid(2, 4), cycle(5, 5)], np.random.default_rng(0))
    torch.manual_seed(0)
    model = BatchedPJepa(batch, dim=4, hidden=8)
    outputs = model(batch)
    single = ProcessBatch.from_processes([chain(3)], np.random.default_rng(0))

    torch.testing.assert_close(spread(outputs.latents, batch.states), torch.ones(3, dtype=torch.float64))
    assert not outputs.dynamics[0, 3:].any()
    assert not outputs.dynamics[0, :, 2:].any()
    assert not outputs.head[0, 3:].any()
    assert (batch.classes[0] == [*single.classes[0], -1, -1, -1, -1, -1]).all()
    assert torch.equal(batch.repeated([1, 0, 0]).successors[2], batch.successors[0])


def test_models_of_a_batch_share_no_weights():
    batch = ProcessBatch.from_processes([chain(4), cycle(5, 5)], np.random.default_rng(0))
    model = BatchedPJepa(batch, dim=3, hidden=6)
    outputs = model(batch)
    (outputs.dynamics[0].sum() + outputs.head[0].sum()).backward()

    for weight in model.parameters():  # the second half belongs to the second process
        first, second = weight.grad.chunk(2)
        assert first.any()
        assert not second.any()


def test_the_losses_equal_their_equations():
    mdp = chain(4)
    batch = ProcessBatch.from_processes([mdp], np.random.default_rng(0))
    model = BatchedPJepa(batch, dim=3, hidden=6)
    outputs = model(batch)
    for state, action in product(range(4), range(2)):
        rows = outputs.latents[:, state].expand(2, 1, 3)  # a network for each action
        predicted = outputs.latents[0, state] + model.transition(rows)[action, 0]
        error = (predicted - outputs.latents[0, mdp.successors[state, action]]).square().sum()
        torch.testing.assert_close(outputs.dynamics[0, state, action], error)
    model(batch, detached=True).head.sum().backward()
    assert model.encoder.last.grad is None


def test_searched_pairs_share_p_and_are_not_bisimilar():
    batch = ProcessBatch.from_processes(
        sample_processes(np.random.default_rng(0), 2), np.random.default_rng(0)
    )
    rows, pairs = sample_search_pairs(batch, 3, np.random.default_rng(0))

    assert len(rows) == len(pairs) > 20
    for k, (x, y) in zip(rows, pairs, strict=True):
        assert batch.mdps[k].values[x] == batch.mdps[k].values[y]
        assert batch.classes[k, x] != batch.classes[k, y]


@pytest.mark.parametrize("condition", CONDITIONS)
def test_equal_seeds_give_equal_results(condition):
    first, again = (run(condition, 5, TINY, lambda text: None) for _ in range(2))

    assert first.flops > 0
    assert {name: score.score for name, score in first.scores.items()} == pytest.approx(
        {name: score.score for name, score in again.scores.items()}, nan_ok=True
    )
    assert first.scores["counterexamples"].score == 0


def test_from_equal_latents_the_head_separates_a_chain_and_the_dynamics_do_not():
    settings = Settings(random_processes=0, dim=4, hidden=16, steps=300)
    conditions = ("collapsed-start", "collapsed-dynamics")
    joint, dynamics_only = (run(name, 1, settings, lambda text: None).scores for name in conditions)

    assert joint["maximum distance"].score > 0.1
    assert dynamics_only["maximum distance"].score == dynamics_only["worst dynamics error"].score == 0


def test_the_page_has_its_thresholds_and_draws_its_plots():
    conditions = EXPERIMENT.conditions(TINY)
    results = Results({(name, 5): run(name, 5, TINY, lambda text: None) for name in conditions}, [5])
    table = EXPERIMENT.metrics(results, TINY)

    assert {metric.group for metric in table} == set(conditions)
    assert sum(metric.threshold is not None for metric in table) == 11
    assert set(stored_plots(EXPERIMENT, results, TINY)) == {"distances", "example", "search"}
    assert all(isinstance(note, str) for note in EXPERIMENT.notes(results, TINY))
