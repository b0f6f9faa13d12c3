"""Units run, are kept, and become results: whole, the same each time, or not at all."""

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

from social_jepa.experiments.framework.experiment import Results
from social_jepa.experiments.framework.registry import load
from social_jepa.experiments.framework.runner import ExperimentError, run
from social_jepa.experiments.framework.runs import plan_run
from social_jepa.storage.run_folder import RunFolder, RunFolderError

TINY = "tests.support.tiny_experiment:EXPERIMENT"
ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture(autouse=True)
def sources(monkeypatch):
    """Source files that nobody edits while the tests run."""
    monkeypatch.setattr("social_jepa.experiments.framework.runner.fingerprint", lambda module: "these")


class Told(Console):
    """A console whose text can be read."""

    def __init__(self):
        super().__init__(file=io.StringIO(), width=200)

    @property
    def text(self):
        return self.file.getvalue()


def go(out, *settings, told=None, fresh=False, workers=2, **options):
    wanted = plan_run(TINY, [f"log={out / 'log'}", *settings], out=out, **options)
    return run(wanted, told or Told(), workers=workers, fresh=fresh)


def ran(out):
    """The units that ran since it was asked last."""
    lines = (out / "log").read_text().splitlines() if (out / "log").exists() else []
    (out / "log").unlink(missing_ok=True)
    return [tuple(line.split()[:2]) for line in lines]


def steady(document):
    """What must not change: all but the seconds, and the settings that name the folder."""
    plain = {key: value for key, value in document.items() if key not in ("seconds", "command", "sources")}
    return plain | {"config": plain["config"] | {"log": "", "slow": 0}}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed")
    with mock.patch("social_jepa.experiments.framework.runner.fingerprint", return_value="these"):
        return out, go(out, seeds=2)


def test_results_hold_what_a_reader_needs_and_nothing_of_this_machine(undisturbed):
    out, document = undisturbed
    text = (out / "tiny" / "results.json").read_text()

    assert json.loads(text) == document
    assert document["seeds"] == [0, 1]
    assert document["config"]["noise"] == {"spread": 1.0}
    assert document["flops"] == {"good": 10.0, "bad": 10.0}
    assert {"python", "torch", "numpy", "social-jepa"} <= document["versions"].keys()
    assert "average" in document["protocol"]
    assert os.uname().nodename not in text
    without = text.replace(document["config"]["log"], "")
    assert "/tmp" not in without
    assert str(ROOT) not in without


def test_figures_are_those_of_the_experiment_computed_in_one_process(undisturbed):
    experiment, seeds = load(TINY), (0, 1)
    settings = experiment.settings()
    outcomes = {
        (part, seed): experiment.run(part, seed, settings, lambda text: None)
        for part in ("good", "bad")
        for seed in seeds
    }
    figures = experiment.metrics(Results(outcomes, seeds), settings)

    assert [figure.as_dict() for figure in figures] == undisturbed[1]["figures"]


def test_a_part_has_one_thread_and_a_fresh_process(undisturbed):
    out, _ = undisturbed
    lines = (out / "log").read_text().split("\n")[:-1]

    assert len(lines) == 4
    assert {line.split()[3] for line in lines} == {"1"}


def test_equal_runs_give_equal_bytes_but_for_the_seconds(undisturbed, tmp_path):
    out, document = undisturbed

    again = go(tmp_path, seeds=2, workers=1)

    assert steady(again) == steady(document)
    for name in ("values.png", "values.svg"):
        assert (tmp_path / "tiny" / name).read_bytes() == (out / "tiny" / name).read_bytes()


def test_what_is_done_is_kept_until_a_setting_changes_or_fresh_is_asked_for(tmp_path):
    go(tmp_path, seeds=1)
    assert len(ran(tmp_path)) == 2

    told = Told()
    go(tmp_path, seeds=2, told=told)
    assert sorted(ran(tmp_path)) == [("bad", "1"), ("good", "1")]
    assert "2 of 4 parts kept from before; --fresh starts over" in told.text

    go(tmp_path, "samples=50", seeds=1)
    assert len(ran(tmp_path)) == 2

    told = Told()
    go(tmp_path, "samples=50", seeds=1, fresh=True, told=told)
    assert len(ran(tmp_path)) == 2
    assert "kept" not in told.text


