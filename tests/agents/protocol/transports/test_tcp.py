import logging
import socket
import struct
import threading
import time
from dataclasses import replace

import pytest

from agents.protocol.budget import Allowance
from agents.protocol.channel import UnreachablePeerError
from agents.protocol.transports.address import PeerAddress, PeerAddressError
from agents.protocol.transports.tcp import TcpTransport
from agents.protocol.transports.tcp_link import LinkLimits
from agents.protocol.trust import KeyRevocation, RotatedIdentity, TrustStore
from agents.protocol.verifier import LocalPeer
from agents.protocol.wire import MAX_ENVELOPE_BYTES
from tests.support.keys import SESSION, identity_of, local_peer
from tests.support.tcp_group import (
    LOOPBACK,
    PREAMBLE,
    QUICK,
    Group,
    closed_by_peer,
    connect,
    raw_connection,
    until,
)


@pytest.fixture
def group(tmp_path):
    opened = Group(tmp_path)
    yield opened
    opened.close()


def test_both_ends_know_each_other_by_name_key_and_incarnation_before_any_message(group):
    a = group.open("a")
    b = group.open("b", listen=(), connect=a.addresses, local=local_peer("b", 7))
    connect(a, b)
    until(lambda: group.introduced["a"] and group.introduced["b"])

    (seen,) = group.introduced["a"]
    assert (seen.name, seen.known.incarnation) == ("b", 7)
    assert seen.known.public_key == identity_of("b").public_key
    assert [peer.name for peer in group.introduced["b"]] == ["a"]


def test_a_peer_that_cannot_be_dialed_is_reached_over_the_connection_that_it_opened(group):
    a = group.open("a")
    b = group.open("b", listen=(), connect=a.addresses)
    connect(a, b)
    a.send("b", b"to b")
    assert until(lambda: group.inboxes["b"]) == [b"to b"]


def test_a_connection_that_is_cut_is_opened_again_without_help(group):
    a = group.open("a")
    b = group.open("b", connect=a.addresses)
    for number in range(3):
        connect(a, b)
        b.send("a", b"%d" % number)
        until(lambda number=number: b"%d" % number in group.inboxes["a"])
        a.disconnect("b")
    connect(a, b)


def test_a_listener_that_starts_later_or_again_is_found(group):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    b = group.open("b", connect=[PeerAddress("127.0.0.1", port)])
    for incarnation in (1, 2):
        a = group.open("a", listen=(PeerAddress("127.0.0.1", port),), local=local_peer("a", incarnation))
        connect(a, b)
        a.close()
        group.opened.remove(a)
        until(lambda: not b.connected())
        with pytest.raises(UnreachablePeerError):
            b.send("a", b"")
    assert [peer.known.incarnation for peer in group.introduced["b"]] == [1, 2]


def test_two_agents_that_dial_each_other_keep_one_active_connection(group):
    ports = []
    for _ in range(2):
        with socket.create_server(("127.0.0.1", 0)) as free:
            ports.append(PeerAddress("127.0.0.1", free.getsockname()[1]))
    a = group.open("a", listen=(ports[0],), connect=(ports[1],))
    b = group.open("b", listen=(ports[1],), connect=(ports[0],))
    connect(a, b)
    until(lambda: len(a._links.of("b")) == len(b._links.of("a")) == 1)
    for number in range(20):
        a.send("b", b"%d" % number)
    until(lambda: len(group.inboxes["b"]) >= 20)
    assert group.inboxes["b"] == [b"%d" % number for number in range(20)]


def test_an_impostor_is_refused_with_a_sentence_and_the_real_peer_is_not_disturbed(group, caplog):
    caplog.set_level(logging.WARNING)
    a = group.open("a")
    b = group.open("b", connect=a.addresses)
    connect(a, b)
    eve = LocalPeer("b", identity_of("eve"), 9, SESSION)
    group.open("eve", connect=a.addresses, local=eve)
    until(lambda: any("an impostor" in record.getMessage() for record in caplog.records))

    b.send("a", b"still here")
    assert until(lambda: group.inboxes["a"]) == [b"still here"]
    assert [peer.known.incarnation for peer in group.introduced["a"]] == [1]


