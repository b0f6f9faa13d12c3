"""What a server says of a simulation whose supervisor does not answer, and of one that is not up."""

import contextlib
import sqlite3

import pytest
from prometheus_client.parser import text_string_to_metric_families

from social_jepa.records import replace
from social_jepa.runtime.membership import record_start
from social_jepa.server import client as server_client
from social_jepa.storage import simulation_file
from social_jepa.storage.ledger import Ledger
from tests.support.planted_run import planted_run
from tests.support.servers import client_of
from tests.support.statuses import AGENT
from tests.support.supervisors import supervised

AGENTS = (AGENT, replace(AGENT, name="agent-1"))


@pytest.fixture(autouse=True)
def hardly_wait(monkeypatch):
    monkeypatch.setattr(server_client, "STATUS_TIMEOUT", 0.2)
    monkeypatch.setattr(server_client, "STATUS_MAX_AGE", 0.0)


@pytest.fixture
def folder(tmp_path):
    return planted_run(tmp_path / "run", 2)


def metric(client, name):
    """Return the samples of a metric, by their labels."""
    families = text_string_to_metric_families(client.get("/metrics").text)
    return {
        tuple(sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
        if sample.name == name
    }


def test_a_simulation_whose_supervisor_does_not_answer_is_up_with_what_was_known_last(folder):
    with supervised(folder, AGENTS) as supervisor, client_of(folder) as client:
        status = client.get("/api/status").json()
        assert (status["up"], status["state"], status["agents"]) == (True, "up", {"training": 2})
        supervisor.hangs.set()
        status, agent = (client.get(f"/api/{name}").json() for name in ("status", "agents/agent-0"))
        up, phases, step = (metric(client, f"social_jepa_{name}") for name in ("up", "agents", "agent_step"))
        supervisor.hangs.clear()
        after = client.get("/api/status").json()

    assert (status["up"], status["state"], status["agents"]) == (True, "up", {"unknown": 2})
    assert (status["remedy"], status["command"]) == ("", "")
    assert status["trouble"].startswith("the supervisor of the simulation does not answer")
    assert (agent["phase"], agent["step"], agent["pid"]) == ("unknown", 1234, 4711)
    assert (up, phases, step) == (
        {(): 1.0},
        {("unknown",): 2.0},
        {("agent-0",): 1234.0, ("agent-1",): 1234.0},
    )
    assert (after["agents"], after["trouble"]) == ({"training": 2}, "")


def test_a_server_that_never_heard_of_the_supervisor_shows_what_the_ledger_has(folder):
    with supervised(folder, AGENTS) as supervisor:
        supervisor.hangs.set()
        with client_of(folder) as client:
            status, agent = (client.get(f"/api/{name}").json() for name in ("status", "agents/agent-0"))

    with contextlib.closing(Ledger(folder.ledger_file)) as ledger:
        published = ledger.agents()["agent-0"]
    assert (status["up"], status["agents"]) == (True, {"unknown": 2})
    assert (agent["phase"], agent["step"], agent["checkpoint"]) == (
        "unknown", published.steps, published.checkpoint,
    )  # fmt: skip


def test_the_status_names_the_remedy_that_the_commands_name_and_a_refused_request_does_too(folder):
    with client_of(folder) as client:
        with contextlib.closing(Ledger(folder.ledger_file)) as ledger:
            record_start(ledger, folder.config(), folder, "started", online=True)
        checkpoint = folder.agent("agent-0") / "checkpoint.safetensors"
        checkpoint.parent.mkdir(parents=True)
        checkpoint.touch()
        down, refused = client.get("/api/status").json(), client.delete("/api/agents/agent-0")
        checkpoint.unlink()
        copy, also_refused = client.get("/api/status").json(), client.delete("/api/agents/agent-0")
        lock = folder.acquire_lock()
        at_work = client.get("/api/status").json()
        lock.release()

    resume, up = (
        f"social-jepa resume --run {folder.path}", f"social-jepa up --config {folder.path}/config.toml",
    )  # fmt: skip
    sentence = f"{resume} brings it back"
    assert (down["state"], down["remedy"], down["command"]) == ("down", sentence, resume)
    assert (refused.status_code, refused.json()["detail"]) == (409, f"{folder.path} is not up: {sentence}")
    assert (copy["state"], copy["command"]) == ("down", up)
    assert copy["remedy"].startswith("it can only be read, since it has models without checkpoints")
    assert also_refused.json()["detail"] == f"{folder.path} is not up: {copy['remedy']}"
    assert (at_work["state"], at_work["agents"], at_work["command"]) == ("training", {"unknown": 2}, "")
    assert at_work["remedy"] == "a command is starting or ending it: try again in a moment"


def test_one_status_of_a_run_that_is_down_reads_its_ledger_and_its_simulation_file_once(folder, monkeypatch):
    """What it is and what helps there follow from one reading, so that they fit each other."""
    opened, read, connect, original = [], [], sqlite3.connect, simulation_file.read
    with client_of(folder) as client:
        with contextlib.closing(Ledger(folder.ledger_file)) as ledger:
            record_start(ledger, folder.config(), folder, "started", online=True)
        client.get("/api/status")  # the server keeps the ledger of the graph open
        monkeypatch.setattr(server_client, "STATUS_MAX_AGE", 60.0)  # the client's own reading is one for all
        client.get("/api/status")
        monkeypatch.setattr(sqlite3, "connect", lambda path, **kw: opened.append(path) or connect(path, **kw))
        monkeypatch.setattr(simulation_file, "read", lambda path: read.append(path) or original(path))
        status = client.get("/api/status").json()

    assert (status["state"], len(opened), len(read)) == ("down", 1, 1)
    assert "?mode=ro" in opened[0]
