"""The command `experiment`, as typed by a user."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from social_jepa.experiments.framework.registry import EXPERIMENTS
from tests.support.command import call

ROOT = Path(__file__).resolve().parents[3]
DOCUMENTATION = ROOT / "docs" / "how_to" / "experiment.md"
TINY = "tests.support.tiny_experiment:EXPERIMENT"
HEAVY = {"torch", "ray", "matplotlib", "numpy", "scipy", "rich"}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_help_is_fast_and_names_every_option():
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
    options = (
        "--seeds",
        "--quick",
        "--out",
        "--workers",
        "--fresh",
        "--redraw",
        "--page",
        "--list",
        "--json",
    )
    for word in (*options, "KEY=VALUE"):
        assert word in text


def test_a_run_prints_its_metrics_and_the_path_of_its_results(here):
    said = call("experiment", TINY, "--quick", "--workers", "2")

    assert said.status == 0
    readme = Path("runs/quick-evidence/tiny/README.md")
    assert said.out.rstrip().endswith(str(readme))
    assert readme.is_file()
    assert "mean of <good>" in said.out
    assert "0 of 2 thresholds met, 2 open, one seed" in said.out
    assert "started" in said.err
    assert not Path("evidence").exists()


def test_json_is_the_results_document_and_nothing_else(here):
    said = call("experiment", TINY, "--seeds", "1", "--out", "mine", "--json", "samples=30")

    assert said.status == 0
    assert json.loads(said.out) == json.loads(Path("mine/tiny/results.json").read_text())
    assert json.loads(said.out)["settings"]["samples"] == 30
    assert json.loads(said.out)["command"].endswith("--seeds 1 samples=30")


def test_all_runs_every_experiment_and_prints_one_document(here, monkeypatch):
    monkeypatch.setattr(
        "social_jepa.experiments.framework.registry.EXPERIMENTS", {"tiny": "tests.support.tiny_experiment"}
    )

    said = call("experiment", "all", "--quick", "--json")

    assert said.status == 0, said.err
    assert [document["name"] for document in json.loads(said.out)["experiments"]] == ["tiny"]
    assert Path("runs/quick-evidence/tiny/README.md").is_file()


def test_recorded_results_become_plots_and_pages_without_a_run(here, monkeypatch):
    experiments = {"tiny": "tests.support.tiny_experiment"}
    monkeypatch.setattr("social_jepa.experiments.framework.registry.EXPERIMENTS", experiments)
    assert call("experiment", "tiny", "--quick").status == 0
    monkeypatch.setattr("multiprocessing.process.BaseProcess.start", None)
    folder = Path("runs/quick-evidence/tiny")
    shutil.rmtree(folder / ".tasks")
    plots = {path.name: path.read_bytes() for path in folder.glob("*.png")}
    for name in plots:
        (folder / name).unlink()

    drawn = call("experiment", "tiny", "--quick", "--redraw")
    page = call("experiment", "tiny", "--quick", "--page", "pages/tiny.html")
    index = call("experiment", "all", "--quick", "--page", "pages/index.html")

    assert (drawn.status, page.status, index.status) == (0, 0, 0), drawn.err + page.err + index.err
    assert {path.name: path.read_bytes() for path in folder.glob("*.png")} == plots != {}
    assert page.out.split() == ["page", "pages/tiny.html"]
    assert "mean of &lt;good&gt;" in Path("pages/tiny.html").read_text()
    assert 'href="../runs/quick-evidence/tiny/README.md"' in Path("pages/index.html").read_text()


@pytest.mark.parametrize("option", [["--redraw"], ["--page", "x.html"]])
def test_a_page_or_plots_of_missing_results_are_a_sentence_with_the_command(here, option):
    said = call("experiment", TINY, *option)

    assert (said.status, said.out) == (2, "")
    assert f"run `social-jepa experiment {TINY} --seeds 3` first" in " ".join(said.err.split())
    assert not list(here.iterdir())


def test_a_condition_that_fails_is_a_sentence_and_exit_status_1(here):
    said = call("experiment", TINY, "--seeds", "1", "failure=raises")

    assert (said.status, said.out) == (1, "")
    assert "condition bad, seed 0: RuntimeError: it does <not> work out" in said.err
    assert "Traceback" not in said.err
    assert "RuntimeError" in next(here.rglob("bad-0.txt")).read_text()
    assert not list(here.rglob("results.json"))


MISTAKES = {
    "an unknown name": (["countng"], "did you mean counting?"),
    "no name": ([], "name an experiment: one of isometry"),
    "an unknown setting": ([TINY, "sampels=1"], "did you mean samples?"),
    "an unknown setting of all": (["all", "zzz=1"], "zzz: no such setting"),
    "no seeds": ([TINY, "--seeds", "0"], "greater than or equal to 1"),
    "too many seeds": ([TINY, "--seeds", "100000"], "must be 1 to 1000"),
    "no workers": ([TINY, "--workers", "0"], "greater than or equal to 1"),
    "a page and a document": (
        [TINY, "--page", "x.html", "--json"],
        "--redraw and --page show recorded results and run nothing: leave out --json",
    ),
    "plots of a run": ([TINY, "--redraw", "--workers", "2", "--fresh"], "leave out --workers and --fresh"),
    "a list of one": (["counting", "--list"], "--list lists all experiments: leave out NAME"),
    "a list with a page": (["--list", "--page", "x.html"], "leave out --page"),
    "a folder that cannot be written": ([TINY, "--out", "/proc/nowhere"], "cannot make the folder"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_a_sentence_and_writes_no_files(here, case):
    words, remedy = MISTAKES[case]

    said = call("experiment", *words)

    assert (said.status, said.out) == (2, "")
    assert remedy in " ".join(said.err.split())
    assert "Traceback" not in said.err
    assert not list(here.iterdir())


def documented_modules():
    return re.findall(r"```python\n(.*?)```", DOCUMENTATION.read_text(), re.DOTALL)


def test_the_custom_experiment_of_the_documentation_runs(here, monkeypatch):
    Path("my_module.py").write_text(documented_modules()[0])
    monkeypatch.syspath_prepend(here)

    said = call("experiment", "my_module:EXPERIMENT", "--quick")

    assert said.status == 0, said.err
    assert "0 of 1 thresholds met, 1 open" in said.out


def test_the_agents_of_the_documentation_have_a_good_map(capsys):
    exec(compile(documented_modules()[1], DOCUMENTATION.name, "exec"), {})

    assert float(capsys.readouterr().out.splitlines()[-1]) > 0.8


def test_the_list_has_every_experiment_and_its_question():
    said = call("experiment", "--list")

    heading, *lines, everything = said.out.splitlines()
    assert heading.split() == ["full", "--quick", "(CPU-minutes)"]
    assert [line.split()[0] for line in lines] == list(EXPERIMENTS)
    listed = json.loads(call("experiment", "--list", "--json").out)
    assert list(listed) == list(EXPERIMENTS)
    spent = [float(line.split()[1]) for line in lines]
    assert spent == [pytest.approx(listed[name]["full"]["cpu_minutes"], abs=0.06) for name in listed]
    assert float(everything.split()[1]) == pytest.approx(sum(spent), abs=1)
    assert all(listed[name]["full"]["source"] for name in listed)
