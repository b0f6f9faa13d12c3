"""The command `reproduce`, as typed by a user, with an experiment that runs within a second."""

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from social_jepa.experiments.claims import papers
from social_jepa.experiments.claims.claim import Claim, Requirement
from social_jepa.experiments.claims.reproduce import changed_settings
from social_jepa.experiments.framework.runner import run_experiment
from social_jepa.experiments.framework.runs import plan_run
from social_jepa.experiments.framework.threshold import Threshold
from tests.support.command import call

TINY = "tests.support.tiny_experiment:EXPERIMENT"
CLAIM = Claim(
    "seq-JEPA", "Means are <means>", "3", "table 1", TINY, "mean of <good>", Threshold(">=", 2.5), ("good",)
)
UNMEASURED = Claim("P-JEPA", "Later", "none", "text", "", "of nothing", Threshold(">", 0))
RESULTS = Path("evidence/tiny/results.json")


@pytest.fixture(scope="module")
def evidence(tmp_path_factory):
    """Evidence of the tiny experiment, three seeds; its tasks do not stay in the folder of a test."""
    out = tmp_path_factory.mktemp("recorded")
    run_experiment(plan_run(TINY, out=out), Console(file=io.StringIO()), workers=2)
    return (out / "tiny" / "results.json").read_text()


@pytest.fixture(autouse=True)
def claims(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(papers, "CLAIMS", {"means": CLAIM, "later": UNMEASURED})
    monkeypatch.setattr(
        "social_jepa.experiments.framework.runner.fingerprint_sources", lambda module: "these"
    )


@pytest.fixture
def recorded(claims, evidence):
    RESULTS.parent.mkdir(parents=True)
    RESULTS.write_text(evidence)
    return json.loads(evidence)


def change_means(document, shift):
    for row in document["metrics"]:
        if row["name"] == CLAIM.metric:
            row["by_seed"] = [value + shift for value in row["by_seed"]]
    RESULTS.write_text(json.dumps(document))


def test_a_figure_inside_the_recorded_interval_is_status_0_and_runs_the_needed_condition_alone(recorded):
    said = call("reproduce", "means", "--workers", "2")

    assert said.status == 0
    assert "lies in the recorded interval" in said.out
    assert said.out.count("reproduced") == 2
    assert "Means are <means>" in said.out
    tasks = {path.name for path in Path("runs/reproduced/tiny/.tasks").glob("*.npz")}
    assert tasks == {f"good-{seed}.npz" for seed in range(3)}
    assert json.loads(RESULTS.read_text()) == recorded
    assert not Path("runs/reproduced/tiny/results.json").exists()


def test_a_second_call_keeps_finished_tasks_and_fresh_runs_them_again(recorded):
    call("reproduce", "means", "--workers", "2")
    again, fresh = call("reproduce", "means"), call("reproduce", "means", "--fresh", "--workers", "2")

    assert "3 of 3 tasks kept" in again.err
    assert "kept" not in fresh.err
    assert again.out == fresh.out


def test_a_figure_outside_is_status_1(recorded):
    change_means(recorded, 5.0)
    said = call("reproduce", "means", "--workers", "2", "--json")
    found = json.loads(said.out)

    assert said.status == 1
    assert found["inside"] is False
    assert found["claim"] == "means"
    assert found["recorded"]["low"] > found["here"]["value"]
    assert found["here"]["verdict"] == "reproduced"
    assert found["remark"] == ""


def test_a_claim_needs_its_further_metrics_and_verdicts_that_contradict_each_other_are_status_1(
    recorded, monkeypatch
):
    also = (Requirement("mean of bad", Threshold(">", 0)),)
    monkeypatch.setattr(papers, "CLAIMS", {"means": replace(CLAIM, also=also, conditions=("good", "bad"))})
    assert call("reproduce", "means", "--workers", "2").status == 0
    listed = json.loads(call("reproduce", "--json").out)["means"]
    assert listed["bound"] == ">= 2.5; mean of bad > 0"
    for row in recorded["metrics"]:
        if row["name"] == "mean of bad":
            row["by_seed"] = [-value for value in row["by_seed"]]
    RESULTS.write_text(json.dumps(recorded))
    said = call("reproduce", "means", "--json")
    found = json.loads(said.out)

    assert said.status == 1
    assert (found["recorded"]["verdict"], found["here"]["verdict"]) == ("not reproduced", "reproduced")
    assert found["recorded"]["low"] < found["here"]["value"] < found["recorded"]["high"]
    assert "verdicts contradict each other" in found["remark"]


def test_tasks_of_other_source_code_run_again(recorded, monkeypatch):
    call("reproduce", "means", "--workers", "2")
    monkeypatch.setattr(
        "social_jepa.experiments.framework.runner.fingerprint_sources", lambda module: "others"
    )
    changed, again = (call("reproduce", "means", "--workers", "2") for _ in range(2))

    assert "kept" not in changed.err
    assert "3 of 3 tasks kept" in again.err


def test_a_quick_figure_does_not_count(recorded):
    said = call("reproduce", "means", "--quick")

    assert said.status == 3
    assert "does not count" in said.out
    assert "recorded interval" not in said.out
    assert Path("runs/quick-reproduced/tiny/.tasks/good-0.npz").exists()


def test_without_an_interval_nothing_is_said_and_other_settings_are_named(recorded):
    recorded["settings"]["label"] = "other"
    RESULTS.write_text(json.dumps(recorded))
    other = call("reproduce", "means", "--workers", "2")
    assert "other settings, by an earlier version: label" in other.out
    assert other.status == 3

    said = call("reproduce", "means", "--evidence", "nowhere")
    assert said.status == 3
    assert "no interval is recorded" in said.out


def test_the_list_has_every_claim_with_its_verdict(recorded):
    said = call("reproduce")
    found = json.loads(call("reproduce", "--json").out)

    assert said.status == 0
    lines = said.out.splitlines()
    assert lines[0].startswith("means  reproduced")
    assert "3 seeds; bound >= 2.5; seq-JEPA: 3" in lines[0]
    assert lines[1].strip() == "Means are <means>"
    assert lines[2].startswith("later  not measured")
    assert found["means"]["recorded"]["seeds"] == 3
    assert found["later"]["recorded"] == {
        "value": None, "low": None, "high": None, "seeds": 0, "verdict": "not measured",
        "geometric": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--evidence", "nowhere"], "--evidence nowhere is no folder: give this command in a checkout"),
        (["--evidence", "runs", "--json"], "--evidence runs has no recorded experiments: give this command"),
        (["--quick"], "without a CLAIM all are listed and none is measured: leave out --quick"),
        (["--workers", "2", "--fresh"], "none is measured: leave out --workers and --fresh"),
    ],
)
def test_a_list_of_nothing_and_options_that_it_ignores_are_refused(recorded, words, sentence):
    Path("runs").mkdir()

    said = call("reproduce", *words)

    assert (said.status, said.out) == (2, "")
    assert sentence in said.err


