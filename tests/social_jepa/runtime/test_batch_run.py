"""The commands run and resume with the toy renderer, on the Ray of the test session."""

import contextlib
import json
import os
import re
import signal
import sqlite3
import threading
import time
from itertools import permutations
from pathlib import Path
from unittest import mock

import networkx
import psutil
import pytest
import torch
from safetensors.torch import load_file

from agents.agent import Agent
from agents.training.checkpoint import read_checkpoint
from social_jepa.config.run_config import load_config
from social_jepa.records import BodyRecord
from social_jepa.runtime import cluster, start
from social_jepa.runtime.logs import log_path
from social_jepa.runtime.members import initial_members, member_spec
from social_jepa.runtime.restarts import MAX_RESTARTS
from social_jepa.storage.run_folder import RunFolder
from tests.support import failing_models
from tests.support.command import TINY, alive, call, children, interrupt, spawn, wait_for

pytestmark = pytest.mark.ray

FAILED_EVENTS = "SELECT details FROM events WHERE type = 'failed'"
ENDLESS = "training.steps=1000000"
SAVING = ("training.steps=400", "training.checkpoint_every=10")
ENDS_WITHIN = 240  # seconds from an interrupt to the end of a command, on a machine with much else to do


@pytest.fixture(scope="module", autouse=True)
def join_ray(ray_local):
    """Have commands join the Ray of the test session."""
    with mock.patch.dict(os.environ, {"RAY_ADDRESS": ray_local}):
        yield


@pytest.fixture(scope="module")
def finished(join_ray, tmp_path_factory):
    """Return the folder of a finished run, and the result of its command."""
    folder = RunFolder(tmp_path_factory.mktemp("whole") / "Übung eins")
    return folder, call("run", "--out", folder.path, "--json", "seed=5", *TINY)


def steady(document):
    """Return a graph document without times, speeds, nodes and incarnations."""
    varying = re.compile("frames_per_s|node|.*seconds|published_at|incarnation|time|.*_incarnation")
    parts = {
        part: [
            {key: value for key, value in row.items() if not varying.fullmatch(key)} for row in document[part]
        ]
        for part in ("agents", "edges")
    }
    return {**document, **parts, "seconds": None, "as_of": None}


def graph(folder):
    return json.loads(folder.graph_file.read_text())


def rows(folder, sql):
    with sqlite3.connect(folder.ledger_file) as connection:
        return connection.execute(sql).fetchall()


def step(folder, name="agent-0"):
    return read_checkpoint(folder.agent(name) / "checkpoint.safetensors")[1]["step"]


def test_a_run_prints_only_its_graph_on_stdout(finished):
    folder, said = finished

    assert said.status == 0, said.err
    assert json.loads(said.out) == graph(folder)
    assert "recording and training" in said.err


def test_a_run_folder_holds_everything(finished):
    folder, _ = finished
    document = graph(folder)
    names = ["agent-0", "agent-1"]

    assert folder.config() == load_config(overrides=["seed=5", *TINY])
    assert {"python", "torch"} <= json.loads((folder.path / "versions.json").read_text()).keys()
    assert [agent["name"] for agent in document["agents"]] == names
    assert {(edge["source"], edge["target"]) for edge in document["edges"]} == set(permutations(names, 2))
    network = networkx.read_graphml(folder.path / "graph.graphml")
    assert (sorted(network), network.number_of_edges()) == (names, 2)
    maps = load_file(folder.maps_file)
    assert {name.rpartition("/")[0] for name in maps} == {
        f"{source}/{target}/{part}"
        for source, target in permutations(names, 2)
        for part in ("full", "regression", "shared")
    }
    for name in names:
        assert step(folder, name) == 60
        anchors = load_file(folder.agent(name) / "anchors.safetensors")
        assert anchors["heldout.vectors"].shape == (64, 4)
    assert folder.report_file.exists()
    assert not [path for path in folder.path.rglob("*") if path.suffix == ".tmp"]
    assert "recording and training" in log_path(folder.path, "driver").read_text()
    assert "supervisor of" in log_path(folder.path, "supervisor").read_text()
    assert "agent-0" in log_path(folder.path, "agent-0").read_text()


