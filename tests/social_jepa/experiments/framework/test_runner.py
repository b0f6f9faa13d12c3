"""Runs of an experiment: tasks run, results are kept, and files are written completely or not at all."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import pytest
from rich.console import Console

from social_jepa.experiments.framework.artifacts import ResultsFileError, redraw
from social_jepa.experiments.framework.budget import Costs
from social_jepa.experiments.framework.document import decode_document
from social_jepa.experiments.framework.experiment import Results
from social_jepa.experiments.framework.html import experiment_page
from social_jepa.experiments.framework.registry import load
from social_jepa.experiments.framework.runner import (
    ExperimentError,
    expect_missing,
    run_conditions,
    run_experiment,
)
from social_jepa.experiments.framework.runs import plan_run
from social_jepa.records import as_dict, replace
from social_jepa.storage.run_folder import RunFolder
from social_jepa.storage.run_folder_errors import RunFolderError

TINY = "tests.support.tiny_experiment:EXPERIMENT"
ROOT = Path(__file__).resolve().parents[4]
FINGERPRINT = "social_jepa.experiments.framework.runner.fingerprint_sources"


@pytest.fixture(autouse=True)
def constant_fingerprint(monkeypatch):
    """A fingerprint that editing source files while the tests run does not change."""
    monkeypatch.setattr(FINGERPRINT, lambda module: "these")


class TextConsole(Console):
    """A console whose text can be read."""

    def __init__(self):
        super().__init__(file=io.StringIO(), width=200)

    @property
    def text(self):
        return self.file.getvalue()


def run_tiny(out, *settings, console=None, fresh=False, workers=2, **options):
    run = plan_run(TINY, [f"log={out / 'log'}", *settings], out=out, **options)
    return run_experiment(run, console or TextConsole(), workers=workers, fresh=fresh)


def pop_log(out):
    """Return condition and seed of the tasks that ran since the last call."""
    lines = (out / "log").read_text().splitlines() if (out / "log").exists() else []
    (out / "log").unlink(missing_ok=True)
    return [tuple(line.split()[:2]) for line in lines]


def as_json(document):
    """Return a results document as the values that its JSON has."""
    return json.loads(json.dumps(as_dict(document)))


def reproducible(document):
    """Return the parts of a document that equal runs share: no seconds, no settings that name the folder."""
    costs = {condition: replace(cost, seconds=0.0) for condition, cost in document.conditions.items()}
    settings = document.settings | {"log": "", "slow": 0}
    return replace(document, command="", source_fingerprints=(), conditions=costs, settings=settings)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    out = tmp_path_factory.mktemp("uninterrupted")
    with mock.patch(FINGERPRINT, return_value="these"):
        return out, run_tiny(out, seeds=2)


def test_the_results_document_is_complete_and_does_not_name_this_machine(uninterrupted):
    out, document = uninterrupted
    text = (out / "tiny" / "results.json").read_text()

    assert decode_document(text) == document
    assert json.loads(text) == as_json(document)
    assert document.format == 1
    assert document.seeds == (0, 1)
    assert document.settings["noise"] == {"scale": 1.0}
    assert {name: costs.flops for name, costs in document.conditions.items()} == {"good": 10, "bad": 10}
    assert {"python", "torch", "numpy", "social-jepa"} <= document.versions.keys()
    assert "average" in document.protocol
    assert os.uname().nodename not in text
    without = text.replace(document.settings["log"], "")
    assert "/tmp/" not in without
    assert str(ROOT) not in without


def test_a_run_writes_results_readme_and_plots_alone(uninterrupted):
    names = {path.name for path in (uninterrupted[0] / "tiny").iterdir() if not path.name.startswith(".")}

    assert names == {"results.json", "README.md", "values.png", "difference.png", "frames.png"}


def test_metrics_equal_those_computed_in_one_process(uninterrupted):
    experiment, seeds = load(TINY), (0, 1)
    settings = experiment.settings()
    condition_results = {
        (condition, seed): experiment.run(condition, seed, settings, lambda text: None)
        for condition in ("good", "bad")
        for seed in seeds
    }
    metrics = experiment.metrics(Results(condition_results, seeds), settings)

    assert tuple(metric.to_row() for metric in metrics) == uninterrupted[1].metrics


def test_every_task_has_one_thread(uninterrupted):
    out, _ = uninterrupted
    lines = (out / "log").read_text().split("\n")[:-1]

    assert len(lines) == 4
    assert {line.split()[3] for line in lines} == {"1"}


def test_equal_runs_give_equal_results_and_plots(uninterrupted, tmp_path):
    out, document = uninterrupted

    again = run_tiny(tmp_path, seeds=2, workers=1)

    assert reproducible(again) == reproducible(document)
    for name in document.plots:
        plots = [(folder / "tiny" / f"{name}.png").read_bytes() for folder in (tmp_path, out)]
        assert plots[0] == plots[1]


def test_plots_and_readme_are_redrawn_to_equal_bytes_without_running_anything(
    uninterrupted, tmp_path, monkeypatch
):
    shutil.copytree(uninterrupted[0] / "tiny", tmp_path / "tiny", ignore=shutil.ignore_patterns(".*"))
    files = sorted(path for path in (tmp_path / "tiny").iterdir() if path.name != "results.json")
    before = {path.name: path.read_bytes() for path in files}
    for path in files:
        path.unlink()
    monkeypatch.setattr("tests.support.tiny_experiment.run", None)
    monkeypatch.setattr("multiprocessing.process.BaseProcess.start", None)

    redraw(plan_run(TINY, out=tmp_path))

    assert {path.name: path.read_bytes() for path in files} == before
    assert len(before) == 4


DEFECTS = {
    "no file": (lambda document: None, "cannot read"),
    "no plot data": (
        lambda document: {key: value for key, value in document.items() if key != "plot_data"},
        "was recorded without the data behind its plots",
    ),
    "another format": (lambda document: document | {"format": 99}, "has format 99, this version reads 1"),
    "unknown settings": (lambda document: document | {"settings": {"old": 1}}, "does not fit the code"),
    "no data of a plot": (
        lambda document: document | {"plot_data": document["plot_data"] | {"estimates": {}}},
        "does not fit the code",
    ),
    "no document": (lambda document: [], "is no results document"),
}


@pytest.mark.parametrize("case", DEFECTS)
def test_results_that_cannot_be_redrawn_are_a_sentence_with_the_command_that_records_them(
    uninterrupted, tmp_path, case
):
    change, sentence = DEFECTS[case]
    (tmp_path / "tiny").mkdir()
    if (document := change(as_json(uninterrupted[1]))) is not None:
        (tmp_path / "tiny" / "results.json").write_text(json.dumps(document))

    with pytest.raises(ResultsFileError, match=sentence) as caught:
        redraw(plan_run(TINY, out=tmp_path))

    assert f"run `social-jepa experiment {TINY} --out {tmp_path} --seeds 3`" in str(caught.value)
    assert not list(tmp_path.rglob("*.png"))


def test_finished_tasks_are_kept_until_a_setting_changes_or_fresh_is_given(tmp_path):
    run_tiny(tmp_path, seeds=1)
    assert len(pop_log(tmp_path)) == 2

    console = TextConsole()
    run_tiny(tmp_path, seeds=2, console=console)
    assert sorted(pop_log(tmp_path)) == [("bad", "1"), ("good", "1")]
    assert "2 of 4 tasks kept from an earlier run; --fresh runs all again" in console.text

    run_tiny(tmp_path, "samples=50", seeds=1)
    assert len(pop_log(tmp_path)) == 2

    console = TextConsole()
    run_tiny(tmp_path, "samples=50", seeds=1, fresh=True, console=console)
    assert len(pop_log(tmp_path)) == 2
    assert "kept" not in console.text


def test_tasks_of_other_source_code_are_kept_and_reported(tmp_path, monkeypatch):
    run_tiny(tmp_path, seeds=1)
    monkeypatch.setattr(FINGERPRINT, lambda module: "others")
    console = TextConsole()

    document = run_tiny(tmp_path, seeds=2, console=console)

    assert "2 of 4 tasks kept from an earlier run, 2 of them with other source code" in console.text
    assert len(document.source_fingerprints) == 2
    assert "The source code changed between the tasks" in experiment_page(tmp_path / "tiny", document)


def start(out, *words):
    return subprocess.Popen(
        [
            sys.executable, "-m", "social_jepa", "experiment", TINY, "--out", str(out), "--workers", "1",
            f"log={out / 'log'}", *words,
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def children(pid):
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True).stdout
    return [int(word) for word in found.split()]


def alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGINT])
def test_an_interrupted_run_continues_to_the_same_results(uninterrupted, tmp_path, ending):
    process = start(tmp_path, "--seeds", "2", "slow=0.7")
    task_folder = tmp_path / "tiny" / ".tasks"
    limit = time.monotonic() + 60
    while len(list(task_folder.glob("[!.]*.npz"))) < 2 and time.monotonic() < limit:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGSTOP)  # so that no further task starts unnoticed
    orphans = children(process.pid)
    (os.killpg if ending == signal.SIGINT else os.kill)(process.pid, ending)
    os.kill(process.pid, signal.SIGCONT)
    _, err = process.communicate(timeout=60)

    limit = time.monotonic() + 10
    while any(map(alive, orphans)) and time.monotonic() < limit:
        time.sleep(0.05)
    assert orphans
    assert not any(map(alive, orphans)), "a task outlived its run"
    assert "Traceback" not in err
    assert ("run the same command to do the others" in err) == (ending == signal.SIGINT)
    assert process.returncode == (130 if ending == signal.SIGINT else -signal.SIGKILL)
    assert not (tmp_path / "tiny" / "results.json").exists()
    kept = len(list(task_folder.glob("[!.]*.npz")))
    assert 2 <= kept < 4
    pop_log(tmp_path)

    console = TextConsole()
    document = run_tiny(tmp_path, "slow=0.7", seeds=2, console=console)

    assert f"{kept} of 4 tasks kept from an earlier run" in console.text
    assert len(pop_log(tmp_path)) == 4 - kept
    assert reproducible(document) == reproducible(uninterrupted[1])


FAILURES = {
    "raises": "condition bad, seed 0: RuntimeError: it does <not> work out",
    "killed": "condition bad, seed 0: its process was ended by SIGKILL",
    "exits": "condition bad, seed 0: SystemExit: 3",
    "metrics": "its metrics cannot be computed: KeyError: 'no such score'",
}


@pytest.mark.parametrize("kind", FAILURES)
def test_a_failure_is_a_sentence_and_leaves_the_earlier_results(uninterrupted, tmp_path, kind):
    shutil.copytree(uninterrupted[0], tmp_path, dirs_exist_ok=True)
    before = (tmp_path / "tiny" / "results.json").read_bytes()
    pop_log(tmp_path)

    with pytest.raises(ExperimentError) as caught:
        run_tiny(tmp_path, f"failure={kind}", seeds=1)

    assert FAILURES[kind] in str(caught.value)
    assert len(pop_log(tmp_path)) == 2, "the other tasks run"
    assert (tmp_path / "tiny" / "results.json").read_bytes() == before


def test_a_first_run_that_fails_writes_no_results(tmp_path):
    with pytest.raises(ExperimentError, match="1 of 2 tasks failed"):
        run_tiny(tmp_path, "failure=raises", seeds=1)

    assert not list(tmp_path.rglob("results.json"))
    assert not list(tmp_path.rglob("README.md"))


def test_what_a_run_is_expected_to_cost_is_printed_first(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "social_jepa.experiments.framework.budget.read_costs",
        lambda: {"tiny": {"full": Costs({"good": 90.0, "bad": 30.0}, "a guess")}},
    )
    console = TextConsole()
    run_tiny(tmp_path, seeds=3, console=console)

    first = console.text.splitlines()[0]
    assert first.startswith("tiny: expect about 6.0 CPU-minutes, 3 min on 2 CPUs (a guess)")
    assert "0 of 6 done, about " in console.text.splitlines()[1]
    console = TextConsole()
    run_conditions(plan_run(TINY, out=tmp_path, seeds=3), ["bad"], console, workers=2)
    assert console.text.splitlines()[0] == "tiny: expect about 1.5 CPU-minutes, 45 s on 2 CPUs (a guess)"


def test_a_budget_is_that_of_the_tasks_that_are_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "social_jepa.experiments.framework.budget.read_costs",
        lambda: {"tiny": {"full": Costs({"good": 90.0, "bad": 30.0}, "a guess")}},
    )
    one, three = (plan_run(TINY, out=tmp_path, seeds=seeds) for seeds in (1, 3))
    assert expect_missing(one).cpu_minutes == 2
    run_experiment(one, TextConsole(), workers=2)
    assert expect_missing(one) is None
    assert expect_missing(one, fresh=True).cpu_minutes == 2
    assert expect_missing(three).cpu_minutes == 4

    again, resumed = TextConsole(), TextConsole()
    run_experiment(one, again, workers=2)
    assert "expect" not in again.text
    run_experiment(three, resumed, workers=2)
    kept, expected, *_ = resumed.text.splitlines()
    assert "2 of 6 tasks kept" in kept
    assert expected == "tiny: expect about 4.0 CPU-minutes, 2 min on 2 CPUs (a guess)"


def test_a_second_run_in_the_same_folder_fails_at_once(tmp_path):
    run = plan_run(TINY, out=tmp_path)
    run.folder.mkdir()
    with RunFolder.at(run.folder).command_lock(), pytest.raises(RunFolderError, match="is in use"):
        run_experiment(run, TextConsole())


def test_some_conditions_run_alone_and_a_later_full_run_keeps_their_tasks(tmp_path):
    run = plan_run(TINY, [f"log={tmp_path / 'log'}"], out=tmp_path, seeds=1)
    metrics = {metric.name: metric for metric in run_conditions(run, ["good"], TextConsole(), workers=1)}

    assert pop_log(tmp_path) == [("good", "0")]
    assert metrics["mean of <good>"].estimate.value > 2
    assert metrics["mean of bad"].to_row().value is None
    assert not (run.folder / "results.json").exists()
    run_experiment(run, TextConsole(), workers=1)
    assert pop_log(tmp_path) == [("bad", "0")]


def test_a_condition_that_does_not_exist_is_named(tmp_path):
    run = plan_run(TINY, out=tmp_path, seeds=1)

    with pytest.raises(ValueError, match="no condition other"):
        run_conditions(run, ["good", "other"], TextConsole())
