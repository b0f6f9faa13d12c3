"""A simulation that stays up, with the toy renderer, on the Ray of the test session."""

import contextlib
import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations
from pathlib import Path
from types import SimpleNamespace

import pytest

from agents.agent import Agent
from agents.common.files import CHECKPOINT, PUBLISHED
from agents.common.versions import process_versions
from agents.file_transfer import FOLDER_ID
from agents.training.checkpoint import read_checkpoint
from social_jepa.graph.query import query
from social_jepa.records import encode
from social_jepa.report.distillation_savings import distillation_savings
from social_jepa.runtime import cluster
from social_jepa.runtime.errors import AgentLeftError, ClusterError, NotSettledError
from social_jepa.runtime.logs import log_path
from social_jepa.runtime.members import initial_members, member_spec
from social_jepa.runtime.presence import was_simulation
from social_jepa.runtime.simulation import Simulation
from social_jepa.server.client import SimulationClient
from social_jepa.storage.run_folder import RunFolder
from social_jepa.storage.run_folder_errors import RunFolderError
from social_jepa.system.command_line import command as command_text
from social_jepa.system.command_line import shown
from tests.support.command import call, children
from tests.support.simulations import TIMEOUT, complete, edges, joiner, ledger_of, status_of, until, up

pytestmark = pytest.mark.ray

# more than this process has, whose Ray the simulation joins, so that it must be set in the simulation's own
OWN_NICE = os.getpriority(os.PRIO_PROCESS, 0)
NICE = min(19, OWN_NICE + 2)
OTHER_POSE = "-4.8,3.2,0,0,-35"


@pytest.fixture(scope="module")
def simulation(ray_local, tmp_path_factory):
    """A simulation of two agents with settled edges; tests add and remove others."""
    started = up(tmp_path_factory.mktemp("online") / "run", ray_local, f"agents.nice={NICE}")
    started.wait(timeout=TIMEOUT)
    yield started
    started.down()


def test_a_simulation_reports_the_status_of_its_agents_and_answers_queries(simulation):
    agents = {agent.name: agent for agent in simulation.status()}
    until(lambda: complete(simulation))

    assert {"agent-0", "agent-1"} <= agents.keys()
    for name in ("agent-0", "agent-1"):
        assert agents[name].settled
        assert agents[name].incarnation >= 1
        assert agents[name].progress.step >= 60
        assert agents[name].pid != os.getpid()
        assert agents[name].versions == process_versions()  # told when it registered
    assert json.loads(encode(simulation.status()))
    found = query(simulation.results(), "agent-0", "agent-1", tick=0, via="best")
    assert found.path[0] == "agent-0"
    assert len(found.nearest) == 5


def test_agents_keep_training_after_their_schedule(simulation):
    before = status_of(simulation, "agent-0").progress

    until(lambda: status_of(simulation, "agent-0").progress.step > max(before.step, 60))
    assert status_of(simulation, "agent-0").progress.next_tick > before.next_tick - 1


def test_all_threads_of_an_agent_give_way_alike_and_as_much_as_the_run(simulation):
    """A training thread that gave way more would keep the others waiting: they need the interpreter lock."""
    pid = status_of(simulation, "agent-0").pid
    tasks = [int(each.name) for each in Path(f"/proc/{pid}/task").iterdir()]

    assert {os.getpriority(os.PRIO_PROCESS, task) for task in tasks} == {NICE}


def test_a_program_keeps_its_niceness_where_it_starts_a_simulation(simulation):
    assert simulation.folder.config().agents.nice == NICE
    assert os.getpriority(os.PRIO_PROCESS, 0) == OWN_NICE


def test_a_paused_agent_takes_no_step_until_it_is_resumed(simulation):
    def paused_at(name):
        agent = status_of(simulation, name)
        return agent.progress.step if agent.progress.phase == "paused" else None

    resume = command_text("resume-learning", "agent-1", run=shown(simulation.folder.path))
    said = call("pause", "agent-1", "--run", simulation.folder.path).out
    assert said == f"agent-1 pauses: {resume} lets it train on\n"
    step = until(lambda: paused_at("agent-1"))
    other = status_of(simulation, "agent-0").progress.step
    until(lambda: status_of(simulation, "agent-0").progress.step > other)
    assert paused_at("agent-1") == step
    assert (
        call("resume-learning", "--run", simulation.folder.path).out
        == "agent-0 trains on\nagent-1 trains on\n"
    )
    until(lambda: status_of(simulation, "agent-1").progress.step > step)


