"""Laws of every kind of motion."""

import subprocess
import sys

import numpy as np
import pytest

from env.dynamics.contract import BLOCK, Dynamics, Motion, factor_block, factors_at, gather
from env.dynamics.registry import DYNAMICS, build_dynamics, load_dynamics

INDEPENDENT = ("ornstein_uhlenbeck", "bounce", "static")  # coordinates do not act on each other
MOTION = Motion(5, (0.7, 0.9, 0.7, 0.5))

every_kind = pytest.mark.parametrize("kind", DYNAMICS)


@every_kind
def test_factors_do_not_depend_on_earlier_calls(kind):
    ticks = np.array([5000, 3, 1024, 3, 20_000, 1023])
    first = DYNAMICS[kind](MOTION).factors(ticks)
    other = DYNAMICS[kind](MOTION)
    other.factors(np.arange(30 * BLOCK))
    assert (other.factors(ticks[::-1])[::-1] == first).all()
    assert (other.factors(np.arange(6))[3] == first[1]).all()
    assert (factors_at(other, ticks) == first).all()


@every_kind
def test_another_process_computes_the_same_factors_bit_for_bit(kind):
    code = (
        "import numpy as np; from env.dynamics.contract import *; from env.dynamics.registry import *;"
        f"d = build_dynamics({kind!r}, Motion(5, (0.7, 0.9, 0.7, 0.5)));"
        "print(d.factors(np.array([0, 9000])).tobytes().hex())"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == DYNAMICS[kind](MOTION).factors(np.array([0, 9000])).tobytes().hex()


@every_kind
def test_seeds_differ(kind):
    ticks = np.arange(50)
    one, other = (build_dynamics(kind, Motion(seed, (0.7,) * 4)).factors(ticks) for seed in (5, 6))
    assert not np.isclose(one, other).any()


@pytest.mark.parametrize("kind", INDEPENDENT)
def test_more_coordinates_leave_the_first_unchanged(kind):
    few, more = (build_dynamics(kind, Motion(5, (0.7,) * count)).factors(np.arange(50)) for count in (2, 3))
    assert (more[:, :2] == few).all()


@every_kind
def test_positions_stay_between_minus_1_and_1_and_each_is_a_function_of_its_factor(kind):
    dynamics = build_dynamics(kind, Motion(1, (0.7,) * 6))
    factors = dynamics.factors(np.arange(5000))
    positions = dynamics.positions(factors)
    assert np.abs(positions).max() <= 1 + 1e-12
    assert (dynamics.positions(factors[:, 2:4]) == positions[:, 2:4]).all()


@pytest.mark.parametrize("kind", [kind for kind in DYNAMICS if kind != "static"])
def test_factors_have_unit_variance_over_time(kind):
    seeds = [build_dynamics(kind, Motion(seed, (0.7,) * 6)).factors(np.arange(20_000)) for seed in range(3)]
    np.testing.assert_allclose(np.square(seeds).mean((0, 1)), 1.0, atol=0.08)
    np.testing.assert_allclose(np.mean(seeds, (0, 1)), 0.0, atol=0.12)


@pytest.mark.parametrize("kind", ["ornstein_uhlenbeck", "coupled", "collide"])
def test_nothing_is_left_of_the_past_after_the_decorrelation_ticks(kind):
    dynamics = build_dynamics(kind, Motion(2, (0.7,) * 6))
    factors = dynamics.factors(np.arange(60_000))
    lag = dynamics.decorrelation_ticks
    correlation = factors[lag:].T @ factors[:-lag] / (len(factors) - lag)
    assert np.abs(correlation).max() < 0.1
    earlier = max(1, lag // 20)
    assert np.abs(factors[earlier:].T @ factors[:-earlier] / (len(factors) - earlier)).max() > 0.2


def test_bouncing_has_constant_speed_between_the_walls_and_forgets_nothing_within_its_longest_period():
    dynamics = build_dynamics("bounce", Motion(1, (0.0,) * 8))
    factors = dynamics.factors(np.arange(200))
    steps = np.abs(np.diff(factors, axis=0))
    for coordinate in steps.T:
        usual = np.median(coordinate)
        assert (coordinate <= usual + 1e-9).all()
        assert (np.abs(coordinate - usual) < 1e-9).mean() > 0.8
        period = 2 * 2 * 3**0.5 / usual
        assert 32 <= period <= dynamics.decorrelation_ticks


def test_static_objects_never_move():
    dynamics = build_dynamics("static", Motion(1, (0.0,) * 4))
    factors = dynamics.factors(np.array([0, 7, 10**9]))
    assert (factors == factors[0]).all()
    assert len(set(factors[0])) == 4
    assert dynamics.decorrelation_ticks == 0


def test_equal_motions_share_what_has_been_computed():
    assert build_dynamics("collide", MOTION) is build_dynamics("collide", Motion(5, (0.7, 0.9, 0.7, 0.5)))


def test_ticks_must_have_one_axis():
    with pytest.raises(ValueError, match=r"\[T\]"):
        gather(np.zeros((2, 2)), 4, lambda block: np.zeros((BLOCK, 4)))


class Broken(Dynamics):
    """Dynamics that return what `values` says."""

    decorrelation_ticks = 0
    values = np.zeros((BLOCK, 3))

    def factors(self, ticks):
        return self.values


@pytest.mark.parametrize("values", [np.zeros((BLOCK, 3)), np.zeros(BLOCK), np.full((BLOCK, 4), np.nan)])
def test_factors_of_another_shape_or_that_are_not_finite_are_refused(values):
    dynamics = Broken(MOTION)
    dynamics.values = values
    with pytest.raises(ValueError, match=r"Broken.factors returned .* return finite numbers \(1024, 4\)"):
        factor_block(dynamics, 0)


def test_what_has_been_computed_cannot_be_overwritten():
    with pytest.raises(ValueError, match="read-only"):
        factor_block(build_dynamics("bounce", MOTION), 0)[0, 0] = 1


def test_a_custom_class_must_be_dynamics():
    assert load_dynamics("env.dynamics.bounce:Bounce") is DYNAMICS["bounce"]
    with pytest.raises(
        ValueError, match=r"scene.dynamics='env.dynamics.contract:Motion': Motion is no dynam"
    ):
        load_dynamics("env.dynamics.contract:Motion")
    with pytest.raises(ValueError, match="does not define decorrelation_ticks, factors"):
        load_dynamics("env.dynamics.contract:Dynamics")
