"""Thresholds, and what an interval says about them."""

import math

import pytest

from social_jepa.experiments.framework.score import Estimate
from social_jepa.experiments.framework.threshold import SIGNS, Threshold


@pytest.mark.parametrize(("sign", "met"), [(">=", "01"), ("<=", "-0"), (">", "1"), ("<", "-"), ("==", "0")])
def test_a_threshold_compares_by_its_sign(sign, met):
    threshold = Threshold(sign, 0.5)

    assert [threshold.met(value) for value in (0.4, 0.5, 0.6)] == [mark in met for mark in "-01"]
    assert str(threshold) == f"{sign} 0.5"
    assert not threshold.met(math.nan)


def test_a_threshold_with_an_unknown_sign_is_rejected():
    with pytest.raises(ValueError, match="=>"):
        Threshold("=>", 1)


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("value", [0.0, -0.5, 36.0, 1e-6])
def test_a_threshold_and_its_text_are_equal(sign, value):
    assert Threshold.parse(str(Threshold(sign, value))) == Threshold(sign, value)


@pytest.mark.parametrize("text", ["", ">=", "0.5", "=> 1", ">= one"])
def test_a_text_that_is_no_threshold_is_rejected(text):
    with pytest.raises(ValueError, match=r"compares by|could not convert"):
        Threshold.parse(text)


@pytest.mark.parametrize(
    ("sign", "verdicts"),
    [(">=", "nooyy"), (">", "noony"), ("<=", "yooyn"), ("<", "yoonn"), ("==", "nooyn")],
)
def test_an_interval_meets_a_threshold_in_whole_in_part_or_not_at_all(sign, verdicts):
    intervals = [(0.1, 0.4), (0.4, 0.6), (0.45, 0.5001), (0.5, 0.5), (0.51, 0.9)]
    expected = {"y": True, "n": False, "o": None}
    assert [Threshold(sign, 0.5).verdict(*ends) for ends in intervals] == [expected[v] for v in verdicts]
    assert Threshold(sign, 0.5).verdict(math.nan, math.nan) is None


def test_an_equality_is_refuted_by_one_seed_and_met_where_all_have_it():
    threshold = Threshold("==", 1.0)

    assert threshold.decide(Estimate((1.0, 1.0, 1.0))) is True
    assert threshold.decide(Estimate((1.0, 0.0, 1.0))) is False  # though the interval contains 1
    assert threshold.decide(Estimate((0.9, 1.1))) is False
    assert threshold.decide(Estimate((1.0,))) is None


def test_a_rate_that_never_happened_meets_a_bound_only_with_enough_trials():
    never = (0.0, 0.0, 0.0)

    assert Threshold("<=", 0.01).decide(Estimate(never, trials=100)) is None
    assert Threshold("<=", 0.01).decide(Estimate(never, trials=400)) is True
    assert Threshold("<=", 0.01).decide(Estimate((0.5, 0.5), trials=20)) is False
    assert Threshold("<=", 0.01).decide(Estimate((0.0,), trials=400)) is None  # one seed decides nothing


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("missing", [math.nan, math.inf, -math.inf])
def test_a_seed_without_a_finite_score_misses_a_threshold_unless_it_is_alone(sign, missing):
    threshold = Threshold(sign, 0.5)
    for seeds in ((0.5, missing, 0.5), (missing, missing)):
        assert threshold.decide(Estimate(seeds)) is False
    assert threshold.decide(Estimate((missing,))) is None
    assert threshold.decide(Estimate((0.5,))) is None
    assert threshold.decide(Estimate((0.5, 0.5))) is threshold.verdict(0.5, 0.5)