def test_the_ledger_holds_the_events_and_the_bytes_of_messages_add_up_to_those_of_edges(finished):
    folder, _ = finished

    events = [event_type for (event_type,) in rows(folder, "SELECT type FROM events ORDER BY rowid")]
    assert (events[0], events[-1]) == ("started", "finished")
    assert {what: events.count(what) for what in set(events)} == {
        "started": 1, "joined": 2, "published": 2, "edge": 2, "finished": 1,
    }  # fmt: skip
    assert rows(folder, "SELECT name FROM agents ORDER BY name") == [("agent-0",), ("agent-1",)]
    talk = "FROM messages WHERE type NOT IN ('Hello', 'DistillRequest', 'DistillReply')"
    sums = f"SELECT edge_source, edge_target, sum(bytes) {talk} GROUP BY 1, 2"
    spent = {(source, target): total for source, target, total in rows(folder, sums)}
    assert spent == {(edge["source"], edge["target"]): edge["bytes"] for edge in graph(folder)["edges"]}
    assert rows(folder, f"SELECT sum(bytes) {talk}") == rows(folder, "SELECT sum(bytes) FROM edges")


@pytest.mark.parametrize("seed", [5, pytest.param(6, marks=pytest.mark.slow)])
def test_equal_seeds_give_equal_graphs_and_a_quiet_run_prints_nothing_else(finished, tmp_path, seed):
    folder, _ = finished
    said = call("--quiet", "run", "--out", tmp_path / "run", "--json", f"seed={seed}", *TINY)
    again = json.loads(said.out)

    assert (said.status, said.err) == (0, "")
    assert again == graph(RunFolder(tmp_path / "run"))
    mine, theirs = (load_file(path / "maps.safetensors") for path in (folder.path, tmp_path / "run"))
    assert (steady(again) == steady(graph(folder))) == (seed == 5)
    assert all(torch.equal(mine[name], theirs[name]) for name in mine) == (seed == 5)
    assert (again["edges"][0]["r2"] == graph(folder)["edges"][0]["r2"]) == (seed == 5)


def test_resuming_a_finished_run_renegotiates_to_the_same_graph(finished):
    folder, _ = finished
    before, query = steady(graph(folder)), ("query", "--run", folder.path, "--tick", "3", "--json")
    asked = call(*query)

    said = call("resume", "--run", folder.path, "--json")

    assert said.status == 0, said.err
    assert steady(json.loads(said.out)) == before
    incarnations = "SELECT source_incarnation, target_incarnation FROM edges ORDER BY id"
    assert rows(folder, incarnations) == [(1, 1), (1, 1), (2, 2), (2, 2)]
    assert call(*query) == asked


def test_a_fork_trains_on_to_a_longer_schedule_and_so_does_a_run_that_is_resumed_with_one(finished, tmp_path):
    folder, longer = finished[0], tmp_path / "longer"
    before = [agent["losses"] for agent in graph(folder)["agents"]]
    assert call("fork", "--run", folder.path, "--out", longer, "training.steps=70").status == 0

    for settings, steps in ([], 70), (["training.steps=80"], 80):
        said = call("resume", "--run", longer, "--json", *settings)
        assert said.status == 0, said.err
        agents = json.loads(said.out)["agents"]
        assert [agent["steps"] for agent in agents] == [steps, steps]
        assert [agent["losses"][:60] for agent in agents] == before
        assert all(len(agent["losses"]) == steps for agent in agents)
        assert {edge["status"] for edge in json.loads(said.out)["edges"]} <= {"accepted", "refused"}


def test_a_run_in_a_folder_that_another_process_runs_in_is_refused(finished):
    folder, _ = finished

    with folder.command_lock():
        said = call("resume", "--run", folder.path)

    assert said.status == 2
    assert "is in use" in said.err


def send_ctrl_c_when(ready, folder):
    """Interrupt this process, as a terminal would, once a condition holds."""

    def wait():
        until = time.monotonic() + 60
        while not ready(folder) and time.monotonic() < until:
            time.sleep(0.02)
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=wait, daemon=True).start()


def losses_of_an_uninterrupted_agent(folder, index):
    """Return the losses of an agent of a run, trained in this process without interruption."""
    config, alone = folder.config(), RunFolder(folder.path.parent / "alone")
    members = initial_members(config)
    bodies = [BodyRecord(0, member.name, member.pose) for member in members]
    agent = Agent(member_spec(config, members[index], bodies, alone))
    assert agent.train()
    return agent.trainer.losses


def saved(folder):
    return all((folder.agent(name) / "checkpoint.safetensors").exists() for name in ("agent-0", "agent-1"))