def test_a_second_program_attaches_to_the_simulation_and_cannot_start_it_again(simulation):
    again = Simulation.attach(RunFolder.at(simulation.folder.path))
    assert [agent.name for agent in again.status()] == [agent.name for agent in simulation.status()]

    with pytest.raises(RunFolderError, match=r"is up already$"):
        Simulation.resume(simulation.folder)
    assert was_simulation(simulation.folder)


def histories(simulation):
    """Return the number of recorded edges of each pair of the first two agents."""
    pairs = permutations(("agent-0", "agent-1"), 2)
    with ledger_of(simulation) as ledger:
        return {pair: len(ledger.history(*pair)) for pair in pairs}


@pytest.fixture(scope="module")
def guest(simulation):
    """What was seen of an agent that joined, moved its camera and left."""
    seen = SimpleNamespace(before=histories(simulation))
    with joiner(simulation, settings=["model.dim=5", "training.steps=20"]) as name:
        until(lambda: complete(simulation))
        seen.name, seen.joined = name, simulation.results().agent(name)
        seen.steps_of_others = status_of(simulation, "agent-0").progress.step
        seen.after = histories(simulation)
        simulation.move_agent(name, OTHER_POSE)
        seen.edge_of_moved = edges(simulation)["agent-0", name].status
        seen.training = simulation.results().document.training
        seen.settled_when_moved = status_of(simulation, name).settled  # the old edges do not count
        simulation.wait(name, TIMEOUT)
        seen.complete, seen.moved = complete(simulation), simulation.results().agent(name)
        with pytest.raises(ValueError, match="sees nothing"):
            simulation.move_agent(name, "4.8,3.2,0,0,-35")
        seen.star_edges = simulation.set_topology("hubs(1)")
        seen.star, seen.settled_in_star = set(edges(simulation)), simulation.wait(timeout=TIMEOUT).settled
        seen.path = query(simulation.results(), name, "agent-1", tick=0, via="best").path
        simulation.set_topology("all")
        simulation.wait(timeout=TIMEOUT)
        seen.complete_again = complete(simulation)
    return seen


def test_a_joiner_gets_edges_with_all_peers_and_changes_no_other_edge(simulation, guest):
    assert (guest.joined.dim, guest.joined.steps) == (5, 20)
    assert guest.after == guest.before
    assert guest.name not in simulation.results().graph.agents
    assert guest.name not in cluster.names_in(simulation.folder.namespace)
    with ledger_of(simulation) as ledger:
        ended = ledger.history("agent-0", guest.name)
    assert (ended[-1].status, ended[-1].reason) == ("ended", f"{guest.name} left")


def test_edges_of_a_moved_camera_are_stale_until_the_agent_has_trained_on_the_new_view(guest):
    assert guest.edge_of_moved == "stale"
    assert guest.name in guest.training
    assert not guest.settled_when_moved
    assert guest.complete
    assert (guest.moved.pose_version, guest.moved.pose.x) == (1, -4.8)
    assert guest.moved.checkpoint != guest.joined.checkpoint


def test_a_topology_ends_edges_whose_ends_translate_along_a_path_until_they_negotiate_again(guest):
    others = {("agent-0", "agent-1"), ("agent-0", guest.name)}
    assert guest.star == others | {(target, source) for source, target in others}
    assert (guest.star_edges, guest.settled_in_star) == (4, True)
    assert guest.path == (guest.name, "agent-0", "agent-1")
    assert guest.complete_again


def test_the_supervisor_logs_joins_edges_moves_and_leaves(simulation, guest):
    log = log_path(simulation.folder.path, "supervisor").read_text()
    for text in (
        f"{guest.name} started", f"{guest.name} joined at ", f"{guest.name} published ",
        f"edge {guest.name} > agent-0 ",
        f"{guest.name} moved to -4.8,3.2,0.0,0.0,-35.0,60.0; its edges are stale", f"{guest.name} left",
    ):  # fmt: skip
        assert text in log


