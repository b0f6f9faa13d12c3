import time
from collections import Counter
from itertools import permutations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.protocol import peer_protocol
from agents.protocol.messages import AnchorReply, AnchorRequest, Hello, Offer, Verdict
from agents.protocol.peer_protocol import PeerProtocol
from alignment.status import Status
from tests.support.keys import known_peers, local_peer
from tests.support.peers import (
    count_offers,
    deliver_some,
    expected_edges,
    first_models,
    join,
    newest_edges,
    planted_model,
)
from tests.support.swarm import LossyTransport, connect_protocols, planted_negotiations, publish_all


@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("reverse", [False, True])
def test_every_pair_is_settled_whichever_agent_publishes_first(count, reverse):
    protocols, transport = connect_protocols([f"agent-{k}" for k in range(count)])
    for name in sorted(protocols, reverse=reverse):
        protocols[name].publish(planted_model(int(name[6:])))
        transport.run()

    assert all(protocol.settled() for protocol in protocols.values())
    assert newest_edges(protocols) == expected_edges(protocols, dict.fromkeys(protocols, 0))
    assert set(count_offers(transport).values()) == {1}
    for protocol in protocols.values():
        assert protocol.events(1, 0).refused == ()
        assert {edge.status for edge in protocol.events(1, 0).edges} == {Status.ACCEPTED}


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["update_peers", "publish", "deliver", "retry"]),
        st.integers(0, 2),
        st.integers(1, 9),
    ),
    max_size=25,
)


@settings(max_examples=40)
@given(actions=ACTIONS)
def test_the_newest_models_are_negotiated_in_whatever_order_agents_join_and_publish(actions):
    names, transport = ["agent-0", "agent-1", "agent-2"], LossyTransport()
    protocols = {name: PeerProtocol(local_peer(name), transport) for name in names}
    versions = dict.fromkeys(names, 0)
    for name, protocol in protocols.items():
        transport.listen(name, protocol.receive)
    for action, index, count in [*actions, *[("update_peers", index, 1) for index in range(3)]]:
        name = names[index]
        if action == "update_peers":
            protocols[name].update_peers(known_peers({peer: 1 for peer in names if peer != name}))
        elif action == "publish":
            versions[name] += 1
            protocols[name].publish(planted_model(index, versions[name]))
        elif action == "retry":
            protocols[name].retry_stalled()
        else:
            deliver_some(transport, count)
    for index, name in enumerate(names):
        if protocols[name].negotiation is None:
            protocols[name].publish(planted_model(index, versions[name]))
    transport.run()
    for _ in range(3):  # messages that arrived before the peer list were refused, and are sent again
        for protocol in protocols.values():
            protocol.retry_stalled()
        transport.run()

    assert all(protocol.settled() for protocol in protocols.values())
    assert newest_edges(protocols) == expected_edges(protocols, versions)


def test_hellos_of_two_models_have_different_rounds_though_no_offer_was_made_in_between():
    protocols, transport = connect_protocols(["agent-0", "agent-1"])
    for version in range(3):
        protocols["agent-0"].publish(planted_model(0, version))
    assert [message.round for message in transport.messages] == [0, 1, 2]

    protocols["agent-1"].publish(planted_model(1))
    for receiver, data in sorted(transport._queue, reverse=True):  # the newest announcement comes first
        transport._listeners[receiver](data)
    transport._queue.clear()
    for _ in range(4):
        for protocol in protocols.values():
            protocol.retry_stalled()
        transport.run()
    assert newest_edges(protocols) == expected_edges(protocols, {"agent-0": 2, "agent-1": 0})
    assert [protocol.events(1, 0).refused for protocol in protocols.values()] == [(), ()]


