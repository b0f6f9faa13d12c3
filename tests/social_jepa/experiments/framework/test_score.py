"""Scores and their bootstrap intervals."""

import math

import numpy as np
import pytest

from social_jepa.experiments.framework.score import Estimate, Score

TRUTH = 0.7


def coverage(seeds, between, samples=60, trials=250):
    """Share of intervals that contain the true mean; `between` is the standard deviation of seeds."""
    rng = np.random.default_rng(seeds)
    covered = 0
    for _ in range(trials):
        means = TRUTH + between * rng.standard_normal(seeds)
        scores = [Score.mean(mean + rng.standard_normal(samples)) for mean in means]
        low, high = Estimate.from_scores(scores).interval
        covered += low <= TRUTH <= high
    return covered / trials


def test_the_mean_over_seeds_is_the_mean_of_their_scores():
    scores = [Score.mean([0, 1]), Score.mean([1, 1, 1]), Score.single(0.25)]

    estimate = Estimate.from_scores(scores)

    assert estimate.seeds == (0.5, 1.0, 0.25)
    assert estimate.value == pytest.approx(np.mean([0.5, 1.0, 0.25]))


def test_an_interval_shrinks_around_the_true_mean_with_more_samples():
    rng = np.random.default_rng(0)

    few, many = (
        Estimate.from_scores([Score.mean(TRUTH + rng.standard_normal(n)) for _ in range(5)])
        for n in (30, 3000)
    )

    assert np.ptp(many.interval) < np.ptp(few.interval) / 5
    assert many.interval[0] < TRUTH < many.interval[1]
    assert many.value == pytest.approx(TRUTH, abs=0.03)


def test_intervals_of_one_seed_cover_the_mean_of_its_samples_in_95_of_100_cases():
    assert coverage(seeds=1, between=0.0) == pytest.approx(0.95, abs=0.045)


def test_intervals_of_ten_seeds_cover_the_true_mean_in_about_95_of_100_cases():
    assert coverage(seeds=10, between=0.5) == pytest.approx(0.93, abs=0.05)


def test_intervals_of_three_seeds_are_too_narrow_where_seeds_differ_more_than_samples():
    """As the docstring of the module says."""
    assert 0.65 < coverage(seeds=3, between=2.0) < 0.88


def test_intervals_are_slightly_too_wide_where_seeds_do_not_differ():
    assert coverage(seeds=3, between=0.0) > 0.95


def test_a_difference_on_the_same_samples_has_a_narrower_interval_than_on_other_samples():
    rng = np.random.default_rng(1)
    shared = [rng.standard_normal(300) for _ in range(3)]
    gain = [0.2 + 0.1 * rng.standard_normal(300) for _ in range(3)]

    one = Estimate.from_scores([Score.mean(values) for values in shared])
    same = Estimate.from_scores(
        [Score.mean(values + more) for values, more in zip(shared, gain, strict=True)]
    )
    other = Estimate.from_scores([Score.mean(rng.standard_normal(300) + more) for more in gain])

    assert np.ptp((same - one).interval) < np.ptp((other - one).interval) / 4
    assert (same - one).value == pytest.approx(0.2, abs=0.02)
    assert (same - one).interval[0] > 0.15


@pytest.mark.parametrize("columns", [1, 5])
def test_r2_is_the_mean_of_the_r2_of_columns(columns):
    """What scikit-learn's r2_score gives with multioutput="uniform_average"."""
    rng = np.random.default_rng(2)
    target = rng.standard_normal((80, columns)) * np.arange(1, columns + 1) + 3
    predicted = target + rng.standard_normal((80, columns))

    shares = [
        1 - sum((p - t) ** 2 for p, t in zip(guess, truth, strict=True)) / (len(truth) * truth.var())
        for guess, truth in zip(predicted.T, target.T, strict=True)
    ]

    assert Score.r2(predicted, target).score == pytest.approx(sum(shares) / columns)


def test_the_interval_of_r2_contains_it():
    rng = np.random.default_rng(3)
    target = rng.standard_normal((500, 2))
    score = Score.r2(target + 0.5 * rng.standard_normal((500, 2)), target)

    low, high = Estimate.from_scores([score]).interval

    assert low < score.score < high
    assert high - low < 0.1


def test_r2_of_a_constant_column_is_finite():
    assert math.isfinite(Score.r2(np.ones((10, 1)), np.ones((10, 1))).score)


def test_equal_scores_give_equal_intervals_regardless_of_earlier_estimates():
    rng = np.random.default_rng(4)
    scores = [Score.mean(rng.standard_normal(50)) for _ in range(2)]
    first = Estimate.from_scores(scores).resamples
    Estimate.from_scores([Score.mean(rng.standard_normal(70)) for _ in range(20)])

    np.testing.assert_array_equal(Estimate.from_scores(scores).resamples, first)


def test_a_single_number_of_one_seed_has_no_interval():
    assert all(math.isnan(edge) for edge in Estimate.from_scores([Score.single(1.0)]).interval)


def test_equal_numbers_of_several_seeds_have_an_interval_of_width_0():
    assert Estimate.from_scores([Score.single(1.0)] * 3).interval == (1.0, 1.0)


def test_an_estimate_without_scores_is_rejected():
    with pytest.raises(ValueError, match="at least one seed"):
        Estimate.from_scores([])


def test_the_t_interval_is_that_of_the_textbook_and_covers_as_often_as_it_says():
    estimate = Estimate.from_scores([Score.single(value) for value in (1.0, 2.0, 3.0, 4.0, 5.0)])
    half = 2.7764451 * math.sqrt(2.5 / 5)  # the 97.5 % quantile of four degrees of freedom
    assert estimate.t_interval == pytest.approx((3 - half, 3 + half))
    assert all(math.isnan(end) for end in Estimate.from_scores([Score.single(1.0)]).t_interval)

    values = np.random.default_rng(0).normal(size=(1000, 5))
    intervals = [Estimate(float(row.mean()), np.zeros(1), tuple(row)).t_interval for row in values]
    assert np.mean([low <= 0 <= high for low, high in intervals]) == pytest.approx(0.95, abs=0.02)
