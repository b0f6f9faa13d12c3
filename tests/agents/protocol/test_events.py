from collections import Counter
from itertools import permutations

import numpy as np
import pytest

from agents.protocol.channel import SentMessage
from agents.protocol.messages import DistillReply, DistillRequest, encode
from agents.protocol.negotiation import Negotiation
from agents.protocol.peer_protocol import MAX_REFUSALS_KEPT
from agents.protocol.wire import Envelope, pack
from tests.support.peers import planted
from tests.support.swarm import CONFIG, gather, offer, publish, swarm


def test_news_is_told_until_it_is_acknowledged_and_then_no_more():
    protocols, transport = gather(["agent-0", "agent-1"])
    publish(protocols, {name: planted(int(name[6:])) for name in protocols})
    transport.run()
    protocol = protocols["agent-0"]
    first, again = protocol.events(1, 0), protocol.events(1, 0)
    assert first == again
    assert len(first.edges) == 1
    protocols["agent-1"].publish(planted(1, 1))
    transport.run()

    later = protocol.events(1, first.last_number)
    assert [edge.source_checkpoint for edge in later.edges] == ["c0de1.1"]
    assert later.last_number > first.last_number
    assert len(later.sent) + len(later.edges) == later.last_number - first.last_number
    done = protocol.events(1, later.last_number)
    assert (done.edges, done.sent, done.refused, done.last_number) == ((), (), (), later.last_number)


@pytest.mark.parametrize("life", [0, 2, 7])
def test_the_numbers_of_another_life_acknowledge_nothing(life):
    protocols, transport = gather(["agent-0", "agent-1"])
    publish(protocols, {name: planted(int(name[6:])) for name in protocols})
    transport.run()
    everything = protocols["agent-0"].events(1, 0)

    assert protocols["agent-0"].events(life, 10**6) == everything
    assert everything.incarnation == 1


@pytest.mark.parametrize("again", [False, True], ids=["first", "renegotiated"])
def test_the_bytes_of_an_edge_are_what_both_ends_put_on_the_wire_for_that_round(again):
    protocols, transport = gather(["agent-0", "agent-1", "agent-2"])
    publish(protocols, {name: planted(int(name[6:])) for name in protocols})
    transport.run()
    if again:
        protocols["agent-0"].publish(planted(0, 1))
        transport.run()

    posted = [entry for protocol in protocols.values() for entry in protocol.events(1, 0).sent]
    spent = Counter()
    for pair in permutations(protocols, 2):
        last = {}  # the newest message of each kind: those of the last round
        for entry in posted:
            if (entry.edge_source, entry.edge_target) == pair and entry.type != "Hello":
                last[entry.type] = entry.bytes
        spent[pair] = sum(last.values())
    newest = {(edge.source, edge.target): edge.bytes for protocol in protocols.values()
              for edge in protocol.events(1, 0).edges}  # fmt: skip
    assert newest == spent
    assert all(cost > 4 * 5 * (CONFIG.anchors + CONFIG.heldout) for cost in newest.values())


def test_what_is_refused_is_kept_so_far_and_the_rest_of_the_news_whole():
    protocols, transport = gather(["agent-0", "agent-1"])
    publish(protocols, {name: planted(int(name[6:])) for name in protocols})
    transport.run()
    before = protocols["agent-0"].events(1, 0)
    for number in range(3 * MAX_REFUSALS_KEPT):
        said = offer(source=f"eve-{number}", target="agent-0")
        protocols["agent-0"].receive(pack(Envelope(encode(said))))

    news = protocols["agent-0"].events(1, 0)
    assert len(news.refused) == MAX_REFUSALS_KEPT
    assert news.refused[-1].startswith(f"eve-{3 * MAX_REFUSALS_KEPT - 1} is nobody")
    assert (news.edges, news.sent) == (before.edges, before.sent)


STRANGE = {
    "a message for somebody else": (
        offer(source="agent-1", target="agent-2"),
        "a message for agent-2 reached",
    ),
    "a message of nobody": (offer(source="eve", target="agent-0"), "eve is nobody that agent-0 has met"),
    "its own voice": (offer(source="agent-0", target="agent-0"), "agent-0 is nobody that agent-0 has met"),
}


@pytest.mark.parametrize("case", STRANGE)
def test_what_is_not_meant_for_it_is_refused(case):
    message, sentence = STRANGE[case]
    protocols, _ = gather(["agent-0", "agent-1"])
    protocols["agent-0"].receive(pack(Envelope(encode(message), incarnation=1)))

    (said,) = protocols["agent-0"].events(1, 0).refused
    assert sentence in said


def test_a_question_to_a_teacher_and_its_lesson_wait_for_who_can_deal_with_them():
    protocols, transport = gather(["agent-0", "agent-1"])
    protocols["agent-1"].send([DistillRequest(source="agent-0", target="agent-1", round=0, ticks=64)])
    transport.run()
    data = np.zeros((64, 2), "<f4").tobytes()
    lesson = DistillReply(source="agent-0", target="agent-1", round=0, first=7, rows=64, dim=2, data=data)
    protocols["agent-0"].send([lesson])
    transport.run()

    assert {pupil: ask.ticks for pupil, ask in protocols["agent-0"].distill_requests.items()} == {
        "agent-1": 64
    }
    assert protocols["agent-1"].distill_replies == {"agent-0": lesson}
    types = [entry.type for protocol in protocols.values() for entry in protocol.events(1, 0).sent]
    assert sorted(types) == ["DistillReply", "DistillRequest"]


def test_who_has_greeted_has_something_to_teach():
    protocols, transport = gather(["agent-0", "agent-1"])
    protocols["agent-0"].publish(planted(0))
    transport.run()

    assert protocols["agent-1"].greeted_by == {"agent-0"}
    assert protocols["agent-0"].greeted_by == set()


def test_what_is_told_holds_no_weights():
    protocols, transport = gather(["agent-0", "agent-1"])
    publish(protocols, swarm(2))
    transport.run()

    assert isinstance(protocols["agent-0"].negotiation, Negotiation)
    assert all(isinstance(entry, SentMessage) for entry in protocols["agent-0"].events(1, 0).sent)
