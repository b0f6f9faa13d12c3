"""All histories of small swarms, and the tables of states: see tests/support/model_checker.py."""

import sys
from itertools import product

import pytest

from agents.protocol import negotiation, peer_protocol
from agents.protocol.negotiation import Negotiation
from agents.protocol.peer_protocol import PeerProtocol
from agents.protocol.states import (
    OFFER_STEPS,
    SOURCE_STEPS,
    TARGET_STEPS,
    Announced,
    OfferAction,
    OfferStep,
    Received,
    SourceState,
    TargetAction,
    TargetState,
    TargetStep,
)
from agents.protocol.verifier import EnvelopeVerifier
from tests.support.frames import FRAMES
from tests.support.model_checker import Bounds, ModelChecker, ViolationError

DEEP = FRAMES >= 1_000_000  # `make fuzz`
EVERYTHING = {"losses": 1, "duplicates": 1, "publications": 1, "restarts": 1, "retries": 1, "drops": 1}
SEARCHES = {  # (agents, whether they have settled all edges before, bounds)
    "two agents that begin": (
        2, False, Bounds(14 if DEEP else 8, losses=1, publications=1, retries=int(DEEP)),
    ),
    "two settled agents": (2, True, Bounds(11 if DEEP else 4, **EVERYTHING)),
    "three agents that begin": (3, False, Bounds(10 if DEEP else 4, losses=int(DEEP), duplicates=int(DEEP))),
    "three settled agents": (3, True, Bounds(5 if DEEP else 2, **EVERYTHING)),
    "the ends of a settled pair drop each other": (
        2, True, Bounds(14 if DEEP else 9, losses=1, duplicates=1, drops=2),
    ),
    "one end of a pair that begins drops the other": (
        2, False, Bounds(10 if DEEP else 7, losses=1, publications=int(DEEP), drops=1),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SEARCHES)
def test_no_history_settles_an_edge_twice_or_from_two_versions_and_every_state_can_be_settled(name, capsys):
    agents, negotiated, bounds = SEARCHES[name]
    report = ModelChecker(agents).search(bounds, negotiated)
    with capsys.disabled():
        sys.stdout.write(f"\n{name}: {report}\n")

    assert report.depth == bounds.depth
    assert report.settled
    assert report.states > (10_000 if DEEP else 20)


def test_without_faults_the_search_ends_and_no_message_is_left():
    report = ModelChecker(2).search(Bounds(depth=40))

    assert report.complete
    assert report.settled.keys() == {
        ("agent-0", "agent-1", "c0.0", "c1.0"), ("agent-1", "agent-0", "c1.0", "c0.0"),
    }  # fmt: skip


def without_version_checks(monkeypatch):
    """Let a target fit anchors of any round and of any ticks."""

    def classify(self, reply):
        return Received.REPLY if reply.source in self._requests else Received.OTHER_REPLY

    monkeypatch.setattr(Negotiation, "_check_digest", lambda self, *_: None)
    monkeypatch.setattr(Negotiation, "_classify_reply", classify)


def without_memory_of_the_settled_model(monkeypatch):
    """Let a target request anchors again for a model that it has settled."""
    step = TargetStep(TargetAction.REQUEST_ANCHORS, TargetState.REQUESTED)
    steps = {**TARGET_STEPS, (TargetState.SETTLED, Received.SAME_OFFER): step}
    monkeypatch.setattr(negotiation, "TARGET_STEPS", steps)


def fitting_every_reply(monkeypatch):
    """Let a target fit a reply that it has fitted."""
    step = TargetStep(TargetAction.SETTLE_EDGE, TargetState.SETTLED)
    monkeypatch.setattr(
        negotiation, "TARGET_STEPS", {**TARGET_STEPS, (TargetState.SETTLED, Received.REPLY): step}
    )


def ignoring(state, *announced):
    """Return a change: an agent ignores announcements in a state."""

    def change(monkeypatch):
        steps = {(state, each): OfferStep(OfferAction.IGNORE, state) for each in announced}
        monkeypatch.setattr(peer_protocol, "OFFER_STEPS", {**OFFER_STEPS, **steps})

    return change


def without_forgetting(monkeypatch):
    """Let an agent keep what it knows of a peer's former process."""
    monkeypatch.setattr(PeerProtocol, "_forget_peer", lambda self, peer: None)


def without_memory_of_who_had_left(monkeypatch):
    """Let an agent take a peer that comes back for a new one."""
    monkeypatch.setattr(EnvelopeVerifier, "has_left", lambda self, name: False)


def counting_overtaken_offers(monkeypatch):
    """Let an agent count an offer that a later one has overtaken as refused."""
    monkeypatch.setattr(peer_protocol, "OvertakenOfferError", ZeroDivisionError)


MUTATIONS = {  # (change, agents have settled before, bounds, law that it breaks)
    "a target fits anchors of any round": (
        without_version_checks, True, Bounds(9, publications=2), "is not the edge of",
    ),
    "a target requests anchors again": (
        without_memory_of_the_settled_model, False, Bounds(4, publications=1), "settled twice",
    ),
    "a target fits every reply": (fitting_every_reply, False, Bounds(9, duplicates=1), "settled twice"),
    "an offer is never repeated": (
        ignoring(SourceState.OFFERED, Announced.SILENCE, Announced.SILENCE_UNSETTLED), False,
        Bounds(8, losses=1), "never settles",
    ),
    "a Hello that is repeated stays unanswered": (
        ignoring(SourceState.OFFERED, Announced.HELLO_AGAIN), False, Bounds(6, losses=1), "never settles",
    ),
    "an offer is not repeated to a peer that had dropped this agent": (
        ignoring(SourceState.JUDGED, Announced.HELLO_AGAIN), True, Bounds(1, drops=1), "never settles",
    ),
    "an agent that lacks the offer of a peer does not say so again": (
        ignoring(SourceState.JUDGED, Announced.SILENCE_UNSETTLED), True, Bounds(7, drops=1, losses=1),
        "never settles",
    ),
    "a message that was sent before a peer dropped this agent counts as refused": (
        without_memory_of_who_had_left, True, Bounds(5, publications=1, drops=1),
        "refuses what an honest peer",
    ),
    "a new model is not offered to whom the former one was": (
        ignoring(SourceState.JUDGED, Announced.ANOTHER_MODEL), True, Bounds(4, publications=1),
        "never settles",
    ),
    "an overtaken offer counts as refused": (
        counting_overtaken_offers, True, Bounds(4, publications=2), "refuses what an honest peer",
    ),
    "the former process of a peer is not forgotten": (
        without_forgetting, True, Bounds(6, restarts=1, publications=1), "never settles",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTATIONS)
def test_the_search_finds_what_is_wrong_with_a_changed_protocol(name, monkeypatch):
    change, negotiated, bounds, law = MUTATIONS[name]
    change(monkeypatch)

    with pytest.raises(ViolationError, match=law):
        ModelChecker(2).search(bounds, negotiated)


def test_every_state_has_one_step_for_whatever_can_arrive_in_it():
    """Absent are pairs that the classification excludes: nothing matches an offer that was never made."""
    to_source = {Received.REQUEST, Received.OTHER_REQUEST, Received.VERDICT, Received.OTHER_VERDICT}
    assert set(product(SourceState, to_source)) - SOURCE_STEPS.keys() == {
        (SourceState.NONE, Received.REQUEST), (SourceState.NONE, Received.VERDICT),
    }  # fmt: skip
    assert set(product(TargetState, set(Received) - to_source)) - TARGET_STEPS.keys() == {
        (TargetState.NONE, Received.SAME_OFFER), (TargetState.NONE, Received.OLD_OFFER),
        (TargetState.NONE, Received.REPLY),
    }  # fmt: skip
    assert set(product(SourceState, Announced)) - OFFER_STEPS.keys() == {
        (SourceState.NONE, Announced.HELLO_AGAIN), (SourceState.NONE, Announced.OFFER_AGAIN),
    }  # fmt: skip
    for step in (*SOURCE_STEPS.values(), *TARGET_STEPS.values()):
        assert callable(getattr(Negotiation, f"_{step.action}"))
