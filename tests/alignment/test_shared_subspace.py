import math

import pytest
import torch
from scipy.stats import gumbel_r

from alignment.arrays import AlignmentError
from alignment.held_out import HeldOut
from alignment.shared_subspace import find_shared

POOL = 1024


def normal(generator, *shape):
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def rotation(generator, dim):
    return torch.linalg.qr(normal(generator, dim, dim)).Q


def stride_and_memory(rate):
    """The distance of rows in ticks, and the rows after which a process of this rate has forgotten."""
    ticks = math.log(1e-3) / math.log(rate)
    stride = max(4, math.ceil(ticks / 16))
    return stride, math.ceil(ticks / stride)


def ornstein_uhlenbeck(generator, rate, stride, factors, rows=POOL):
    """Every stride-th tick of a stationary process, [rows, factors]."""
    rho = rate**stride
    first, noise = normal(generator, 1, factors), normal(generator, rows - 1, factors)
    path = torch.cat([first, (1 - rho**2) ** 0.5 * noise]).numpy()
    for row in range(1, rows):
        path[row] += rho * path[row - 1]
    return torch.from_numpy(path)


class Pair:
    """Two agents that share some factors and have others of their own, each mixed by a rotation."""

    def __init__(self, seed, rate, dims, shared, noise=0.1):
        self.generator = torch.Generator().manual_seed(seed)
        self.stride, self.memory = stride_and_memory(rate)
        self.turns = [rotation(self.generator, dim) for dim in dims]
        self.fit = self.stretch(rate, dims, shared, noise)
        self.held = self.stretch(rate, dims, shared, noise)

    def stretch(self, rate, dims, shared, noise):
        private = [dim - shared for dim in dims]
        world = ornstein_uhlenbeck(self.generator, rate, self.stride, shared + sum(private))
        common, own = world[:, :shared], world[:, shared:].split(private, dim=1)
        return [
            (torch.cat([common, mine], 1) + noise * normal(self.generator, POOL, dim)) @ turn
            / (1 + noise**2) ** 0.5
            for mine, dim, turn in zip(own, dims, self.turns, strict=True)
        ]  # fmt: skip

    def find(self, pairs, held=512):
        rows, scored = (
            torch.randperm(POOL, generator=self.generator)[:count].sort().values for count in (pairs, held)
        )
        source, target = self.held
        heldout = HeldOut(source[scored], target, scored, self.memory)
        return find_shared(self.fit[0][rows], self.fit[1][rows], heldout), heldout


@pytest.mark.parametrize("pairs", [16, 64, 256, 1024])
@pytest.mark.parametrize("rate", [0.7, 0.95, 0.99])
@pytest.mark.parametrize(("dims", "shared"), [((6, 6), 4), ((6, 6), 6), ((4, 7), 2), ((3, 3), 1)])
def test_the_dimension_of_a_planted_overlap_is_exact(dims, shared, rate, pairs):
    found, held = Pair(0, rate, dims, shared).find(pairs)

    assert found.dim == shared
    assert found.map.rank == shared
    if pairs >= 64:
        assert found.correlations[:shared].min() > 0.9 > 0.5 > found.null_level
        assert found.r2(held.source, held.target) > 0.85


@pytest.mark.parametrize("rate", [0.7, 0.9, 0.95, 0.99])
def test_unrelated_slow_processes_share_nothing(rate):
    dims = [Pair(seed, rate, (6, 6), 0).find(256)[0].dim for seed in range(40)]

    assert sum(dim > 0 for dim in dims) <= 2  # one in 200 is expected by chance


def test_shuffled_rows_would_be_no_null_for_a_slow_world():
    """The reason for shifts: chance correlates slow processes more than independent rows."""
    found, held = Pair(0, 0.99, (6, 6), 0).find(256)
    order = torch.randperm(POOL, generator=torch.Generator().manual_seed(1))
    shuffled = HeldOut(held.source, held.stretch[order], torch.arange(len(held.source)), 1)

    independent = find_shared(held.source, held.stretch[: len(held.source)], shuffled)
    assert found.null_level > 1.5 * independent.null.median()


def test_the_map_is_a_rotation_of_what_is_shared_and_drops_the_rest():
    found, _ = Pair(1, 0.7, (6, 5), 3).find(256)
    weight = found.map.weight

    singular_values = torch.linalg.svdvals(weight)
    torch.testing.assert_close(singular_values[:3], torch.ones(3, dtype=torch.float64))
    assert singular_values[3:].abs().max() < 1e-12
    expected = found.source_axes[:, :3] * found.correlations[:3] @ found.target_axes[:, :3].T
    torch.testing.assert_close(found.regression.weight, expected)


def test_rotations_reflections_and_scales_of_either_side_change_no_correlation():
    pair = Pair(2, 0.7, (6, 6), 4)
    found, held = pair.find(1024)
    generator = torch.Generator().manual_seed(5)
    turn, mirror = rotation(generator, 6), rotation(generator, 6)
    mirror[:, 0] *= -1

    turned = find_shared(
        3 * pair.fit[0] @ turn, 0.1 * pair.fit[1] @ mirror,
        HeldOut(3 * held.source @ turn, 0.1 * held.stretch @ mirror, held.rows, held.memory),
    )  # fmt: skip

    assert turned.dim == found.dim == 4
    torch.testing.assert_close(turned.correlations, found.correlations)
    torch.testing.assert_close(turned.null, found.null)


