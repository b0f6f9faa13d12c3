import json
import re
import subprocess
import sys

import pytest

from agents.training.checkpoint import read_checkpoint
from social_jepa.graph.exchange import read_export
from social_jepa.runtime import cluster
from social_jepa.runtime.errors import NotUpError
from social_jepa.runtime.local_ray import processes_of
from social_jepa.runtime.run_list import describe_run
from social_jepa.runtime.simulation import Simulation
from social_jepa.storage.run_folder import RunFolder
from tests.support.command import call, spawn
from tests.support.simulations import QUIET, TIMEOUT, complete, until, up

pytestmark = pytest.mark.ray


def test_down_ends_all_processes_and_resume_continues_from_the_checkpoints(ray_local, tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", ray_local)
    started = up(tmp_path / "run", "auto")
    folder = started.folder
    assert folder.simulation().address == ray_local  # another command may mean another cluster by "auto"
    started.wait(timeout=TIMEOUT)
    until(lambda: complete(started))
    started.down()

    with pytest.raises(NotUpError, match=r"is not up$"):
        started.status()
    with pytest.raises(NotUpError, match=r"is not up$"):
        started.remove_agent("agent-0")
    until(lambda: cluster.names_in(folder.namespace) == [])
    assert not folder.simulation_file.exists()
    document = json.loads(folder.graph_file.read_text())
    assert len(document["edges"]) == 2
    with pytest.raises(NotUpError, match=r"is not up$"):
        Simulation.attach(folder)
    steps = {
        name: read_checkpoint(folder.agent(name) / "checkpoint.safetensors")[1]["step"]
        for name in ("agent-0", "agent-1")
    }
    resumed = Simulation.resume(folder, ray_local)
    agents = until(lambda: [a for a in resumed.status() if a.progress] if len(resumed.status()) == 2 else [])
    until(lambda: all(agent.settled for agent in resumed.status()))
    for agent in resumed.status():
        assert agent.incarnation == 2
        assert agent.progress.step >= steps[agent.name]
    assert agents
    resumed.down()
    until(lambda: cluster.names_in(folder.namespace) == [])


def test_agents_without_room_are_said_at_once_to_wait_and_can_be_taken_down(ray_local, tmp_path):
    said = call("up", "--out", tmp_path / "run", "--address", ray_local, *QUIET, "agents.gpus=0.6")
    try:
        assert (said.status, said.err) == (0, "")
        notes = [line for line in said.out.splitlines() if line.startswith("note ")]
        assert notes == [f"note     agent-{k} waits for 0.6 GPU: no node has more than 0" for k in range(2)]
        found = json.loads(call("status", "--run", tmp_path / "run", "--json").out)["agents"]
        assert {agent["phase"] for agent in found} == {"waiting"}
        late = call("wait", "--timeout", "0.1", "--run", tmp_path / "run")
        assert late.err.count("agent-1 waits for 0.6 GPU: no node has more than 0") == 1
    finally:
        down = call("down", "--run", tmp_path / "run")
    assert down.status == 0


def test_a_wait_of_no_seconds_ends_at_once_and_says_what_is_not_settled(ray_local, tmp_path):
    words = ("--out", tmp_path / "run", "--address", ray_local, "--wait", "--timeout", 0)
    said = call("up", *words, *QUIET, "agents.gpus=0.6")
    try:
        assert (said.status, said.out) == (1, "")
        assert said.err.endswith("agent-0, agent-1 have not settled all edges within 0 s\n")
    finally:
        down = call("down", "--run", tmp_path / "run")
    assert down.status == 0


POSE = "-4.8,3.2,0,0,-35"


def understood_by(name, run):
    """Return how many agents have accepted the edge from one."""
    edges = json.loads(command("graph", "--run", run, "--json"))["edges"]
    return sum(edge["source"] == name and edge["status"] == "accepted" for edge in edges)


def move_and_wait(name, run):
    """Move the camera of one of three agents, and wait until its edges are settled again."""
    moved = command("move-agent", name, f"--pose={POSE}", "--wait", "--timeout", "150", "--run", run)
    settled = f"edges settled, understood by {understood_by(name, run)} of 2 peers\n"
    assert moved.startswith(f"{name} moved to -4.8,3.2,")
    assert moved.endswith(f", {settled}")
    assert command("wait", name, "--run", run) == f"{name}: {settled}"


def take_down_while_watched(folder, run):
    """Take a simulation down while a command watches its status, which then ends by itself."""
    watching = spawn(folder, "status", "--watch", "--run", run)
    assert any("agent-0" in line for line in watching.stdout), watching.communicate()
    command("down", "--run", run)
    last, _ = watching.communicate(timeout=60)
    assert watching.returncode == 0
    assert re.search(r"is not up|was up, but its processes have ended", last), last


def command(*words):
    done = subprocess.run(
        [sys.executable, "-m", "social_jepa", *map(str, words)], capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_commands_bring_a_simulation_up_query_it_and_take_it_down(tmp_path, monkeypatch):
    run = tmp_path / "run"
    said = json.loads(command("up", "--out", run, "--json", "--wait", "--timeout", "150", *QUIET))
    found = RunFolder.at(run).simulation()
    ray = (found.leader, found.session)
    try:
        agents = [(agent["name"], agent["settled"]) for agent in said["agents"]]
        assert agents == [("agent-0", True), ("agent-1", True)]
        assert len(processes_of(*ray)) > 2
        assert command("wait", "--run", run) == "all agents: edges settled\n"
        joined = json.loads(command("add-agent", "--run", run, "--wait", "--json", "training.steps=10"))
        assert (joined["name"], joined["settled"]) == ("agent-2", True)
        move_and_wait("agent-2", run)
        assert "agent-2" in command("status", "--run", run)
        assert "accepted" in command("edge", "agent-0", "agent-1", "--run", run, "--history")
        (listed,) = json.loads(command("list", tmp_path, "--json"))["runs"]
        assert (listed["state"], listed["agents"], listed["edges"]) == ("up", 3, 6)
        exported = json.loads(
            command("export", "--run", run, "--out", tmp_path / "up.npz", "--format", "npz", "--json")
        )
        assert (exported["edges"], len(read_export(tmp_path / "up.npz").run.members)) == (6, 3)
        command("remove-agent", "agent-2", "--run", run)
        for name, value in {"FORCE_COLOR": "1", "COLUMNS": "200"}.items():  # a terminal shows it at once
            monkeypatch.setenv(name, value)
        take_down_while_watched(tmp_path, run)
        assert processes_of(*ray) == []
    finally:
        for process in processes_of(*ray):
            process.kill()
    assert describe_run(run).state == "down"
    resumed = subprocess.run(
        [sys.executable, "-m", "social_jepa", "status", "--run", str(run)], capture_output=True, text=True
    )
    assert resumed.returncode == 2
    assert f"is not up: social-jepa resume --run {run}" in resumed.stderr
