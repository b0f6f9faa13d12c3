import logging
import time
from collections import Counter
from itertools import permutations

import numpy as np
import pytest

from agents.protocol.channel import SentMessage
from agents.protocol.messages import AnchorRequest, DistillReply, DistillRequest, Hello
from agents.protocol.negotiation import Negotiation
from agents.protocol.peer_protocol import MAX_REFUSALS_KEPT
from agents.protocol.verifier import MAX_LOGGED
from agents.protocol.wire import Reason
from tests.support.keys import signed
from tests.support.peers import first_models, planted_model
from tests.support.swarm import CONFIG, connect_protocols, example_offer, planted_negotiations, publish_all


def test_events_are_returned_until_they_are_acknowledged():
    protocols, transport = connect_protocols(["agent-0", "agent-1"])
    publish_all(protocols, first_models(protocols))
    transport.run()
    protocol = protocols["agent-0"]
    first, repeated = protocol.events(1, 0), protocol.events(1, 0)
    assert first == repeated
    assert len(first.edges) == 1
    protocols["agent-1"].publish(planted_model(1, 1))
    transport.run()

    later = protocol.events(1, first.last_number)
    assert [edge.source_checkpoint for edge in later.edges] == ["c0de1.1"]
    assert later.last_number > first.last_number
    assert len(later.sent) + len(later.edges) == later.last_number - first.last_number
    none = protocol.events(1, later.last_number)
    assert (none.edges, none.sent, none.refused, none.last_number) == ((), (), (), later.last_number)


@pytest.mark.parametrize("incarnation", [0, 2, 7])
def test_event_numbers_of_another_incarnation_acknowledge_nothing(incarnation):
    protocols, transport = connect_protocols(["agent-0", "agent-1"])
    publish_all(protocols, first_models(protocols))
    transport.run()
    all_events = protocols["agent-0"].events(1, 0)

    assert protocols["agent-0"].events(incarnation, 10**6) == all_events
    assert all_events.incarnation == 1


@pytest.mark.parametrize("renegotiated", [False, True], ids=["first", "renegotiated"])
def test_the_bytes_of_an_edge_are_those_that_both_ends_sent_in_its_last_round(renegotiated):
    protocols, transport = connect_protocols(["agent-0", "agent-1", "agent-2"])
    publish_all(protocols, first_models(protocols))
    transport.run()
    if renegotiated:
        protocols["agent-0"].publish(planted_model(0, 1))
        transport.run()

    sent = [entry for protocol in protocols.values() for entry in protocol.events(1, 0).sent]
    expected = Counter()
    for pair in permutations(protocols, 2):
        last = {}  # the newest message of each type: those of the last round
        for entry in sent:
            if (entry.edge_source, entry.edge_target) == pair and entry.type != "Hello":
                last[entry.type] = entry.bytes
        expected[pair] = sum(last.values())
    newest = {(edge.source, edge.target): edge.bytes for protocol in protocols.values()
              for edge in protocol.events(1, 0).edges}  # fmt: skip
    assert newest == expected
    assert all(size > 4 * 5 * (CONFIG.anchors + CONFIG.heldout) for size in newest.values())


def stale_request(sender, number):
    """Return a request of a round that agent-0 never offered."""
    return AnchorRequest(
        source="agent-0", target=sender, round=number + 7, anchors=4, heldout=4, offer_nonce=0, nonce=0,
        chosen=b"", dims=1, precision="float32",
    )  # fmt: skip


def example_reply(**changes):
    """Return a reply of agent-0 to agent-1, of 64 ticks, with fields changed."""
    fields = {"first_tick": 7, "rows": 64, "dim": 2, "data": np.zeros((64, 2), "<f4").tobytes(), **changes}
    return DistillReply(source="agent-0", target="agent-1", round=0, **fields)


