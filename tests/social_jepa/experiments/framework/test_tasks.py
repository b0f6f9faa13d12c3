"""Tasks, their result files, and the progress that is shown while they run."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from social_jepa.experiments.framework.experiment import ConditionResult
from social_jepa.experiments.framework.progress import Progress, duration
from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.framework.task_results import read_result, write_result
from social_jepa.experiments.framework.tasks import Task, file_stem, fingerprint_sources, make_task


def test_a_result_file_keeps_scores_arrays_and_costs(tmp_path):
    task = make_task(tmp_path, "x", {}, "sources", "a condition / with 'signs'", 3)
    target = np.arange(6.0).reshape(3, 2)
    result = ConditionResult(
        {"file": Score.r2(target + 1, target), "ü/v": Score.single(2.0)},
        {"words": np.array(["a", "bc"]), "meta": np.arange(3, dtype=np.int8), "deep": np.zeros((2, 0, 3))},
        1.5, 2e12,
    )  # fmt: skip

    write_result(task, result)
    found, fingerprint = read_result(task)

    assert (found.seconds, found.flops, fingerprint) == (1.5, 2e12, "sources")
    assert found.scores["file"].score == result.scores["file"].score
    assert found.scores["ü/v"].deviations is None
    for name, array in result.arrays.items():
        np.testing.assert_array_equal(found.arrays[name], array)
        assert found.arrays[name].dtype == array.dtype


@pytest.mark.parametrize("end", [0, 1, 40, -30, -1])
def test_a_damaged_result_file_counts_as_missing(tmp_path, end):
    task = make_task(tmp_path, "x", {}, "sources", "a", 0)
    write_result(task, ConditionResult({"m": Score.single(1)}))
    task.file.write_bytes(task.file.read_bytes()[:end])

    assert read_result(task) is None


def test_the_key_of_a_task_depends_on_experiment_settings_condition_and_seed():
    first = make_task(Path(), "x", {"a": 1}, "sources", "c", 0)
    others = [
        make_task(Path(), name, {"a": a}, "sources", condition, seed)
        for name, a, condition, seed in (
            ("y", 1, "c", 0),
            ("x", 2, "c", 0),
            ("x", 1, "d", 0),
            ("x", 1, "c", 1),
        )
    ]

    assert first.key == make_task(Path(), "x", {"a": 1}, "other", "c", 0).key
    assert first.key not in {other.key for other in others}
    assert file_stem("A b") != file_stem("a-b")


@pytest.mark.parametrize(
    ("result", "sentence"),
    [
        ({}, "returns a ConditionResult, not dict"),
        (ConditionResult({"m": Score(np.zeros(0))}), "n >= 1 is needed"),
        (ConditionResult({"m": Score(np.zeros(2), np.zeros(3))}), "but deviations"),
        (ConditionResult({}, {"a": np.array([{}], dtype=object)}), "Python objects"),
    ],
)
def test_a_result_that_metrics_cannot_be_computed_from_is_rejected(tmp_path, result, sentence):
    with pytest.raises(ValueError, match=sentence):
        write_result(make_task(tmp_path, "x", {}, "sources", "c", 0), result)


def test_a_worker_process_does_not_load_numpy_before_it_sets_the_number_of_threads():
    script = "import sys, social_jepa.experiments.framework.worker; print('numpy' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout == "False\n"


def test_progress_shows_the_number_of_done_tasks_and_the_remaining_time():
    console = Console(file=io.StringIO(), width=200)
    tasks = [Task("c", seed, Path(), str(seed), "") for seed in range(3)]
    with Progress(console, "tiny", tasks, workers=1) as progress:
        progress.task_started(tasks[0])
        for step in range(5):
            progress.task_logged(tasks[0], f"[step {step}]")
        progress.task_ended(tasks[0], 60.0, "")
        progress.task_started(tasks[1])
        progress.task_ended(tasks[1], 60.0, "it broke")

    text = console.file.getvalue()
    assert text.count("[step") == 1, "one line in ten seconds"
    assert "c, seed 0: done in 60 s; 1 of 3 done, about 2 min left" in text
    assert "c, seed 1: failed: it broke; 2 of 3 done, about 60 s left" in text


def test_expected_times_give_a_remaining_time_from_the_start_and_are_scaled_by_what_is_done():
    console = Console(file=io.StringIO(), width=200)
    tasks = [Task(condition, 0, Path(), condition, "") for condition in "cde"]
    with Progress(console, "tiny", tasks, workers=1, expected={"c": 60.0, "d": 120.0}) as progress:
        progress.task_started(tasks[0])
        progress.task_ended(tasks[0], 180.0, "")

    text = console.file.getvalue()
    assert "c, seed 0: started; 0 of 3 done, about 4 min left" in text, "e: the mean of c and d"
    assert "c, seed 0: done in 3 min; 1 of 3 done, about 9 min left" in text, "d takes 360 s, and e as c"


def test_progress_on_a_terminal_is_a_table():
    console = Console(file=io.StringIO(), width=120, force_terminal=True)
    task = Task("c[x]", 0, Path(), "", "")
    with Progress(console, "tiny", [task], workers=1) as progress:
        progress.task_started(task)
        progress.task_logged(task, "step 3 of 4")
        progress.refresh()

    assert "c[x]" in console.file.getvalue()
    assert "step 3 of 4" in console.file.getvalue()


@pytest.mark.parametrize(("seconds", "text"), [(2, "2.0 s"), (60, "60 s"), (600, "10 min"), (7200, "2.0 h")])
def test_a_duration_is_in_seconds_minutes_or_hours(seconds, text):
    assert duration(seconds) == text


def test_the_fingerprint_depends_on_the_source_code_of_a_module(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    source = tmp_path / "custom_experiment.py"
    source.write_text("a = 1")
    first = fingerprint_sources("custom_experiment")
    source.write_text("a = 2")

    assert fingerprint_sources("custom_experiment") != first
