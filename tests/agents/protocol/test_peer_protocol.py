from collections import Counter
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.protocol.messages import Hello, Offer
from agents.protocol.peer_protocol import PeerProtocol
from alignment.status import Status
from tests.support.peers import deliver, edges_of, join, offers, planted, settled_pairs
from tests.support.swarm import Lossy, gather, publish


@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("backwards", [False, True])
def test_whoever_is_first_everybody_understands_everybody_in_the_end(count, backwards):
    protocols, transport = gather([f"agent-{k}" for k in range(count)])
    for name in sorted(protocols, reverse=backwards):
        protocols[name].publish(planted(int(name[6:])))
        transport.run()

    assert all(protocol.settled() for protocol in protocols.values())
    assert edges_of(protocols) == settled_pairs(protocols, dict.fromkeys(protocols, 0))
    assert set(offers(transport).values()) == {1}
    for protocol in protocols.values():
        assert protocol.events(1, 0).refused == ()
        assert {edge.status for edge in protocol.events(1, 0).edges} == {Status.ACCEPTED}


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["meet", "publish", "deliver", "remind"]), st.integers(0, 2), st.integers(1, 9)
    ),
    max_size=25,
)


@settings(max_examples=40, deadline=None)
@given(steps=STEPS)
def test_in_whatever_order_they_meet_and_publish_the_newest_models_are_understood(steps):
    names, transport = ["agent-0", "agent-1", "agent-2"], Lossy()
    protocols = {name: PeerProtocol(name, transport, incarnation=1) for name in names}
    versions = dict.fromkeys(names, 0)
    for name, protocol in protocols.items():
        transport.listen(name, protocol.receive)
    for what, index, count in [*steps, *[("meet", index, 1) for index in range(3)]]:
        name = names[index]
        if what == "meet":
            protocols[name].update_peers({peer: 1 for peer in names if peer != name})
        elif what == "publish":
            versions[name] += 1
            protocols[name].publish(planted(index, versions[name]))
        elif what == "remind":
            protocols[name].retry_stalled()
        else:
            deliver(transport, count)
    for index, name in enumerate(names):
        if protocols[name].negotiation is None:
            protocols[name].publish(planted(index, versions[name]))
    transport.run()
    for _ in range(3):  # what was said before they had met was refused, and is said again
        for protocol in protocols.values():
            protocol.retry_stalled()
        transport.run()

    assert all(protocol.settled() for protocol in protocols.values())
    assert edges_of(protocols) == settled_pairs(protocols, versions)


@settings(max_examples=30, deadline=None)
@given(order=st.permutations(["meet", "publish"] * 3), data=st.data())
def test_without_a_loss_nobody_offers_twice_for_the_same_two_models(order, data):
    protocols, transport = gather(["agent-0", "agent-1", "agent-2"])
    versions = dict.fromkeys(protocols, 0)
    for what in order:
        name = data.draw(st.sampled_from(sorted(protocols)))
        if what == "publish":
            versions[name] += 1
            protocols[name].publish(planted(int(name[6:]), versions[name]))
        else:
            protocols[name].update_peers({peer: 1 for peer in protocols if peer != name})
        deliver(transport, data.draw(st.integers(0, 20)))
    transport.run()

    made = Counter()
    for message in transport.said:
        if isinstance(message, Offer):
            made[message.edge, message.checkpoint] += 1
    for ((_, target), _), count in made.items():
        assert count <= 1 + versions[target]  # once for each model that the target has shown


def test_a_newcomer_costs_as_many_messages_as_it_has_peers_times_a_constant():
    costs, sizes = [], []
    for count in range(2, 9):
        protocols, transport = gather([f"agent-{k}" for k in range(count - 1)])
        publish(protocols, {name: planted(int(name[6:])) for name in protocols})
        transport.run()
        before = len(transport.said)
        join(protocols, transport, count - 1)
        transport.run()
        costs.append(len(transport.said) - before)
        sizes.append(count - 1)
        touched = {name for message in transport.said[before:] for name in message.edge}
        assert all(f"agent-{count - 1}" in message.edge for message in transport.said[before:])
        assert len(touched) == count
        assert all(protocol.settled() for protocol in protocols.values())

    assert np.ptp(np.array(costs) / np.array(sizes)) == 0
    assert costs[0] == 2 * 4 + 2  # two edges of four messages, and a Hello from both


def test_a_newcomer_leaves_the_edges_of_the_others_alone():
    protocols, transport = gather(["agent-0", "agent-1"])
    publish(protocols, {name: planted(int(name[6:])) for name in protocols})
    transport.run()
    upto = {name: protocol.events(1, 0).last_number for name, protocol in protocols.items()}
    join(protocols, transport, 2)
    transport.run()

    for name, number in upto.items():
        assert {edge.source for edge in protocols[name].events(1, number).edges} == {"agent-2"}


def test_another_model_costs_its_owner_its_own_edges_and_nobody_else_any():
    protocols, transport = gather(["agent-0", "agent-1", "agent-2"])
    publish(protocols, {name: planted(int(name[6:])) for name in protocols})
    transport.run()
    before = len(transport.said)
    protocols["agent-1"].publish(planted(1, 1))
    transport.run()

    again = Counter(message.edge for message in transport.said[before:] if not isinstance(message, Hello))
    assert again == dict.fromkeys([pair for pair in permutations(protocols, 2) if "agent-1" in pair], 4)
    assert edges_of(protocols) == settled_pairs(protocols, {"agent-0": 0, "agent-1": 1, "agent-2": 0})