@settings(max_examples=30)
@given(order=st.permutations(["update_peers", "publish"] * 3), data=st.data())
def test_without_loss_no_agent_offers_twice_for_the_same_two_models(order, data):
    protocols, transport = connect_protocols(["agent-0", "agent-1", "agent-2"])
    versions = dict.fromkeys(protocols, 0)
    for action in order:
        name = data.draw(st.sampled_from(sorted(protocols)))
        if action == "publish":
            versions[name] += 1
            protocols[name].publish(planted_model(int(name[6:]), versions[name]))
        else:
            protocols[name].update_peers(known_peers({peer: 1 for peer in protocols if peer != name}))
        deliver_some(transport, data.draw(st.integers(0, 20)))
    transport.run()

    offers = Counter()
    for message in transport.messages:
        if isinstance(message, Offer):
            offers[message.edge, message.checkpoint] += 1
    for ((_, target), _), count in offers.items():
        assert count <= 1 + versions[target]  # once for each model that the target has published


def test_a_joiner_costs_ten_messages_for_each_peer():
    for peers in (1, 2, 5):
        protocols, transport = connect_protocols([f"agent-{k}" for k in range(peers)])
        publish_all(protocols, first_models(protocols))
        transport.run()
        before = len(transport.messages)
        join(protocols, transport, peers)
        transport.run()
        joiner, messages = f"agent-{peers}", transport.messages[before:]

        assert all(joiner in message.edge for message in messages)
        assert {name for message in messages for name in message.edge} == {*protocols}
        assert all(protocol.settled() for protocol in protocols.values())
        assert len(messages) == 10 * peers
        for peer in [*protocols][:-1]:
            for pair in ((joiner, peer), (peer, joiner)):
                types = [type(message).__name__ for message in messages if message.edge == pair]
                assert types == ["Hello", "Offer", "AnchorRequest", "AnchorReply", "Verdict"]


def test_a_joiner_leaves_the_edges_between_other_agents_alone():
    protocols, transport = connect_protocols(["agent-0", "agent-1"])
    publish_all(protocols, first_models(protocols))
    transport.run()
    last_numbers = {name: protocol.events(1, 0).last_number for name, protocol in protocols.items()}
    join(protocols, transport, 2)
    transport.run()

    for name, number in last_numbers.items():
        assert {edge.source for edge in protocols[name].events(1, number).edges} == {"agent-2"}


def test_a_new_model_renegotiates_the_edges_of_its_agent_and_no_others():
    protocols, transport = connect_protocols(["agent-0", "agent-1", "agent-2"])
    publish_all(protocols, first_models(protocols))
    transport.run()
    before = len(transport.messages)
    protocols["agent-1"].publish(planted_model(1, 1))
    transport.run()

    new = Counter(message.edge for message in transport.messages[before:] if not isinstance(message, Hello))
    assert new == dict.fromkeys([pair for pair in permutations(protocols, 2) if "agent-1" in pair], 4)
    assert newest_edges(protocols) == expected_edges(protocols, {"agent-0": 0, "agent-1": 1, "agent-2": 0})


def replies_to(transport, receiver):
    """Return the last message of each type that replies to an offer or request of this agent."""
    received = {type(message): message for message in transport.messages if message.receiver == receiver}
    return [received[kind] for kind in (AnchorRequest, AnchorReply, Verdict)]


def test_stale_replies_to_an_earlier_model_are_ignored_and_malformed_ones_are_refused():
    protocols, transport = connect_protocols(["agent-0", "agent-1"])
    publish_all(protocols, first_models(protocols))
    transport.run()
    stale = replies_to(transport, "agent-0")
    transport.drops = lambda message: isinstance(message, AnchorReply)
    protocols["agent-0"].publish(planted_model(0, 1))
    transport.run()
    transport.drops = lambda message: False
    _, reply, _ = replies_to(transport, "agent-0")
    before = protocols["agent-0"].events(1, 0).last_number
    protocols["agent-1"].send(stale)
    transport.run()
    assert protocols["agent-0"].events(1, before).refused == ()

    nan = np.full((reply.rows, reply.dim), np.nan, "<f4").tobytes()
    protocols["agent-1"].send([msgspec.structs.replace(reply, data=nan)])
    transport.run()
    (refusal,) = protocols["agent-0"].events(1, before).refused
    assert "not finite" in refusal


