"""Agents of one process, without Ray: each learns what it would learn alone."""

import asyncio
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from agents.agent import Agent
from agents.common.files import CHECKPOINT
from agents.compute_share import FairLock
from agents.hosted_agent import ActorProcess, HostedAgent
from agents.protocol.peer_list import PeerList
from env.camera import RingConfig, ring_pose
from social_jepa.storage.agent_files import AgentFileStore
from social_jepa.storage.run_folder import RunFolder
from tests.support.keys import SESSION
from tests.support.swarm import tiny_spec

NAMES = ("agent-0", "agent-1")


class LoneSupervisor:
    """Answers agents that have no peers."""

    def __init__(self, folder, **training):
        self.specs = {name: tiny_spec(index, folder, **training) for index, name in enumerate(NAMES)}
        self.files = AgentFileStore(RunFolder(folder))

    def call(self, method, name, *arguments, timeout=None):
        match method:
            case "register":
                return self.specs[name], 1, SESSION
            case "locate_files":
                return self.files.locate(name)
            case "enroll":
                return PeerList(1, {}, {}, SESSION, self.specs[name].events)


def run(coroutine):
    """Run a coroutine on a thread of its own: a browser may have left a loop running on this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()


def until(ready):
    deadline = time.monotonic() + 240
    while not (found := ready()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


def reported(agent, ready):
    def report():
        found = run(agent.report(0, 0, "", 0.0))
        if found is None:
            return None
        assert found.failure is None, found.failure
        return found if found.progress is not None and ready(found) else None

    return until(report)


def test_agents_of_one_process_learn_what_they_learn_alone_and_one_leaves_without_the_other(tmp_path):
    supervisor, local = LoneSupervisor(tmp_path), []
    process = ActorProcess(
        supervisor.call, FairLock(), lambda: local.append(threading.get_ident()), "", False
    )
    agents = {name: HostedAgent(name, process, str(tmp_path / f"{name}.log")) for name in NAMES}
    published = {name: reported(agent, lambda report: report.checkpoint) for name, agent in agents.items()}

    for index, name in enumerate(NAMES):
        alone = Agent(tiny_spec(index, tmp_path / "alone"))
        alone.train()
        assert published[name].checkpoint == alone.publish().peer_info.checkpoint
        lines = (tmp_path / f"{name}.log").read_text()
        assert f"{name} published checkpoint {alone.files.checkpoint}" in lines
        assert NAMES[1 - index] not in lines
    assert len(set(local)) == 2

    run(agents["agent-0"].pause(True))
    reported(agents["agent-0"], lambda report: report.progress.phase == "paused")
    assert reported(agents["agent-1"], lambda report: True).progress.phase == "ready"
    agents["agent-0"].drop()
    until(lambda: "agent-0 is dropped" in (tmp_path / "agent-0.log").read_text())
    run(agents["agent-1"].stop())
    assert reported(agents["agent-1"], lambda report: True).progress.phase == "stopped"
    assert supervisor.files.locate("agent-1") is not None
    assert (tmp_path / "agent-1" / CHECKPOINT).exists()


def test_what_an_agent_that_could_not_start_holds_is_freed_once_it_is_dropped(tmp_path):
    supervisor, log = LoneSupervisor(tmp_path), tmp_path / "agent-0.log"

    def call(method, *arguments, timeout=None):
        if method == "enroll":
            raise ConnectionError("the supervisor is gone")
        return supervisor.call(method, *arguments)

    def handlers():
        return [
            each
            for each in logging.getLogger("agents").handlers
            if vars(each).get("baseFilename") == str(log)
        ]

    agent = HostedAgent("agent-0", ActorProcess(call, FairLock(), lambda: None, "", False), str(log))
    failure = until(lambda: (found := run(agent.report(0, 0, "", 0.0))) and found.failure)
    run(agent.move(ring_pose(2, RingConfig()), 1))  # as the supervisor may, before it has heard
    kept = handlers()
    agent.drop()
    until(lambda: not handlers())

    assert "the supervisor is gone" in failure.message
    assert len(kept) == 1