def test_a_joiner_does_not_change_the_training_of_other_agents(simulation, guest, tmp_path):
    """Apart from bodies in the scene, an agent's weights depend on its own settings alone."""
    joined_at = guest.steps_of_others
    path = simulation.folder.agent("agent-0") / "checkpoint.safetensors"
    until(lambda: read_checkpoint(path)[1]["step"] > joined_at)
    facts = read_checkpoint(path)[1]
    config = simulation.folder.config()
    alone = Agent(member_spec(config, initial_members(config)[0], [], RunFolder(tmp_path), online=True))
    alone.train()
    published = alone.publish().peer_info.checkpoint
    alone.train(until=min(facts["step"], 3000))  # a busy machine may have trained long beside the joiner

    with ledger_of(simulation) as ledger:
        found = [event for event in ledger.events() if event.type == "published"]
    assert published == next(
        event.details["checkpoint"] for event in found if event.details["agent"] == "agent-0"
    )
    assert alone.trainer.losses == facts["losses"][: alone.trainer.step]
    assert len(facts["losses"]) > joined_at > 60


def test_a_joiner_may_distill_from_a_teacher_and_reads_fewer_frames(simulation):
    distillation = ["distillation.ticks=256", "distillation.batch=32", "distillation.steps=20"]
    with joiner(simulation, teacher="agent-0", settings=distillation) as name:
        until(lambda: complete(simulation))
        savings = distillation_savings(simulation.results(), name)
        assert savings.read == simulation.results().agent(name).distill_frames == 20 * 32
        assert savings.share_read == 20 * 32 / (60 * 32 * 4)
        with ledger_of(simulation) as ledger:
            kinds = [row.type for row in ledger.messages() if name in (row.sender, row.receiver)]
        assert (kinds.count("DistillRequest"), kinds.count("DistillReply")) == (1, 1)


BAD = {
    "a name that is taken": ({"name": "agent-0"}, "choose another"),
    "a pose that sees nothing": ({"pose": "4.8,3.2,0,0,-35"}, "the camera sees nothing"),
    "an unknown teacher": ({"teacher": "bob"}, "no agent is named 'bob'"),
    "an unknown kind": ({"kind": "jepaa"}, "did you mean 'jepa'"),
    "an unknown setting": ({"settings": ["model.dimm=4"]}, "did you mean model.dim"),
    "a setting of the scene": ({"settings": ["scene.objects=3"]}, "must be the same for all agents"),
    "one that cannot be constructed": ({"settings": ["agents.device=mps"]}, "agent-[0-9]+ could not start: "),
}


@pytest.mark.parametrize("case", BAD)
def test_a_refused_joiner_leaves_no_process_and_no_row(simulation, case, monkeypatch):
    monkeypatch.setattr("social_jepa.runtime.simulation.START_TIMEOUT", 100.0)  # a busy machine takes long
    wanted, sentence = BAD[case]
    with ledger_of(simulation) as ledger:
        names = ledger.names()
        actors = set(cluster.names_in(simulation.folder.namespace))
        with pytest.raises(ValueError, match=sentence):
            simulation.add_agent(**wanted)

        assert ledger.names() == names
    until(lambda: set(cluster.names_in(simulation.folder.namespace)) == actors)
    assert [agent.name for agent in simulation.status()] == [
        name for name in names if name in simulation.results().graph.agents
    ]


def test_waiting_ends_when_the_agent_is_removed_or_the_time_is_over(simulation):
    name = simulation.add_agent(settings=["training.steps=1000000"]).name
    with pytest.raises(NotSettledError) as late:
        simulation.wait(name, timeout=0.1)
    assert late.value.agents == (name,)
    said = call("wait", name, "--timeout", "0.1", "--run", simulation.folder.path)
    assert (said.status, said.err.endswith(f"{name} has not settled all edges within 0.1 s\n")) == (1, True)

    said = call("wait", "agent-99", "--run", simulation.folder.path)
    assert said.status == 2
    assert said.err.startswith("social-jepa: no agent is named 'agent-99': ")

    until(lambda: status_of(simulation, name).progress)  # it is a member
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(simulation.wait, name, TIMEOUT)
        simulation.remove_agent(name)
        with pytest.raises(AgentLeftError, match=f"^{name} left: it was removed"):
            waiting.result(TIMEOUT)
    with pytest.raises(AgentLeftError):
        simulation.wait(name)