def test_peers_whose_answers_are_missing_are_named_until_the_edges_are_settled():
    began = time.time()
    agents = planted_negotiations(3)
    protocols, transport = connect_protocols(agents, drops=lambda message: message.receiver == "agent-2")
    publish_all(protocols, agents)
    transport.run()

    assert protocols["agent-0"].unanswered().keys() == {"agent-2"}
    assert began <= protocols["agent-0"].unanswered()["agent-2"] <= time.time()
    transport.drops = lambda message: False
    for _ in range(2):
        for protocol in protocols.values():
            protocol.retry_stalled()
        transport.run()

    assert [protocol.unanswered() for protocol in protocols.values()] == [{}, {}, {}]


def test_a_peer_that_left_is_not_waited_for():
    agents = planted_negotiations(2)
    protocols, _ = connect_protocols(agents, drops=lambda message: True)
    publish_all(protocols, agents)

    assert protocols["agent-0"].unanswered()
    protocols["agent-0"].update_peers({})
    assert protocols["agent-0"].unanswered() == {}


def test_an_unexpected_error_in_a_message_is_reported_as_a_refusal(monkeypatch):
    agents = planted_negotiations(2)
    protocols, transport = connect_protocols(agents)

    def fail(message):
        raise ZeroDivisionError

    monkeypatch.setattr(agents["agent-1"], "receive", fail)
    publish_all(protocols, agents)
    transport.run()

    refused = protocols["agent-1"].events(1, 0).refused
    assert refused
    assert all(sentence == "a message could not be processed (ZeroDivisionError: )" for sentence in refused)


def drained(protocol, since=0):
    """The numbers of all events, report by report, each acknowledged before the next; and the events."""
    sizes, found = [], []
    while protocol.newest_event != (1, since):
        events = protocol.events(1, since)
        since, size = events.last_number, len(events.edges) + len(events.sent) + len(events.refused)
        sizes.append(size)
        found += [*events.edges, *events.sent]
    return sizes, found


def test_events_that_wait_are_reported_in_parts_each_once(monkeypatch):
    agents = planted_negotiations(4)
    protocols, transport = connect_protocols(agents)
    publish_all(protocols, agents)
    transport.run()
    whole = protocols["agent-0"].events(1, 0)
    monkeypatch.setattr(peer_protocol, "EVENTS_PER_REPORT", 3)
    sizes, found = drained(protocols["agent-0"])

    assert max(sizes) <= 3
    assert [each for each in found if each in whole.sent] == list(whole.sent)
    assert [id(each) for each in found if each not in whole.sent] == [id(edge) for edge in whole.edges]


def test_an_agent_whose_supervisor_is_away_keeps_few_events_and_goes_on_when_it_is_back(monkeypatch):
    agents = planted_negotiations(4)
    monkeypatch.setattr(peer_protocol, "MAX_EVENTS", 10)
    protocols, transport = connect_protocols(agents)
    publish_all(protocols, agents)
    transport.run()
    waiting = [len(protocol._events) for protocol in protocols.values()]
    assert max(waiting) <= 10 + 3 * len(agents)  # one message may cause several events
    assert not all(protocol.settled() for protocol in protocols.values())

    edges, since = {}, dict.fromkeys(protocols, 0)
    for _ in range(40):
        for name, protocol in protocols.items():
            events = protocol.events(1, since[name])
            since[name] = events.last_number
            edges |= {(edge.source, edge.target): edge for edge in events.edges}
            protocol.retry_stalled()
        transport.run()
    assert all(protocol.settled() for protocol in protocols.values())
    assert len(edges) == 12
