"""A simulation that stays up, with the toy renderer, on a Ray of the tests' own and on one of its own."""

import contextlib
import json
import os
import signal
import time
from itertools import permutations

import pytest

from agents.agent import Agent
from agents.training.checkpoint import read_checkpoint
from social_jepa.graph.query import query
from social_jepa.report.distillation_savings import saving
from social_jepa.runtime import cluster
from social_jepa.runtime.errors import ClusterError
from social_jepa.runtime.membership import initial_members, member_spec
from social_jepa.runtime.simulation import Simulation, was_simulation
from social_jepa.storage.run_folder import RunFolder, RunFolderError
from tests.support.simulations import PATIENCE, complete, edges, ledger_of, newcomer, status_of, until, up

pytestmark = pytest.mark.ray

ELSEWHERE = "-4.8,3.2,0,0,-35"


@pytest.fixture(scope="module")
def simulation(ray_local, tmp_path_factory):
    """A simulation of two agents that understand each other; tests let others come and go."""
    started = up(tmp_path_factory.mktemp("online") / "run")
    started.wait(timeout=PATIENCE)
    yield started
    started.down()


def test_a_simulation_that_is_up_tells_how_its_agents_are_and_answers_questions(simulation):
    agents = {agent["name"]: agent for agent in simulation.status()}
    until(lambda: complete(simulation))

    assert {"agent-0", "agent-1"} <= agents.keys()
    for name in ("agent-0", "agent-1"):
        assert agents[name]["settled"]
        assert agents[name]["incarnation"] >= 1
        assert agents[name]["progress"]["step"] >= 60
        assert agents[name]["pid"] != os.getpid()
    assert json.loads(json.dumps(simulation.status(), allow_nan=False))
    found = query(simulation.results(), "agent-0", "agent-1", tick=0, via="best")
    assert found.path[0] == "agent-0"
    assert len(found.nearest) == 5


def test_nobody_learns_otherwise_because_somebody_came(simulation, tmp_path):
    """Bodies aside, an agent's weights follow from its own settings alone."""
    with newcomer(simulation, settings=["training.steps=10"]):
        there = status_of(simulation, "agent-0")["progress"]["step"]
    path = simulation.folder.agent("agent-0") / "checkpoint.safetensors"
    until(lambda: read_checkpoint(path)[1]["step"] > there)
    facts = read_checkpoint(path)[1]
    config = simulation.folder.config()
    alone = Agent(member_spec(config, initial_members(config)[0], [], RunFolder(tmp_path), online=True))
    alone.train()
    published = alone.publish().peer_info.checkpoint
    alone.train(until=min(facts["step"], 3000))  # a busy machine may have taken its time over the newcomer

    with ledger_of(simulation) as ledger:
        told = [event for event in ledger.events() if event.type == "published"]
    assert published == next(
        event.details["checkpoint"] for event in told if event.details["agent"] == "agent-0"
    )
    assert alone.trainer.losses == facts["losses"][: alone.trainer.step]
    assert len(facts["losses"]) > there > 60


def test_agents_go_on_learning_when_their_course_is_over(simulation):
    before = status_of(simulation, "agent-0")["progress"]

    until(lambda: status_of(simulation, "agent-0")["progress"]["step"] > max(before["step"], 60))
    assert status_of(simulation, "agent-0")["progress"]["next_tick"] > before["next_tick"] - 1


def test_another_program_reaches_the_same_simulation_and_nobody_brings_it_up_twice(simulation):
    again = Simulation.attach(RunFolder.at(simulation.folder.path))
    assert [agent["name"] for agent in again.status()] == [agent["name"] for agent in simulation.status()]

    with pytest.raises(RunFolderError, match=r"is up already$"):
        Simulation.resume(simulation.folder)
    assert was_simulation(simulation.folder)


def test_a_newcomer_is_understood_by_everybody_and_disturbs_nobody(simulation):
    with ledger_of(simulation) as ledger:
        before = {pair: len(ledger.history(*pair)) for pair in permutations(("agent-0", "agent-1"), 2)}
    with newcomer(simulation, settings=["model.dim=5", "training.steps=20"]) as name:
        until(lambda: complete(simulation))
        assert simulation.results().agent(name).dim == 5
        assert simulation.results().agent(name).steps == 20
        with ledger_of(simulation) as ledger:
            assert {pair: len(ledger.history(*pair)) for pair in before} == before

    assert name not in simulation.results().graph.agents
    assert name not in cluster.names_in(simulation.folder.namespace)
    with ledger_of(simulation) as ledger:
        ended = ledger.history("agent-0", name)
    assert (ended[-1].status, ended[-1].reason) == ("ended", f"{name} left")