def test_a_run_that_is_interrupted_and_resumed_has_the_losses_of_an_uninterrupted_one(ray_local, tmp_path):
    folder = RunFolder(tmp_path / "run")
    send_ctrl_c_when(saved, folder)

    said = call("run", "--out", folder.path, *TINY, *SAVING)

    assert (said.status, said.out) == (130, "")
    assert said.err.splitlines()[-1].endswith(f"continue with: social-jepa resume --run {folder.path}")
    assert "Traceback" not in said.err
    assert all(step(folder, name) > 0 for name in folder.config().names())
    assert rows(folder, "SELECT type FROM events ORDER BY rowid")[-1] == ("stopped",)
    assert not folder.graph_file.exists()
    assert call("resume", "--run", folder.path, "--json").status == 0
    found = [agent["losses"] for agent in graph(folder)["agents"]]
    assert found == [losses_of_an_uninterrupted_agent(folder, index) for index in range(2)]


def test_a_run_with_a_killed_agent_has_the_losses_of_an_undisturbed_one(ray_local, tmp_path):
    folder = RunFolder(tmp_path / "run")

    def kill():
        while not saved(folder):
            time.sleep(0.02)
        os.kill(next(pid for pid, title in children(os.getpid()) if "AgentActor" in title), signal.SIGKILL)

    threading.Thread(target=kill, daemon=True).start()
    said = call("run", "--out", folder.path, "--json", *TINY, *SAVING)

    assert said.status == 0, said.err
    agents = graph(folder)["agents"]
    assert sorted(agent["incarnation"] for agent in agents) == [1, 2]
    assert [agent["losses"] for agent in agents] == [
        losses_of_an_uninterrupted_agent(folder, index) for index in range(2)
    ]
    assert len(graph(folder)["edges"]) == 2
    assert not [title for _, title in children(os.getpid()) if "AgentActor" in title]


def test_a_run_whose_supervisor_is_gone_ends_with_the_command_that_continues_it(
    ray_local, tmp_path, monkeypatch
):
    monkeypatch.setattr(start, "RESTART_TIMEOUT", 1.0)
    folder = RunFolder(tmp_path / "run")

    def kill():
        while not saved(folder):
            time.sleep(0.02)
        cluster.ray.kill(cluster.find_supervisor(folder.namespace))

    threading.Thread(target=kill, daemon=True).start()
    said = call("run", "--out", folder.path, *TINY, *SAVING)

    assert said.status == 1
    assert re.fullmatch(
        rf"social-jepa: the supervisor of {folder.path} does not answer \(.+\), and its agents were ended; "
        rf"continue with: social-jepa resume --run {folder.path}",
        said.err.splitlines()[-1],
    )
    assert cluster.names_in(folder.namespace) == []
    assert rows(folder, "SELECT type FROM events ORDER BY rowid")[-1] == ("stopped",)


def test_an_agent_that_keeps_dying_is_named_and_the_run_can_be_resumed(ray_local, tmp_path):
    folder, over = RunFolder(tmp_path / "run"), threading.Event()

    def kill():
        while not over.is_set():
            for pid, title in children(os.getpid()):
                if "AgentActor" in title:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)

    threading.Thread(target=kill, daemon=True).start()
    said = call("run", "--out", folder.path, *TINY)
    over.set()

    assert (said.status, said.out) == (1, "")
    last = said.err.splitlines()[-1]
    assert re.match(r"social-jepa: the process of agent-[01] kept dying: .*; social-jepa resume", last)
    assert rows(folder, "SELECT type FROM events ORDER BY rowid")[-1] == ("stopped",)
    assert call("resume", "--run", folder.path, "--json").status == 0
    assert [len(agent["losses"]) for agent in graph(folder)["agents"]] == [60, 60]


def test_an_error_in_a_custom_model_ends_the_run_with_its_class_step_file_and_line(ray_local, tmp_path):
    folder = RunFolder(tmp_path / "run")
    kind = "agents.kind=tests.support.failing_models:Exits"

    said = call("run", "--out", folder.path, *TINY, kind)

    line = failing_models.Exits.fail.__code__.co_firstlineno + 1
    last = said.err.splitlines()[-1]
    found = re.fullmatch(r"social-jepa: (agent-[01]) failed: (.*); traceback: (.*)", last)
    assert said.status == 1
    assert found[2] == f"SystemExit, {failing_models.__file__} line {line} (training, after 2 steps)"
    assert Path(found[3]).parent == folder.path / "logs"
    assert "in fail\n    raise SystemExit" in Path(found[3]).read_text()
    events = [json.loads(details) for (details,) in rows(folder, FAILED_EVENTS)]
    assert [event["failure"]["type"] for event in events if event["agent"] == found[1]] == ["SystemExit"]


