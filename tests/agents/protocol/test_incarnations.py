from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.protocol.messages import Offer
from agents.protocol.peer_protocol import PeerProtocol
from agents.protocol.verifier import KnownPeer
from tests.support.keys import identity_of, known_peers, local_peer
from tests.support.peers import expected_edges, first_models, join, newest_edges, planted_model
from tests.support.swarm import connect_protocols, publish_all


def negotiated(count):
    """Return the protocols of agents that have settled all edges between their first models."""
    protocols, transport = connect_protocols([f"agent-{index}" for index in range(count)])
    publish_all(protocols, first_models(protocols))
    transport.run()
    return protocols, transport


def retry_all(protocols, transport, times=3):
    """Retry stalled negotiations; a peer that sent anything since the last retry waits for the next one."""
    for _ in range(times):
        for protocol in protocols.values():
            protocol.retry_stalled()
        transport.run()


def test_peers_negotiate_again_with_a_restarted_agent():
    protocols, transport = negotiated(3)
    last_numbers = {name: protocol.events(1, 0).last_number for name, protocol in protocols.items()}
    join(protocols, transport, 1, incarnation=2)
    transport.run()

    new = [
        edge
        for name in ("agent-0", "agent-2")
        for edge in protocols[name].events(1, last_numbers[name]).edges
    ]
    assert sorted((edge.source, edge.target, edge.incarnations) for edge in new) == [
        ("agent-1", "agent-0", (2, 1)), ("agent-1", "agent-2", (2, 1)),
    ]  # fmt: skip
    assert sorted((edge.source, edge.incarnations) for edge in protocols["agent-1"].events(2, 0).edges) == [
        ("agent-0", (1, 2)), ("agent-2", (1, 2)),
    ]  # fmt: skip
    assert all(protocol.settled() for protocol in protocols.values())


def test_messages_of_a_former_incarnation_are_refused_with_a_sentence():
    protocols, transport = negotiated(2)
    former = protocols["agent-1"]
    join(protocols, transport, 1, incarnation=2)
    transport.run()
    before = protocols["agent-0"].events(1, 0)
    former.publish(planted_model(1, 9))
    transport.run()

    after = protocols["agent-0"].events(1, before.last_number)
    assert after.refused == ("agent-1 sent this as incarnation 1; its newest one is 2",)
    assert after.edges == ()


def test_a_new_incarnation_is_accepted_before_the_supervisor_announces_it():
    protocols, transport = negotiated(2)
    restarted = PeerProtocol(local_peer("agent-1", 2), transport)
    transport.listen("agent-1", restarted.receive)
    restarted.update_peers(known_peers({"agent-0": 1}))
    restarted.publish(planted_model(1))
    transport.run()

    assert restarted.settled()
    assert protocols["agent-0"].events(1, 0).edges[-1].incarnations == (2, 1)
    sent = len(transport.messages)
    protocols["agent-0"].update_peers(known_peers({"agent-1": 2}))
    transport.run()
    assert len(transport.messages) == sent  # the announcement changes nothing by then


def test_a_list_that_was_made_before_a_peer_restarted_changes_nothing_once_the_peer_has_said_so():
    protocols, transport = negotiated(2)
    join(protocols, transport, 1, incarnation=2)
    transport.run()
    sent = len(transport.messages)
    protocols["agent-0"].update_peers(known_peers({"agent-1": 1}))
    transport.run()
    protocols["agent-1"].publish(planted_model(1, 1))
    transport.run()

    offers = [message for message in transport.messages[sent:] if isinstance(message, Offer)]
    assert [offer.checkpoint for offer in offers if offer.source == "agent-0"] == ["c0de0.0"]
    assert all(protocol.settled() for protocol in protocols.values())


def test_a_peer_whose_new_key_counts_its_incarnations_anew_is_negotiated_with_anew():
    protocols, transport = negotiated(2)
    join(protocols, transport, 1, incarnation=2)
    protocols["agent-1"].publish(planted_model(1, 1))
    transport.run()
    identity = identity_of("agent-1 with another key")
    protocols["agent-1"] = PeerProtocol(replace(local_peer("agent-1"), identity=identity), transport)
    transport.listen("agent-1", protocols["agent-1"].receive)
    protocols["agent-1"].update_peers(known_peers({"agent-0": 1}))
    protocols["agent-0"].update_peers({"agent-1": KnownPeer(identity.public_key, 1)})
    protocols["agent-1"].publish(planted_model(1, 2))
    transport.run()

    assert all(protocol.settled() for protocol in protocols.values())
    assert newest_edges(protocols)["agent-1", "agent-0"] == ("c0de1.2", "c0de0.0")


@pytest.mark.parametrize("end", ["agent-0", "agent-1"])
@pytest.mark.parametrize("lost", ["Hello", "Offer", "AnchorRequest", "AnchorReply", "Verdict"])
def test_a_pair_settles_again_after_one_end_alone_has_dropped_the_other(end, lost):
    """As when the list in between was lost with a connection: the other end knows of nothing."""
    protocols, transport = negotiated(2)
    (other,) = protocols.keys() - {end}
    before = protocols[end].events(1, 0).last_number
    protocols[end].update_peers({})
    losses = iter([True])
    transport.drops = lambda message: type(message).__name__ == lost and next(losses, False)
    protocols[end].update_peers(known_peers({other: 1}))
    transport.run()
    retry_all(protocols, transport)

    assert all(protocol.settled() for protocol in protocols.values())
    assert [edge.source for edge in protocols[end].events(1, before).edges] == [other]
    assert protocols[end].events(1, before).refused == ()


