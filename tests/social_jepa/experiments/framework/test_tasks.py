"""The files that keep what units found, and what a person sees while units run."""

import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from social_jepa.experiments.framework.experiment import ConditionResult
from social_jepa.experiments.framework.progress import Progress, duration
from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.framework.tasks import (
    Task,
    fingerprint,
    make_task,
    read_result,
    slug,
    write_result,
)


def test_an_outcome_comes_back_as_it_was(tmp_path):
    unit = make_task(tmp_path, "x", {}, "src", "a part / with 'signs'", 3)
    target = np.arange(6.0).reshape(3, 2)
    outcome = ConditionResult(
        {"file": Score.r2(target + 1, target), "ü": Score.single(2.0)},
        {"words": np.array(["a", "bc"]), "meta": np.arange(3, dtype=np.int8), "deep": np.zeros((2, 0, 3))},
        1.5, 2e12,
    )  # fmt: skip

    write_result(unit, outcome)
    back, sources = read_result(unit)

    assert (back.seconds, back.flops, sources) == (1.5, 2e12, "src")
    assert back.scores["file"].score == outcome.scores["file"].score
    assert back.scores["ü"].deviations is None
    for name, array in outcome.arrays.items():
        np.testing.assert_array_equal(back.arrays[name], array)
        assert back.arrays[name].dtype == array.dtype


@pytest.mark.parametrize("end", [0, 1, 40, -30, -1])
def test_a_damaged_file_is_nothing_kept(tmp_path, end):
    unit = make_task(tmp_path, "x", {}, "src", "a", 0)
    write_result(unit, ConditionResult({"m": Score.single(1)}))
    unit.file.write_bytes(unit.file.read_bytes()[:end])

    assert read_result(unit) is None


def test_a_unit_s_key_follows_from_its_settings_part_and_seed():
    first = make_task(Path(), "x", {"a": 1}, "s", "p", 0)
    others = [
        make_task(Path(), name, {"a": a}, "s", part, seed)
        for name, a, part, seed in (("y", 1, "p", 0), ("x", 2, "p", 0), ("x", 1, "q", 0), ("x", 1, "p", 1))
    ]

    assert first.key == make_task(Path(), "x", {"a": 1}, "other", "p", 0).key
    assert first.key not in {other.key for other in others}
    assert slug("A b") != slug("a-b")


@pytest.mark.parametrize(
    ("outcome", "sentence"),
    [
        ({}, "returns a ConditionResult, not dict"),
        (ConditionResult({"m": Score(np.zeros(0))}), "n of 1 or more"),
        (ConditionResult({"m": Score(np.zeros(2), np.zeros(3))}), "spreads"),
        (ConditionResult({}, {"a": np.array([{}], dtype=object)}), "Python objects"),
    ],
)
def test_an_outcome_that_figures_cannot_be_made_of_is_refused(tmp_path, outcome, sentence):
    with pytest.raises(ValueError, match=sentence):
        write_result(make_task(tmp_path, "x", {}, "s", "p", 0), outcome)


def test_progress_tells_how_much_is_done_and_about_how_much_is_left():
    told = Console(file=io.StringIO(), width=200)
    units = [Task("p", seed, Path(), str(seed), "") for seed in range(3)]
    with Progress(told, "tiny", units, workers=1) as progress:
        progress.began(units[0])
        for step in range(5):
            progress.said(units[0], f"[step {step}]")
        progress.ended(units[0], 60.0, "")
        progress.began(units[1])
        progress.ended(units[1], 60.0, "it broke")

    assert told.file.getvalue().count("[step") == 1, "one line in ten seconds"
    assert "p, seed 0: done in 60 s; 1 of 3 done, about 2 min left" in told.file.getvalue()
    assert "p, seed 1: failed: it broke; 2 of 3 done, about 60 s left" in told.file.getvalue()


def test_on_a_terminal_progress_is_a_table():
    told = Console(file=io.StringIO(), width=120, force_terminal=True)
    unit = Task("p[x]", 0, Path(), "", "")
    with Progress(told, "tiny", [unit], workers=1) as progress:
        progress.began(unit)
        progress.said(unit, "step 3 of 4")
        progress.beat()

    assert "p[x]" in told.file.getvalue()
    assert "step 3 of 4" in told.file.getvalue()


@pytest.mark.parametrize(("seconds", "text"), [(2, "2.0 s"), (60, "60 s"), (600, "10 min"), (7200, "2.0 h")])
def test_a_span_of_time_reads_as_a_person_says_it(seconds, text):
    assert duration(seconds) == text


def test_a_fingerprint_follows_from_the_source_of_a_module(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    source = tmp_path / "my_own_claim.py"
    source.write_text("a = 1")
    first = fingerprint("my_own_claim")
    source.write_text("a = 2")

    assert fingerprint("my_own_claim") != first
