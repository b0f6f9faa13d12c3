"""Thresholds, metrics and results."""

import json
import math

import numpy as np
import pytest

from social_jepa.experiments.framework.experiment import (
    ConditionResult,
    Metric,
    PartialResults,
    Results,
    Threshold,
    missed_thresholds,
)
from social_jepa.experiments.framework.score import Estimate, Score
from social_jepa.records import as_dict


@pytest.mark.parametrize(("sign", "met"), [(">=", "01"), ("<=", "-0"), (">", "1"), ("<", "-"), ("==", "0")])
def test_a_threshold_compares_by_its_sign(sign, met):
    threshold = Threshold(sign, 0.5)

    assert [threshold.met(value) for value in (0.4, 0.5, 0.6)] == [mark in met for mark in "-01"]
    assert str(threshold) == f"{sign} 0.5"
    assert not threshold.met(math.nan)


def test_a_threshold_with_an_unknown_sign_is_rejected():
    with pytest.raises(ValueError, match="=>"):
        Threshold("=>", 1)


def test_the_row_of_a_metric_has_none_for_numbers_that_json_cannot_represent():
    metric = Metric(
        "gap", Estimate.from_scores([Score.single(math.nan)]), null=math.inf, threshold=Threshold(">", 0)
    )

    document = json.loads(json.dumps(as_dict(metric.to_row()), allow_nan=False))

    assert document["value"] is document["low"] is document["null"] is None
    assert (document["threshold"], document["met"]) == ("> 0", False)
    assert Metric("free", metric.estimate).to_row().met is None


def test_every_missed_threshold_is_one_sentence():
    estimate = Estimate.from_scores([Score.single(0.25)])
    metrics = [
        Metric("missed", estimate, threshold=Threshold(">=", 0.5)),
        Metric("met", estimate, threshold=Threshold("<", 0.5)),
        Metric("free", estimate),
    ]

    assert missed_thresholds(metrics) == ["Missed: missed is 0.250, the threshold >= 0.5."]


@pytest.mark.parametrize(
    ("sign", "verdicts"),
    [(">=", "nooyy"), (">", "noony"), ("<=", "yooyn"), ("<", "yoonn"), ("==", "nooyn")],
)
def test_an_interval_meets_a_threshold_in_whole_in_part_or_not_at_all(sign, verdicts):
    intervals = [(0.1, 0.4), (0.4, 0.6), (0.45, 0.5001), (0.5, 0.5), (0.51, 0.9)]
    expected = {"y": True, "n": False, "o": None}
    assert [Threshold(sign, 0.5).verdict(*ends) for ends in intervals] == [expected[v] for v in verdicts]
    assert Threshold(sign, 0.5).verdict(math.nan, math.nan) is None


def test_the_t_interval_decides_where_a_metric_says_so():
    spread = Estimate.from_scores([Score.single(value) for value in (0.86, 0.93, 0.97)])
    metric = Metric("r2", spread, threshold=Threshold(">=", 0.9), t_interval=True)

    assert metric.interval == spread.t_interval
    assert metric.met is None
    assert metric.to_row().met is None
    assert (metric.to_row().low, metric.to_row().high) == spread.t_interval
    assert Metric("r2", spread, threshold=Threshold(">=", 0.9)).met is True
    assert Metric("r2", spread, threshold=Threshold(">=", 0.6), t_interval=True).met is True
    assert Metric("r2", spread, threshold=Threshold(">=", 1.2), t_interval=True).met is False
    assert missed_thresholds([metric]) == ["Open: r2 is 0.920, the threshold >= 0.9."]


def test_results_keep_the_order_of_seeds_and_conditions():
    condition_results = {
        (condition, seed): ConditionResult({"m": Score.single(seed)}, {"x": np.full(2, seed)})
        for seed in (4, 2)
        for condition in "ba"
    }
    results = Results(condition_results, (4, 2))

    assert results.conditions == ["b", "a"]
    assert results.estimate("a", "m").seeds == (4, 2)
    assert results.mean("a", "m") == results.estimate("a", "m").value == 3
    assert results.array("a", "x")[0] == 4
    assert results.array("a", "x", seed=2)[0] == 2
    assert results.has_score("a", "m")
    assert not results.has_score("a", "n")
    assert results.has_array("a", "x")
    assert not results.has_array("a", "y")
    with pytest.raises(KeyError):
        results.estimate("a", "n")


def test_partial_results_have_nan_for_conditions_that_did_not_run():
    results = PartialResults({("a", 3): ConditionResult({"m": Score.single(2.0)})}, (3,))
    a, b = (results.estimate(condition, "m") for condition in "ab")

    assert results.conditions == ["a"]
    assert a.seeds == (2.0,)
    assert math.isnan(b.value)
    assert math.isnan((a - b).value)
    assert math.isnan(results.mean("b", "any other score"))
    assert np.isnan(results.array("b", "any array")).all()
    assert Metric("b", b, threshold=Threshold(">=", 0.0)).met is False
    with pytest.raises(KeyError):
        results.estimate("a", "n")
