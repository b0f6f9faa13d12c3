"""The whole command with the toy renderer, on a Ray of the tests' own."""

import json
import os
import signal
import sqlite3
import subprocess
import threading
import time
from itertools import permutations

import networkx
import pytest
import torch
from safetensors.torch import load_file
from social_jepa_command import TINY, alive, call, children, interrupt, spawn, wait_for

from agents.checkpoint import read_checkpoint
from social_jepa.config import load_config
from social_jepa.store import RunFolder

pytestmark = pytest.mark.ray

LONG = (*TINY, "training.steps=3000", "training.checkpoint_every=20")


@pytest.fixture(scope="module")
def finished(ray_local, tmp_path_factory):
    """A finished run's folder, and what the command said."""
    folder = RunFolder(tmp_path_factory.mktemp("whole") / "run")
    return folder, call("run", "--out", folder.path, "--json", "seed=5", *TINY)


def steady(document):
    """A graph document without times and speeds, and without where it ran."""
    agents = [
        {key: value for key, value in agent.items() if key not in ("frames_per_s", "node") and "seconds" not in key}
        for agent in document["agents"]
    ]
    return {**document, "seconds": None, "agents": agents}


def ask(folder, sql):
    with sqlite3.connect(folder.ledger_file) as connection:
        return connection.execute(sql).fetchall()


def step(folder, name="agent-0"):
    return read_checkpoint(folder.agent(name) / "checkpoint.safetensors")[1]["step"]


def test_a_run_prints_its_graph_alone_on_stdout(finished):
    folder, said = finished

    assert said.status == 0, said.err
    assert json.loads(said.out) == folder.graph()
    assert "recording and training" in said.err


def test_a_run_folder_holds_everything(finished):
    folder, _ = finished
    document = folder.graph()
    names = ["agent-0", "agent-1"]

    assert folder.config() == load_config(overrides=["seed=5", *TINY])
    assert {"python", "torch"} <= json.loads((folder.path / "versions.json").read_text()).keys()
    assert [agent["name"] for agent in document["agents"]] == names
    assert {(edge["source"], edge["target"]) for edge in document["edges"]} == set(permutations(names, 2))
    network = networkx.read_graphml(folder.path / "graph.graphml")
    assert (sorted(network), network.number_of_edges()) == (names, 2)
    maps = load_file(folder.maps_file)
    assert {name.rpartition("/")[0] for name in maps} == {
        f"{source}/{target}/{part}" for source, target in permutations(names, 2) for part in ("core", "full")
    }
    for name in names:
        assert step(folder, name) == 60
        anchors = load_file(folder.agent(name) / "anchors.safetensors")
        assert anchors["heldout.vectors"].shape == (64, 4)
    assert folder.report_file.exists()
    assert not [path for path in folder.path.rglob("*") if path.suffix == ".tmp"]


def test_the_ledger_tells_the_run_and_its_messages_add_up_to_the_edges(finished):
    folder, _ = finished

    assert [what for (what,) in ask(folder, "SELECT what FROM events")] == ["started", "placed", "finished"]
    assert [name for (name,) in ask(folder, "SELECT name FROM agents")] == ["agent-0", "agent-1"]
    spent = dict(
        ((source, target), total)
        for source, target, total in ask(
            folder, "SELECT edge_source, edge_target, sum(bytes) FROM messages GROUP BY 1, 2"
        )
    )
    assert spent == {(edge["source"], edge["target"]): edge["bytes"] for edge in folder.graph()["edges"]}
    assert ask(folder, "SELECT sum(bytes) FROM messages") == ask(folder, "SELECT sum(bytes) FROM edges")


def test_equal_seeds_give_equal_graphs_and_another_seed_another(finished, tmp_path):
    folder, _ = finished
    same = json.loads(call("run", "--out", tmp_path / "same", "--json", "seed=5", *TINY).out)
    other = json.loads(call("run", "--out", tmp_path / "other", "--json", "seed=6", *TINY).out)

    assert steady(same) == steady(folder.graph())
    assert steady(other)["edges"] != steady(same)["edges"]
    mine, theirs = (load_file(path / "maps.safetensors") for path in (folder.path, tmp_path / "same"))
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_a_finished_run_that_is_resumed_negotiates_again_to_the_same_graph(finished):
    folder, _ = finished
    before, query = steady(folder.graph()), ("query", folder.path, "--tick", "3", "--json")
    asked = call(*query)

    said = call("resume", folder.path, "--json")

    assert said.status == 0, said.err
    assert steady(json.loads(said.out)) == before
    assert ask(folder, "SELECT sum(bytes) FROM messages") == ask(folder, "SELECT sum(bytes) FROM edges")
    assert call(*query) == asked


def test_a_run_in_a_folder_that_another_process_runs_in_is_refused(finished):
    folder, _ = finished

    with folder.hold():
        said = call("resume", folder.path)

    assert said.status == 2
    assert "is in use" in said.err


def press_ctrl_c_when(folder, ready):
    """Interrupt this process, as a terminal would, once something is so."""

    def wait():
        until = time.monotonic() + 60
        while not ready() and time.monotonic() < until:
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=wait, daemon=True).start()
