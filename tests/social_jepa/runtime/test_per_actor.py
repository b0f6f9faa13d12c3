"""Agents that share processes, on the Ray of the test session: `agents.per_actor`."""

import json
import os
import signal
from unittest import mock

import pytest

from social_jepa.config.run_config import load_config
from social_jepa.runtime import cluster, memory
from social_jepa.runtime.logs import log_path
from social_jepa.runtime.members import initial_members, new_member
from social_jepa.runtime.memory import agent_memory
from social_jepa.storage.run_folder import RunFolder
from tests.social_jepa.runtime.test_turns import steady, when
from tests.support.command import TINY, call, children
from tests.support.simulations import TIMEOUT, complete, status_of, until, up

FOUR = (*TINY, "agents.count=4", "agents.threads=1", "training.checkpoint_every=5")


@pytest.fixture
def joined_ray(ray_local):
    """Have commands join the Ray of the test session."""
    with mock.patch.dict(os.environ, {"RAY_ADDRESS": ray_local}):
        yield


def actors():
    return [pid for pid, title in children(os.getpid()) if "AgentActor" in title]


@pytest.mark.ray
def test_the_graph_is_that_of_agents_in_processes_of_their_own_though_a_process_dies(tmp_path, joined_ray):
    shared, own = RunFolder(tmp_path / "shared"), RunFolder(tmp_path / "own")
    processes = []

    def kill():
        processes.extend(actors())
        log = log_path(shared.path, "agent-0").read_text()
        os.kill(int(log.partition(", process ")[2].partition(":")[0]), signal.SIGKILL)

    checkpoints = [shared.agent(f"agent-{number}") / "checkpoint.safetensors" for number in range(4)]
    killer = when(lambda: all(path.exists() for path in checkpoints), kill)
    said = call("run", "--out", shared.path, "--json", *FOUR, "agents.per_actor=2")
    killer.join()
    assert said.status == 0, said.err
    assert call("run", "--out", own.path, "--json", *FOUR).status == 0

    found = json.loads(said.out)
    assert steady(found) == steady(json.loads(own.graph_file.read_text()))
    assert len(processes) == 2
    assert [agent["incarnation"] for agent in found["agents"]] == [2, 2, 1, 1]
    for number, start in enumerate(("resumes from", "resumes from", "starts without", "starts without")):
        assert f"agent-{number} {start}" in log_path(shared.path, f"agent-{number}").read_text()


def alive(simulation):
    return set(cluster.names_in(simulation.folder.namespace)) - {cluster.SUPERVISOR}


@pytest.fixture(scope="module")
def simulation(ray_local, tmp_path_factory):
    """A simulation of three agents in two processes; the agents of a test settle before it begins."""
    started = up(
        tmp_path_factory.mktemp("per_actor") / "run", ray_local, "agents.count=3", "agents.per_actor=2"
    )
    started.wait(timeout=TIMEOUT)
    yield started
    started.down()


@pytest.mark.ray
def test_agents_of_a_process_that_is_killed_come_back_together_and_others_stay(simulation):
    before = {agent.name: agent for agent in simulation.status()}
    assert alive(simulation) == {"actor-0", "actor-1"}
    assert before["agent-0"].pid == before["agent-1"].pid != before["agent-2"].pid
    os.kill(before["agent-0"].pid, signal.SIGKILL)

    def returned():
        now = {agent.name: agent for agent in simulation.status()}
        pids = {now[name].pid for name in ("agent-0", "agent-1")}
        return len(pids) == 1 and pids != {before["agent-0"].pid} and now

    now = until(returned)
    assert [now[f"agent-{number}"].incarnation for number in range(3)] == [2, 2, 1]
    assert now["agent-2"].pid == before["agent-2"].pid
    simulation.wait(timeout=TIMEOUT)
    assert complete(simulation)


@pytest.mark.ray
def test_a_supervisor_that_restarts_finds_all_agents_of_a_process(simulation):
    before = {agent.name: (agent.pid, agent.incarnation) for agent in simulation.status()}
    (pid,) = (pid for pid, title in children(os.getpid()) if "Supervisor" in title)
    os.kill(pid, signal.SIGKILL)

    def answered():
        now = {agent.name: (agent.pid, agent.incarnation) for agent in simulation.status()}
        return all(pid for pid, _ in now.values()) and now

    assert until(answered) == before


@pytest.mark.ray
def test_an_agent_pauses_or_leaves_beside_another_and_a_joiner_takes_its_place(simulation):
    neighbor = status_of(simulation, "agent-1")
    simulation.pause("agent-0")
    until(lambda: status_of(simulation, "agent-0").phase == "paused")
    step = status_of(simulation, "agent-1").progress.step
    until(lambda: status_of(simulation, "agent-1").progress.step > step + 2)

    simulation.remove_agent("agent-0")
    until(lambda: "agent-0 is dropped" in log_path(simulation.folder.path, "agent-0").read_text())
    step = status_of(simulation, "agent-1").progress.step
    until(lambda: status_of(simulation, "agent-1").progress.step > step + 2)
    assert status_of(simulation, "agent-1").pid == neighbor.pid
    assert status_of(simulation, "agent-1").incarnation == neighbor.incarnation

    guests = [simulation.add_agent().name for _ in range(2)]
    apart = simulation.add_agent(settings=["agents.threads=2"]).name
    simulation.wait(timeout=TIMEOUT)
    assert complete(simulation)
    assert status_of(simulation, guests[0]).pid == neighbor.pid
    assert status_of(simulation, guests[1]).pid == status_of(simulation, "agent-2").pid
    assert alive(simulation) == {"actor-0", "actor-1", "actor-5"}
    simulation.remove_agent(apart)
    for name in guests:
        simulation.remove_agent(name)
    until(lambda: alive(simulation) == {"actor-0", "actor-1"})


def test_a_joiner_goes_where_there_is_room_and_agents_reserve_the_same():
    config = load_config(overrides=[*TINY, "agents.count=5", "agents.per_actor=2"])
    present, taken = initial_members(config), config.names()

    def join(**request):
        member = new_member(config, present, taken, **request)
        present.append(member)
        taken.append(member.name)
        return member.actor_name

    assert [member.actor_name for member in present] == [
        "actor-0",
        "actor-0",
        "actor-1",
        "actor-1",
        "actor-2",
    ]
    assert join(settings=["agents.gpus=0.5"]) == "actor-5"
    assert join() == "actor-2"
    assert join(settings=["agents.gpus=0.5"]) == "actor-5"
    del present[1]
    assert [join() for _ in range(3)] == ["actor-0", "actor-9", "actor-9"]


def test_agents_share_the_memory_of_a_process_and_not_that_of_their_frames():
    storage = "training.replay_storage=memory"
    alone = load_config(overrides=[*TINY, storage])
    four = load_config(overrides=[*TINY, storage, "agents.count=10", "agents.per_actor=4"])

    assert agent_memory(four) == memory.PROCESS_BYTES // 4 + memory.replay_bytes(four)
    assert agent_memory(alone) == memory.PROCESS_BYTES + memory.replay_bytes(alone)
    assert (four.agents.processes, four.agents.in_memory) == (3, 10)
