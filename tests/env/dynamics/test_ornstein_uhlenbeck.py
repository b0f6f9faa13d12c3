import numpy as np
import pytest

from env.dynamics.contract import BLOCK, Motion
from env.dynamics.ornstein_uhlenbeck import OrnsteinUhlenbeck, _noise

AUTOCORRELATIONS = (0.0, 0.5, 0.7, 0.97)
DYNAMICS = OrnsteinUhlenbeck(Motion(3, AUTOCORRELATIONS))


def lag_one(factors):
    centered = factors - factors.mean(0)
    return (centered[1:] * centered[:-1]).mean(0) / (centered**2).mean(0)


def test_each_coordinate_has_the_autocorrelation_that_was_set():
    np.testing.assert_allclose(lag_one(DYNAMICS.factors(np.arange(60_000))), AUTOCORRELATIONS, atol=0.02)


def test_factors_are_standard_normal_and_independent():
    factors = DYNAMICS.factors(np.arange(100_000))
    np.testing.assert_allclose(np.cov(factors.T), np.eye(4), atol=0.12)
    np.testing.assert_allclose((factors[:, :3] ** 4).mean(0), 3.0, atol=0.25)


def test_actions_are_the_noise_also_across_blocks():
    factors = DYNAMICS.factors(np.arange(3 * BLOCK))
    noise = np.concatenate([_noise(3, 4, block).T for block in range(3)])
    np.testing.assert_allclose(DYNAMICS.actions(factors[:-1], factors[1:]), noise[1:], atol=1e-7)


def test_blocks_equal_the_plain_recursion():
    rho, state, plain = np.array(AUTOCORRELATIONS), np.zeros(4), []
    for step in np.concatenate([_noise(3, 4, block) for block in (-1, 0, 1)], axis=1).T:
        state = rho * state + np.sqrt(1 - rho**2) * step
        plain.append(state)
    np.testing.assert_allclose(DYNAMICS.factors(np.arange(2 * BLOCK)), plain[BLOCK:], atol=1e-8)


@pytest.mark.parametrize("rho", [0.99, 0.999])
def test_a_very_slow_coordinate_has_its_autocorrelation_from_the_first_tick_on(rho):
    seeds = range(60)
    starts = np.stack([OrnsteinUhlenbeck(Motion(seed, (rho,) * 4)).factors(np.arange(100)) for seed in seeds])
    np.testing.assert_allclose(np.square(starts[:, [0, 99]]).mean((0, 2)), 1.0, atol=0.25)
    np.testing.assert_allclose(lag_one(OrnsteinUhlenbeck(Motion(0, (rho,) * 4)).factors(np.arange(20_000))),
                               rho, atol=0.005)  # fmt: skip


@pytest.mark.parametrize(("rho", "ticks"), [(0.7, 20), (0.99, 688), (0.0, 0)])
def test_decorrelation_ticks_follow_from_the_slowest_coordinate(rho, ticks):
    assert OrnsteinUhlenbeck(Motion(0, (0.0, rho))).decorrelation_ticks == ticks
