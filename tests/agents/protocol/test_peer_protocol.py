from collections import Counter
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.protocol.messages import Hello, Offer, Status
from agents.protocol.peer_protocol import PeerProtocol
from tests.support.peers import deliver, edges_of, join, offers, planted, settled_pairs
from tests.support.swarm import Lossy, gather, publish


@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("backwards", [False, True])
def test_whoever_is_first_everybody_understands_everybody_in_the_end(count, backwards):
    voices, transport = gather([f"agent-{k}" for k in range(count)])
    for name in sorted(voices, reverse=backwards):
        voices[name].publish(planted(int(name[6:])))
        transport.run()

    assert all(voice.settled() for voice in voices.values())
    assert edges_of(voices) == settled_pairs(voices, dict.fromkeys(voices, 0))
    assert set(offers(transport).values()) == {1}
    for voice in voices.values():
        assert voice.news(1, 0).refused == ()
        assert {edge.status for edge in voice.news(1, 0).edges} == {Status.ACCEPTED}


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
    voices = {name: PeerProtocol(name, transport, incarnation=1) for name in names}
    versions = dict.fromkeys(names, 0)
    for name, voice in voices.items():
        transport.listen(name, voice.hear)
    for what, index, count in [*steps, *[("meet", index, 1) for index in range(3)]]:
        name = names[index]
        if what == "meet":
            voices[name].meet({peer: 1 for peer in names if peer != name})
        elif what == "publish":
            versions[name] += 1
            voices[name].publish(planted(index, versions[name]))
        elif what == "remind":
            voices[name].remind()
        else:
            deliver(transport, count)
    for index, name in enumerate(names):
        if voices[name].negotiation is None:
            voices[name].publish(planted(index, versions[name]))
    transport.run()
    for _ in range(3):  # what was said before they had met was refused, and is said again
        for voice in voices.values():
            voice.remind()
        transport.run()

    assert all(voice.settled() for voice in voices.values())
    assert edges_of(voices) == settled_pairs(voices, versions)


@settings(max_examples=30, deadline=None)
@given(order=st.permutations(["meet", "publish"] * 3), data=st.data())
def test_without_a_loss_nobody_offers_twice_for_the_same_two_models(order, data):
    voices, transport = gather(["agent-0", "agent-1", "agent-2"])
    versions = dict.fromkeys(voices, 0)
    for what in order:
        name = data.draw(st.sampled_from(sorted(voices)))
        if what == "publish":
            versions[name] += 1
            voices[name].publish(planted(int(name[6:]), versions[name]))
        else:
            voices[name].meet({peer: 1 for peer in voices if peer != name})
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
        voices, transport = gather([f"agent-{k}" for k in range(count - 1)])
        publish(voices, {name: planted(int(name[6:])) for name in voices})
        transport.run()
        before = len(transport.said)
        join(voices, transport, count - 1)
        transport.run()
        costs.append(len(transport.said) - before)
        sizes.append(count - 1)
        touched = {name for message in transport.said[before:] for name in message.edge}
        assert all(f"agent-{count - 1}" in message.edge for message in transport.said[before:])
        assert len(touched) == count
        assert all(voice.settled() for voice in voices.values())

    assert np.ptp(np.array(costs) / np.array(sizes)) == 0
    assert costs[0] == 2 * 4 + 2  # two edges of four messages, and a Hello from both


def test_a_newcomer_leaves_the_edges_of_the_others_alone():
    voices, transport = gather(["agent-0", "agent-1"])
    publish(voices, {name: planted(int(name[6:])) for name in voices})
    transport.run()
    upto = {name: voice.news(1, 0).upto for name, voice in voices.items()}
    join(voices, transport, 2)
    transport.run()

    for name, number in upto.items():
        assert {edge.source for edge in voices[name].news(1, number).edges} == {"agent-2"}


def test_another_model_costs_its_owner_its_own_edges_and_nobody_else_any():
    voices, transport = gather(["agent-0", "agent-1", "agent-2"])
    publish(voices, {name: planted(int(name[6:])) for name in voices})
    transport.run()
    before = len(transport.said)
    voices["agent-1"].publish(planted(1, 1))
    transport.run()

    again = Counter(message.edge for message in transport.said[before:] if not isinstance(message, Hello))
    assert again == dict.fromkeys([pair for pair in permutations(voices, 2) if "agent-1" in pair], 4)
    assert edges_of(voices) == settled_pairs(voices, {"agent-0": 0, "agent-1": 1, "agent-2": 0})