@pytest.mark.parametrize("kind", ["Hello", "Offer", "AnchorRequest", "AnchorReply", "Verdict"])
@pytest.mark.parametrize("sender", ["agent-0", "agent-1"])
def test_a_negotiation_recovers_from_the_loss_of_any_one_message(kind, sender):
    protocols, transport = connect_protocols(["agent-0", "agent-1"])
    transport.drops = lambda message: type(message).__name__ == kind and message.sender == sender
    publish_all(protocols, first_models(protocols))
    transport.run()
    transport.drops = lambda _: False
    retry_all(protocols, transport)

    assert all(protocol.settled() for protocol in protocols.values())


@settings(max_examples=20)
@given(seed=st.integers(0, 10**6), share=st.sampled_from([0.1, 0.5, 0.9, 1.0]))
def test_retries_make_up_for_any_share_of_lost_messages(seed, share):
    rng = np.random.default_rng(seed)
    protocols, transport = connect_protocols(
        ["agent-0", "agent-1", "agent-2"], drops=lambda _: rng.random() < share
    )
    publish_all(protocols, first_models(protocols))
    transport.run()
    transport.drops = lambda _: False
    retry_all(protocols, transport)

    assert all(protocol.settled() for protocol in protocols.values())
    assert newest_edges(protocols) == expected_edges(protocols, dict.fromkeys(protocols, 0))


def test_a_retry_sends_nothing_when_all_edges_are_settled():
    protocols, transport = connect_protocols(["agent-0", "agent-1"])
    protocols["agent-0"].retry_stalled()
    publish_all(protocols, first_models(protocols))
    transport.run()
    sent = len(transport.messages)
    retry_all(protocols, transport)

    assert len(transport.messages) == sent


def test_a_peer_that_left_is_forgotten_and_its_messages_are_refused():
    protocols, transport = negotiated(3)
    protocols["agent-0"].update_peers(known_peers({"agent-1": 1}))
    assert protocols["agent-0"].peers == {"agent-1"}
    assert protocols["agent-0"].settled()
    assert set(protocols["agent-0"].negotiation.edges) == {"agent-1"}
    protocols["agent-2"].publish(planted_model(2, 1))
    transport.run()
    assert "agent-2 is not a peer of agent-0" in protocols["agent-0"].events(1, 0).refused[-1]


def test_an_agent_that_waits_for_a_peer_is_settled_once_that_peer_leaves():
    protocols, transport = connect_protocols(["agent-0", "agent-1", "agent-2"])
    for name in ("agent-0", "agent-1"):
        protocols[name].publish(planted_model(int(name[6:])))
    transport.run()
    assert not protocols["agent-0"].settled()
    protocols["agent-0"].update_peers(known_peers({"agent-1": 1}))

    assert protocols["agent-0"].settled()


def test_an_unreachable_peer_is_reported_and_does_not_affect_others():
    protocols, transport = connect_protocols(["agent-0", "agent-1", "agent-2"])
    del transport._listeners["agent-1"]
    publish_all(protocols, first_models(protocols))
    transport.run()

    events = protocols["agent-0"].events(1, 0)
    assert any("peer agent-1 cannot be reached" in sentence for sentence in events.refused)
    assert {edge.source for edge in events.edges} == {"agent-2"}


def test_a_peer_that_stays_unreachable_is_reported_once_until_it_is_heard_again():
    protocols, transport = connect_protocols(["agent-0", "agent-1"])
    gone = transport._listeners.pop("agent-1")
    publish_all(protocols, first_models(protocols))
    for _ in range(20):
        protocols["agent-0"].retry_stalled()
    assert len(protocols["agent-0"].events(1, 0).refused) == 1

    transport._listeners["agent-1"] = gone
    for _ in range(2):
        protocols["agent-1"].retry_stalled()
    transport.run()
    assert protocols["agent-0"].settled()
    del transport._listeners["agent-1"]
    protocols["agent-0"].publish(planted_model(0, 1))
    assert len(protocols["agent-0"].events(1, 0).refused) == 2


def test_an_agent_whose_model_is_withdrawn_answers_nothing_until_it_publishes_again():
    protocols, transport = negotiated(2)
    protocols["agent-0"].withdraw()
    sent = len(transport.messages)
    protocols["agent-1"].publish(planted_model(1, 1))
    transport.run()
    assert [message.sender for message in transport.messages[sent:]] == ["agent-1"]
    assert not protocols["agent-0"].settled()
    protocols["agent-0"].publish(planted_model(0, 1))
    transport.run()

    assert protocols["agent-0"].settled()
    assert newest_edges(protocols) == expected_edges(protocols, {"agent-0": 1, "agent-1": 1})
