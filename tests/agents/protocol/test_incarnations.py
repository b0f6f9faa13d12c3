import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.protocol.peer_protocol import PeerProtocol
from tests.support.peers import edges_of, join, planted, settled_pairs
from tests.support.swarm import gather, publish


def test_one_who_is_born_again_is_negotiated_with_anew():
    protocols, transport = gather(["agent-0", "agent-1", "agent-2"])
    publish(protocols, {name: planted(int(name[6:])) for name in protocols})
    transport.run()
    upto = {name: protocol.events(1, 0).last_number for name, protocol in protocols.items()}
    join(protocols, transport, 1, life=2)
    transport.run()

    fresh = [edge for name in ("agent-0", "agent-2") for edge in protocols[name].events(1, upto[name]).edges]
    assert sorted((edge.source, edge.target, edge.incarnations) for edge in fresh) == [
        ("agent-1", "agent-0", (2, 1)), ("agent-1", "agent-2", (2, 1)),
    ]  # fmt: skip
    assert sorted((edge.source, edge.incarnations) for edge in protocols["agent-1"].events(2, 0).edges) == [
        ("agent-0", (1, 2)), ("agent-2", (1, 2)),
    ]  # fmt: skip
    assert all(protocol.settled() for protocol in protocols.values())


def test_what_a_former_life_still_says_is_refused_with_a_sentence():
    protocols, transport = gather(["agent-0", "agent-1"])
    former = protocols["agent-1"]
    publish(protocols, {name: planted(int(name[6:])) for name in protocols})
    transport.run()
    join(protocols, transport, 1, life=2)
    transport.run()
    told = protocols["agent-0"].events(1, 0)
    former.publish(planted(1, 9))
    transport.run()

    later = protocols["agent-0"].events(1, told.last_number)
    assert later.refused == ("agent-1 speaks from a former life (1, it is in 2 now)",)
    assert later.edges == ()


def test_a_new_life_that_speaks_before_the_registry_tells_of_it_is_heard():
    protocols, transport = gather(["agent-0", "agent-1"])
    publish(protocols, {name: planted(int(name[6:])) for name in protocols})
    transport.run()
    again = PeerProtocol("agent-1", transport, incarnation=2)
    transport.listen("agent-1", again.receive)
    again.update_peers({"agent-0": 1})
    again.publish(planted(1))
    transport.run()

    assert again.settled()
    assert protocols["agent-0"].events(1, 0).edges[-1].incarnations == (2, 1)
    said = len(transport.said)
    protocols["agent-0"].update_peers({"agent-1": 2})
    transport.run()
    assert len(transport.said) == said  # it is no news any more


@pytest.mark.parametrize("kind", ["Hello", "Offer", "AnchorRequest", "AnchorReply", "Verdict"])
@pytest.mark.parametrize("speaker", ["agent-0", "agent-1"])
def test_any_one_message_may_be_lost(kind, speaker):
    protocols, transport = gather(["agent-0", "agent-1"])
    transport.lost = lambda said: type(said).__name__ == kind and said.sender == speaker
    publish(protocols, {name: planted(int(name[6:])) for name in protocols})
    transport.run()
    transport.lost = lambda _: False
    for _ in range(3):
        for protocol in protocols.values():
            protocol.retry_stalled()
        transport.run()

    assert all(protocol.settled() for protocol in protocols.values())


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), share=st.sampled_from([0.1, 0.5, 0.9, 1.0]))
def test_what_is_lost_on_the_way_is_made_up_for_by_reminders(seed, share):
    rng = np.random.default_rng(seed)
    protocols, transport = gather(["agent-0", "agent-1", "agent-2"], lost=lambda _: rng.random() < share)
    publish(protocols, {name: planted(int(name[6:])) for name in protocols})
    transport.run()
    transport.lost = lambda _: False
    for _ in range(3):  # one who said something since the last reminder is given until the next
        for protocol in protocols.values():
            protocol.retry_stalled()
        transport.run()

    assert all(protocol.settled() for protocol in protocols.values())
    assert edges_of(protocols) == settled_pairs(protocols, dict.fromkeys(protocols, 0))


def test_a_reminder_says_nothing_to_whom_there_is_nothing_more_to_say():
    protocols, transport = gather(["agent-0", "agent-1"])
    protocols["agent-0"].retry_stalled()
    publish(protocols, {name: planted(int(name[6:])) for name in protocols})
    transport.run()
    said = len(transport.said)
    for _ in range(3):
        for protocol in protocols.values():
            protocol.retry_stalled()
        transport.run()

    assert len(transport.said) == said


def test_who_leaves_is_forgotten_and_counts_no_more():
    protocols, transport = gather(["agent-0", "agent-1", "agent-2"])
    publish(protocols, {name: planted(int(name[6:])) for name in protocols})
    transport.run()
    protocols["agent-0"].update_peers({"agent-1": 1})

    assert protocols["agent-0"].peers == {"agent-1"}
    assert protocols["agent-0"].settled()
    assert set(protocols["agent-0"].negotiation.edges) == {"agent-1"}
    protocols["agent-2"].publish(planted(2, 1))
    transport.run()
    assert "agent-2 is nobody that agent-0 has met" in protocols["agent-0"].events(1, 0).refused[-1]


def test_one_that_waits_for_a_peer_that_leaves_is_settled_without_it():
    protocols, transport = gather(["agent-0", "agent-1", "agent-2"])
    for name in ("agent-0", "agent-1"):
        protocols[name].publish(planted(int(name[6:])))
    transport.run()
    assert not protocols["agent-0"].settled()
    protocols["agent-0"].update_peers({"agent-1": 1})

    assert protocols["agent-0"].settled()


def test_somebody_who_cannot_be_reached_any_more_is_noted_and_harms_nobody():
    protocols, transport = gather(["agent-0", "agent-1", "agent-2"])
    del transport._listeners["agent-1"]
    publish(protocols, {name: planted(int(name[6:])) for name in protocols})
    transport.run()

    assert any("nobody called agent-1" in text for text in protocols["agent-0"].events(1, 0).refused)
    assert {edge.source for edge in protocols["agent-0"].events(1, 0).edges} == {"agent-2"}


def test_one_that_has_fallen_silent_answers_nothing_until_it_has_something_to_show():
    protocols, transport = gather(["agent-0", "agent-1"])
    publish(protocols, {name: planted(int(name[6:])) for name in protocols})
    transport.run()
    protocols["agent-0"].withdraw()
    said = len(transport.said)
    protocols["agent-1"].publish(planted(1, 1))
    transport.run()
    assert [message.sender for message in transport.said[said:]] == ["agent-1"]
    assert not protocols["agent-0"].settled()
    protocols["agent-0"].publish(planted(0, 1))
    transport.run()

    assert protocols["agent-0"].settled()
    assert edges_of(protocols) == settled_pairs(protocols, {"agent-0": 1, "agent-1": 1})
