from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from alignment.fit import fit_procrustes, fit_ridge, fit_robust
from alignment.linear_map import LinearMap
from alignment.score import r2

# d, anchors, and the relative errors to reach: clean, corrupted Procrustes, corrupted trimmed Procrustes.
POISONED = [(64, 128, 0.030, 0.851, 0.041), (128, 512, 0.019, 0.688, 0.024), (256, 512, 0.029, 0.829, 0.040)]

FIT_METHODS = {"ridge": fit_ridge, "procrustes": fit_procrustes, "robust": fit_robust}


def normal(generator, *shape):
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def rotation(generator, dim):
    return torch.linalg.qr(normal(generator, dim, dim)).Q


@pytest.mark.parametrize("dim", [1, 2, 8, 32])
@pytest.mark.parametrize("method", ["procrustes", "robust"])
def test_a_planted_rotation_and_shift_are_recovered(method, dim):
    generator = torch.Generator().manual_seed(0)
    source, truth = normal(generator, 4 * dim, dim), rotation(generator, dim)

    found = FIT_METHODS[method](source, source @ truth + 3.0)

    torch.testing.assert_close(found.weight, truth)
    torch.testing.assert_close(found.bias, torch.full((dim,), 3.0, dtype=torch.float64))


@pytest.mark.parametrize("shape", [(4, 4), (3, 7), (7, 3)])
def test_ridge_recovers_any_affine_map_from_more_pairs_than_dimensions(shape):
    generator = torch.Generator().manual_seed(0)
    source, truth = normal(generator, 50, shape[0]), normal(generator, *shape)

    found = fit_ridge(source, source @ truth - 2.0, ridge=1e-10)

    torch.testing.assert_close(found.weight, truth)
    torch.testing.assert_close(found.bias, torch.full((shape[1],), -2.0, dtype=torch.float64))


@pytest.mark.parametrize("shape", [(3, 7), (7, 3)])
def test_procrustes_recovers_a_planted_semi_orthogonal_map_between_sizes(shape):
    generator = torch.Generator().manual_seed(0)
    truth = rotation(generator, 7)[: shape[0], : shape[1]]
    white = torch.linalg.qr(normal(generator, 60, shape[0])).Q
    source = white - white.mean(0)

    found = fit_procrustes(source, source @ truth)

    small = min(shape)
    gram = found.weight @ found.weight.T if shape[0] < shape[1] else found.weight.T @ found.weight
    torch.testing.assert_close(gram, torch.eye(small, dtype=torch.float64))
    torch.testing.assert_close(found.weight, truth, atol=0.05, rtol=0)


def test_procrustes_has_a_lower_error_than_nearby_orthogonal_maps():
    generator = torch.Generator().manual_seed(0)
    source = normal(generator, 30, 4)
    target = source @ rotation(generator, 4) + 0.5 * normal(generator, 30, 4)
    best = fit_procrustes(source, target)
    error = (best(source) - target).norm()

    for _ in range(50):
        step = normal(generator, 4, 4)
        other = best.weight @ torch.linalg.matrix_exp(0.05 * (step - step.T))
        assert ((source - source.mean(0)) @ other - (target - target.mean(0))).norm() >= error


@pytest.mark.parametrize("method", FIT_METHODS)
@pytest.mark.parametrize("pairs", [1, 2, 5])
def test_maps_of_fewer_pairs_than_dimensions_are_finite(method, pairs):
    generator = torch.Generator().manual_seed(0)

    found = FIT_METHODS[method](normal(generator, pairs, 16), normal(generator, pairs, 9))

    assert torch.isfinite(found.weight).all()
    assert torch.isfinite(found.bias).all()


@pytest.mark.parametrize("method", ["ridge", "procrustes"])
def test_a_collapsed_source_is_mapped_to_the_mean_of_the_target(method):
    generator = torch.Generator().manual_seed(0)
    source, target = torch.full((20, 4), 0.5), normal(generator, 20, 4)

    found = FIT_METHODS[method](source, target)

    torch.testing.assert_close(found(source), target.mean(0).expand(20, 4))


def test_a_perfect_fit_of_fewer_pairs_than_dimensions_does_not_generalize():
    generator = torch.Generator().manual_seed(0)
    source, target = normal(generator, 12, 16), normal(generator, 12, 16)  # unrelated

    found = fit_ridge(source, target, ridge=1e-9)

    assert r2(found(source), target) > 0.999
    assert r2(found(normal(generator, 500, 16)), normal(generator, 500, 16)) < 0


def test_the_ridge_is_independent_of_units_and_counted_in_pairs():
    generator = torch.Generator().manual_seed(0)
    source, target = normal(generator, 40, 6), normal(generator, 40, 3)
    plain = fit_ridge(source, target, ridge=0.1)

    in_millimetres = fit_ridge(1000 * source, target, ridge=0.1)
    twice = fit_ridge(source.repeat(2, 1), target.repeat(2, 1), ridge=0.2)

    torch.testing.assert_close(in_millimetres.weight * 1000, plain.weight)
    torch.testing.assert_close(twice.weight, plain.weight)


