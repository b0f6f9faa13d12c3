"""Every command that reads a run, while one agent learns a new view and another has just joined."""

import contextlib
import json
import re

import pytest

from social_jepa.runtime.membership import Membership
from social_jepa.storage.ledger import Ledger
from tests.support.command import call
from tests.support.servers import copy_run


@pytest.fixture(scope="module")
def run(small_run, tmp_path_factory):
    """A run whose agent-1 has moved its camera, and whose guest has published nothing yet."""
    folder = copy_run(small_run.folder, tmp_path_factory.mktemp("learning"))
    with contextlib.closing(Ledger(folder.ledger_file)) as ledger:
        membership = Membership(folder.config(), folder, ledger, online=True)
        membership.move("agent-1", "-4.8,3.2,0,0,-35", next_tick=100)
        membership.propose(name="guest")
        membership.next_incarnation("guest")
        membership.admit("guest", 100)
    return folder.path


@pytest.mark.parametrize(
    "words",
    [
        ("graph",), ("graph", "--json"), ("graph", "--matrix"), ("graph", "--sort", "r2"), ("report",),
        ("edge", "agent-0", "agent-1", "--history"), ("query", "--from", "agent-0", "--to", "agent-2"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_the_graph_is_read_as_far_as_there_is_one(run, words):
    said = call(*words, "--run", run)

    assert (said.status, said.err) == (0, "")
    assert said.out


@pytest.mark.parametrize("name", ["agent-1", "guest"])
@pytest.mark.parametrize(
    "words",
    [("edge", "agent-0"), ("query", "--from", "agent-0", "--to"), ("query", "--to", "agent-0", "--from")],
    ids=" ".join,
)
def test_what_an_agent_that_learns_cannot_answer_is_said_with_its_name(run, words, name):
    said = call(*words, name, "--run", run)

    if said.status == 0:  # an edge of the earlier view
        assert re.search(r"agent-0 > agent-1 .*stale", said.out)
    else:
        assert said.err.count("\n") == 1
        assert re.match(rf"social-jepa: .*{name}", said.err)


@pytest.mark.parametrize("form", ["safetensors", "npz", "graphml", "csv"])
def test_what_there_is_of_the_graph_can_be_exported_and_read_again(run, tmp_path, form):
    file = tmp_path / f"run.{form}"
    said = call("export", "--run", run, "--format", form, "--out", file, "--json")

    assert (said.status, said.err) == (0, "")
    assert file.stat().st_size
    if form in ("safetensors", "npz"):
        assert call("import", file, "--out", tmp_path / "imported").status == 0
        document = json.loads(call("graph", "--run", tmp_path / "imported", "--json").out)
        assert document["agents"]


def test_such_a_run_is_listed_and_compared_and_its_curves_are_written(run, small_run, tmp_path):
    listed = json.loads(call("list", run.parent, "--json").out)["runs"]
    compared = call("compare", run, small_run.folder.path)
    curves = call("scalars", "--run", run, "--jsonl", tmp_path / "history.jsonl")

    assert [(each["state"], each["agents"], each["reason"]) for each in listed] == [("finished", 5, "")]
    for said in (compared, curves):
        assert (said.status, said.err) == (0, "")
    assert "guest" in compared.out
    assert (tmp_path / "history.jsonl").stat().st_size


def test_a_fork_of_an_agent_without_a_checkpoint_is_refused_by_its_name(run, tmp_path):
    said = call("fork", "--run", run, "--out", tmp_path / "fork", "training.steps=70")

    assert said.status == 2
    assert said.err.startswith("social-jepa: guest has saved no checkpoint in ")
    assert not (tmp_path / "fork").exists()
