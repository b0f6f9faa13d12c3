"""The command `experiment` as a person types it."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from social_jepa.experiments.framework.registry import EXPERIMENTS
from tests.support.command import call

ROOT = Path(__file__).resolve().parents[3]
TINY = "tests.support.tiny_experiment:EXPERIMENT"
HEAVY = {"torch", "ray", "matplotlib", "numpy", "scipy", "rich"}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_help_is_quick_and_names_every_option():
    script = """
import sys
from social_jepa.cli.app import main
sys.argv = ["social-jepa", "experiment", "--help"]
try:
    main()
finally:
    print("loaded:", *{name.partition(".")[0] for name in sys.modules})
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    text, _, loaded = done.stdout.partition("loaded:")

    assert done.returncode == 0, done.stderr
    assert not (HEAVY - {"rich"}) & set(loaded.split())
    for word in ("--seeds", "--quick", "--out", "--workers", "--fresh", "--list", "--json", "KEY=VALUE"):
        assert word in text


def test_a_run_prints_its_table_and_says_where_the_page_is(here):
    said = call("experiment", TINY, "--quick", "--workers", "2")

    assert said.status == 0
    page = Path("runs/quick-evidence/tiny/index.html")
    assert said.out.rstrip().endswith(str(page))
    assert page.is_file()
    assert "mean of <good>" in said.out
    assert "1 of 2 goals met, one seed" in said.out
    assert "began" in said.err
    assert not Path("evidence").exists()


def test_json_is_the_results_document_and_nothing_else(here):
    said = call("experiment", TINY, "--seeds", "1", "--out", "mine", "--json", "samples=30")

    assert said.status == 0
    assert json.loads(said.out) == json.loads(Path("mine/tiny/results.json").read_text())
    assert json.loads(said.out)["config"]["samples"] == 30
    assert json.loads(said.out)["command"].endswith("--seeds 1 samples=30")


def test_all_runs_every_experiment_and_prints_one_document(here, monkeypatch):
    monkeypatch.setattr(
        "social_jepa.experiments.framework.registry.EXPERIMENTS", {"tiny": "tests.support.tiny_experiment"}
    )

    said = call("experiment", "all", "--quick", "--json")

    assert said.status == 0, said.err
    assert [document["name"] for document in json.loads(said.out)["experiments"]] == ["tiny"]
    assert Path("runs/quick-evidence/index.html").is_file()


def test_a_part_that_fails_is_a_sentence_and_exit_status_1(here):
    said = call("experiment", TINY, "--seeds", "1", "trouble=raises")

    assert (said.status, said.out) == (1, "")
    assert "part bad, seed 0: RuntimeError: it does <not> work out" in said.err
    assert "Traceback" not in said.err
    assert "RuntimeError" in next(here.rglob("bad-0.txt")).read_text()
    assert not list(here.rglob("results.json"))


SLIPS = {
    "an unknown name": (["countng"], "did you mean counting?"),
    "no name": ([], "which experiment? There are isometry"),
    "an unknown setting": ([TINY, "sampels=1"], "did you mean samples?"),
    "an unknown setting of all": (["all", "zzz=1"], "zzz: no such setting"),
    "no seeds": ([TINY, "--seeds", "0"], "greater than or equal to 1"),
    "too many seeds": ([TINY, "--seeds", "100000"], "1 to 1000 seeds"),
    "no workers": ([TINY, "--workers", "0"], "greater than or equal to 1"),
    "a place that cannot be written": ([TINY, "--out", "/proc/nowhere"], "cannot make the folder"),
}


@pytest.mark.parametrize("case", SLIPS)
def test_a_slip_is_a_sentence_and_leaves_nothing_behind(here, case):
    words, remedy = SLIPS[case]

    said = call("experiment", *words)

    assert (said.status, said.out) == (2, "")
    assert remedy in " ".join(said.err.split())
    assert "Traceback" not in said.err
    assert not list(here.iterdir())


def test_the_example_of_the_documentation_runs(here, monkeypatch):
    text = (ROOT / "docs" / "experiments.md").read_text()
    Path("my_module.py").write_text(re.search(r"```python\n(.*?)```", text, re.DOTALL)[1])
    monkeypatch.syspath_prepend(here)

    said = call("experiment", "my_module:EXPERIMENT", "--quick")

    assert said.status == 0, said.err
    assert "1 of 1 goals met" in said.out


def test_the_strangers_of_the_documentation_agree(capsys):
    text = (ROOT / "docs" / "experiments.md").read_text()
    example = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[1]

    exec(compile(example, "experiments.md", "exec"), {})

    assert float(capsys.readouterr().out.splitlines()[-1]) > 0.8


def test_the_list_has_every_experiment_and_its_question():
    said = call("experiment", "--list")

    assert [line.split()[0] for line in said.out.splitlines()] == list(EXPERIMENTS)
    assert list(json.loads(call("experiment", "--list", "--json").out)) == list(EXPERIMENTS)