def test_parts_of_other_source_files_are_kept_but_told(tmp_path, monkeypatch):
    go(tmp_path, seeds=1)
    monkeypatch.setattr("social_jepa.experiments.framework.runner.fingerprint", lambda module: "others")
    told = Told()

    document = go(tmp_path, seeds=2, told=told)

    assert "2 of 4 parts kept from before, 2 of them made by other source files" in told.text
    assert len(document["sources"]) == 2
    assert "other versions of the source files" in (tmp_path / "tiny" / "index.html").read_text()


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


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_is_stopped_midway_goes_on_to_the_same_results(undisturbed, tmp_path, blow):
    process = start(tmp_path, "--seeds", "2", "slow=0.7")
    parts = tmp_path / "tiny" / ".parts"
    limit = time.monotonic() + 60
    while len(list(parts.glob("[!.]*.npz"))) < 2 and time.monotonic() < limit:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGSTOP)  # or one more part might begin unseen
    orphans = children(process.pid)
    (os.killpg if blow == signal.SIGINT else os.kill)(process.pid, blow)
    os.kill(process.pid, signal.SIGCONT)
    _, err = process.communicate(timeout=60)

    limit = time.monotonic() + 10
    while any(map(alive, orphans)) and time.monotonic() < limit:
        time.sleep(0.05)
    assert orphans
    assert not any(map(alive, orphans)), "a part outlived its run"
    assert "Traceback" not in err
    assert ("the same command does the others" in err) == (blow == signal.SIGINT)
    assert process.returncode == (130 if blow == signal.SIGINT else -signal.SIGKILL)
    assert not (tmp_path / "tiny" / "results.json").exists()
    kept = len(list(parts.glob("[!.]*.npz")))
    assert 2 <= kept < 4
    ran(tmp_path)

    told = Told()
    document = go(tmp_path, "slow=0.7", seeds=2, told=told)

    assert f"{kept} of 4 parts kept from before" in told.text
    assert len(ran(tmp_path)) == 4 - kept
    assert steady(document) == steady(undisturbed[1])


TROUBLES = {
    "raises": "part bad, seed 0: RuntimeError: it does <not> work out",
    "killed": "part bad, seed 0: its process was ended by SIGKILL",
    "exits": "part bad, seed 0: SystemExit: 3",
    "figures": "its figures cannot be made: KeyError: 'no such measure'",
}


@pytest.mark.parametrize("kind", TROUBLES)
def test_a_failure_is_a_sentence_and_leaves_the_old_results(undisturbed, tmp_path, kind):
    shutil.copytree(undisturbed[0], tmp_path, dirs_exist_ok=True)
    before = (tmp_path / "tiny" / "results.json").read_bytes()
    ran(tmp_path)

    with pytest.raises(ExperimentError) as caught:
        go(tmp_path, f"trouble={kind}", seeds=1)

    assert TROUBLES[kind] in str(caught.value)
    assert len(ran(tmp_path)) == 2, "the others go on"
    assert (tmp_path / "tiny" / "results.json").read_bytes() == before


def test_a_first_run_that_fails_writes_no_results(tmp_path):
    with pytest.raises(ExperimentError, match="1 of 2 parts failed"):
        go(tmp_path, "trouble=raises", seeds=1)

    assert not list(tmp_path.rglob("results.json"))
    assert not list(tmp_path.rglob("index.html"))


def test_a_second_run_in_a_folder_waits_for_nobody_and_says_so(tmp_path):
    wanted = plan_run(TINY, out=tmp_path)
    wanted.folder.mkdir()
    with RunFolder.at(wanted.folder).lock(), pytest.raises(RunFolderError, match="is in use"):
        run(wanted, Told())
