"""What the watch of a simulation sends to agents."""

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import pytest

from agents.protocol.edge import EdgeResult
from agents.protocol.events import AgentEvents
from agents.report import AgentReport
from alignment.status import Status
from social_jepa.config.run_config import load_config
from social_jepa.runtime.agent_watch import AgentWatch
from social_jepa.runtime.membership import Membership
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.run_folder import create
from tests.support.command import TINY

KEY = b"k" * 32
COUNT, DEGREE = 30, 4


class Sent(dict):
    """The peer lists that handles were sent, by name; makes those handles, which stand for Ray's."""

    def handle(self, name):
        return SimpleNamespace(
            update_peers=SimpleNamespace(remote=lambda _, found: self.__setitem__(name, found)),
            start_agent=SimpleNamespace(remote=lambda *_: None),
        )


@pytest.fixture
def watched(tmp_path, request):
    """The watch, the membership and the lists sent by a simulation of agents that have all registered."""
    settings = (f"agents.count={COUNT}", f"negotiation.topology=k_regular({DEGREE})", request.param)
    config = load_config(overrides=[*TINY, *settings])
    folder, sent = create(config, tmp_path / "run"), Sent()
    with contextlib.closing(Ledger(folder.ledger_file, create=True)) as ledger:
        membership = Membership(config, folder, ledger, online=True)
        watch = AgentWatch(membership, None, ledger, None)
        for name in membership.members:
            enroll(membership, watch, sent, name)
        watch.broadcast_peers()
        sent.clear()
        yield watch, membership, sent


def enroll(membership, watch, sent, name):
    """Let an agent register, as its process does."""
    watch.handles[name] = sent.handle(name)
    membership.next_incarnation(name)
    membership.set_public_key(name, KEY)
    return watch.peer_list(name)


def join(watched):
    watch, membership, sent = watched
    name = membership.propose().name
    enroll(membership, watch, sent, name)
    watch.broadcast_peers(but=name)
    membership.admit(name, 0)
    watch.broadcast_peers()
    return name


def peers(watch, membership):
    return {name: membership.peer_list(watch.handles, name).peers for name in membership.members}


@pytest.mark.parametrize("watched", ["scene.bodies=false"], indirect=True)
def test_a_join_a_return_and_a_leave_are_told_to_those_agents_alone_whose_peers_change(watched):
    watch, membership, sent = watched
    watch.broadcast_peers()
    assert sent == {}

    before = peers(watch, membership)
    name = join(watched)
    after = peers(watch, membership)
    changed = {each for each in before if before[each] != after[each]}
    assert set(sent) == changed
    assert 2 <= len(changed) <= 3 * DEGREE
    assert {each: found.peers for each, found in sent.items()} == {each: after[each] for each in changed}

    sent.clear()
    enroll(membership, watch, sent, name)
    watch.broadcast_peers(but=name)
    assert set(sent) == set(after[name])

    sent.clear()
    membership.remove(name, 0)
    del watch.handles[name]
    watch.broadcast_peers()
    assert set(after[name]) <= set(sent)
    assert len(sent) <= 3 * DEGREE
    assert peers(watch, membership) == before


@pytest.mark.parametrize("watched", ["scene.bodies=false"], indirect=True)
def test_a_list_has_a_higher_version_once_a_restarted_supervisor_has_found_the_agents(watched, monkeypatch):
    """An agent may enroll before that; it ignores lists that are no newer than the one it has."""
    _, membership, sent = watched
    restarted = AgentWatch(membership, None, None, None)
    early = restarted.peer_list("agent-0")
    assert early.peers == {}

    monkeypatch.setattr(restarted, "_find", sent.handle)
    monkeypatch.setattr(membership, "actor", lambda name: name)
    for name in membership.members:
        restarted._start_in_actor(name)
    restarted.broadcast_peers()

    assert len(sent["agent-0"].peers) == DEGREE
    assert sent["agent-0"].version > early.version
    later = restarted.peer_list("agent-0").version
    monkeypatch.setattr(restarted, "keep_agents", lambda handle: None)
    monkeypatch.setattr(restarted, "_processes", SimpleNamespace(forget=lambda name: None))
    monkeypatch.setattr(restarted, "_writer", SimpleNamespace(written_versions={}))
    restarted.release(next(iter(sent["agent-0"].peers)))
    assert restarted.peer_list("agent-0").version > later


@pytest.mark.parametrize("watched", ["scene.bodies=false"], indirect=True)
def test_an_edge_from_an_incarnation_that_never_registered_is_not_recorded(watched):
    """Evidence compares replies of one incarnation: a liar could name another one to each peer."""
    watch, membership, _ = watched
    membership.next_incarnation("agent-1")
    edges = [
        EdgeResult("agent-1", "agent-0", 0, Status.ACCEPTED, "", "a" * 16, "b" * 16, incarnations=(number, 1))
        for number in (1, 2, 3)
    ]
    report = AgentReport(
        events=AgentEvents(1, 3, tuple(edges), refused=("earlier",)), progress=None, snapshot=None,
        checkpoint="", settled=False, failure=None, note="", node="", host="", device="", pid=0,
        activity=None, unanswered={},
    )  # fmt: skip

    events = watch._of_known_processes(report).events
    assert [edge.incarnations for edge in events.edges] == [(1, 1), (2, 1)]
    assert events.refused == ("earlier", "agent-1 negotiated as incarnation 3, and 2 registered")
    honest = replace(report, events=AgentEvents(1, 3, tuple(edges[:2])))
    assert watch._of_known_processes(honest) is honest


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("watched", ["scene.bodies=false"], indirect=True)
def test_all_events_that_wait_are_asked_for_at_the_end_but_of_an_unknown_process_once(watched, known):
    watch, asked = watched[0], []

    async def report(name, incarnation, since, *_):
        asked.append(since)
        parts = AgentEvents(1, min(since + 10, 25), more=since + 10 < 25)
        return SimpleNamespace(events=parts)

    async def receive(name, found):  # what follows needs Ray
        if known:
            await watch._record_events(name, found)

    async def record(name, found):
        pass

    watch._receive, watch._recorder = receive, SimpleNamespace(record=record)
    watch._writer = SimpleNamespace(written_versions={})
    watch.handles["agent-0"].report = SimpleNamespace(remote=report)
    with ThreadPoolExecutor(1) as pool:
        unsaved = pool.submit(asyncio.run, watch._record_last_report("agent-0")).result()

    assert unsaved == []
    assert asked == ([0, 10, 20] if known else [0])


@pytest.mark.parametrize("watched", ["scene.bodies=true"], indirect=True)
def test_a_body_that_all_cameras_see_is_told_to_all(watched):
    _, membership, sent = watched
    name = join(watched)

    assert set(sent) == set(membership.members)
    assert {found.body_events[-1].name for found in sent.values()} == {name}
