import asyncio
import contextlib
import os
import re
import signal
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from agents.agent import Agent
from agents.common.files import CHECKPOINT, PUBLISHED
from agents.errors import UnknownAgentError
from agents.protocol.identity import KEY_FILE
from agents.protocol.messages import AnchorRequest
from agents.restoring import restore_agent
from agents.training.checkpoint import CheckpointError, read_checkpoint
from tests.support.keys import SESSION, identity_of, signed
from tests.support.swarm import comparable, connect_protocols, example_offer, publish_all, tiny_spec

pytestmark = pytest.mark.ray

REQUEST = AnchorRequest(
    source="agent-0", target="agent-1", round=7, anchors=8, heldout=8, offer_nonce=0, nonce=0, chosen=b"",
    dims=1, precision="float32",
)  # fmt: skip
TO_AGENT_0 = {"source": "agent-1", "target": "agent-0"}
INVALID = {  # what is delivered to agent-0, and why it is refused
    "no bytes": (lambda: b"", "shorter than an envelope"),
    "HTTP": (lambda: b"GET / HTTP/1.1" + bytes(200), "not a Social-JEPA envelope"),
    "no message": (lambda: signed(REQUEST, sequence=100, body=b"\xc1"), "not a message"),
    "to another agent": (
        lambda: signed(example_offer()), "a message to agent-1 was delivered to agent-0"),
    "no peer": (
        lambda: signed(example_offer(source="eve", target="agent-0")), "eve is not a peer of agent-0"),
    "an impostor": (
        lambda: signed(example_offer(**TO_AGENT_0), "eve", sequence=101), "agent-1 did not sign this"),
    "an impostor with its own key": (
        lambda: signed(example_offer(**TO_AGENT_0), "eve", sequence=101, key_id=identity_of("eve").key_id),
        "agent-1 signs with another key than"),
    "a forged incarnation": (
        lambda: signed(example_offer(**TO_AGENT_0), "eve", incarnation=9), "agent-1 did not sign this"),
    "no open offer": (
        lambda: signed(REQUEST, sequence=102), "agent-1 sent AnchorRequest of round 7, which no open"),
    "a former incarnation": (
        lambda: signed(REQUEST, incarnation=0), "agent-1 sent this as incarnation 0; its newest one is 1"),
}  # fmt: skip


class FakeSupervisor:
    """A minimal supervisor: it numbers incarnations and broadcasts the peers once all are there.

    Its run folder is `folder`, which the actors see or not; in it are the files of its agents.
    """

    def __init__(self, folder, visible, specs):
        from social_jepa.storage.agent_files import AgentFileStore
        from social_jepa.storage.run_folder import RunFolder

        self.folder, self.visible, self.specs = folder, visible, specs
        self.incarnations, self.handles, self.version = dict.fromkeys(specs, 0), {}, 0
        self.keys = {}
        self.files = AgentFileStore(RunFolder(folder))

    def peer_list(self):
        from agents.protocol.peer_list import PeerList
        from agents.protocol.verifier import KnownPeer

        peers = {name: KnownPeer(self.keys[name], self.incarnations[name]) for name in self.handles}
        self.version += 1
        return PeerList(self.version, self.handles, peers, SESSION, self.specs["agent-0"].events)

    async def register(self, name, versions):
        assert versions["torch"]
        self.incarnations[name] += 1
        return self.specs[name], self.incarnations[name], SESSION

    async def enroll(self, name, incarnation, public_key):
        assert incarnation == self.incarnations[name]
        self.keys[name] = public_key
        return self.peer_list()

    async def locate_files(self, name):
        found = self.files.locate(name)
        return found if self.visible else replace(found, folder_id="of another machine")

    async def read_file(self, name, file, offset):
        return self.files.read(name, file, offset)

    async def store_file(self, name, incarnation, chunk):
        if incarnation == self.incarnations[name]:
            self.files.write(name, chunk)
        return incarnation == self.incarnations[name]

    async def append_log(self, name, lines):
        from agents.logs import append_lines

        append_lines(self.folder / f"{name}.log", lines)

    async def introduce(self, handles):
        while self.keys.keys() != self.specs.keys():
            await asyncio.sleep(0.02)
        self.handles = handles
        for name, handle in handles.items():
            handle.update_peers.remote(name, self.peer_list())


def make_supervisor(ray, folder, visible=True, **training):
    specs = {f"agent-{index}": tiny_spec(index, folder, **training) for index in range(2)}
    return ray.remote(num_cpus=0)(FakeSupervisor).remote(folder, visible, specs)


