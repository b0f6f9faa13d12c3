from collections import Counter

import pytest

from agents.protocol.channel import Channel, MemoryTransport, RayTransport
from agents.protocol.messages import AnchorReply, AnyMessage, decode
from agents.protocol.wire import Envelope, MessageError, pack, unpack
from tests.support.swarm import CONFIG, DIM, connect, negotiate, offer, overheard, swarm


def tapped(count=3):
    """A whole negotiation: every frame with its receiver, and the mailboxes."""
    frames = []
    boxes = negotiate(swarm(count), MemoryTransport(tap=lambda *seen: frames.append(seen)))
    return frames, boxes


def test_a_tap_sees_declared_messages_and_nothing_else():
    frames, _ = tapped()
    for receiver, frame in frames:
        message = decode(unpack(frame).body)
        assert isinstance(message, AnyMessage)
        assert message.receiver == receiver
        assert max(len(word) for word in frame.split(b"\0")) < 2000


def test_every_byte_on_the_wire_is_counted_on_its_edge_by_both_ends():
    frames, boxes = tapped()
    seen = Counter()
    for _, frame in frames:
        seen[decode(unpack(frame).body).edge] += len(frame)

    assert sum((box.sent for box in boxes.values()), Counter()) == seen
    assert sum((box.received for box in boxes.values()), Counter()) == seen
    log = [entry for box in boxes.values() for entry in box.log]
    assert len(log) == len(frames)
    assert sum(entry.bytes for entry in log) == seen.total()
    assert Counter((entry.edge_source, entry.edge_target) for entry in log) == dict.fromkeys(seen, 4)


def test_an_edge_costs_its_anchors_and_little_more():
    frames, _ = tapped()
    numbers = 4 * DIM * (CONFIG.anchors + CONFIG.heldout)
    spent = Counter()
    for _, frame in frames:
        spent[decode(unpack(frame).body).edge] += len(frame)

    assert len(spent) == 6
    assert all(numbers < cost <= 1.02 * numbers + 1024 for cost in spent.values())


def test_the_log_names_each_message_in_the_order_it_was_sent():
    frames, boxes = tapped(2)
    said = [type(message).__name__ for message in overheard(swarm(2))]

    assert sorted(entry.type for box in boxes.values() for entry in box.log) == sorted(said)
    for name, box in boxes.items():
        sent = [decode(unpack(frame).body) for _, frame in frames]
        assert [entry.type for entry in box.log] == [type(m).__name__ for m in sent if m.sender == name]
        assert {entry.sender for entry in box.log} == {name}


def test_frames_of_a_life_are_numbered_from_one_and_carry_its_incarnation():
    frames = []
    transport = MemoryTransport(tap=lambda _, frame: frames.append(unpack(frame)))
    transport.listen("agent-1", lambda _: None)
    box = Channel(transport, incarnation=4)
    for _ in range(3):
        box.send([offer(), offer()])

    assert [frame.nonce for frame in frames] == [1, 2, 3, 4, 5, 6]
    assert {frame.incarnation for frame in frames} == {4}


def test_nothing_is_counted_that_could_not_be_sent():
    box = Channel(MemoryTransport())
    with pytest.raises(LookupError, match="agent-1"):
        box.send([offer()])
    assert not box.sent
    assert not box.log


def test_frames_arrive_in_the_order_they_were_sent_and_only_when_asked():
    arrived, transport = [], MemoryTransport()
    transport.listen("a", arrived.append)
    transport.listen("b", lambda frame: transport.send("a", frame + b"!"))
    for name, frame in (("a", b"1"), ("b", b"2"), ("a", b"3")):
        transport.send(name, frame)

    assert arrived == []
    assert transport.run() == 4
    assert arrived == [b"1", b"3", b"2!"]
    assert transport.run() == 0


def test_a_frame_that_cannot_be_read_is_a_message_error_and_is_not_counted():
    agents = swarm(2)
    boxes = connect(agents, MemoryTransport())
    for data in (b"", b"hello", pack(Envelope(b"\xc0"))):
        with pytest.raises(MessageError):
            boxes["agent-0"].receive(data)
    assert not boxes["agent-0"].received


def test_an_unknown_peer_cannot_be_reached_by_any_transport():
    for transport in (MemoryTransport(), RayTransport({})):
        with pytest.raises(LookupError, match="nobody called agent-7"):
            transport.send("agent-7", b"")


def test_anchors_are_most_of_what_is_said():
    frames, _ = tapped()
    messages = [(decode(unpack(frame).body), len(frame)) for _, frame in frames]
    shown = sum(len(message.data) for message, _ in messages if isinstance(message, AnchorReply))

    assert shown > 0.5 * sum(size for _, size in messages)
