"""A supervisor while Ray or its ledger does not answer it."""

import asyncio
import contextlib
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
import ray

from social_jepa.config.run_config import load_config
from social_jepa.runtime import agent_processes
from social_jepa.runtime.cluster import ResourceShare
from social_jepa.runtime.control import socket_path
from social_jepa.runtime.errors import RayUnavailableError
from social_jepa.runtime.supervisor import Supervisor
from social_jepa.storage.run_folder import create
from tests.support.command import TINY

OTHER_POSE = "-4.8,3.2,0,0,-35"


def run(coroutine):
    """Run a coroutine on a thread: the browser of other tests keeps an event loop running in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()


def no_nodes():
    raise RayUnavailableError("", "a node failed")


@pytest.fixture
def supervisor(tmp_path, monkeypatch):
    """A supervisor that has not found its agents yet; Ray is not up."""
    actor_class = Supervisor.__ray_metadata__.modified_class
    monkeypatch.setattr(actor_class, "_call_begin", lambda self: None)
    monkeypatch.setattr(ray, "get_runtime_context", lambda: SimpleNamespace(get_node_id=lambda: ""))
    monkeypatch.setattr(agent_processes, "read_nodes", no_nodes)
    folder = create(load_config(overrides=TINY), tmp_path / "run")
    resources = ResourceShare(cpus=0.1, gpus=0.0, threads=1, note="")
    found = actor_class(str(folder.path), folder.namespace, True, resources, str(socket_path(folder.path)))
    yield found
    found._lock.release()
    found._ledger.close()
    found._flags._ledger.close()


def names(supervisor):
    return [agent.name for agent in run(supervisor.status())]


def test_a_joiner_whose_process_cannot_be_started_is_no_joiner(supervisor):
    with pytest.raises(RayUnavailableError):
        run(supervisor.add({}, 1.0))

    assert names(supervisor) == ["agent-0", "agent-1"]


def test_agents_that_are_not_found_yet_can_be_paused_moved_and_removed(supervisor):
    assert len(run(supervisor.pause("", True))) == 2
    assert run(supervisor.move("agent-0", OTHER_POSE)).pose.startswith("-4.8,3.2")
    run(supervisor.remove("agent-1"))

    assert names(supervisor) == ["agent-0"]


def test_the_event_loop_goes_on_while_a_status_waits_for_the_ledger(supervisor):
    async def ask():
        with contextlib.closing(sqlite3.connect(supervisor._ledger.path, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")  # as a writer in its commit: nothing can be read meanwhile
            status = asyncio.create_task(supervisor.status())
            await asyncio.sleep(0)
            waits = not status.done()
        return waits, [agent.flagged for agent in await status]

    assert run(ask()) == (True, ["", ""])
