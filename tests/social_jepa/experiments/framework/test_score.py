"""Scores and their intervals over seeds."""

import math

import numpy as np
import pytest

from social_jepa.experiments.framework.score import Estimate, Score, rate_interval

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


def test_an_interval_covers_the_true_mean_in_95_of_100_cases_however_much_seeds_differ():
    for seeds, between in ((3, 0.0), (3, 2.0), (10, 0.5)):
        assert coverage(seeds, between) == pytest.approx(0.95, abs=0.045)


def test_a_difference_of_paired_seeds_has_a_narrower_interval_than_one_of_others():
    rng = np.random.default_rng(1)
    first = rng.standard_normal(8)
    gained, other = first + 0.2 + 0.1 * rng.standard_normal(8), rng.standard_normal(8)
    one, same, different = (Estimate(tuple(values)) for values in (first, gained, other))

    assert np.ptp((same - one).interval) < np.ptp((different - one).interval) / 4
    assert (same - one).value == pytest.approx(same.value - one.value)


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


def test_r2_of_a_constant_column_is_finite():
    assert math.isfinite(Score.r2(np.ones((10, 1)), np.ones((10, 1))).score)


def test_a_single_number_of_one_seed_has_no_interval():
    assert all(math.isnan(edge) for edge in Estimate.from_scores([Score.single(1.0)]).interval)


def test_equal_numbers_of_several_seeds_have_an_interval_of_width_0():
    assert Estimate.from_scores([Score.single(1.0)] * 3).interval == (1.0, 1.0)


def test_an_estimate_without_scores_is_rejected():
    with pytest.raises(ValueError, match="at least one seed"):
        Estimate.from_scores([])


def test_the_interval_is_that_of_the_textbook():
    half = 2.7764451 * math.sqrt(2.5 / 5)  # the 97.5 % quantile of four degrees of freedom

    assert Estimate((1.0, 2.0, 3.0, 4.0, 5.0)).interval == pytest.approx((3 - half, 3 + half))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_score_that_is_not_finite_leaves_no_interval(value):
    assert all(math.isnan(end) for end in Estimate((1.0, value, 2.0)).interval)


def test_a_geometric_interval_is_that_of_the_logarithm_and_never_reaches_below_0():
    ratios = (0.30, 0.11, 0.50)
    plain, geometric = Estimate(ratios), Estimate(ratios).as_geometric()
    logarithms = Estimate(tuple(map(math.log, ratios)))

    assert geometric.value == pytest.approx(math.exp(logarithms.value))
    assert geometric.interval == pytest.approx(tuple(map(math.exp, logarithms.interval)))
    assert plain.interval[0] < 0 < geometric.interval[0]
    inverse = Estimate(tuple(1 / ratio for ratio in ratios)).as_geometric()  # which of two is divided is free
    assert inverse.interval == pytest.approx(tuple(1 / end for end in geometric.interval[::-1]))


@pytest.mark.parametrize("values", [(0.0, 0.0), (0.0, 1.0, 2.0)])
def test_scores_of_0_which_have_no_logarithm_keep_the_arithmetic_interval(values):
    estimate = Estimate(values).as_geometric()

    assert estimate.value == Estimate(values).value
    assert estimate.interval == Estimate(values).interval
    assert not estimate.geometric  # so that no page calls it so


def test_a_geometric_estimate_with_a_score_that_is_not_finite_has_no_interval():
    for missing in (math.nan, math.inf):
        estimate = Estimate((1.0, missing)).as_geometric()
        assert not math.isfinite(estimate.value)
        assert all(math.isnan(end) for end in estimate.interval)


def test_the_highest_and_the_lowest_of_estimates_are_taken_seed_by_seed():
    estimates = [Estimate((1.0, 5.0, math.nan)), Estimate((2.0, 3.0, 4.0))]

    assert Estimate.highest(estimates).seeds[:2] == (2.0, 5.0)
    assert Estimate.lowest(estimates).seeds[:2] == (1.0, 3.0)
    assert math.isnan(Estimate.highest(estimates).seeds[2])
    assert math.isnan(Estimate.lowest(estimates).seeds[2])


@pytest.mark.parametrize(
    ("rate", "trials", "interval"),
    [
        (0.0, 100, (0.0, 0.0362)),
        (0.0, 300, (0.0, 0.0122)),
        (0.5, 10, (0.1871, 0.8129)),
        (1.0, 20, (0.8316, 1)),
    ],
)
def test_a_rate_has_the_interval_of_clopper_and_pearson(rate, trials, interval):
    estimate = Estimate((rate, rate)).as_rate(trials)

    assert estimate.interval == pytest.approx(interval, abs=1e-4)
    assert estimate.value == rate


def test_the_interval_of_a_rare_rate_covers_it_though_it_never_happened_in_most_runs():
    rate, trials = 0.015, 160
    hits = np.random.default_rng(0).binomial(trials, rate, 400)
    covered = [low <= rate <= high for low, high in (rate_interval(hit / trials, trials) for hit in hits)]

    assert np.mean(hits == 0) > 0.05
    assert np.mean(covered) >= 0.95


def test_missing_columns_count_as_unexplained_and_further_ones_change_nothing():
    target = np.random.default_rng(4).standard_normal((400, 2))
    found = Score.pooled_r2(target, target)

    assert found.counting_missing(2, 8).score == pytest.approx(0.25)
    assert found.counting_missing(2, 2).score == found.counting_missing(2, 1).score == 1
    with pytest.raises(ValueError, match="only an R2"):
        Score.mean(np.ones(3)).counting_missing(1, 2)