class Lone:
    """Calls the only agent of an actor, or one of several: every method but that takes its name first."""

    def __init__(self, actor, name):
        self.actor, self.name = actor, name

    def __getattr__(self, method):
        call = getattr(self.actor, method).remote
        return SimpleNamespace(remote=lambda *arguments: call(self.name, *arguments))


def start(supervisor, name, log_file="", **options):
    import ray

    from agents.actor import AgentActor

    actor = AgentActor.options(num_cpus=0, **options).remote(f"actor-of-{name}", supervisor)
    agent = Lone(actor, name)
    ray.get(agent.start_agent.remote(log_file))  # calls of an actor may overtake each other
    return agent


def wait_for_reports(ray, actors, ready):
    """Return the actors' reports once `ready` is true of each."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        reports = ray.get([actor.report.remote(0, 0, "") for actor in actors])
        if all(each is not None and each.progress is not None and ready(each) for each in reports):
            return reports
        time.sleep(0.02)
    raise AssertionError(f"the actors did not get that far: {reports}")


@pytest.fixture(scope="module")
def negotiated(ray_local, tmp_path_factory):
    """Reports and the log file of two actors that negotiated and then received invalid bytes."""
    import ray

    folder = tmp_path_factory.mktemp("actors")
    log_file = folder / "agent-0.log"
    supervisor = make_supervisor(ray, folder)
    for name in ("agent-0", "agent-1"):
        identity_of(name).save(folder / name / KEY_FILE)
    actors = {
        "agent-0": start(supervisor, "agent-0", str(log_file)),
        "agent-1": start(supervisor, "agent-1"),
    }
    ray.get(supervisor.introduce.remote({name: agent.actor for name, agent in actors.items()}))
    found = {"settled": wait_for_reports(ray, actors.values(), lambda report: report.settled)}
    for make, _ in INVALID.values():
        ray.get(actors["agent-0"].deliver.remote(make()))
    found["after"] = ray.get([actor.report.remote(0, 0, "") for actor in actors.values()])
    found["known"] = ray.get(actors["agent-0"].report.remote(0, 0, found["after"][0].checkpoint))
    found["core"] = ray.get(actors["agent-0"].encode_core.remote([0, 8]))
    found["log"] = log_file.read_text()
    yield found
    for actor in (*(agent.actor for agent in actors.values()), supervisor):
        ray.kill(actor)


def test_actors_negotiate_the_same_edges_as_agents_in_one_process(negotiated, tmp_path):
    agents = {f"agent-{index}": Agent(tiny_spec(index, tmp_path)) for index in range(2)}
    for agent in agents.values():
        agent.train()
        agent.publish()
    protocols, transport = connect_protocols(agents)
    publish_all(protocols, {name: agent.negotiation for name, agent in agents.items()})
    transport.run()

    for protocol, report in zip(protocols.values(), negotiated["settled"], strict=True):
        local, remote = protocol.events(1, 0), report.events
        assert [comparable(edge) for edge in remote.edges] == [comparable(edge) for edge in local.edges]
        # an actor that publishes before the other is a peer sends it Hello later
        assert sorted(entry for entry in remote.sent if entry.type != "Hello") == sorted(
            entry for entry in local.sent if entry.type != "Hello"
        )


def test_a_report_holds_progress_device_and_process(negotiated):
    for index, report in enumerate(negotiated["settled"]):
        assert report.progress.name == report.snapshot.peer_info.name == f"agent-{index}"
        assert (report.progress.phase, report.progress.step, report.device) == ("ready", 40, "cpu")
        assert report.checkpoint == report.snapshot.peer_info.checkpoint
        assert (report.failure, report.events.incarnation) == (None, 1)
    assert len({report.pid for report in negotiated["settled"]}) == 2


def test_a_snapshot_is_sent_only_to_a_caller_without_that_checkpoint(negotiated):
    assert negotiated["known"].snapshot is None
    assert negotiated["after"][0].snapshot is not None


def test_core_latents_are_those_of_the_published_model(negotiated):
    heldout = negotiated["settled"][0].snapshot.pools.heldout
    rows = [heldout.ids.index(tick) for tick in (0, 8)]

    assert negotiated["core"] == pytest.approx(heldout.core()[rows].numpy())


def test_invalid_messages_are_refused_and_reported_and_change_nothing(negotiated):
    first, second = negotiated["after"]
    assert len(first.events.refused) == len(INVALID)
    for sentence, (_, pattern) in zip(first.events.refused, INVALID.values(), strict=True):
        assert re.search(pattern, sentence)
    # the peer lists do not arrive at once: a Hello of the agent told first may come too early
    assert set(second.events.refused) <= {"agent-0 is not a peer of agent-1"}
    assert first.settled
    assert {edge.source for edge in first.events.edges} == {"agent-1"}


def test_the_log_file_says_how_the_agent_started_what_it_published_and_what_it_refused(negotiated):
    checkpoint = negotiated["settled"][0].checkpoint
    log = negotiated["log"]
    assert re.search(
        r"INFO agents\.hosted_agent: agent-0 starts as incarnation 1 on cpu, process \d+: it is new", log
    )
    assert f"INFO agents.runner: agent-0 published checkpoint {checkpoint} at step 40" in log
    assert "INFO agents.protocol.peer_protocol: edge agent-1 -> agent-0 accepted" in log
    assert log.count("WARNING agents.protocol.peer_protocol: agent-0: refused a message: ") == len(INVALID)


def test_an_actor_stops_on_request_and_its_agent_resumes_at_the_same_step(ray_local, tmp_path):
    import ray

    supervisor = make_supervisor(ray, tmp_path, steps=100_000)
    actor = start(supervisor, "agent-0")
    wait_for_reports(ray, [actor], lambda report: report.progress.step >= 2)  # it replies while it trains
    ray.get(actor.stop.remote(), timeout=20)
    (report,) = ray.get([actor.report.remote(0, 0, "")])
    for each in (actor.actor, supervisor):
        ray.kill(each)

    resumed = Agent(tiny_spec(0, tmp_path, steps=100_000))
    restore_agent(resumed)
    assert report.progress.phase == "stopped"
    assert resumed.trainer.step == report.progress.step >= 2


def test_a_report_waits_for_news_or_a_heartbeat_and_for_no_other_call(ray_local, tmp_path):
    import ray

    supervisor = make_supervisor(ray, tmp_path, steps=100_000)
    actor = start(supervisor, "agent-0")
    (told,) = wait_for_reports(ray, [actor], lambda report: report.progress.step >= 2)
    incarnation, last = told.events.incarnation, told.events.last_number
    ray.get(actor.report.remote(incarnation, last, ""))

    waiting = actor.report.remote(incarnation, last, "", 3600.0)
    assert ray.get(actor.report.remote(incarnation, last, "")).progress.step >= 2
    ray.get(actor.deliver.remote(b"no envelope"))
    news = ray.get(waiting, timeout=60)
    assert len(news.events.refused) == 1
    repeated = ray.get(actor.report.remote(incarnation, last, "", 3600.0), timeout=60)
    assert repeated.events == news.events
    acknowledged = ray.get(actor.report.remote(incarnation, news.events.last_number, "", 0.2), timeout=60)
    assert acknowledged.events.refused == ()
    ray.get(actor.pause.remote(True))
    for _ in range(100):  # until the loop of the agent says so
        if (
            ray.get(actor.report.remote(incarnation, news.events.last_number, "", 60.0)).progress.phase
            == "paused"
        ):
            break
    else:
        raise AssertionError("a pause is no news")
    ray.kill(actor.actor)
    with pytest.raises(ray.exceptions.RayActorError):
        ray.get(actor.report.remote(incarnation, last, "", 3600.0), timeout=60)
    ray.kill(supervisor)


def test_an_agent_that_fails_or_cannot_start_reports_why(ray_local, tmp_path):
    import ray

    supervisor = make_supervisor(ray, tmp_path, learning_rate=1e30)
    diverging, unknown = start(supervisor, "agent-0"), start(supervisor, "agent-7")
    (report,) = wait_for_reports(ray, [diverging], lambda report: report.failure)

    assert "try a lower training.learning_rate" in report.failure.message
    assert (report.failure.agent, report.failure.phase) == ("agent-0", "training")
    with pytest.raises(RuntimeError, match=r"try a lower training\.learning_rate"):
        ray.get(diverging.encode_core.remote([0]))
    until = time.monotonic() + 60
    while (report := ray.get(unknown.report.remote(0, 0, ""))) is None and time.monotonic() < until:
        time.sleep(0.02)
    assert "agent-7" in report.failure.message
    assert (report.failure.phase, report.events.incarnation) == ("starting", 0)
    for actor in (diverging.actor, unknown.actor, supervisor):
        ray.kill(actor)


def test_agents_of_one_actor_learn_side_by_side_log_apart_and_leave_without_the_other(ray_local, tmp_path):
    import ray

    supervisor = make_supervisor(ray, tmp_path, steps=100_000)
    logs = {name: tmp_path / f"{name}.log" for name in ("agent-0", "agent-1")}
    first = start(supervisor, "agent-0", str(logs["agent-0"]))
    second = Lone(first.actor, "agent-1")
    second.start_agent.remote(str(logs["agent-1"]))
    second.start_agent.remote(str(logs["agent-1"]))  # without effect
    reports = wait_for_reports(ray, [first, second], lambda report: report.progress.step >= 2)
    assert [report.progress.name for report in reports] == ["agent-0", "agent-1"]
    assert [report.events.incarnation for report in reports] == [1, 1]
    assert len({report.pid for report in reports}) == 1
    for name, log in logs.items():
        lines = log.read_text().splitlines()
        assert f"{name} starts as incarnation 1" in lines[0]
        assert all(other not in line for line in lines for other in logs if other != name)

    ray.get(first.pause.remote(True))
    step = ray.get(second.report.remote(0, 0, "")).progress.step
    (paused,) = wait_for_reports(ray, [first], lambda report: report.progress.phase == "paused")
    wait_for_reports(ray, [second], lambda report: report.progress.step > step + 2)
    assert ray.get(first.report.remote(0, 0, "")).progress.step == paused.progress.step

    checkpoint = tmp_path / "agent-0" / CHECKPOINT  # saved when it paused
    saved = checkpoint.stat().st_mtime_ns
    ray.get(first.actor.keep_agents.remote(["agent-1"]))
    step = ray.get(second.report.remote(0, 0, "")).progress.step
    wait_until(lambda: "agent-0 is dropped" in logs["agent-0"].read_text())
    wait_for_reports(ray, [second], lambda report: report.progress.step > step + 2)
    assert checkpoint.stat().st_mtime_ns == saved
    for call in (first.deliver.remote(b"no envelope"), first.report.remote(0, 0, "")):
        with pytest.raises(UnknownAgentError, match="agent-0 does not live in this actor"):
            ray.get(call)
    for each in (first.actor, supervisor):
        ray.kill(each)


def stored_step(folder, name):
    """Return the step of the checkpoint that the supervisor has of an agent."""
    try:
        return read_checkpoint(folder / "agents" / name / CHECKPOINT)[1]["step"]
    except CheckpointError:
        return 0


def wait_until(ready):
    until = time.monotonic() + 60
    while not ready():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_an_agent_that_does_not_see_the_run_folder_restarts_where_it_was_and_leaves_its_files_there(
    ray_local, tmp_path
):
    import ray

    folder = tmp_path / "run"
    supervisor = make_supervisor(ray, folder, visible=False, steps=60, checkpoint_every=5)
    log_file = str(tmp_path / "elsewhere" / "agent-0.log")
    actor = start(supervisor, "agent-0", log_file, max_restarts=-1)
    wait_until(lambda: stored_step(folder, "agent-0") >= 5)
    (first,) = wait_for_reports(ray, [actor], lambda report: report.progress.step >= 5)
    stored = stored_step(folder, "agent-0")
    os.kill(first.pid, signal.SIGKILL)

    def restarted():
        with contextlib.suppress(ray.exceptions.RayActorError):
            ray.get(actor.start_agent.remote(log_file))
            report = ray.get(actor.report.remote(0, 0, ""))
            return report is not None and report.pid != first.pid and report.checkpoint and report

    wait_until(restarted)
    ray.get(actor.stop.remote(), timeout=20)
    for each in (actor.actor, supervisor):
        ray.kill(each)
    log = (folder / "agent-0.log").read_text()
    (resumed,) = re.findall(r"agent-0 resumes from checkpoint \w+ at step (\d+)", log)
    assert int(resumed) >= stored >= 5
    assert log.count("does not see") == 2
    restored = Agent(replace(tiny_spec(0, folder, steps=60), folder=str(folder / "agents" / "agent-0")))
    restore_agent(restored)
    assert restored.trainer.step == 60
    assert restored.published is not None
    assert not (tmp_path / "elsewhere").exists()
    assert sorted(path.name for path in Path(restored.spec.folder).iterdir()) == [CHECKPOINT, PUBLISHED]


class DyingSupervisor(FakeSupervisor):
    """Its process ends at the first registration, and Ray starts it again."""

    async def register(self, name, versions):
        mark = self.folder / "died"
        if not mark.exists():
            mark.touch()
            os._exit(1)
        return await super().register(name, versions)


def test_an_agent_that_starts_while_its_supervisor_restarts_registers_with_the_next_process(
    ray_local, tmp_path
):
    import ray

    specs = {"agent-0": tiny_spec(0, tmp_path)}
    supervisor = ray.remote(num_cpus=0, max_restarts=1)(DyingSupervisor).remote(tmp_path, True, specs)
    agent = start(supervisor, "agent-0")
    try:
        deadline = time.monotonic() + 120
        while (report := ray.get(agent.report.remote(0, 0, ""))) is None or report.progress is None:
            assert report is None or report.failure is None, report.failure
            assert time.monotonic() < deadline
            time.sleep(0.1)
    finally:
        ray.kill(agent.actor)
        ray.kill(supervisor)