def test_a_name_of_a_metric_follows_the_settings_of_the_run(recorded, monkeypatch):
    monkeypatch.setattr(papers, "CLAIMS", {"other": replace(CLAIM, metric="mean of <{label}>")})

    assert "has no metric 'mean of <plain>'" in call("reproduce", "other", "--quick").err


@pytest.mark.parametrize(("name", "reason"), [("mean", "means, later"), ("later", "no experiment measures")])
def test_an_unknown_or_unmeasured_claim_is_a_usage_error(name, reason):
    said = call("reproduce", name)

    assert said.status == 2
    assert reason in said.err


def test_a_metric_that_the_experiment_lacks_is_named(monkeypatch):
    monkeypatch.setattr(papers, "CLAIMS", {"gone": replace(CLAIM, metric="gone")})
    said = call("reproduce", "gone", "--quick", "--workers", "2")

    assert said.status == 1
    assert "has no metric 'gone'" in said.err


def test_settings_that_only_one_version_has_are_no_change():
    recorded = {"a": 1, "b": {"c": 2, "gone": 3}, "d": [1], "e": {"f": 1}}
    now = {"a": 1, "b": {"c": 4, "new": 3}, "d": [2], "e": 5}

    assert changed_settings(recorded, now) == ["b.c", "d", "e"]
    assert changed_settings(recorded, recorded | {"new": 1}) == []
