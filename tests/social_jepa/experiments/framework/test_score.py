import math

import numpy as np
import pytest

from social_jepa.experiments.framework.score import Estimate, Score

TRUTH = 0.7


def coverage(seeds, between, samples=60, trials=250):
    """How often the interval holds the planted mean, where seeds differ by `between` and samples by 1."""
    rng = np.random.default_rng(seeds)
    held = 0
    for _ in range(trials):
        means = TRUTH + between * rng.standard_normal(seeds)
        measures = [Score.mean(mean + rng.standard_normal(samples)) for mean in means]
        low, high = Estimate.from_scores(measures).interval
        held += low <= TRUTH <= high
    return held / trials


def test_the_mean_over_seeds_is_the_mean_of_their_scores():
    measures = [Score.mean([0, 1]), Score.mean([1, 1, 1]), Score.single(0.25)]

    estimate = Estimate.from_scores(measures)

    assert estimate.seeds == (0.5, 1.0, 0.25)
    assert estimate.value == pytest.approx(np.mean([0.5, 1.0, 0.25]))


def test_an_interval_tightens_around_a_planted_mean():
    rng = np.random.default_rng(0)

    few, many = (
        Estimate.from_scores([Score.mean(TRUTH + rng.standard_normal(n)) for _ in range(5)])
        for n in (30, 3000)
    )

    assert np.ptp(many.interval) < np.ptp(few.interval) / 5
    assert many.interval[0] < TRUTH < many.interval[1]
    assert many.value == pytest.approx(TRUTH, abs=0.03)


def test_of_one_seed_95_of_100_intervals_hold_the_mean_of_its_samples():
    assert coverage(seeds=1, between=0.0) == pytest.approx(0.95, abs=0.045)


def test_with_ten_seeds_about_95_of_100_intervals_hold_the_truth():
    assert coverage(seeds=10, between=0.5) == pytest.approx(0.93, abs=0.05)


def test_three_seeds_say_little_where_seeds_differ_more_than_samples():
    """What the docstring admits: a bootstrap of three seeds is too sure of itself."""
    assert 0.65 < coverage(seeds=3, between=2.0) < 0.88


def test_where_seeds_do_not_differ_the_interval_is_rather_too_wide():
    assert coverage(seeds=3, between=0.0) > 0.95


def test_a_difference_of_methods_on_the_same_samples_is_surer_than_on_others():
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
def test_r2_is_the_mean_over_columns_of_the_share_of_the_variance(columns):
    """What scikit-learn's r2_score gives with multioutput="uniform_average"."""
    rng = np.random.default_rng(2)
    target = rng.standard_normal((80, columns)) * np.arange(1, columns + 1) + 3
    predicted = target + rng.standard_normal((80, columns))

    shares = [
        1 - sum((p - t) ** 2 for p, t in zip(guess, truth, strict=True)) / (len(truth) * truth.var())
        for guess, truth in zip(predicted.T, target.T, strict=True)
    ]

    assert Score.r2(predicted, target).score == pytest.approx(sum(shares) / columns)


def test_the_resamples_of_r2_spread_around_it():
    rng = np.random.default_rng(3)
    target = rng.standard_normal((500, 2))
    measure = Score.r2(target + 0.5 * rng.standard_normal((500, 2)), target)

    low, high = Estimate.from_scores([measure]).interval

    assert low < measure.score < high
    assert high - low < 0.1


def test_a_column_that_never_changes_stays_finite():
    assert math.isfinite(Score.r2(np.ones((10, 1)), np.ones((10, 1))).score)


def test_equal_measures_give_equal_intervals_whatever_was_drawn_before():
    rng = np.random.default_rng(4)
    measures = [Score.mean(rng.standard_normal(50)) for _ in range(2)]
    first = Estimate.from_scores(measures).resamples
    Estimate.from_scores([Score.mean(rng.standard_normal(70)) for _ in range(20)])

    np.testing.assert_array_equal(Estimate.from_scores(measures).resamples, first)


def test_one_number_of_one_seed_has_no_interval():
    assert all(math.isnan(edge) for edge in Estimate.from_scores([Score.single(1.0)]).interval)


def test_equal_numbers_of_several_seeds_have_an_interval_of_no_width():
    assert Estimate.from_scores([Score.single(1.0)] * 3).interval == (1.0, 1.0)


def test_nothing_measured_is_refused():
    with pytest.raises(ValueError, match="at least one seed"):
        Estimate.from_scores([])