def test_a_frozen_supervisor_is_reported_in_seconds_with_what_the_ledger_has(simulation):
    until(lambda: complete(simulation))
    supervisor = next(pid for pid, title in children(os.getpid()) if "ray::Supervisor" in title)
    os.kill(supervisor, signal.SIGSTOP)
    try:
        said = call("status", "--run", simulation.folder.path, "--json")
        began = time.monotonic()
        late = call("wait", "agent-0", "--timeout", "1", "--run", simulation.folder.path)
        waited = time.monotonic() - began
        page = SimulationClient(simulation.folder).status()
    finally:
        os.kill(supervisor, signal.SIGCONT)

    assert said.status == late.status == 1
    assert "the supervisor of the simulation does not answer (no reply within 4 s)" in said.err
    assert "the supervisor of the simulation does not answer (no reply within 2 s)" in late.err
    assert waited < 15
    document = json.loads(said.out)
    assert [agent["name"] for agent in document["agents"]] == ["agent-0", "agent-1"]
    assert {agent["phase"] for agent in document["agents"]} == {"unknown"}
    assert document["trouble"] in said.err
    assert page.up
    assert [(agent.name, agent.phase) for agent in page.agents] == [
        ("agent-0", "unknown"),
        ("agent-1", "unknown"),
    ]
    assert "does not answer (no reply within 4 s): wait a moment, or end the simulation with" in page.trouble
    assert len(until(simulation.status)) == 2


def test_a_killed_agent_restarts_from_its_checkpoint_and_no_edge_is_recorded_twice(simulation):
    until(lambda: complete(simulation))
    before = status_of(simulation, "agent-1")
    with ledger_of(simulation) as ledger:
        saved = read_checkpoint(simulation.folder.agent("agent-1") / "checkpoint.safetensors")[1]["step"]
        os.kill(before.pid, signal.SIGKILL)
        until(lambda: status_of(simulation, "agent-1").incarnation == before.incarnation + 1)
        back = until(lambda: status_of(simulation, "agent-1").settled and status_of(simulation, "agent-1"))

        assert back.pid != before.pid
        assert back.progress.step >= saved > 0
        incarnation = back.incarnation
        found = until(
            lambda: [e for e in ledger.history("agent-1", "agent-0") if e.source_incarnation == incarnation]
        )
        assert len(found) == 1
        everything = [
            tuple(
                getattr(edge, key)
                for key in ("source", "target", "round", "source_incarnation", "target_incarnation")
            )
            for pair in permutations(("agent-0", "agent-1"), 2)
            for edge in ledger.history(*pair)
        ]
        assert len(everything) == len(set(everything))
    until(lambda: complete(simulation))

    log = log_path(simulation.folder.path, "supervisor").read_text().splitlines()
    restart = f"agent-1 restarted as incarnation {back.incarnation}: process {before.pid} ended ("
    (line,) = [line for line in log if restart in line]
    assert " WARNING " in line
    assert len(line.partition(restart)[2]) > 10  # Ray's reason


def test_a_simulation_continues_after_its_supervisor_restarted(simulation):
    pids = {agent.name: agent.pid for agent in simulation.status()}

    def agents_are_the_same():
        with contextlib.suppress(ClusterError):  # it is restarting
            return {agent.name: agent.pid for agent in simulation.status()} == pids

    cluster.ray.kill(cluster.find_supervisor(simulation.folder.namespace), no_restart=False)
    time.sleep(1.0)
    until(agents_are_the_same)

    with joiner(simulation, settings=["training.steps=10"]):
        until(lambda: complete(simulation))


def test_an_agent_on_a_machine_without_the_run_folder_comes_back_where_it_was(simulation):
    """The id is removed from the folder: from then on no process takes the folder for the supervisor's."""
    with joiner(simulation, settings=["training.steps=30"]) as name:
        (simulation.folder.path / FOLDER_ID).unlink()
        path = simulation.folder.agent(name) / CHECKPOINT
        for incarnation in (2, 3):  # the second one sends its files, and the third one fetches them
            before, reached = status_of(simulation, name), read_checkpoint(path)[1]["step"]
            os.kill(before.pid, signal.SIGKILL)
            until(lambda number=incarnation: status_of(simulation, name).incarnation == number)
            until(lambda: status_of(simulation, name).settled)
            until(lambda step=reached: read_checkpoint(path)[1]["step"] > step)
            assert reached >= 30
            until(lambda step=reached: status_of(simulation, name).progress.step > step)
        checkpoint = simulation.results().agent(name).checkpoint
        published = read_checkpoint(simulation.folder.agent(name) / PUBLISHED)[1]["peer_info"]
        log = log_path(simulation.folder.path, name)
        until(lambda: log.read_text().count("its files are kept in") == 2)  # lines arrive after a while
        until(lambda: f"fetched {CHECKPOINT}" in log.read_text())

    assert published["checkpoint"] == checkpoint