@pytest.mark.parametrize(("dim", "pairs", "clean", "corrupted", "robust"), POISONED)
def test_robust_fitting_tolerates_a_fifth_of_bad_rows(dim, pairs, clean, corrupted, robust):
    generator = torch.Generator().manual_seed(0)
    truth, source = rotation(generator, dim), normal(generator, pairs, dim)
    honest = source @ truth + 0.05 * normal(generator, pairs, dim)
    target = honest.clone()
    bad = torch.randperm(pairs, generator=generator)[: pairs // 5]
    target[bad] = 3 * normal(generator, len(bad), dim)

    def error(fit, rows):
        return float((fit(source, rows).weight - truth).norm() / truth.norm())

    assert error(fit_procrustes, honest) == pytest.approx(clean, abs=0.002)
    assert error(fit_procrustes, target) == pytest.approx(corrupted, abs=0.05)
    assert error(fit_robust, target) == pytest.approx(robust, abs=0.002)


def test_trimming_keeps_enough_rows_to_determine_a_rotation():
    generator = torch.Generator().manual_seed(0)
    source, truth = normal(generator, 7, 6), rotation(generator, 6)  # 70 % would be five rows

    torch.testing.assert_close(fit_robust(source, source @ truth).weight, truth)


def test_more_bad_rows_than_are_trimmed_break_the_robust_fit():
    generator = torch.Generator().manual_seed(0)
    truth, source = rotation(generator, 8), normal(generator, 200, 8)
    target = source @ truth
    target[:160] = 3 * normal(generator, 160, 8)

    assert (fit_robust(source, target).weight - truth).norm() / truth.norm() > 0.3


@pytest.mark.parametrize("method", FIT_METHODS)
@pytest.mark.parametrize("shape", [(40, 6, 6), (40, 6, 3), (5, 3, 6)])
def test_a_batch_equals_its_single_problems(method, shape):
    generator = torch.Generator().manual_seed(0)
    pairs, source_dim, target_dim = shape
    source, target = normal(generator, 7, pairs, source_dim), normal(generator, 7, pairs, target_dim)
    fit = FIT_METHODS[method]

    stack = fit(source, target)
    for weight, bias, x, y in zip(stack.weight, stack.bias, source, target, strict=True):
        torch.testing.assert_close(weight, fit(x, y).weight)
        torch.testing.assert_close(bias.squeeze(0), fit(x, y).bias)


@given(st.integers(0, 2**32), st.integers(2, 6))
@settings(max_examples=30)
def test_procrustes_is_equivariant_to_rotations_of_either_space(seed, dim):
    generator = torch.Generator().manual_seed(seed)
    source, target = normal(generator, 5 * dim, dim), normal(generator, 5 * dim, dim)
    p, q = rotation(generator, dim), rotation(generator, dim)

    turned = fit_procrustes(source @ p, target @ q).weight

    torch.testing.assert_close(turned, p.T @ fit_procrustes(source, target).weight @ q, atol=1e-6, rtol=0)


def test_float32_pairs_are_fitted_in_float64():
    generator = torch.Generator().manual_seed(0)
    source, target = normal(generator, 30, 4).float(), normal(generator, 30, 4).float()

    for fit in FIT_METHODS.values():
        found = fit(source, target)
        assert found.weight.dtype == found.bias.dtype == torch.float64
        torch.testing.assert_close(found.weight, fit(source.double(), target.double()).weight)


@pytest.mark.parametrize("method", FIT_METHODS)
@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        (torch.zeros(3, 2), torch.zeros(4, 2), "with one K"),
        (torch.zeros(3), torch.zeros(3), "with one K"),
        (torch.zeros(2, 3, 2), torch.zeros(3, 2), "with one K"),
        (torch.zeros(0, 2), torch.zeros(0, 2), "exchange more anchors"),
        (torch.zeros(3, 2), torch.full((3, 2), torch.inf), "not finite"),
    ],
)
def test_unpaired_sets_are_refused(method, source, target, message):
    with pytest.raises(ValueError, match=message):
        FIT_METHODS[method](source, target)


@pytest.mark.parametrize(
    "fit", [partial(fit_ridge, ridge=0.0), partial(fit_robust, keep=0.0), partial(fit_robust, rounds=-1)]
)
def test_options_out_of_range_are_refused(fit):
    with pytest.raises(ValueError, match="got"):
        fit(torch.zeros(3, 2), torch.zeros(3, 2))


def test_uncentered_procrustes_between_white_spaces_needs_fewer_pairs():
    generator = torch.Generator().manual_seed(0)
    truth, source = rotation(generator, 6), normal(generator, 6, 6)  # as many pairs as dimensions

    through_origin = fit_procrustes(source, source @ truth, centered=False)
    centered = fit_procrustes(source, source @ truth)

    torch.testing.assert_close(through_origin.weight, truth)
    assert not through_origin.bias.any()
    assert (centered.weight - truth).norm() > 0.1  # one direction short: a reflection fits as well


def of_rank(generator, rank, dim, pairs):
    return normal(generator, pairs, rank) @ normal(generator, rank, dim)


