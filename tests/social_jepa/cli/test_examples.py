import re
import shlex

import pytest
import typer.main

from social_jepa.cli.app import app
from social_jepa.cli.examples import EXAMPLES, GLOSSARY
from social_jepa.config.run_config import load_config
from tests.support.command import call


def leaves(group=None, above=""):
    """Every command that does something, by the words that call it."""
    group = group or typer.main.get_command(app)
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from leaves(command, f"{above}{name} ")
        else:
            yield above + name, command


LEAVES = dict(leaves())


def test_every_command_has_an_example_and_every_example_a_command():
    assert EXAMPLES.keys() == LEAVES.keys()
    assert all(EXAMPLES.values())


@pytest.mark.parametrize(
    ("name", "line"), [(name, line) for name, lines in EXAMPLES.items() for line in lines], ids=str
)
def test_an_example_is_a_command_line_that_parses(name, line):
    program, *words = shlex.split(line)
    verb = name.split()
    assert [program, *words[: len(verb)]] == ["social-jepa", *verb]

    context = LEAVES[name].make_context(name, words[len(verb) :])

    settings = context.params.get("settings") or []
    if name in ("run", "up", "check-scene", "add-agent", "peer start", "fork", "resume"):
        load_config(overrides=[*settings, "scene.renderer=toy"])


def one_line(text):
    return " ".join(re.sub(r"[│╭╰─╮╯]", " ", text).split())


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_help_of_a_command_shows_its_examples_each_on_its_own_line(name, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    lines = [line.strip() for line in call(*name.split(), "--help").out.splitlines()]

    assert set(EXAMPLES[name]) <= set(lines)


def test_the_help_of_the_program_explains_its_words(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    said = one_line(call("--help").out)

    assert all(f"{word} {meaning}" in said for word, meaning in GLOSSARY.items())


@pytest.mark.parametrize("name", LEAVES)
def test_a_run_is_named_by_the_option_run_wherever_one_is_read(name):
    options = {parameter.name: parameter for parameter in LEAVES[name].params}

    if "run" in options:
        assert options["run"].opts == ["--run"]
        assert options["run"].metavar == "RUN"


def test_a_run_that_is_given_as_an_argument_is_answered_with_the_option(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    for words in (["graph", "runs/one"], ["edge", "agent-0", "agent-1", "runs/one"]):
        said = call(*words)
        assert said.status == 2
        assert "name a run with --run" in said.err
    assert "--run" not in call("run", "--out", "a", "--no-such-option").err
