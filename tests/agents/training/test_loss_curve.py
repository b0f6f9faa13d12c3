import numpy as np
import pytest

from agents.training.loss_curve import MAX_POINTS, LossCurve


def test_a_short_curve_has_every_loss():
    assert LossCurve(0, [3.0, 2.0, 1.0]).points() == ((1, 3.0), (2, 2.0), (3, 1.0))


def test_steps_are_counted_from_the_first():
    assert LossCurve(450, [1.0]).points() == ((451, 1.0),)


@pytest.mark.parametrize("count", [0, 1, 255, 256, 257, 1000, 10_007])
def test_points_are_bounded_reach_the_newest_step_and_keep_the_mean(count):
    losses = np.random.default_rng(0).normal(size=count)
    points = LossCurve(0, losses).points()

    assert len(points) <= 2 * MAX_POINTS
    steps = np.array([0, *(step for step, _ in points)])
    assert steps[-1] == count
    means = np.array([mean for _, mean in points])
    np.testing.assert_allclose(np.diff(steps) @ means, losses.sum(), atol=1e-9)
