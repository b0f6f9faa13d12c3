from collections import Counter

import pytest

from agents.protocol.channel import (
    Channel,
    FormerIncarnationError,
    MemoryTransport,
    RayTransport,
    UnreachablePeerError,
)
from agents.protocol.messages import AnchorReply, AnyMessage, decode, encode
from agents.protocol.wire import Envelope, MessageError, pack, unpack
from tests.support.swarm import (
    CONFIG,
    DIM,
    connect_channels,
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
        message = decode(unpack(data).body)
        assert isinstance(message, AnyMessage)
        assert message.receiver == receiver
        assert max(len(word) for word in data.split(b"\0")) < 2000


def test_both_ends_count_every_byte_on_the_wire_under_its_edge():
    envelopes, channels = tapped_negotiation()
    expected = Counter()
    for _, data in envelopes:
        expected[decode(unpack(data).body).edge] += len(data)

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
        cost[decode(unpack(data).body).edge] += len(data)

    assert len(cost) == 6
    assert all(embedding_bytes < each <= 1.02 * embedding_bytes + 1024 for each in cost.values())


def test_the_log_lists_each_message_in_the_order_it_was_sent():
    envelopes, channels = tapped_negotiation(2)
    types = [type(message).__name__ for message in negotiation_messages(planted_negotiations(2))]

    assert sorted(entry.type for channel in channels.values() for entry in channel.log) == sorted(types)
    for name, channel in channels.items():
        sent = [decode(unpack(data).body) for _, data in envelopes]
        assert [entry.type for entry in channel.log] == [
            type(message).__name__ for message in sent if message.sender == name
        ]
        assert {entry.sender for entry in channel.log} == {name}


def test_envelopes_of_an_incarnation_are_numbered_from_one_and_carry_it():
    envelopes = []
    transport = MemoryTransport(tap=lambda _, data: envelopes.append(unpack(data)))
    transport.listen("agent-1", lambda _: None)
    channel = Channel(transport, incarnation=4)
    for _ in range(3):
        channel.send([example_offer(), example_offer()])

    assert [envelope.nonce for envelope in envelopes] == [1, 2, 3, 4, 5, 6]
    assert {envelope.incarnation for envelope in envelopes} == {4}


def test_a_message_of_a_former_incarnation_is_refused_with_both_numbers():
    channel = Channel(MemoryTransport())
    channel.incarnations["agent-0"] = 2
    with pytest.raises(FormerIncarnationError, match="agent-0 sent this as incarnation 1") as caught:
        channel.receive(pack(Envelope(encode(example_offer()), incarnation=1)))

    assert (caught.value.sender, caught.value.received, caught.value.newest) == ("agent-0", 1, 2)
    assert not channel.received


def test_a_message_that_cannot_be_sent_is_not_counted():
    channel = Channel(MemoryTransport())
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


def test_bytes_that_are_no_message_raise_a_message_error_and_are_not_counted():
    channels = connect_channels(planted_negotiations(2), MemoryTransport())
    for data in (b"", b"hello", pack(Envelope(b"\xc0"))):
        with pytest.raises(MessageError):
            channels["agent-0"].receive(data)
    assert not channels["agent-0"].received


def test_every_transport_reports_an_unknown_peer_by_its_name():
    for transport in (MemoryTransport(), RayTransport({})):
        with pytest.raises(UnreachablePeerError, match="peer agent-7 cannot be reached") as caught:
            transport.send("agent-7", b"")
        assert caught.value.peer == "agent-7"


def test_more_than_half_of_all_bytes_are_anchors():
    envelopes, _ = tapped_negotiation()
    messages = [(decode(unpack(data).body), len(data)) for _, data in envelopes]
    anchor_bytes = sum(len(message.data) for message, _ in messages if isinstance(message, AnchorReply))

    assert anchor_bytes > 0.5 * sum(size for _, size in messages)
