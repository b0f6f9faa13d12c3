import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from alignment.fit import fit_procrustes, fit_ridge
from alignment.linear_map import LinearMap
from alignment.score import (
    canonical_correlations,
    cycle_error,
    isometry_deviation,
    kappa,
    linear_cka,
    mutual_knn,
    r2,
    retrieval_at,
    shuffle_pairs,
    spectrum,
)

SEEDS = st.integers(0, 2**32)


def normal(generator, *shape):
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def rotation(generator, dim):
    return torch.linalg.qr(normal(generator, dim, dim)).Q


def whitened(rows):
    rows = rows - rows.mean(0)
    return torch.linalg.svd(rows, full_matrices=False).U * len(rows) ** 0.5


def related(generator, pairs=200, dim=4, noise=0.5):
    source = normal(generator, pairs, dim)
    return source, source @ rotation(generator, dim) + noise * normal(generator, pairs, dim)


def fitted(fit, score, **options):
    """A score of predictions, as a score of two sets: fit on them, then compare."""
    return lambda source, target: score(fit(source, target, **options)(source), target)


SCORES = {
    "r2 procrustes": fitted(fit_procrustes, r2),
    "r2 ridge": fitted(fit_ridge, r2, ridge=1e-10),
    "retrieval": fitted(fit_procrustes, retrieval_at),
    "spectrum": spectrum,
    "canonical": canonical_correlations,
    "cka": linear_cka,
    "mutual knn": mutual_knn,
}
CHANGES = {
    "rotation": lambda g, dim: rotation(g, dim),
    "scaling": lambda g, dim: 0.1 * torch.eye(dim, dtype=torch.float64),
    "general": lambda g, dim: (
        normal(g, dim, dim) @ torch.diag(torch.logspace(-1, 1, dim, dtype=torch.float64))
    ),
}
# What a change of the source's coordinates must leave alone; it must not leave alone what is missing.
INVARIANT = {
    "r2 procrustes": {"rotation"},
    "r2 ridge": {"rotation", "scaling", "general"},
    "retrieval": {"rotation"},
    "spectrum": {"rotation"},
    "canonical": {"rotation", "scaling", "general"},
    "cka": {"rotation", "scaling"},
    "mutual knn": {"rotation", "scaling"},
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", SCORES)
def test_a_score_is_invariant_exactly_to_the_listed_changes_of_coordinates(name, change):
    generator = torch.Generator().manual_seed(0)
    source, target = related(generator, noise=0.8)

    before = torch.as_tensor(SCORES[name](source, target), dtype=torch.float64)
    changed = source @ CHANGES[change](generator, 4)
    after = torch.as_tensor(SCORES[name](changed, target), dtype=torch.float64)

    if change in INVARIANT[name]:
        torch.testing.assert_close(after, before)
    else:
        assert (after - before).abs().max() > 0.01


@pytest.mark.parametrize("name", SCORES)
def test_every_score_is_invariant_to_shifts_and_the_order_of_pairs(name):
    generator = torch.Generator().manual_seed(0)
    source, target = related(generator)
    order = torch.randperm(len(source), generator=generator)

    before = torch.as_tensor(SCORES[name](source, target))

    torch.testing.assert_close(torch.as_tensor(SCORES[name](source[order], target[order])), before)
    torch.testing.assert_close(torch.as_tensor(SCORES[name](source + 9.0, target - 4.0)), before)


@pytest.mark.parametrize("name", SCORES)
def test_every_score_falls_to_chance_when_the_pairs_are_shuffled(name):
    generator = torch.Generator().manual_seed(0)
    source, target = related(generator, pairs=400, noise=0.1)

    honest = torch.as_tensor(SCORES[name](source, target), dtype=torch.float64)
    null = torch.as_tensor(SCORES[name](source, shuffle_pairs(target, generator)), dtype=torch.float64)

    assert null.shape == honest.shape
    assert honest.min() > 0.6
    assert null.max() < 0.25


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize("collapsed", ["source", "target", "both"])
def test_a_collapsed_set_gets_the_worst_score(name, collapsed):
    generator = torch.Generator().manual_seed(0)
    source, target = related(generator)
    if collapsed != "target":
        source = torch.full_like(source, 0.1)
    if collapsed != "source":
        target = torch.full_like(target, 0.7)

    scores = torch.as_tensor(SCORES[name](source, target))

    assert torch.isfinite(scores).all()
    assert scores.abs().max() < 0.01


@pytest.mark.parametrize("name", SCORES)
def test_a_single_pair_gets_the_worst_score(name):
    scores = torch.as_tensor(SCORES[name](torch.ones(1, 3), torch.ones(1, 3)))

    assert name == "retrieval" or scores.abs().max() == 0


@pytest.mark.parametrize("score", [spectrum, canonical_correlations])
def test_unrelated_sets_of_few_pairs_have_the_spectrum_of_related_ones(score):
    generator = torch.Generator().manual_seed(0)
    source, target = whitened(normal(generator, 8, 12))[:, :7], whitened(normal(generator, 8, 12))[:, :7]

    values = score(source, target)
    null = score(source, shuffle_pairs(target, generator))

    torch.testing.assert_close(values, torch.ones_like(values))
    torch.testing.assert_close(null, torch.ones_like(null))  # which the null gives away


@given(SEEDS, st.floats(0.0, 2.0))
@settings(max_examples=30)
def test_between_white_sets_all_scores_follow_from_the_spectrum(seed, noise):
    source, target = (whitened(rows) for rows in related(torch.Generator().manual_seed(seed), noise=noise))
    c = spectrum(source, target)

    torch.testing.assert_close(c, canonical_correlations(source, target))
    assert r2(fit_ridge(source, target, ridge=1e-12)(source), target) == pytest.approx(
        float(c.square().mean())
    )
    procrustes = (fit_procrustes(source, target)(source) - target).square().sum() / target.numel()
    assert float(procrustes) == pytest.approx(float(2 * (1 - c.mean())), abs=1e-9)


def test_the_spectrum_of_an_isometry_is_all_ones():
    generator = torch.Generator().manual_seed(0)
    values = spectrum(*related(generator, noise=0.0))

    torch.testing.assert_close(values, torch.ones(4, dtype=torch.float64))
    assert kappa(values) == pytest.approx(1)
    assert isometry_deviation(values) == pytest.approx(0, abs=1e-9)


def test_summaries_of_a_spectrum_follow_their_formulas():
    values = torch.tensor([1.0, 0.5], dtype=torch.float64)

    assert kappa(values) == 2.0
    assert isometry_deviation(values) == pytest.approx(math.sqrt(0.75**2 / 2))
    assert kappa(torch.tensor([1.0, 0.0])) == kappa(torch.zeros(0)) == math.inf
    assert isometry_deviation(torch.zeros(3)) == isometry_deviation(torch.zeros(0)) == 1.0


def test_r2_is_1_for_the_target_0_for_the_mean_and_pooled_over_dimensions():
    target = torch.tensor([[0.0, 0.0], [2.0, 20.0]])

    assert r2(target, target) == 1.0
    assert r2(target.mean(0).expand(2, 2), target) == 0.0
    missing_the_small_one = torch.tensor([[1.0, 0.0], [1.0, 20.0]])
    assert r2(missing_the_small_one, target) == pytest.approx(1 - 2 / 202)


def test_retrieval_counts_the_paired_row_among_k_and_ties_as_misses():
    target = torch.tensor([[0.0], [1.0], [5.0]])
    predicted = torch.tensor([[0.1], [0.2], [5.0]])  # the second lies nearer to the first target

    assert retrieval_at(predicted, target) == pytest.approx(2 / 3)
    assert retrieval_at(predicted, target, k=2) == 1.0
    assert retrieval_at(predicted, torch.zeros(3, 1)) == 0.0


def test_neighbors_and_retrieval_of_unrelated_sets_are_at_chance():
    generator = torch.Generator().manual_seed(0)
    source, target = normal(generator, 400, 4), normal(generator, 400, 4)

    assert mutual_knn(source, target, k=20) == pytest.approx(20 / 399, abs=0.01)
    assert retrieval_at(source, target, k=40) == pytest.approx(40 / 400, abs=0.04)
    assert mutual_knn(source, source, k=20) == retrieval_at(source, source) == 1.0
    assert mutual_knn(source[:3], source[:3], k=20) == 1.0  # k is lowered to the two that there are


@given(SEEDS)
@settings(max_examples=20)
def test_a_consistent_cycle_has_no_error_and_one_with_an_unrelated_map_has(seed):
    generator = torch.Generator().manual_seed(seed)
    p, q, unrelated = (LinearMap(rotation(generator, 8), normal(generator, 8)) for _ in range(3))
    points = normal(generator, 50, 8)

    assert cycle_error([p, q, p.then(q).inverse()], points) < 1e-20
    assert cycle_error([p, q, unrelated], points) > 0.5
    assert cycle_error([], points) == 0


def test_the_error_of_a_cycle_is_relative_to_the_points():
    double = LinearMap(2 * torch.eye(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64))
    shift = LinearMap(torch.eye(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64))

    assert cycle_error([double], torch.ones(5, 3)) == 1.0
    assert cycle_error([double], torch.zeros(5, 3)) == 0.0
    assert cycle_error([shift], torch.zeros(5, 3)) == math.inf


def test_shuffling_keeps_the_rows_and_depends_on_the_generator_alone():
    rows = torch.arange(50.0)[:, None]
    shuffled = shuffle_pairs(rows, torch.Generator().manual_seed(1))

    assert not torch.equal(shuffled, rows)
    assert torch.equal(shuffled.sort(0).values, rows)
    assert torch.equal(shuffled, shuffle_pairs(rows, torch.Generator().manual_seed(1)))


@pytest.mark.parametrize(
    "score", [r2, spectrum, canonical_correlations, linear_cka, mutual_knn, retrieval_at]
)
def test_sets_of_different_length_are_refused(score):
    with pytest.raises(ValueError, match="with one K"):
        score(torch.zeros(3, 2), torch.zeros(4, 2))


def test_rows_that_are_equally_near_are_all_neighbors():
    corners = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    # of the two nearest of each corner neither comes first, and neither lies across
    assert mutual_knn(corners, corners, k=1) == 1.0
    assert mutual_knn(corners, corners[[0, 1, 3, 2]], k=1) == 0.5
