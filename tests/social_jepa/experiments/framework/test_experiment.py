"""Metrics and results."""

import json
import math

import numpy as np
import pytest

from social_jepa.experiments.framework.experiment import ConditionResult, Metric, PartialResults, Results
from social_jepa.experiments.framework.score import Estimate, Score
from social_jepa.experiments.framework.threshold import Threshold
from social_jepa.records import as_dict


def test_the_row_of_a_metric_has_none_for_numbers_that_json_cannot_represent():
    metric = Metric(
        "gap", Estimate.from_scores([Score.single(math.nan)]), null=math.inf, threshold=Threshold(">", 0)
    )

    document = json.loads(json.dumps(as_dict(metric.to_row()), allow_nan=False))

    assert document["value"] is document["low"] is document["null"] is None
    assert (document["threshold"], document["met"]) == ("> 0", None)
    assert Metric("free", metric.estimate).to_row().met is None


def test_a_metric_has_the_interval_of_its_seeds_and_the_verdict_that_follows():
    spread = Estimate((0.86, 0.93, 0.97))
    row = Metric("r2", spread, threshold=Threshold(">=", 0.9)).to_row()

    assert (row.low, row.high) == spread.interval
    assert [
        Metric("r2", spread, threshold=Threshold(">=", bound)).to_row().met for bound in (0.6, 0.9, 1.2)
    ] == [True, None, False]


def test_a_metric_that_is_not_finite_in_a_seed_misses_its_threshold():
    seeds = Estimate((0.95, math.nan, 0.97))

    assert Metric("r2", seeds, threshold=Threshold(">=", 0.9)).to_row().met is False
    assert Metric("r2", seeds).to_row().met is None


def test_a_self_test_has_a_bound_and_no_verdict():
    row = Metric("r2", Estimate((1.0, 1.0)), threshold=Threshold("==", 1), self_test="algebra").to_row()

    assert (row.self_test, row.threshold, row.met) == ("algebra", "== 1", None)
    with pytest.raises(ValueError, match="r2: a self-test needs a threshold"):
        Metric("r2", Estimate((1.0,)), self_test="algebra")


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
    assert Metric("b", b, threshold=Threshold(">=", 0.0)).to_row().met is None
    with pytest.raises(KeyError):
        results.estimate("a", "n")
