"""Verdicts follow from the scores of seeds; a self-test is never counted."""

import math
from pathlib import Path

import pytest

from social_jepa.experiments.framework.artifacts import find_documents
from social_jepa.experiments.framework.score import t_interval
from social_jepa.experiments.framework.table import format_interval, markdown_page, verdict_sentences
from social_jepa.experiments.framework.verdict import (
    Tally,
    headline,
    holds,
    interval,
    missed,
    own_notes,
    self_tests,
    tally,
    verdict,
    with_threshold,
)
from social_jepa.records import replace
from tests.support.results_document import PLAIN

EVIDENCE = Path(__file__).resolve().parents[4] / "evidence"
SEEDS = {True: (0.9, 0.91, 0.92), None: (0.5, 0.9, 0.6), False: (0.1, 0.11, 0.12)}  # by verdict on >= 0.7
ROW = replace(PLAIN.metrics[0], threshold=">= 0.7")


def row(decided, self_test=""):
    return replace(ROW, name=f"row {decided}", by_seed=SEEDS[decided], self_test=self_test)


def document(*rows, **changes):
    return replace(PLAIN, metrics=rows, seeds=(0, 1, 2), **changes)


@pytest.mark.parametrize("decided", SEEDS)
def test_a_verdict_follows_from_the_seeds_whatever_interval_and_verdict_are_recorded(decided):
    recorded = replace(row(decided), low=0.69, high=0.71, met=not decided)

    assert interval(recorded) == t_interval(SEEDS[decided])
    assert verdict(recorded) is decided


def test_without_a_threshold_or_with_one_seed_there_is_no_verdict():
    assert verdict(replace(row(True), threshold=None)) is None
    for by_seed in ((0.9,), (None,)):
        assert verdict(replace(ROW, by_seed=by_seed)) is None
        assert all(map(math.isnan, interval(replace(ROW, by_seed=by_seed))))


def test_a_geometric_row_is_judged_by_the_interval_of_its_logarithm():
    errors = replace(ROW, by_seed=(0.47, 0.97, 0.51), threshold="< 0.2")

    assert verdict(errors) is None  # the arithmetic interval reaches below 0
    assert verdict(replace(errors, geometric=True)) is False
    assert interval(replace(errors, geometric=True))[0] > 0.2
    assert "geometric" in format_interval(replace(errors, geometric=True))


@pytest.mark.parametrize("by_seed", [(0.9, None, 0.9), (None, None, None)])
def test_a_goal_that_a_seed_never_reached_is_missed_and_heads_the_page(by_seed):
    unreached = replace(ROW, name="steps", value=None, by_seed=by_seed)

    assert verdict(unreached) is False
    assert all(map(math.isnan, interval(unreached)))
    assert tally(document(unreached)) == Tally(met=0, missed=1, open=0)
    assert headline(document(unreached), "tiny") == "Not reproduced: tiny"
    assert verdict_sentences(document(unreached)) == [
        "Not reproduced: steps is –, the threshold >= 0.7, as a seed has no finite score."
    ]


@pytest.mark.parametrize("decided", SEEDS)
def test_a_self_test_is_never_counted_and_never_heads_a_page(decided):
    alone, beside = document(row(decided, "algebra")), document(row(None), row(decided, "algebra"))

    assert verdict(row(decided, "algebra")) is None
    assert tally(alone) == Tally(0, 0, 0)
    assert str(tally(alone)) == "no thresholds"
    assert tally(beside) == Tally(0, 0, 1)
    assert headline(beside, "tiny") == "tiny"
    assert [found.name for found in with_threshold(beside.metrics)] == ["row None"]
    assert [found.name for found in self_tests(beside.metrics)] == [f"row {decided}"]


def test_a_self_test_holds_if_every_seed_meets_its_bound():
    test = replace(ROW, self_test="algebra")

    assert holds(replace(test, by_seed=(0.7, 0.8)))
    assert holds(replace(test, by_seed=(0.8,)))
    assert not holds(replace(test, by_seed=(0.8, 0.6, 0.9)))
    assert not holds(replace(test, by_seed=(0.8, None)))
    with pytest.raises(ValueError, match="is not a self-test"):
        holds(ROW)


@pytest.mark.parametrize("quick", [False, True])
def test_a_self_test_that_fails_is_said_first_and_means_that_the_code_is_wrong(quick):
    broken = replace(row(True, "algebra"), value=0.8, by_seed=(0.9, 0.6, None))
    beside = document(row(None), broken, row(True, "algebra"), quick=quick)
    sentence = (
        "Self-test failed in 2 of 3 seeds: row True is 0.800, the bound >= 0.7. It cannot fail unless the "
        "code is wrong."
    )

    said = verdict_sentences(beside)
    assert (said[0], len(said)) == (sentence, 2)
    assert verdict_sentences(document(row(True, "algebra"))) == []
    assert headline(beside, "tiny") == "tiny"


def test_thresholds_are_counted_by_verdict():
    found = tally(document(row(True), row(True), row(None), row(False), replace(ROW, threshold=None)))

    assert found == Tally(met=2, missed=1, open=1)
    assert str(found) == "2 of 4 thresholds met, 1 open"
    assert str(tally(document(row(True)))) == "1 of 1 thresholds met"


def test_a_missed_threshold_heads_the_page_and_an_open_one_does_not():
    lost = document(row(True), row(None), row(False))

    assert headline(lost, "tiny") == "Not reproduced: tiny"
    assert markdown_page(lost).startswith("# Not reproduced: tiny\n")
    assert verdict_sentences(lost) == [
        "Not reproduced: row False is 0.500 (0.085 to 0.135), the threshold >= 0.7.",
        "Open: row None is 0.500 (0.150 to 1.184), the threshold >= 0.7.",
    ]
    assert headline(document(row(True), row(None)), "tiny") == "tiny"


def test_a_quick_run_reproduces_or_misses_nothing():
    quick = document(row(False), quick=True)

    assert missed(quick) == []
    assert headline(quick, "tiny") == "tiny"


def test_notes_of_earlier_verdicts_are_left_out():
    noted = document(row(None), notes=("Missed: row None is 0.500, the goal >= 0.7.", "A note."))

    assert own_notes(noted) == ["A note."]
    assert "the goal" not in markdown_page(noted)


RECORDED = find_documents(EVIDENCE)


@pytest.mark.parametrize("recorded", RECORDED, ids=[found.name for found in RECORDED])
def test_every_recorded_self_test_holds_in_every_seed(recorded):
    assert all(holds(found) for found in self_tests(recorded.metrics))
