"""Verdicts follow from the t interval over seeds, and from nothing else."""

import dataclasses
import math

import pytest

from social_jepa.experiments.claims.claim import Claim, Verdict, find, judge
from social_jepa.experiments.claims.table import format_finding
from social_jepa.experiments.framework.score import Estimate
from social_jepa.experiments.framework.threshold import Threshold
from social_jepa.experiments.framework.verdict import estimate_of
from social_jepa.records import replace
from tests.support.results_document import PLAIN

AT_LEAST = Threshold(">=", 0.9)
CLAIM = Claim("P", "It holds", "0.9", "text", "tiny", "new name", AT_LEAST, recorded_metric="one")


@pytest.mark.parametrize(
    ("by_seed", "verdict"),
    [
        ((0.95, 0.96, 0.94), Verdict.REPRODUCED),
        ((0.5, 0.51, 0.49), Verdict.NOT_REPRODUCED),
        ((0.95, 0.80, 1.00), Verdict.OPEN),
        ((0.95,), Verdict.OPEN),  # one seed has no interval
        ((0.9, 0.9, 0.9), Verdict.REPRODUCED),
        ((0.95, None, 0.94), Verdict.NOT_REPRODUCED),  # a seed that never reached what is measured
        ((None,), Verdict.OPEN),
        ((), Verdict.NOT_MEASURED),
    ],
)
def test_a_verdict_follows_from_the_interval_over_seeds(by_seed, verdict):
    estimate = estimate_of(replace(PLAIN.metrics[0], by_seed=by_seed))
    assert judge(AT_LEAST, estimate).verdict is verdict


def test_the_interval_is_that_of_student():
    found = judge(AT_LEAST, Estimate((1.0, 2.0, 3.0)))

    assert found.value == 2
    assert (found.low, found.high) == pytest.approx((2 - 2.4841, 2 + 2.4841), abs=1e-4)  # 4.3027 / sqrt(3)
    assert found.seeds == 3


def test_the_finding_of_a_geometric_row_is_geometric():
    row = replace(PLAIN.metrics[0], by_seed=(0.5, 2.0), geometric=True)
    found = find(CLAIM, replace(PLAIN, metrics=(row, *PLAIN.metrics[1:])))

    assert found.geometric
    assert found.value == pytest.approx(1)
    assert found.low * found.high == pytest.approx(1)
    assert "geometric" in format_finding(found)


@pytest.mark.parametrize(
    ("baseline", "expected"),
    [((1.0, 1.0), Verdict.OPEN), ((1.0, 0.99), Verdict.NOT_REPRODUCED), ((0.5, 0.5), Verdict.NOT_REPRODUCED)],
)
def test_a_claim_to_exceed_a_baseline_is_open_where_nothing_can_exceed_it(baseline, expected):
    claim = dataclasses.replace(
        CLAIM, bound=Threshold(">", 0.0), ceiling=("the baseline", "an earlier name"), ceiling_group="seen"
    )
    tie = replace(PLAIN.metrics[0], by_seed=(0.0, 0.0))
    other = replace(PLAIN.metrics[0], name="the baseline", by_seed=baseline, group="seen")
    unseen = replace(other, by_seed=(0.3, 0.3), group="unseen")

    assert find(claim, replace(PLAIN, metrics=(tie, other, unseen))).verdict is expected
    assert find(claim, replace(PLAIN, metrics=(tie,))).verdict is Verdict.NOT_REPRODUCED
    assert find(claim, replace(PLAIN, metrics=(other,))).verdict is Verdict.NOT_MEASURED


def test_an_interval_contains_its_ends_up_to_rounding_and_nothing_beyond():
    equal = judge(AT_LEAST, Estimate((4.0, 4.0)))

    assert equal.contains(4.0 + 1e-12) is True
    assert equal.contains(4.001) is False
    assert judge(AT_LEAST, Estimate((4.0,))).contains(4.0) is None


def test_a_metric_is_found_by_its_name_or_the_recorded_one_and_not_in_a_quick_run():
    by_seed = (0.97, 0.95)
    row = replace(PLAIN.metrics[0], by_seed=by_seed)
    recorded = replace(PLAIN, metrics=(row, *PLAIN.metrics[1:]))
    renamed = replace(recorded, metrics=(replace(row, name="new name"),))
    contradictory = replace(recorded, metrics=(row, replace(row, by_seed=(0.1, 0.2))))

    assert find(CLAIM, recorded) == find(CLAIM, renamed) == judge(AT_LEAST, Estimate(by_seed))
    for document in (None, replace(recorded, quick=True), replace(recorded, metrics=()), contradictory):
        missing = find(CLAIM, document)
        assert missing.verdict is Verdict.NOT_MEASURED
        assert math.isnan(missing.value)