def well_conditioned_pairs(generator, pairs, *dims):
    """Return sets [pairs, D] that span their first columns of one basis, all by at least half of the most.

    Random sets are nearly of a lower rank once in some ten thousand draws. The last column of the basis is
    constant, so that centering takes one direction from a set of `pairs` dimensions and nothing from others.
    """
    columns = torch.cat([torch.ones(pairs, 1, dtype=torch.float64), normal(generator, pairs, pairs - 1)], 1)
    basis = torch.linalg.qr(columns).Q.flip(1)
    sizes = 1 + torch.rand(pairs, generator=generator, dtype=torch.float64)
    ranks = [min(pairs, dim) for dim in dims]
    return [
        (basis * sizes)[:, :rank] @ rotation(generator, dim)[:rank]
        for rank, dim in zip(ranks, dims, strict=True)
    ]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(
    ("ticks", "centered", "rank"), [(4, True, 3), (4, False, 4), (6, True, 5), (6, False, 6), (1, True, 0)]
)
def test_few_ticks_repeated_often_determine_no_more_than_those_ticks(ticks, centered, rank, dtype):
    generator = torch.Generator().manual_seed(0)
    rows, truth = normal(generator, ticks, 6), rotation(generator, 6)
    source = rows.repeat(64, 1).to(dtype)

    target = (source.double() @ truth).to(dtype)

    found = fit_procrustes(source, target, centered=centered)
    assert (found.rank, found.undetermined) == (rank, 6 - rank)
    assert f"rank {rank}, {6 - rank} undetermined" in repr(found)
    assert fit_robust(source, target, centered=centered).rank <= rank  # it trims whole ticks


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("side", ["source", "target", "both"])
@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_pairs_of_rank_three_of_six_leave_three_directions_undetermined(side, offset, dtype):
    generator = torch.Generator().manual_seed(0)
    flat, full = of_rank(generator, 3, 6, 200), normal(generator, 200, 6)
    source, target = {"source": (flat, full), "target": (full, flat), "both": (flat, flat)}[side]
    source, target = (source + offset).to(dtype), (target + offset).to(dtype)

    found = fit_procrustes(source, target)
    assert (found.rank, found.undetermined) == (3, 3)
    ridge = fit_ridge(source, target)
    assert ridge.undetermined == (0 if side == "target" else 3)


@given(st.integers(0, 2**32), st.integers(1, 6), st.integers(1, 6), st.integers(1, 20), st.integers(-8, 8))
@settings(max_examples=60)
def test_directions_are_counted_in_any_unit_and_are_those_a_second_map_may_change(
    seed, source_dim, target_dim, pairs, power
):
    generator = torch.Generator().manual_seed(seed)
    source, target = well_conditioned_pairs(generator, pairs, source_dim, target_dim)

    found = fit_procrustes(source * 10.0**power, target, centered=False)

    assert found.rank == min(pairs, source_dim, target_dim)
    assert found.undetermined == min(source_dim, target_dim) - found.rank
    assert fit_ridge(source * 10.0**power, target).rank == min(pairs - 1, source_dim)


def test_a_map_that_was_not_fitted_on_one_set_of_pairs_states_no_rank():
    generator = torch.Generator().manual_seed(0)
    source, target = normal(generator, 3, 20, 4), normal(generator, 3, 20, 4)

    for fit in FIT_METHODS.values():
        assert fit(source, target).undetermined is None


def test_composed_and_inverted_maps_keep_what_is_undetermined():
    generator = torch.Generator().manual_seed(0)
    whole = fit_procrustes(normal(generator, 40, 4), normal(generator, 40, 4))
    partial_map = fit_procrustes(of_rank(generator, 3, 4, 40), normal(generator, 40, 4))

    assert whole.then(whole).undetermined == 0
    assert (whole.then(partial_map).undetermined, partial_map.then(partial_map).undetermined) == (1, 2)
    assert partial_map.inverse().undetermined == 1
    assert LinearMap(whole.weight, whole.bias).then(whole).undetermined is None


@pytest.mark.parametrize("stack", [(), (3,)])
@pytest.mark.parametrize("rounds", [0, 1, 3, 40])
def test_a_robust_fit_that_ends_early_is_that_of_all_rounds(stack, rounds):
    generator = torch.Generator().manual_seed(rounds)
    x = torch.randn(*stack, 40, 5, generator=generator, dtype=torch.float64)
    y = x.flip(-1) + 0.3 * torch.randn(*stack, 40, 5, generator=generator, dtype=torch.float64)
    y[..., ::5, :] *= -2  # wrong rows

    expected = fit_procrustes(x, y)
    for _ in range(rounds):
        kept = torch.linalg.vector_norm(expected(x) - y, dim=-1).argsort(dim=-1)[..., :28]
        rows = kept.sort(dim=-1).values[..., None]
        expected = fit_procrustes(x.take_along_dim(rows, -2), y.take_along_dim(rows, -2))

    torch.testing.assert_close(fit_robust(x, y, rounds=rounds).weight, expected.weight, rtol=0, atol=1e-12)
