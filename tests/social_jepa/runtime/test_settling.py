"""An agent has settled, has not yet, or never will: because it or a peer of it has failed."""

import contextlib

import pytest

from social_jepa.config.run_config import load_config
from social_jepa.records import replace
from social_jepa.runtime import settling
from social_jepa.runtime.errors import AgentLeftError, AgentLostError, PeerLostError
from social_jepa.runtime.settling import Settling
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.run_folder import create
from tests.support.command import TINY
from tests.support.ledger_rows import agent, edge, member
from tests.support.statuses import AGENT, FAILURE

NAMES = "abcd"


@pytest.fixture
def folder(tmp_path):
    return create(load_config(overrides=[*TINY, "negotiation.topology=ring"]), tmp_path / "run")


@pytest.fixture
def ledger(folder):
    """The ledger of four agents on a ring; all but d have published."""
    with contextlib.closing(Ledger(folder.ledger_file, create=True)) as ledger:
        ledger.join([member(name, index) for index, name in enumerate(NAMES)], [])
        ledger.record([agent(name) for name in "abc"])
        yield ledger


def have_settled(folder, name, every):
    return Settling(folder, name).is_done(every)


def status(name, settled=False, published=True, failed=""):
    failure = replace(FAILURE, agent=name, cause=failed) if failed else None
    return replace(
        AGENT, name=name, settled=settled, checkpoint="c" * 16 if published else "", failure=failure
    )


def record(ledger, *pairs):
    ledger.record(edges=[edge(source=a, target=b) for a, b in pairs])


def test_an_agent_has_settled_once_the_ledger_holds_its_edges(folder, ledger):
    every = [status("a"), status("b", settled=True), status("c"), status("d", published=False)]
    record(ledger, "ab", "ba", "bc")

    assert not have_settled(folder, "a", every)
    assert not have_settled(folder, "b", every)
    record(ledger, "cb")
    assert have_settled(folder, "b", every)
    assert not have_settled(folder, "", every)


def test_an_agent_that_failed_or_left_is_not_waited_for(folder, ledger):
    with pytest.raises(AgentLostError, match="a failed"):
        have_settled(folder, "a", [status("a", failed="error")])
    with pytest.raises(AgentLeftError, match="a left"):
        have_settled(folder, "a", [status("b")])


def test_a_peer_that_failed_before_it_published_is_named_once_nothing_else_is_missing(folder, ledger):
    every = [status("a"), status("b"), status("c"), status("d", published=False, failed="error")]

    assert not have_settled(folder, "c", every)  # b will still settle with it
    record(ledger, "bc", "cb")
    with pytest.raises(PeerLostError, match="c cannot settle its edges with d, which failed: KeyError"):
        have_settled(folder, "c", every)
    record(ledger, "ab", "ba")
    assert not have_settled(folder, "b", every)  # d is no peer of it on the ring


def test_an_agent_that_is_still_training_is_waited_for_though_a_peer_failed(folder, ledger):
    every = [status("a"), status("b"), status("c", published=False), status("d", failed="error")]

    assert not have_settled(folder, "c", every)


def test_a_peer_that_failed_after_it_published_replies_as_long_as_it_has_a_process(folder, ledger):
    ledger.record([agent("d")])
    record(ledger, "bc", "cb", "cd")

    def every(cause):
        return [status("a"), status("b"), status("c"), status("d", failed=cause)]

    assert not have_settled(folder, "c", every("error"))
    with pytest.raises(PeerLostError, match="c cannot settle its edges with d"):
        have_settled(folder, "c", every("process_died"))
    record(ledger, "dc")
    assert not have_settled(folder, "c", every("process_died"))  # it will say in a moment that it has settled


def test_a_peer_that_is_still_training_is_waited_for_though_another_failed(folder, ledger):
    record(ledger, "bc", "cb", "ab", "ba")
    every = [status("a"), status("b"), status("c"), status("d", published=False, failed="process_died")]
    with pytest.raises(PeerLostError):
        have_settled(folder, "c", every)

    every[1] = status("b", published=False)  # its camera was moved
    assert not have_settled(folder, "c", every)


def test_the_ledger_is_not_read_for_failed_peers_at_every_poll(folder, ledger, monkeypatch):
    waiting = Settling(folder, "c")
    every = [status("a"), status("b"), status("c"), status("d", published=False, failed="error")]
    assert not waiting.is_done(every)
    record(ledger, "bc", "cb")
    assert not waiting.is_done(every)
    monkeypatch.setattr(settling, "PEER_SECONDS", 0.0)
    with pytest.raises(PeerLostError):
        waiting.is_done(every)