def test_no_direction_is_shared_that_the_pairs_leave_undetermined():
    """One tick repeated spans one direction; three others are shared by the world, and cannot be known."""
    pair = Pair(3, 0.7, (4, 4), 4)
    rows = torch.tensor([5] * 100 + [900] * 100)
    heldout = HeldOut(pair.held[0], pair.held[1], torch.arange(POOL), pair.memory)

    found = find_shared(pair.fit[0][rows], pair.fit[1][rows], heldout)

    assert found.undetermined == 2
    assert found.dim <= 2


@pytest.mark.parametrize("side", [0, 1])
def test_constant_dimensions_are_never_shared_and_give_no_nan(side):
    pair = Pair(4, 0.7, (5, 5), 5)
    for part in (pair.fit, pair.held):
        part[side] = part[side] @ pair.turns[side].T  # back to the axes of the world
        part[side][:, 3:] = 0.0

    found, held = pair.find(256)

    assert found.dim == 3
    assert torch.isfinite(found.correlations).all()
    assert math.isfinite(found.r2(held.source, held.target))


def test_a_constant_agent_shares_nothing():
    pair = Pair(5, 0.7, (3, 3), 3)
    for part in (pair.fit, pair.held):
        part[0] = torch.ones_like(part[0])

    found, held = pair.find(64)

    assert found.dim == 0
    assert found.r2(held.source, held.target) == 0.0
    assert found.map.weight.abs().max() == 0


@pytest.mark.parametrize("dims", [(0, 3), (3, 0), (0, 0)])
def test_an_agent_without_a_core_shares_nothing(dims):
    found = find_shared(
        torch.zeros(8, dims[0]), torch.zeros(8, dims[1]),
        HeldOut(torch.zeros(8, dims[0]), torch.zeros(8, dims[1]), torch.arange(8), 1),
    )  # fmt: skip

    assert found.dim == 0
    assert found.map.weight.shape == dims


def test_the_correlations_are_those_of_numpy_and_never_exceed_one():
    import numpy as np

    found, held = Pair(6, 0.7, (4, 4), 2).find(64)
    a, b = held.source @ found.source_axes, held.target @ found.target_axes

    expected = [np.corrcoef(a[:, axis], b[:, axis])[0, 1] for axis in range(4)]
    np.testing.assert_allclose(found.correlations, expected)
    assert found.correlations.abs().max() <= 1
    assert len(found.null) == 199


def test_pairs_of_other_dimensions_than_the_held_out_ones_are_refused():
    held = HeldOut.of_pairs(torch.zeros(8, 3), torch.zeros(8, 2))
    with pytest.raises(AlignmentError, match="held out as 3 and 2"):
        find_shared(torch.zeros(8, 2), torch.zeros(8, 2), held)


@pytest.mark.parametrize("held", [8, 12, 20, 32, 48, 64])
def test_few_held_out_ticks_do_not_hide_what_is_shared(held):
    found, _ = Pair(7, 0.7, (6, 6), 6).find(256, held)

    assert found.dim == 6


@pytest.mark.parametrize(("dim", "noise"), [(32, 0.5), (64, 1.0)])
def test_wide_spaces_share_every_direction_that_exceeds_the_null(dim, noise):
    found, _ = Pair(8, 0.7, (dim, dim), dim, noise).find(1024)

    assert found.dim == int((found.correlations > found.null_level).sum()) > 0.9 * dim


@pytest.mark.parametrize("shifts", [3, 10, 199])
def test_the_extrapolated_level_is_the_quantile_of_a_gumbel_distribution_or_the_largest_of_the_null(shifts):
    """Of n values the largest lies at most (n - 1) / sqrt(n) deviations above the mean: of ten, 2.85."""
    pair = Pair(6, 0.9, (5, 5), 0)
    held = HeldOut.of_pairs(*pair.held, pair.memory)

    plain, raised = (
        find_shared(*pair.fit, held, shifts, extrapolate=extrapolate) for extrapolate in (False, True)
    )

    largest, normal = float(plain.null.max()), gumbel_r(-gumbel_r.mean() / gumbel_r.std(), 1 / gumbel_r.std())
    quantile = float(plain.null.mean() + normal.ppf(0.99) * plain.null.std())
    assert plain.null_level == largest
    assert raised.null_level == pytest.approx(max(largest, quantile), abs=1e-3)
    assert raised.null_level > largest or shifts > 10
    torch.testing.assert_close(plain.null, raised.null)


def test_a_null_with_one_value_far_above_the_others_is_not_extrapolated_below_it():
    """The target is the source at another time, and resembles itself at no other: one shift correlates."""
    time = torch.linspace(0, 1, 400, dtype=torch.float64)
    source = torch.sin(2 * torch.pi * 40 * time**2)[:, None]
    held = HeldOut.of_pairs(source, source.roll(200, 0), 1)

    found = find_shared(source, source, held, shifts=len(source), extrapolate=True)

    assert found.null_level == float(found.null.max()) == pytest.approx(1)


def test_a_null_that_is_computed_in_parts_is_the_same(monkeypatch):
    pair = Pair(7, 0.7, (4, 5), 2)
    held = HeldOut.of_pairs(*pair.held, pair.memory)
    whole = find_shared(*pair.fit, held)
    monkeypatch.setattr("alignment.held_out.CHUNK", 5000)

    parts = find_shared(*pair.fit, held)

    assert parts.dim == whole.dim == 2
    torch.testing.assert_close(parts.null, whole.null)