@pytest.mark.parametrize(
    ("local", "sentence"),
    [
        (LocalPeer("b", identity_of("b"), 1, bytes(16)), "belongs to another group"),
        (LocalPeer("a", identity_of("b"), 1, SESSION), "is the name of this agent, too"),
    ],
)
def test_a_peer_of_another_group_or_of_the_same_name_is_refused(group, caplog, local, sentence):
    caplog.set_level(logging.WARNING)
    a = group.open("a")
    group.open("b", connect=a.addresses, local=local)
    until(lambda: any(sentence in record.getMessage() for record in caplog.records))
    assert a.connected() == []


def test_an_allow_list_admits_only_its_names(group, tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    (tmp_path / "list.toml").write_text(f'[b]\nkey = "{identity_of("b").public_key.hex()}"\n')
    a = group.open("a", trust=TrustStore(tmp_path / "list.toml", first_use=False))
    b, c = (group.open(name, connect=a.addresses) for name in "bc")
    connect(a, b)
    until(lambda: any("add the table [c]" in record.getMessage() for record in caplog.records))
    assert a.connected() == ["b"]
    until(lambda: not c.connected())  # it has opened a connection, and is cut off


def test_a_rotated_key_is_accepted_on_its_next_connection_and_a_revoked_one_never(group, tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    own, trust = RotatedIdentity(tmp_path / "identity.key"), group.trust("a")
    a = group.open("a", trust=trust)
    for _ in range(2):
        b = group.open(
            "b", connect=a.addresses, local=LocalPeer("b", own.identity, 1, SESSION), rotations=own.rotations
        )
        connect(a, b)
        assert trust.get("b").public_key == own.identity.public_key
        b.close()
        group.opened.remove(b)
        own.rotate("b")
    trust.revoke(KeyRevocation.make("b", RotatedIdentity(tmp_path / "identity.key").identity))
    old = LocalPeer("b", own.identity, 1, SESSION)
    group.open("b", connect=a.addresses, local=old, rotations=own.rotations)
    until(lambda: trust.get("b").public_key == own.identity.public_key)
    until(lambda: a.connected() == ["b"])
    trust.revoke(KeyRevocation.make("b", own.identity))
    a.disconnect("b")
    until(lambda: any("was revoked" in record.getMessage() for record in caplog.records))
    assert trust.get("b").revoked


def test_a_revocation_spreads_from_peer_to_peer(group):
    a, b, c = (group.trust(name) for name in "abc")
    for store in (a, b, c):
        store.accept("d", identity_of("d").public_key)
    a.revoke(KeyRevocation.make("d", identity_of("d")))
    first = group.open("a", trust=a)
    second = group.open("b", trust=b, connect=first.addresses)
    connect(first, second)
    third = group.open("c", trust=c, connect=second.addresses)
    connect(second, third)
    assert all(store.get("d").revoked for store in (a, b, c))


@pytest.mark.parametrize(
    "hello",
    [
        b"GET / HTTP/1.1\r\n\r\n" + bytes(64), PREAMBLE[:5] + b"\x09" + bytes(32),
        PREAMBLE + struct.pack(">I", 2**32 - 1), PREAMBLE + struct.pack(">I", MAX_ENVELOPE_BYTES),
        PREAMBLE + struct.pack(">I", 3) + b"abc", PREAMBLE + struct.pack(">I", 0),
    ],
    ids=["HTTP", "version", "huge", "large", "short", "empty"],
)  # fmt: skip
def test_an_end_that_does_not_introduce_itself_is_cut_off_before_anything_is_allocated(group, hello):
    a = group.open("a")
    with raw_connection(a) as opened:
        opened.sendall(hello)
        assert closed_by_peer(opened)
    assert a.connected() == []
    b = group.open("b", connect=a.addresses)
    connect(a, b)


def test_an_end_that_sends_nothing_is_cut_off_in_time(group):
    a = group.open("a", limits=LinkLimits(handshake=0.1))
    with raw_connection(a) as opened:
        assert closed_by_peer(opened)


def test_unknown_ends_beyond_the_limit_are_cut_off_at_once_and_peers_stay(group):
    a = group.open("a", max_unknown=3)
    b = group.open("b", connect=a.addresses)
    connect(a, b)
    silent = [raw_connection(a) for _ in range(3)]
    until(lambda: a._unknown == 3)
    with raw_connection(a) as late:
        assert closed_by_peer(late)
    b.send("a", b"still here")
    assert until(lambda: group.inboxes["a"]) == [b"still here"]
    for opened in silent:
        opened.close()


@pytest.mark.filterwarnings("error::ResourceWarning")
def test_a_connection_that_is_accepted_while_the_transport_closes_is_closed_too(tmp_path):
    for attempt in range(20):
        trust = TrustStore(tmp_path / f"{attempt}.toml", first_use=True)
        transport = TcpTransport(local_peer("a"), trust, replace(QUICK, listen=LOOPBACK))
        transport.start(lambda data: None)
        transport._loop.call_soon_threadsafe(time.sleep, 0.01)  # so that it accepts as it closes
        with raw_connection(transport) as opened:
            transport.close()
            assert closed_by_peer(opened)


def test_a_peer_that_is_gone_without_closing_is_noticed(group):
    """The other end answers the introduction and is then frozen: its machine lost power, say."""
    a = group.open("a", limits=LinkLimits(handshake=10.0, ping=0.05, silence=0.4))
    b = group.open("b", connect=a.addresses, limits=LinkLimits(handshake=10.0, ping=1e6, silence=1e6))
    until(lambda: a.connected() == ["b"])
    until(lambda: len(group.introduced["a"]) > 2)  # cut off, and found again
    assert b.connected() in ([], ["a"])


def test_a_slow_peer_slows_the_sender_and_never_fills_its_memory(group):
    gate, taken = threading.Event(), []

    def deliver(data):
        gate.wait(60)
        taken.append(len(data))

    limits = LinkLimits(handshake=10.0, pending=8 * 2**20, write=60.0)
    a = group.open("a", deliver=deliver, limits=limits)
    b = group.open("b", connect=a.addresses, limits=limits)
    connect(a, b)
    for _ in range(60):
        b.send("a", bytes(2**20))
    until(lambda: b.dropped > 20)
    gate.set()
    until(lambda: len(taken) >= 60 - b.dropped)
    assert len(taken) + b.dropped == 60


def test_a_peer_that_sends_more_than_it_may_is_read_more_slowly(group):
    limits = LinkLimits(handshake=10.0, frames=Allowance(10, 50))
    a = group.open("a", limits=limits)
    b = group.open("b", connect=a.addresses)
    connect(a, b)
    began = time.monotonic()
    for number in range(30):
        b.send("a", b"%d" % number)
    until(lambda: len(group.inboxes["a"]) == 30)
    assert time.monotonic() - began > 0.9 * 20 / 50


def test_an_address_in_use_is_an_error_of_the_operating_system(group):
    a = group.open("a")
    with pytest.raises(OSError, match="in use"):
        group.open("b", listen=a.addresses)


@pytest.mark.parametrize(
    "text", ["127.0.0.1:7000", "[::1]:0", "peer.example.org:65535", "[fe80::1%eth0]:80",
    "my_host.local.:1", "bücher.example:1", f"{'x' * 63}.{'y' * 63}.{'z' * 63}.{'w' * 61}:1"],
)  # fmt: skip
def test_an_address_is_read_as_it_is_written(text):
    assert str(PeerAddress.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    ["", "host", ":7000", "host:", "host:65536", "host:-1", "::1:7000", "host:٣", "[]:1", "[x:y]:1",
     "[::1%]:1", "host..example:1", ".x:1", ".:1", "a b:1", "a/b:1", "a\0b:1", "x" * 64 + ".org:1",
     "bü..example:1", f"{'x' * 63}.{'y' * 63}.{'z' * 63}.{'w' * 62}:1", "x." * 10**6 + ":1"],
    ids=range(21),
)  # fmt: skip
def test_a_text_that_is_no_address_is_refused(text):
    with pytest.raises(PeerAddressError, match="HOST:PORT"):
        PeerAddress.parse(text)