def test_a_newcomer_may_be_taught_and_reads_fewer_frames(simulation):
    lesson = ["distillation.ticks=256", "distillation.batch=32", "distillation.steps=20"]
    with newcomer(simulation, teacher="agent-0", settings=lesson) as name:
        until(lambda: complete(simulation))
        saved = saving(simulation.results(), name)
        assert saved["read"] == simulation.results().agent(name).distill_frames == 20 * 32
        assert saved["share_read"] == 20 * 32 / (60 * 32 * 4)
        with ledger_of(simulation) as ledger:
            kinds = [row.type for row in ledger.messages() if name in (row.sender, row.receiver)]
        assert (kinds.count("DistillRequest"), kinds.count("DistillReply")) == (1, 1)


BAD = {
    "a name that is there": ({"name": "agent-0"}, "choose another"),
    "a pose that sees nothing": ({"pose": "4.8,3.2,0,0,-35"}, "the camera sees nothing"),
    "an unknown teacher": ({"teacher": "nobody"}, "no agent is named 'nobody'"),
    "an unknown kind": ({"kind": "jepaa"}, "did you mean 'jepa'"),
    "an unknown setting": ({"settings": ["model.dimm=4"]}, "did you mean model.dim"),
    "a scene of its own": ({"settings": ["scene.objects=3"]}, "is everybody's"),
    "one that cannot be built": ({"settings": ["agents.device=mps"]}, "agent-[0-9]+ could not start: "),
}


@pytest.mark.parametrize("case", BAD)
def test_one_that_cannot_come_leaves_no_process_and_no_row(simulation, case):
    wanted, sentence = BAD[case]
    with ledger_of(simulation) as ledger:
        names = ledger.names()
        actors = set(cluster.names_in(simulation.folder.namespace))
        with pytest.raises(ValueError, match=sentence):
            simulation.add_agent(**wanted)

        assert ledger.names() == names
    assert set(cluster.names_in(simulation.folder.namespace)) == actors
    assert [agent["name"] for agent in simulation.status()] == [
        name for name in names if name in simulation.results().graph.agents
    ]


def test_a_camera_that_moves_makes_its_edges_stale_until_its_new_view_is_learned(simulation):
    with newcomer(simulation, settings=["training.steps=40"]) as name:
        until(lambda: complete(simulation))
        old = simulation.results().agent(name).checkpoint
        simulation.move_agent(name, ELSEWHERE)
        assert edges(simulation)["agent-0", name].status == "stale"
        assert name in simulation.results().document.training
        until(lambda: complete(simulation))
        agent = simulation.results().agent(name)

        assert (agent.pose_version, agent.pose.x) == (1, -4.8)
        assert agent.checkpoint != old
        with pytest.raises(ValueError, match="sees nothing"):
            simulation.move_agent(name, "4.8,3.2,0,0,-35")


def test_a_killed_agent_comes_back_goes_on_and_no_edge_is_doubled(simulation):
    until(lambda: complete(simulation))
    before = status_of(simulation, "agent-1")
    with ledger_of(simulation) as ledger:
        saved = read_checkpoint(simulation.folder.agent("agent-1") / "checkpoint.safetensors")[1]["step"]
        os.kill(before["pid"], signal.SIGKILL)
        until(lambda: status_of(simulation, "agent-1")["incarnation"] == before["incarnation"] + 1)
        back = until(lambda: status_of(simulation, "agent-1")["settled"] and status_of(simulation, "agent-1"))

        assert back["pid"] != before["pid"]
        assert back["progress"]["step"] >= saved > 0
        life = back["incarnation"]
        told = until(
            lambda: [e for e in ledger.history("agent-1", "agent-0") if e.source_incarnation == life]
        )
        assert len(told) == 1
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


def test_the_keeper_may_die_and_the_simulation_goes_on_as_if_it_had_not(simulation):
    pids = {agent["name"]: agent["pid"] for agent in simulation.status()}

    def found_again():
        with contextlib.suppress(ClusterError):  # it is coming back
            return {agent["name"]: agent["pid"] for agent in simulation.status()} == pids

    cluster.ray.kill(simulation.supervisor, no_restart=False)
    time.sleep(1.0)
    until(found_again)

    with newcomer(simulation, settings=["training.steps=10"]):
        until(lambda: complete(simulation))