@pytest.mark.timeout(900)  # eight processes start, one after the other
def test_a_custom_model_that_ends_its_process_again_and_again_is_named_with_its_exit_code(
    ray_local, tmp_path
):
    folder = RunFolder(tmp_path / "run")

    said = call("run", "--out", folder.path, *TINY, "agents.kind=tests.support.failing_models:EndsItsProcess")

    line = failing_models.EndsItsProcess.fail.__code__.co_firstlineno + 1
    assert said.status == 1
    assert re.match(
        r"social-jepa: the process of agent-[01] kept dying: its process ended with exit code 3; it died "
        rf"\d times without gaining a training step, {failing_models.__file__} line {line} ",
        said.err.splitlines()[-1],
    )
    lives = rows(folder, "SELECT max(incarnation) FROM members")[0][0]
    # the supervisor may have seen no step before the first death, and one more before each of the next ones
    assert lives <= 1 + failing_models.LOSSES + MAX_RESTARTS


@pytest.mark.slow
def test_a_run_whose_processes_ray_kills_for_memory_again_and_again_ends_with_that_reason(
    tmp_path, monkeypatch
):
    monkeypatch.delenv("RAY_ADDRESS")
    monkeypatch.setenv("RAY_memory_usage_threshold", "0.01")  # of all memory, and so always reached
    monkeypatch.setenv("RAY_memory_monitor_refresh_ms", "100")
    said = call("run", "--out", tmp_path / "run", *TINY)

    last = said.err.splitlines()[-1]
    assert said.status == 1
    assert "Traceback" not in said.err
    assert re.search(r"killed for memory \(node \S+ used \S+ of \S+\)", last)
    assert f"resume --run {tmp_path / 'run'}" in last


@pytest.mark.timeout(600)
def test_agents_that_wait_for_resources_of_a_cluster_say_so_at_once(tmp_path):
    process = spawn(tmp_path, "run", "--out", "run", *TINY, "agents.gpus=1")
    wait_for(process, "agent-1 waits for 1 GPU: no node has more than 0")
    interrupt(process)
    process.communicate(timeout=ENDS_WITHIN)

    assert process.returncode == 130


def test_agents_that_a_local_ray_can_never_hold_are_refused_at_once(tmp_path, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS")
    said = call("run", "--out", tmp_path / "run", *TINY, "agents.gpus=1")

    assert said.status == 2
    assert said.err.splitlines()[-1] == (
        "social-jepa: agent-0 cannot start, because it waits for 1 GPU: no node has more than 0; lower "
        "agents.gpus or agents.count, or name a cluster with --address"
    )


@pytest.mark.timeout(600)
def test_every_process_of_a_run_has_its_niceness_and_the_command_as_well(tmp_path, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS")
    nice = min(19, os.getpriority(os.PRIO_PROCESS, 0) + 2)
    process = spawn(tmp_path, "run", "--out", "run", f"--nice={nice}", *TINY, ENDLESS)
    wait_for(process, "agent-0")
    found = {pid: psutil.Process(pid).nice() for pid, _ in children(process.pid) if psutil.pid_exists(pid)}
    interrupt(process)
    process.communicate(timeout=ENDS_WITHIN)

    assert process.pid in found
    assert len(found) > 4  # it, the leader of the session, Ray, the supervisor and agents
    assert set(found.values()) == {nice}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("phase", ["starting Ray", "agent-0"])
def test_ctrl_c_in_a_terminal_leaves_no_process(tmp_path, monkeypatch, phase):
    monkeypatch.delenv("RAY_ADDRESS")
    process = spawn(tmp_path, "run", "--out", "run", *TINY, ENDLESS)
    read = wait_for(process, phase)
    time.sleep(0.5)
    family = [pid for pid, _ in children(process.pid)]
    interrupt(process)
    out, err = process.communicate(timeout=ENDS_WITHIN)

    assert (process.returncode, out) == (130, "")
    assert err.splitlines()[-1] == "social-jepa: stopped; continue with: social-jepa resume --run run"
    assert "Traceback" not in read + err
    if phase == "agent-0":  # it had started, and was saved as far as it had learned
        assert 0 <= step(RunFolder(tmp_path / "run")) < 1_000_000
    until = time.monotonic() + 60
    while any(map(alive, family)) and time.monotonic() < until:
        time.sleep(0.1)
    assert not [pid for pid in family if alive(pid)]
