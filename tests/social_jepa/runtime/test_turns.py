"""Batch runs whose agents take turns on fewer processes, on the Ray of the test session."""

import contextlib
import json
import os
import re
import signal
import threading
import time
from pathlib import Path
from unittest import mock

import pytest
import ray

from agents.training.checkpoint import read_checkpoint
from social_jepa.config.run_config import load_config
from social_jepa.runtime.memory import agent_memory, check_room
from social_jepa.runtime.resource_errors import NotEnoughMemoryError
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.run_folder import RunFolder
from tests.support import failing_models
from tests.support.command import TINY, call, children

pytestmark = pytest.mark.ray

THREE = (
    *TINY,
    "agents.count=3",
    "agents.threads=1",
    "negotiation.anchor_seed=77",
)  # anchors of a public scene
VARYING = re.compile("frames_per_s|node|.*seconds|published_at|incarnation|time|.*_incarnation")


@pytest.fixture(scope="module", autouse=True)
def join_ray(ray_local):
    """Have commands join the Ray of the test session."""
    with mock.patch.dict(os.environ, {"RAY_ADDRESS": ray_local}):
        yield


def steady(document):
    """What a graph document says of agents and edges, without times, speeds, nodes and incarnations."""
    return [
        {key: value for key, value in row.items() if not VARYING.fullmatch(key)}
        for part in ("agents", "edges")
        for row in document[part]
    ]


def workers():
    return [pid for pid, title in children(os.getpid()) if "TurnWorker" in title]


def events(folder, event_type):
    """The details of events of a type, in order."""
    with contextlib.closing(Ledger(folder.ledger_file, read_only=True)) as ledger:
        return [event.details for event in ledger.events_of(event_type)]


def when(condition, act):
    """Do something on a thread once a condition holds; return the thread."""

    def wait():
        until = time.monotonic() + 120
        while not condition() and time.monotonic() < until:
            time.sleep(0.02)
        act()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def test_turns_give_the_graph_of_agents_in_processes_of_their_own_though_a_worker_dies(tmp_path):
    folder, expected = RunFolder(tmp_path / "turns"), RunFolder(tmp_path / "own")
    killed = []

    def kill():
        killed.append(workers()[0])
        os.kill(killed[0], signal.SIGKILL)

    saving = "training.checkpoint_every=5"
    checkpoint = folder.agent("agent-1") / "checkpoint.safetensors"
    killer = when(checkpoint.exists, kill)
    said = call("run", "--out", folder.path, "--json", *THREE, saving, "agents.workers=1")
    killer.join()

    assert said.status == 0, said.err
    assert call("run", "--out", expected.path, "--json", *THREE, saving).status == 0
    found = json.loads(said.out)
    assert steady(found) == steady(json.loads(expected.graph_file.read_text()))
    assert [agent["incarnation"] for agent in found["agents"]] == [1, 2, 1]
    assert len(killed) == 1
    assert workers() == []
    assert [event["reason"] for event in events(folder, "returned")] == ["its process was killed"]
    answer = call("query", "--run", folder.path, "--tick", "3", "--json")
    assert answer.status == 0
    assert call("query", "--run", expected.path, "--tick", "3", "--json") == answer


def test_a_run_that_is_interrupted_goes_on_with_the_agents_that_are_left(tmp_path):
    folder = RunFolder(tmp_path / "run")
    started = folder.agent("agent-1") / "checkpoint.safetensors"
    when(started.exists, lambda: os.kill(os.getpid(), signal.SIGINT))
    said = call(
        "run", "--out", folder.path, *THREE, "training.steps=400", "training.checkpoint_every=5",
        "agents.workers=1",
    )  # fmt: skip

    assert said.status == 130, said.err
    assert f"continue with: social-jepa resume --run {folder.path}" in said.err
    assert not (folder.agent("agent-2") / "checkpoint.safetensors").exists()
    before = read_checkpoint(started)[1]["step"]
    assert 0 < before < 400
    assert workers() == []

    said = call("resume", "--run", folder.path, "--json")
    assert said.status == 0, said.err
    agents = json.loads(said.out)["agents"]
    assert [len(agent["losses"]) for agent in agents] == [400, 400, 400]
    assert len(json.loads(said.out)["edges"]) == 6
    published = events(folder, "published")
    assert [(each["agent"], each["republished"]) for each in published] == [
        (f"agent-{number}", False) for number in range(3)
    ]


