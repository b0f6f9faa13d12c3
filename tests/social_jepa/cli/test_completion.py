"""What a shell is told to complete, through the variables that its completion script sets."""

import shlex
import shutil
import subprocess
import sys

import pytest

from social_jepa.config.overrides import keys
from social_jepa.config.run_config import RunConfig
from tests.support.command import call


@pytest.fixture
def here(small_run, tmp_path, monkeypatch):
    """A folder with the runs one and two; one has three agents, two has simulation.json."""
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two"):
        shutil.copytree(small_run.folder.path, tmp_path / "runs" / name)
    (tmp_path / "runs/two/simulation.json").write_text("{}")
    return tmp_path


@pytest.fixture(autouse=True)
def installed(monkeypatch):
    """The name of the variables follows from that of the program: not `python -m pytest`."""
    monkeypatch.setattr(sys.modules["__main__"], "__package__", None)


@pytest.fixture
def complete(monkeypatch):
    def run(line):
        words = shlex.split(line)
        words += [""] if line.endswith(" ") else []
        monkeypatch.setenv("_SOCIAL_JEPA_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
        said = call(*words[1:])
        assert said.err == ""
        return said.out.split()

    return run


def test_commands_and_options_are_completed(complete):
    assert {"add-agent", "list", "graph"} <= set(complete("social-jepa "))
    assert complete("social-jepa gra") == ["graph"]
    assert "--teacher" in complete("social-jepa add-agent --t")


@pytest.mark.parametrize("verb", ["graph", "query", "edge", "resume", "report", "serve"])
def test_runs_are_completed_by_name_and_by_path(here, complete, verb):
    assert complete(f"social-jepa {verb} --run ") == ["two", "one"]
    assert complete(f"social-jepa {verb} --run o") == ["one"]
    assert complete(f"social-jepa {verb} --run {here}/runs/t") == [f"{here}/runs/two"]
    assert complete(f"social-jepa {verb} --run runs/") == ["runs/one", "runs/two"]


@pytest.mark.parametrize("verb", ["status", "down", "wait", "add-agent"])
def test_a_command_to_a_simulation_completes_those_that_are_up(here, complete, verb):
    assert complete(f"social-jepa {verb} --run ") == ["two"]


@pytest.mark.parametrize(
    "line",
    [
        "edge ", "edge agent-0 ", "move-agent ", "remove-agent ", "wait ",
        "query --from ", "query --to ", "add-agent --teacher ",
    ],
)  # fmt: skip
def test_agents_are_completed(here, complete, line):
    assert complete(f"social-jepa {line}") == [f"agent-{number}" for number in range(4)]
    assert complete(f"social-jepa {line}agent-2") == ["agent-2"]


def test_agents_are_those_of_the_run_that_is_named(here, complete):
    (here / "runs/two/ledger.sqlite").unlink()

    assert complete("social-jepa edge --run two ") == []
    assert complete("social-jepa edge --run one agent-3") == ["agent-3"]


@pytest.mark.parametrize("verb", ["run", "up", "add-agent"])
def test_settings_are_completed_up_to_the_equals_sign(complete, verb):
    expected = [f"{key}=" for key in keys(RunConfig) if key.startswith("scene.f")]

    assert complete(f"social-jepa {verb} scene.f") == expected
    assert expected


def test_experiments_are_completed(complete):
    assert complete("social-jepa experiment mig") == ["migration"]


def test_where_there_is_no_run_nothing_is_completed(tmp_path, monkeypatch, complete):
    monkeypatch.chdir(tmp_path)

    assert complete("social-jepa edge ") == []
    assert complete("social-jepa graph --run ") == []
    assert complete("social-jepa graph --run nowhere/") == []


def test_completion_imports_nothing_slow(here, monkeypatch):
    monkeypatch.setenv("_SOCIAL_JEPA_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "social-jepa edge ")
    monkeypatch.setenv("COMP_CWORD", "2")
    code = (
        "import sys; sys.argv = ['social-jepa']\n"
        "from social_jepa.cli.app import main\n"
        "try: main()\n"
        "finally: print('\\nloaded', *{'torch', 'ray', 'scipy', 'networkx'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert done.stdout.split() == ["agent-0", "agent-1", "agent-2", "agent-3", "loaded"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_calls_this_program(shell, monkeypatch):
    monkeypatch.setenv("_SOCIAL_JEPA_COMPLETE", f"source_{shell}")

    said = call()

    assert (said.status, said.err) == (0, "")
    assert "_SOCIAL_JEPA_COMPLETE=complete_" in said.out
    assert "social-jepa" in said.out
