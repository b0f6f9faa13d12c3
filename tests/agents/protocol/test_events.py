from collections import Counter
from itertools import permutations

import numpy as np
import pytest

from agents.protocol.channel import SentMessage
from agents.protocol.messages import DistillReply, DistillRequest, encode
from agents.protocol.negotiation import Negotiation
from agents.protocol.peer_protocol import REMEMBERED
from agents.protocol.wire import Envelope, pack
from tests.support.peers import planted
from tests.support.swarm import CONFIG, gather, offer, publish, swarm


def test_news_is_told_until_it_is_acknowledged_and_then_no_more():
    voices, transport = gather(["agent-0", "agent-1"])
    publish(voices, {name: planted(int(name[6:])) for name in voices})
    transport.run()
    voice = voices["agent-0"]
    first, again = voice.news(1, 0), voice.news(1, 0)
    assert first == again
    assert len(first.edges) == 1
    voices["agent-1"].publish(planted(1, 1))
    transport.run()

    later = voice.news(1, first.upto)
    assert [edge.source_checkpoint for edge in later.edges] == ["c0de1.1"]
    assert later.upto > first.upto
    assert len(later.posted) + len(later.edges) == later.upto - first.upto
    done = voice.news(1, later.upto)
    assert (done.edges, done.posted, done.refused, done.upto) == ((), (), (), later.upto)


@pytest.mark.parametrize("life", [0, 2, 7])
def test_the_numbers_of_another_life_acknowledge_nothing(life):
    voices, transport = gather(["agent-0", "agent-1"])
    publish(voices, {name: planted(int(name[6:])) for name in voices})
    transport.run()
    everything = voices["agent-0"].news(1, 0)

    assert voices["agent-0"].news(life, 10**6) == everything
    assert everything.incarnation == 1


@pytest.mark.parametrize("again", [False, True], ids=["first", "renegotiated"])
def test_the_bytes_of_an_edge_are_what_both_ends_put_on_the_wire_for_that_round(again):
    voices, transport = gather(["agent-0", "agent-1", "agent-2"])
    publish(voices, {name: planted(int(name[6:])) for name in voices})
    transport.run()
    if again:
        voices["agent-0"].publish(planted(0, 1))
        transport.run()

    posted = [entry for voice in voices.values() for entry in voice.news(1, 0).posted]
    spent = Counter()
    for pair in permutations(voices, 2):
        last = {}  # the newest message of each kind: those of the last round
        for entry in posted:
            if (entry.edge_source, entry.edge_target) == pair and entry.type != "Hello":
                last[entry.type] = entry.bytes
        spent[pair] = sum(last.values())
    newest = {(edge.source, edge.target): edge.bytes for voice in voices.values()
              for edge in voice.news(1, 0).edges}  # fmt: skip
    assert newest == spent
    assert all(cost > 4 * 5 * (CONFIG.anchors + CONFIG.heldout) for cost in newest.values())


def test_what_is_refused_is_kept_so_far_and_the_rest_of_the_news_whole():
    voices, transport = gather(["agent-0", "agent-1"])
    publish(voices, {name: planted(int(name[6:])) for name in voices})
    transport.run()
    before = voices["agent-0"].news(1, 0)
    for number in range(3 * REMEMBERED):
        said = offer(source=f"eve-{number}", target="agent-0")
        voices["agent-0"].hear(pack(Envelope(encode(said))))

    news = voices["agent-0"].news(1, 0)
    assert len(news.refused) == REMEMBERED
    assert news.refused[-1].startswith(f"eve-{3 * REMEMBERED - 1} is nobody")
    assert (news.edges, news.posted) == (before.edges, before.posted)


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
    voices, _ = gather(["agent-0", "agent-1"])
    voices["agent-0"].hear(pack(Envelope(encode(message), incarnation=1)))

    (said,) = voices["agent-0"].news(1, 0).refused
    assert sentence in said


def test_a_question_to_a_teacher_and_its_lesson_wait_for_who_can_deal_with_them():
    voices, transport = gather(["agent-0", "agent-1"])
    voices["agent-1"].say([DistillRequest(source="agent-0", target="agent-1", round=0, ticks=64)])
    transport.run()
    data = np.zeros((64, 2), "<f4").tobytes()
    lesson = DistillReply(source="agent-0", target="agent-1", round=0, first=7, rows=64, dim=2, data=data)
    voices["agent-0"].say([lesson])
    transport.run()

    assert {pupil: ask.ticks for pupil, ask in voices["agent-0"].asks.items()} == {"agent-1": 64}
    assert voices["agent-1"].lessons == {"agent-0": lesson}
    types = [entry.type for voice in voices.values() for entry in voice.news(1, 0).posted]
    assert sorted(types) == ["DistillRequest", "DistillReply"]


def test_who_has_greeted_has_something_to_teach():
    voices, transport = gather(["agent-0", "agent-1"])
    voices["agent-0"].publish(planted(0))
    transport.run()

    assert voices["agent-1"].greeted_by == {"agent-0"}
    assert voices["agent-0"].greeted_by == set()


def test_what_is_told_holds_no_weights():
    voices, transport = gather(["agent-0", "agent-1"])
    publish(voices, swarm(2))
    transport.run()

    assert isinstance(voices["agent-0"].negotiation, Negotiation)
    assert all(isinstance(entry, SentMessage) for entry in voices["agent-0"].news(1, 0).posted)