def test_an_interrupted_run_does_not_wait_for_a_worker_that_waits_for_resources(tmp_path):
    folder = RunFolder(tmp_path / "run")
    log, driver = (folder.path / "logs" / f"{name}.log" for name in ("supervisor", "driver"))
    interrupt = when(
        lambda: driver.exists() and "recording and training" in driver.read_text(),
        lambda: os.kill(os.getpid(), signal.SIGINT),
    )
    said = call("run", "--out", folder.path, *THREE, "agents.workers=1", "agents.gpus=99")
    interrupt.join()

    assert said.status == 130, said.err
    assert "did not save" not in said.err
    assert "stopped: interrupted" in log.read_text()
    assert "did not save" not in log.read_text()


class Reservation:
    """Takes CPUs of the Ray of the test session."""

    def ready(self):
        """Return once it has them."""


@pytest.fixture
def one_cpu_taken():
    """Leave one of the two CPUs."""
    taken = ray.remote(num_cpus=1)(Reservation).remote()
    ray.get(taken.ready.remote())
    yield
    ray.kill(taken)


def test_a_worker_for_which_there_is_no_room_holds_no_agent_back(tmp_path, one_cpu_taken):
    said = call("run", "--out", tmp_path / "run", "--json", *THREE, "agents.workers=2")

    assert said.status == 0, said.err
    assert len(json.loads(said.out)["edges"]) == 6
    assert workers() == []


def test_an_error_in_a_custom_model_ends_the_run_with_its_class_file_and_line(tmp_path):
    kind = "agents.kind=tests.support.failing_models:RaisesKeyError"
    said = call("run", "--out", tmp_path / "run", *THREE, kind, "agents.workers=2")

    line = failing_models.RaisesKeyError.fail.__code__.co_firstlineno + 1
    found = re.search(r"social-jepa: (agent-[012]) failed: (.*); traceback: (.*)", said.err)
    assert said.status == 1
    assert f"KeyError: 'boom in my loss', {failing_models.__file__} line {line}" in found[2]
    assert "in fail\n    raise KeyError" in Path(found[3]).read_text()


def test_an_agent_that_ends_every_worker_is_named(tmp_path):
    kind = "agents.kind=tests.support.failing_models:EndsItsProcess"
    said = call("run", "--out", tmp_path / "run", *THREE, kind, "agents.workers=1")

    assert said.status == 1
    kept_dying = r"the process of agent-0 kept dying: its process ended with exit code 3; it died \d times"
    assert re.search(f"social-jepa: {kept_dying}", said.err)


def test_agents_that_take_turns_cannot_stay_up(tmp_path):
    said = call("up", "--out", tmp_path / "run", *TINY, "agents.workers=2")

    assert said.status == 2
    assert "agents.workers=2: agents that take turns cannot stay up" in said.err
    assert not (tmp_path / "run").exists()


def test_memory_grows_with_the_workers_and_not_with_the_agents():
    config = load_config(overrides=[*TINY, "agents.count=1000", "agents.workers=2"])
    assert config.agents.processes == 2
    check_room(config, config.agents.processes, available=3 * agent_memory(config))
    with pytest.raises(NotEnoughMemoryError):
        check_room(config, config.agents.count, available=3 * agent_memory(config))
    assert load_config(overrides=["agents.count=3", "agents.workers=8"]).agents.processes == 3
