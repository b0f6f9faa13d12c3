import numpy as np
import pytest

from env.dynamics.contract import BLOCK, Motion
from env.dynamics.coupled import Coupled, _noise, multiply

RATES = (0.9, 0.9, 0.7, 0.7, 0.5, 0.5)
MOTIONS = {
    "default": Motion(3, (0.7,) * 6),
    "mixed": Motion(4, RATES),
    "slow": Motion(5, (0.99,) * 6),
    "twelve objects": Motion(6, (0.7,) * 24),
    "strong": Motion(7, (0.5,) * 4, coupling=0.95),
    "memoryless": Motion(8, (0.0,) * 4, coupling=0.0),
}

every_motion = pytest.mark.parametrize("motion", MOTIONS.values(), ids=MOTIONS)


def noise_matrix(dynamics):
    """B, from the noise that B^-1 must give back."""
    dim = dynamics.motion.dim
    return np.linalg.inv(dynamics.actions(np.zeros((dim, dim)), np.eye(dim)).T)


@every_motion
def test_identity_is_the_stationary_covariance_and_b_is_symmetric(motion):
    dynamics = Coupled(motion)
    a, b = dynamics.matrix, noise_matrix(dynamics)
    np.testing.assert_allclose(a @ a.T + b @ b.T, np.eye(motion.dim), atol=1e-9)
    np.testing.assert_allclose(b, b.T, atol=1e-9)


@every_motion
def test_the_eigenvalues_are_the_autocorrelations_that_were_set(motion):
    """Compared by the characteristic polynomial: eigenvalues of a defective matrix are ill-conditioned."""
    found = np.poly(Coupled(motion).matrix)
    expected = np.poly(np.diag(motion.autocorrelations))
    np.testing.assert_allclose(found, expected, atol=1e-9 * np.abs(expected).max())


@pytest.mark.parametrize("seed", range(4))
def test_the_matrix_is_stable_far_from_normal_and_mixes_all_coordinates(seed):
    a = Coupled(Motion(seed, (0.7,) * 6)).matrix
    departure = np.sqrt(1 - 6 * 0.7**2 / np.sum(a**2))  # Henrici 1962: 0 for a normal matrix
    assert departure > 0.4
    assert np.linalg.norm(a, 2) < 1
    assert np.linalg.norm(a @ a.T - a.T @ a) > 0.3
    assert (np.abs(a - np.diag(np.diag(a))).max(1) > 0.02).all()


def test_without_coupling_equal_rates_are_independent():
    np.testing.assert_allclose(
        Coupled(Motion(1, (0.7,) * 4, coupling=0.0)).matrix, 0.7 * np.eye(4), atol=1e-12
    )


@every_motion
def test_blocks_equal_the_plain_recursion_and_actions_are_its_noise(motion):
    dynamics = Coupled(motion)
    b, state, plain = noise_matrix(dynamics), np.zeros(motion.dim), []
    noise = np.concatenate([_noise(motion.seed, motion.dim, k) for k in range(-5, 2)], axis=1).T
    for step in noise:
        state = dynamics.matrix @ state + b @ step
        plain.append(state)
    factors = dynamics.factors(np.arange(2 * BLOCK))
    np.testing.assert_allclose(factors, plain[5 * BLOCK :], atol=1e-7)
    actions = dynamics.actions(factors[:-1], factors[1:])
    np.testing.assert_allclose(actions, noise[5 * BLOCK + 1 :], atol=1e-6)


def test_the_correlation_with_k_ticks_earlier_is_the_power_of_the_matrix():
    dynamics = Coupled(MOTIONS["default"])
    factors = dynamics.factors(np.arange(60_000))
    for k in (0, 1, 4):
        found = factors[k:].T @ factors[: len(factors) - k] / (len(factors) - k)
        np.testing.assert_allclose(found, np.linalg.matrix_power(dynamics.matrix, k), atol=0.04)


def test_states_of_many_seeds_at_tick_0_are_standard_normal():
    first = np.stack([Coupled(Motion(seed, (0.9, 0.5))).factors(np.array([0]))[0] for seed in range(400)])
    np.testing.assert_allclose(np.cov(first.T), np.eye(2), atol=0.2)


@every_motion
def test_decorrelation_ticks_bound_every_correlation_and_do_not_depend_on_the_seed(motion):
    dynamics = Coupled(motion)
    ticks = dynamics.decorrelation_ticks
    assert ticks == Coupled(Motion(99, motion.autocorrelations, motion.coupling)).decorrelation_ticks
    assert np.linalg.norm(np.linalg.matrix_power(dynamics.matrix, ticks), 2) <= 1e-3 or ticks == 0
    assert ticks == 0 or np.linalg.norm(np.linalg.matrix_power(dynamics.matrix, ticks - 1)) >= 1e-3


def test_a_product_equals_that_of_numpy():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(3, 5)), rng.normal(size=(5, 7))
    np.testing.assert_allclose(multiply(a, b), a @ b)
