"""The run that comes with the package, opened from the command line."""

import json
import shlex

from tests.support.command import call


def test_the_demo_is_the_latest_run_and_its_hints_work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = call("demo")
    run = next((tmp_path / "runs").iterdir())

    assert said.status == 0
    assert "All 12 ordered pairs of 4 agents" in said.out
    assert call("graph").out.splitlines() == said.out.splitlines()[: len(call("graph").out.splitlines())]
    assert "</html>" in (run / "report.html").read_text()
    hints = [shlex.split(line)[1:] for line in said.out.splitlines() if line.startswith("    social-jepa")]
    assert [words[0] for words in hints] == ["query", "edge", "serve"]
    for words in hints[:2]:
        assert call(*words).status == 0


def test_the_demo_names_its_folder_as_json_and_takes_only_a_new_one(tmp_path):
    out = tmp_path / "my run"
    said = call("demo", "--out", out, "--json")
    again = call("demo", "--out", out)

    assert json.loads(said.out) == {"run": str(out), "report": str(out / "report.html")}
    assert again.status == 2
    assert "exists already: choose another --out" in again.err
