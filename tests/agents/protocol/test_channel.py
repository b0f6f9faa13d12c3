import contextlib
from collections import Counter

import pytest

from agents.protocol.channel import Channel, UnreachablePeerError
from agents.protocol.envelope import parse
from agents.protocol.messages import AnyMessage, decode, encode
from agents.protocol.transports.memory import MemoryTransport
from agents.protocol.transports.ray_actors import RayTransport
from agents.protocol.wire import EnvelopeRejected, Reason
from tests.support.keys import known_peers, local_peer, signed
from tests.support.swarm import (
    CONFIG,
    DIM,
    example_offer,
    negotiate_all,
    negotiation_messages,
    planted_negotiations,
)


def tapped_negotiation(count=3):
    """Return (receiver, bytes) of every envelope of a whole negotiation, and the channels."""
    envelopes = []
    channels = negotiate_all(
        planted_negotiations(count), MemoryTransport(tap=lambda *seen: envelopes.append(seen))
    )
    return envelopes, channels


def test_a_tap_sees_only_declared_messages():
    envelopes, _ = tapped_negotiation()
    for receiver, data in envelopes:
        message = decode(parse(data).body)
        assert isinstance(message, AnyMessage)
        assert message.receiver == receiver
        assert max(len(word) for word in data.split(b"\0")) < 2000


def test_both_ends_count_every_byte_on_the_wire_under_its_edge():
    envelopes, channels = tapped_negotiation()
    expected = Counter()
    for _, data in envelopes:
        expected[decode(parse(data).body).edge] += len(data)

    assert sum((channel.sent for channel in channels.values()), Counter()) == expected
    assert sum((channel.received for channel in channels.values()), Counter()) == expected
    log = [entry for channel in channels.values() for entry in channel.log]
    assert len(log) == len(envelopes)
    assert sum(entry.bytes for entry in log) == expected.total()
    assert Counter((entry.edge_source, entry.edge_target) for entry in log) == dict.fromkeys(expected, 4)


def test_an_edge_costs_its_anchors_and_little_more():
    envelopes, _ = tapped_negotiation()
    embedding_bytes = 4 * DIM * (CONFIG.anchors + CONFIG.heldout)
    cost = Counter()
    for _, data in envelopes:
        cost[decode(parse(data).body).edge] += len(data)

    assert len(cost) == 6
    assert all(embedding_bytes < each <= 1.02 * embedding_bytes + 1024 for each in cost.values())


def test_the_log_lists_each_message_in_the_order_it_was_sent():
    envelopes, channels = tapped_negotiation(2)
    types = [type(message).__name__ for message in negotiation_messages(planted_negotiations(2))]

    assert sorted(entry.type for channel in channels.values() for entry in channel.log) == sorted(types)
    for name, channel in channels.items():
        sent = [decode(parse(data).body) for _, data in envelopes]
        assert [entry.type for entry in channel.log] == [
            type(message).__name__ for message in sent if message.sender == name
        ]
        assert {entry.sender for entry in channel.log} == {name}


def test_envelopes_of_an_incarnation_are_numbered_from_one_and_carry_it():
    envelopes = []
    transport = MemoryTransport(tap=lambda _, data: envelopes.append(parse(data)))
    transport.listen("agent-1", lambda _: None)
    channel = Channel(transport, local_peer("agent-0", 4))
    channel.set_peers(known_peers({"agent-1": 7}))
    for _ in range(3):
        channel.send([example_offer(), example_offer()])

    assert [envelope.sequence for envelope in envelopes] == [1, 2, 3, 4, 5, 6]
    assert {(envelope.incarnation, envelope.recipient_incarnation) for envelope in envelopes} == {(4, 7)}


def receiving(**peers):
    """Return the channel of agent-1, whose peer is agent-0."""
    channel = Channel(MemoryTransport(), local_peer("agent-1"))
    channel.set_peers(known_peers({"agent-0": 1, **peers}))
    return channel


def test_a_message_of_a_former_incarnation_is_refused_with_both_numbers():
    channel = receiving(**{"agent-0": 2})
    with pytest.raises(EnvelopeRejected, match="agent-0 sent this as incarnation 1; its newest one is 2"):
        channel.receive(signed(example_offer()))

    assert channel.verifier.refusals == {("agent-0", Reason.INCARNATION): 1}
    assert not channel.received


@pytest.mark.parametrize("changes", [{"source": "agent-2"}, {"target": "agent-2"}])
def test_a_message_of_other_agents_than_the_envelope_names_is_refused(changes):
    channel = receiving()
    data = signed(example_offer(), body=encode(example_offer(**changes)))
    with pytest.raises(EnvelopeRejected, match="agent-0 signed a message from") as caught:
        channel.receive(data)
    assert caught.value.reason is Reason.BODY
    assert not channel.received


def test_more_offers_and_anchors_than_the_budget_are_refused():
    channel = receiving()
    for sequence in range(1, 200):
        with contextlib.suppress(EnvelopeRejected):
            channel.receive(signed(example_offer(round=sequence), sequence=sequence))
    refused = channel.verifier.refusals["agent-0", Reason.BUDGET]
    assert 199 - 128 - 20 < refused <= 199 - 128  # it is filled again at two a second


def test_an_offer_of_many_dimensions_counts_as_several():
    """A map of 1,024 dimensions takes twenty times as long as one of 16."""
    channel, refused = receiving(), []
    for sequence in range(1, 20):
        try:
            offer = example_offer(dim=1024, core_dim=1, round=sequence, checkpoint=f"model-{sequence}")
            channel.receive(signed(offer, sequence=sequence))
        except EnvelopeRejected as error:
            refused.append((sequence, error.reason))
    assert refused == [(sequence, Reason.BUDGET) for sequence in range(9, 20)]


def test_an_offer_that_is_repeated_while_nobody_answers_counts_as_one():
    channel = receiving()
    for sequence in range(1, 100):  # at once; a model that differs each time is refused from the ninth on
        channel.receive(signed(example_offer(dim=1024, core_dim=1, round=sequence), sequence=sequence))


def test_a_message_that_cannot_be_sent_is_not_counted():
    channel = Channel(MemoryTransport(), local_peer("agent-0"))
    with pytest.raises(UnreachablePeerError, match="agent-1"):
        channel.send([example_offer()])
    assert not channel.sent
    assert not channel.log


def test_envelopes_arrive_in_the_order_sent_and_only_on_request():
    arrived, transport = [], MemoryTransport()
    transport.listen("a", arrived.append)
    transport.listen("b", lambda data: transport.send("a", data + b"!"))
    for name, data in (("a", b"1"), ("b", b"2"), ("a", b"3")):
        transport.send(name, data)

    assert arrived == []
    assert transport.run() == 4
    assert arrived == [b"1", b"3", b"2!"]
    assert transport.run() == 0


def test_bytes_that_are_no_message_are_refused_and_not_counted_as_received():
    channel = receiving()
    for data in (b"", b"hello", signed(example_offer(), body=b"\xc0")):
        with pytest.raises(EnvelopeRejected):
            channel.receive(data)
    assert not channel.received
    assert channel.verifier.refusals == {("", Reason.SIZE): 2, ("agent-0", Reason.BODY): 1}


def test_every_transport_reports_an_unknown_peer_by_its_name():
    for transport in (MemoryTransport(), RayTransport({})):
        with pytest.raises(UnreachablePeerError, match="peer agent-7 cannot be reached") as caught:
            transport.send("agent-7", b"")
        assert caught.value.peer == "agent-7"
