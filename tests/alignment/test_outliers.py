"""Laws of the test for outliers, on planted pairs: poisoned, honest, and honest with a few bad rows."""

import numpy as np
import pytest
import torch

from alignment.held_out import HeldOut
from alignment.outliers import find_outliers
from alignment.shared_subspace import find_shared
from tests.support.embedding_tables import planted


def pairs(count, dim=6, noise=0.2, seed=0, private=0):
    """Return white rows of two agents that share `dim` directions, each turned its own way."""
    rng = np.random.default_rng(seed)
    factors, sides = rng.standard_normal((count, dim)), []
    for _ in range(2):
        shared = (factors + noise * rng.standard_normal(factors.shape)) / np.hypot(1, noise)
        rows = np.column_stack([shared, rng.standard_normal((count, private))])
        square = np.random.default_rng([seed, len(sides)]).standard_normal((dim + private,) * 2)
        rotation = np.linalg.qr(square)[0]
        sides.append(torch.from_numpy(rows @ rotation))
    return sides


def poison(rows, kind, count, seed=0):
    """Return rows of which the first `count` are poisoned."""
    rng, poisoned = np.random.default_rng(seed), rows.clone()
    first = rows[:count]
    poisoned[:count] = {
        "noise": torch.from_numpy(3 * rng.standard_normal(first.shape)),
        "other ticks": first.roll(1, 0),
        "opposite": -first,
        "huge": torch.full_like(first, 1e5),
    }[kind]
    return poisoned


@pytest.mark.parametrize("kind", ["noise", "other ticks", "opposite", "huge"])
@pytest.mark.parametrize("private", [0, 2])
def test_a_fifth_of_poisoned_rows_is_left_out_and_the_map_is_that_of_the_others(kind, private):
    x, y = pairs(1280, private=private)
    fit, held = slice(0, 256), HeldOut.of_pairs(x[256:], y[256:])
    poisoned = poison(x[fit], kind, 51)
    outliers = find_outliers(poisoned, y[fit])

    def error(source, target):
        return 1 - find_shared(source, target, held).r2(held.source, held.target)

    assert outliers[:51].sum() > 35  # a row of another tick may be near by chance
    assert not outliers[51:].any()
    assert error(poisoned[~outliers], y[fit][~outliers]) < 1.1 * error(x[fit], y[fit])


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.2, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("count", [60, 256])
def test_honest_rows_are_never_left_out_however_much_two_agents_agree(noise, count):
    for seed in range(20):
        for private in (0, 3):
            assert not find_outliers(*pairs(count, noise=noise, seed=seed, private=private)).any()


def turned(rows, degrees, count):
    """Return rows of which the first `count` are turned alike, by an angle in each plane."""
    turn, angle = np.eye(rows.shape[1]), np.deg2rad(degrees)
    for plane in range(rows.shape[1] // 2):
        a, b = 2 * plane, 2 * plane + 1
        turn[[a, b], [a, b]], turn[a, b], turn[b, a] = np.cos(angle), np.sin(angle), -np.sin(angle)
    return torch.cat([rows[:count] @ torch.from_numpy(turn), rows[count:]])


@pytest.mark.parametrize("degrees", [45, 50, 60])
def test_rows_that_are_turned_alike_are_left_out_however_near_each_of_them_is(degrees):
    for seed in range(5):
        x, y = pairs(1280, seed=seed)
        fit, held = slice(0, 256), HeldOut.of_pairs(x[256:], y[256:])
        poisoned = turned(x[fit], degrees, 60)
        kept = ~find_outliers(poisoned, y[fit])

        def error(source, target, held=held):
            return 1 - find_shared(source, target, held).r2(held.source, held.target)

        clean = error(x[fit], y[fit])
        assert error(poisoned, y[fit]) > 1.25 * clean
        assert error(poisoned[kept], y[fit][kept]) < 1.1 * clean
        assert (~kept[60:]).sum() <= 3


def test_more_than_a_fifth_of_opposite_rows_are_left_out():
    x, y = pairs(256)
    outliers = find_outliers(poison(x, "opposite", 100), y)

    assert outliers[:100].sum() > 90
    assert outliers[100:].sum() <= 3


@pytest.mark.parametrize("heavy", ["few rows of another tick", "heavy tails"])
def test_honest_outliers_change_nothing(heavy):
    """An object is hidden at a few ticks, or an encoder is least linear at its extremes."""
    x, y = pairs(256)
    if heavy == "heavy tails":
        x = x * (1 + 0.1 * x.square().mean(1, keepdim=True))
    else:
        x = poison(x, "other ticks", 5)

    assert not find_outliers(x, y).any()


def test_unrelated_agents_have_no_outliers():
    x, _ = pairs(256)

    assert not find_outliers(x, pairs(256, seed=1)[1]).any()


def test_the_test_does_not_depend_on_axes_or_on_the_order_of_rows():
    x, y = pairs(256)
    x, order = poison(x, "noise", 51), torch.randperm(256, generator=torch.Generator().manual_seed(0))
    turn = torch.from_numpy(np.linalg.qr(np.random.default_rng(5).standard_normal((6, 6)))[0])
    outliers = find_outliers(x, y)

    assert torch.equal(find_outliers(x @ turn, y), outliers)
    assert torch.equal(find_outliers(x[order], y[order]), outliers[order])


@pytest.mark.parametrize(("rows", "dims"), [(8, (2, 2)), (256, (0, 3)), (59, (6, 6))])
def test_rows_that_are_too_few_to_tell_are_all_kept(rows, dims):
    x, y = torch.randn(rows, dims[0]), torch.randn(rows, dims[1])

    assert find_outliers(x, y).shape == (rows,)
    assert not find_outliers(x, y).any()


@pytest.mark.parametrize("rows", [torch.zeros(128, 3), torch.ones(128, 3)], ids=["zero", "constant"])
def test_rows_that_do_not_vary_are_no_error(rows):
    assert find_outliers(rows, pairs(128, dim=3)[1]).shape == (128,)


@pytest.mark.parametrize("rows", [100, 256])
def test_honest_rows_of_encoders_with_private_directions_are_kept(rows):
    """Half of the rows, chosen by their residuals, agree in a private direction by chance."""
    for seed in range(20):
        tables = (torch.from_numpy(each) for each in planted(seed, rows, (6, 5), 3))
        whitened = [torch.linalg.qr(each - each.mean(0))[0] * rows**0.5 for each in tables]
        assert not find_outliers(*whitened).any()
