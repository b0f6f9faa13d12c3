import numpy as np
import pytest

from env.dynamics import BLOCK, KINDS, Motion, _noise, factor_block, factors_at, unit_positions

AUTOCORRELATIONS = (0.0, 0.5, 0.7, 0.97)
MOTION = Motion("ornstein_uhlenbeck", 3, AUTOCORRELATIONS)


def lag_one(factors):
    centered = factors - factors.mean(0)
    return (centered[1:] * centered[:-1]).mean(0) / (centered**2).mean(0)


def test_each_coordinate_has_the_autocorrelation_that_was_set():
    factors = factors_at(MOTION, np.arange(60_000))
    np.testing.assert_allclose(lag_one(factors), AUTOCORRELATIONS, atol=0.02)


def test_ornstein_uhlenbeck_factors_are_standard_normal_and_independent():
    factors = factors_at(MOTION, np.arange(100_000))
    np.testing.assert_allclose(np.cov(factors.T), np.eye(4), atol=0.12)
    np.testing.assert_allclose((factors[:, :3] ** 4).mean(0), 3.0, atol=0.25)


def test_innovations_are_white_also_across_blocks():
    rho = np.array(AUTOCORRELATIONS)
    factors = factors_at(MOTION, np.arange(40 * BLOCK))
    noise = (factors[1:] - rho * factors[:-1]) / np.sqrt(1 - rho**2)
    assert np.abs(lag_one(noise)).max() < 0.02
    assert np.abs(noise[BLOCK - 1 :: BLOCK]).max() < 5


def test_blocks_equal_the_plain_recursion():
    rho, state, plain = np.array(AUTOCORRELATIONS), np.zeros(4), []
    for step in np.concatenate([_noise(MOTION, block) for block in (-1, 0, 1)], axis=1).T:
        state = rho * state + np.sqrt(1 - rho**2) * step
        plain.append(state)
    np.testing.assert_allclose(factors_at(MOTION, np.arange(2 * BLOCK)), plain[BLOCK:], atol=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_factors_do_not_depend_on_earlier_calls(kind):
    motion = Motion(kind, 5, (0.7, 0.9))
    ticks = np.array([5000, 3, 1024, 3, 999_999, 1023])
    factor_block.cache_clear()
    first = factors_at(motion, ticks)
    factors_at(motion, np.arange(40 * BLOCK))
    assert (factors_at(motion, ticks[::-1])[::-1] == first).all()
    assert (factors_at(motion, np.arange(6))[3] == first[1]).all()


@pytest.mark.parametrize("kind", KINDS)
def test_seeds_differ_and_more_coordinates_leave_the_first_unchanged(kind):
    ticks = np.arange(50)
    few = factors_at(Motion(kind, 5, (0.7, 0.7)), ticks)
    more = factors_at(Motion(kind, 5, (0.7, 0.7, 0.7)), ticks)
    assert (more[:, :2] == few).all()
    assert not np.isclose(few, factors_at(Motion(kind, 6, (0.7, 0.7)), ticks)).any()


@pytest.mark.parametrize("kind", KINDS)
def test_positions_stay_between_minus_1_and_1(kind):
    factors = factors_at(Motion(kind, 1, (0.7,) * 6), np.arange(5000))
    assert np.abs(unit_positions(kind, factors, 0.45)).max() <= 1 + 1e-12


def test_bouncing_has_constant_speed_between_the_walls_and_unit_variance():
    factors = factors_at(Motion("bounce", 1, (0.0,) * 8), np.arange(20_000))
    np.testing.assert_allclose(factors.var(0), 1.0, atol=0.02)
    steps = np.abs(np.diff(factors[:200], axis=0))
    for coordinate in steps.T:
        usual = np.median(coordinate)
        assert (coordinate <= usual + 1e-9).all()
        assert (np.abs(coordinate - usual) < 1e-9).mean() > 0.8


def test_static_objects_never_move():
    factors = factors_at(Motion("static", 1, (0.0,) * 4), np.array([0, 7, 10**9]))
    assert (factors == factors[0]).all()
    assert len(set(factors[0])) == 4


def test_a_very_slow_coordinate_has_its_autocorrelation():
    factors = factors_at(Motion("ornstein_uhlenbeck", 0, (0.999,) * 4), np.arange(20_000))
    np.testing.assert_allclose(lag_one(factors), 0.999, atol=0.002)


def test_ticks_must_have_one_axis():
    with pytest.raises(ValueError, match=r"\[T\]"):
        factors_at(MOTION, np.zeros((2, 2)))
