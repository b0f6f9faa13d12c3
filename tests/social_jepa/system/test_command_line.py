import shlex
import subprocess
from pathlib import Path

import pytest

from social_jepa.system.command_line import command, shown

NAMES = ("two words", "it's", "$HOME", "-x", "a;b", "Übung", 'say "yes"', "#1", "~", "new\nline")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("verb", ["resume", "status"])
def test_a_command_names_its_run_folder_so_that_a_shell_finds_it(tmp_path, name, verb):
    (tmp_path / name).mkdir()
    text = command(verb, run=name)
    script = f'social-jepa() {{ cd -- "${{@: -1}}" && pwd; }}; {text}'

    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, encoding="utf-8")

    assert (done.stdout, done.stderr) == (f"{(tmp_path / name)}\n", "")
    assert shlex.split(text)[:2] == ["social-jepa", verb]


def test_words_come_after_the_run_folder():
    assert command("status", "--watch", run="a b") == "social-jepa status --run 'a b' --watch"
    assert command("resume", run="a b") == "social-jepa resume --run 'a b'"
    assert command("doctor") == "social-jepa doctor"


def test_a_folder_below_the_current_one_is_shown_relative_to_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    assert shown(tmp_path / "runs" / "one") == Path("runs/one")
    assert shown(tmp_path) == tmp_path
    assert shown(tmp_path.parent / "other") == tmp_path.parent / "other"
    assert shown(Path("runs/one")) == Path("runs/one")