REFUSED_REPLIES = {
    "of more ticks than were requested": (
        {"rows": 65, "data": bytes(8 * 65)}, "agent-0 sent 65 ticks, 64 were requested",
    ),
    "of another number of bytes": (
        {"rows": 1, "data": bytes(2**20)}, "agent-0 sent 1048576 bytes of embeddings, and says 8",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED_REPLIES)
def test_a_distillation_reply_that_does_not_match_the_request_is_not_kept(case):
    changes, sentence = REFUSED_REPLIES[case]
    protocols, transport = connect_protocols(["agent-0", "agent-1"])
    student = protocols["agent-1"]
    student.send([DistillRequest(source="agent-0", target="agent-1", round=0, ticks=64)])
    protocols["agent-0"].send([example_reply(**changes)])
    transport.run()
    assert student.events(1, 0).refused == (sentence,)
    assert student.distillation.replies == {}

    protocols["agent-0"].send([example_reply()])
    transport.run()
    assert student.distillation.replies == {"agent-0": example_reply()}


def test_a_distillation_reply_is_kept_once_and_from_a_peer_that_was_asked_alone():
    protocols, transport = connect_protocols(["agent-0", "agent-1"])
    request = DistillRequest(source="agent-0", target="agent-1", round=0, ticks=64)
    student = protocols["agent-1"]
    protocols["agent-0"].send([example_reply()])
    transport.run()
    unasked = "agent-0 sent DistillReply of round 0, which no open offer or request called for"
    assert (student.events(1, 0).refused, student.distillation.replies) == ((unasked,), {})

    student.send([request])
    protocols["agent-0"].send([example_reply(), example_reply(first_tick=8)])
    transport.run()
    assert student.distillation.replies == {"agent-0": example_reply()}
    assert student.events(1, 0).refused == (unasked,)  # one that arrives twice, or late, is no lie

    student.update_peers({})
    assert student.distillation.replies == {}
    assert protocols["agent-0"].distillation.requests == {"agent-1": request}
    protocols["agent-0"].update_peers({})
    assert protocols["agent-0"].distillation.requests == {}


@pytest.mark.parametrize("kind", ["DistillRequest", "Hello", "Offer"])
def test_training_waits_after_a_message_whose_sender_is_expected_to_answer_alone(kind):
    protocols, transport = connect_protocols(["agent-0", "agent-1"])
    protocol, number = protocols["agent-0"], 0 if kind == "Offer" else 1
    protocol.publish(planted_model(0))
    transport.run()
    protocol.busy_until = 0.0
    edge = {"source": "agent-1", "target": "agent-0", "round": number}
    if kind == "DistillRequest":
        message = DistillRequest(source="agent-0", target="agent-1", round=0, ticks=1)
    elif kind == "Hello":
        message = Hello(**edge, checkpoint="c0de1.0")
    else:
        message = example_offer(**edge, collapsed=True)
    before = time.monotonic()
    protocol.receive(signed(message))

    assert (protocol.busy_until > before + 0.09) is (kind != "DistillRequest")  # both are sent an offer


def test_only_the_newest_refusals_are_kept_and_all_other_events():
    protocols, transport = connect_protocols([f"agent-{index}" for index in range(8)])
    publish_all(protocols, first_models(protocols))
    transport.run()
    before = protocols["agent-0"].events(1, 0)
    for name in [*protocols][1:]:
        protocols[name].send([stale_request(name, number) for number in range(MAX_LOGGED)])
        transport.run()

    events = protocols["agent-0"].events(1, 0)
    assert 7 * MAX_LOGGED > len(events.refused) == MAX_REFUSALS_KEPT
    assert events.refused[-1].startswith(f"agent-7 sent AnchorRequest of round {MAX_LOGGED + 6}")
    assert (events.edges, events.sent) == (before.edges, before.sent)


def test_a_flood_of_refused_messages_is_counted_in_full_and_reported_in_part(caplog):
    protocols, transport = connect_protocols(["agent-0", "agent-1"])
    publish_all(protocols, first_models(protocols))
    transport.run()
    protocols["agent-1"].send([stale_request("agent-1", number) for number in range(1000)])
    transport.run()

    assert protocols["agent-0"].refusals() == {("agent-1", Reason.CONTENT): 1000}
    reported = protocols["agent-0"].events(1, 0).refused
    assert len(reported) == MAX_LOGGED + 5  # the 32nd, 64th, ... and 512th besides the first ones
    assert sum("refused a message" in record.getMessage() for record in caplog.records) == len(reported)


MISROUTED = {
    "to another agent": (
        example_offer(source="agent-1", target="agent-2"),
        "a message to agent-2 was delivered to agent-0",
    ),
    "from an unknown sender": (
        example_offer(source="eve", target="agent-0"),
        "eve is not a peer of agent-0",
    ),
    "from itself": (
        example_offer(source="agent-0", target="agent-0"),
        "agent-0 is not a peer of agent-0",
    ),
}


@pytest.mark.parametrize("case", MISROUTED)
def test_a_misrouted_message_is_refused_reported_and_logged(case, caplog):
    message, sentence = MISROUTED[case]
    protocols, _ = connect_protocols(["agent-0", "agent-1"])
    protocols["agent-0"].receive(signed(message))

    assert protocols["agent-0"].events(1, 0).refused == (sentence,)
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert record.getMessage() == f"agent-0: refused a message: {sentence}"


def test_distillation_messages_are_kept_until_the_runner_takes_them():
    protocols, transport = connect_protocols(["agent-0", "agent-1"])
    protocols["agent-1"].send([DistillRequest(source="agent-0", target="agent-1", round=0, ticks=64)])
    transport.run()
    reply = example_reply()
    protocols["agent-0"].send([reply])
    transport.run()

    requests = protocols["agent-0"].distillation.requests
    assert {student: request.ticks for student, request in requests.items()} == {"agent-1": 64}
    assert protocols["agent-1"].distillation.replies == {"agent-0": reply}
    types = [entry.type for protocol in protocols.values() for entry in protocol.events(1, 0).sent]
    assert sorted(types) == ["DistillReply", "DistillRequest"]


def test_a_peer_that_sent_hello_counts_as_announced():
    protocols, transport = connect_protocols(["agent-0", "agent-1"])
    protocols["agent-0"].publish(planted_model(0))
    transport.run()

    assert protocols["agent-1"].announced_peers == {"agent-0"}
    assert protocols["agent-0"].announced_peers == set()


def test_events_hold_no_weights():
    protocols, transport = connect_protocols(["agent-0", "agent-1"])
    publish_all(protocols, planted_negotiations(2))
    transport.run()

    assert isinstance(protocols["agent-0"].negotiation, Negotiation)
    assert all(isinstance(entry, SentMessage) for entry in protocols["agent-0"].events(1, 0).sent)
