import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.protocol.peer_protocol import PeerProtocol
from tests.support.peers import edges_of, join, planted, settled_pairs
from tests.support.swarm import gather, publish


def test_one_who_is_born_again_is_negotiated_with_anew():
    voices, transport = gather(["agent-0", "agent-1", "agent-2"])
    publish(voices, {name: planted(int(name[6:])) for name in voices})
    transport.run()
    upto = {name: voice.news(1, 0).upto for name, voice in voices.items()}
    join(voices, transport, 1, life=2)
    transport.run()

    fresh = [edge for name in ("agent-0", "agent-2") for edge in voices[name].news(1, upto[name]).edges]
    assert sorted((edge.source, edge.target, edge.lives) for edge in fresh) == [
        ("agent-1", "agent-0", (2, 1)), ("agent-1", "agent-2", (2, 1)),
    ]  # fmt: skip
    assert sorted((edge.source, edge.lives) for edge in voices["agent-1"].news(2, 0).edges) == [
        ("agent-0", (1, 2)), ("agent-2", (1, 2)),
    ]  # fmt: skip
    assert all(voice.settled() for voice in voices.values())


def test_what_a_former_life_still_says_is_refused_with_a_sentence():
    voices, transport = gather(["agent-0", "agent-1"])
    former = voices["agent-1"]
    publish(voices, {name: planted(int(name[6:])) for name in voices})
    transport.run()
    join(voices, transport, 1, life=2)
    transport.run()
    told = voices["agent-0"].news(1, 0)
    former.publish(planted(1, 9))
    transport.run()

    later = voices["agent-0"].news(1, told.upto)
    assert later.refused == ("agent-1 speaks from a former life (1, it is in 2 now)",)
    assert later.edges == ()


def test_a_new_life_that_speaks_before_the_registry_tells_of_it_is_heard():
    voices, transport = gather(["agent-0", "agent-1"])
    publish(voices, {name: planted(int(name[6:])) for name in voices})
    transport.run()
    again = PeerProtocol("agent-1", transport, incarnation=2)
    transport.listen("agent-1", again.hear)
    again.meet({"agent-0": 1})
    again.publish(planted(1))
    transport.run()

    assert again.settled()
    assert voices["agent-0"].news(1, 0).edges[-1].lives == (2, 1)
    said = len(transport.said)
    voices["agent-0"].meet({"agent-1": 2})
    transport.run()
    assert len(transport.said) == said  # it is no news any more


@pytest.mark.parametrize("kind", ["Hello", "Offer", "AnchorRequest", "AnchorReply", "Verdict"])
@pytest.mark.parametrize("speaker", ["agent-0", "agent-1"])
def test_any_one_message_may_be_lost(kind, speaker):
    voices, transport = gather(["agent-0", "agent-1"])
    transport.lost = lambda said: type(said).__name__ == kind and said.speaker == speaker
    publish(voices, {name: planted(int(name[6:])) for name in voices})
    transport.run()
    transport.lost = lambda _: False
    for _ in range(3):
        for voice in voices.values():
            voice.remind()
        transport.run()

    assert all(voice.settled() for voice in voices.values())


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), share=st.sampled_from([0.1, 0.5, 0.9, 1.0]))
def test_what_is_lost_on_the_way_is_made_up_for_by_reminders(seed, share):
    rng = np.random.default_rng(seed)
    voices, transport = gather(["agent-0", "agent-1", "agent-2"], lost=lambda _: rng.random() < share)
    publish(voices, {name: planted(int(name[6:])) for name in voices})
    transport.run()
    transport.lost = lambda _: False
    for _ in range(3):  # one who said something since the last reminder is given until the next
        for voice in voices.values():
            voice.remind()
        transport.run()

    assert all(voice.settled() for voice in voices.values())
    assert edges_of(voices) == settled_pairs(voices, dict.fromkeys(voices, 0))


def test_a_reminder_says_nothing_to_whom_there_is_nothing_more_to_say():
    voices, transport = gather(["agent-0", "agent-1"])
    voices["agent-0"].remind()
    publish(voices, {name: planted(int(name[6:])) for name in voices})
    transport.run()
    said = len(transport.said)
    for _ in range(3):
        for voice in voices.values():
            voice.remind()
        transport.run()

    assert len(transport.said) == said


def test_who_leaves_is_forgotten_and_counts_no_more():
    voices, transport = gather(["agent-0", "agent-1", "agent-2"])
    publish(voices, {name: planted(int(name[6:])) for name in voices})
    transport.run()
    voices["agent-0"].meet({"agent-1": 1})

    assert voices["agent-0"].peers == {"agent-1"}
    assert voices["agent-0"].settled()
    assert set(voices["agent-0"].negotiation.edges) == {"agent-1"}
    voices["agent-2"].publish(planted(2, 1))
    transport.run()
    assert "agent-2 is nobody that agent-0 has met" in voices["agent-0"].news(1, 0).refused[-1]


def test_one_that_waits_for_a_peer_that_leaves_is_settled_without_it():
    voices, transport = gather(["agent-0", "agent-1", "agent-2"])
    for name in ("agent-0", "agent-1"):
        voices[name].publish(planted(int(name[6:])))
    transport.run()
    assert not voices["agent-0"].settled()
    voices["agent-0"].meet({"agent-1": 1})

    assert voices["agent-0"].settled()


def test_somebody_who_cannot_be_reached_any_more_is_noted_and_harms_nobody():
    voices, transport = gather(["agent-0", "agent-1", "agent-2"])
    del transport._listeners["agent-1"]
    publish(voices, {name: planted(int(name[6:])) for name in voices})
    transport.run()

    assert any("nobody called agent-1" in text for text in voices["agent-0"].news(1, 0).refused)
    assert {edge.source for edge in voices["agent-0"].news(1, 0).edges} == {"agent-2"}


def test_one_that_has_fallen_silent_answers_nothing_until_it_has_something_to_show():
    voices, transport = gather(["agent-0", "agent-1"])
    publish(voices, {name: planted(int(name[6:])) for name in voices})
    transport.run()
    voices["agent-0"].fall_silent()
    said = len(transport.said)
    voices["agent-1"].publish(planted(1, 1))
    transport.run()
    assert [message.speaker for message in transport.said[said:]] == ["agent-1"]
    assert not voices["agent-0"].settled()
    voices["agent-0"].publish(planted(0, 1))
    transport.run()

    assert voices["agent-0"].settled()
    assert edges_of(voices) == settled_pairs(voices, {"agent-0": 1, "agent-1": 1})
