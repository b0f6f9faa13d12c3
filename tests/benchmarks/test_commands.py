"""Every command of ours that a benchmark runs exists, and takes the words that it is given."""

import ast

import typer.main

from social_jepa.cli.app import app
from tests.support.pages import ROOT

METHODS = ("command", "call")  # their arguments are those of the command line
GROUP = typer.main.get_command(app)


def words_of(nodes):
    """Return words of a command line; what only a run knows is a placeholder, or several words."""
    known = [node for node in nodes if not isinstance(node, ast.Starred)]
    return [node.value if isinstance(node, ast.Constant) else "X" for node in known]


def command_lines(tree):
    """Return the command lines in a module, each as words that begin with a verb."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in METHODS:
            found.append(words_of(node.args))
        elif isinstance(node, ast.List | ast.Tuple) and "social_jepa" in (words := words_of(node.elts)):
            found.append(words[words.index("social_jepa") + 1 :])
    return [words for words in found if words and words[0].isalpha() and words[0] != "X"]


LINES = [
    words for path in sorted((ROOT / "benchmarks").rglob("*.py"))
    for words in command_lines(ast.parse(path.read_text()))
]  # fmt: skip


def left_over(words):
    """Return the words of a command line that its command does not take; it is not run."""
    command, rest = GROUP.commands[words[0]], words[1:]
    if hasattr(command, "commands"):  # of `peer`, `start` may be left out
        name, *rest = rest if rest[0] in command.commands else ["start", *rest]
        command = command.commands[name]
    taken, left, _ = command.make_parser(command.context_class(command)).parse_args(rest)
    missing = [p.name for p in command.params if p.required and p.name not in taken]
    return [*left, *missing]


def test_a_benchmark_runs_commands_that_exist_with_words_that_they_take():
    assert {"run", "up", "down", "resume", "query", "serve"} <= {words[0] for words in LINES}
    assert [words for words in LINES if left_over(words)] == []


def test_a_word_that_a_command_does_not_take_is_found():
    assert left_over(["query", "runs/one", "--from", "agent-0"]) == ["runs/one"]
