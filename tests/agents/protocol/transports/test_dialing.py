"""What peers name as their addresses is dialed in turn, bounded, and at no other peer's cost."""

import asyncio
import contextlib
import logging
import socket

import pytest

from agents.protocol.transports import dialing
from agents.protocol.transports.address import PeerAddress
from agents.protocol.transports.tcp_link import LinkLimits
from tests.support.keys import identity_of
from tests.support.tcp_group import Group, connect, until

DEAD = PeerAddress("127.0.0.1", 1)  # nothing listens there
MALFORMED = PeerAddress("host..example", 7000)


@pytest.fixture
def group(tmp_path):
    opened = Group(tmp_path)
    yield opened
    opened.close()


class Silent:
    """Listeners that accept connections, and never say anything."""

    def __init__(self, count):
        self.servers = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
        self.addresses = tuple(PeerAddress(*server.getsockname()) for server in self.servers)
        self.accepted = []
        for server in self.servers:
            server.setblocking(False)

    def count(self):
        """Return how many connections have been opened so far."""
        for server in self.servers:
            with contextlib.suppress(BlockingIOError):
                while True:
                    self.accepted.append(server.accept()[0])
        return len(self.accepted)

    def close(self):
        for each in (*self.accepted, *self.servers):
            each.close()


@pytest.fixture
def silent():
    opened = Silent(8)
    yield opened
    opened.close()


class Pauses:
    """A generator of pauses that are over at once; it keeps the longest that each could have been."""

    def __init__(self):
        self.longest = []

    def uniform(self, shortest, longest):
        self.longest.append(longest)
        return 0.0


def test_whatever_a_peer_names_it_is_dialed_at_one_address_at_a_time(group, silent):
    a = group.open("a", max_unknown=1)
    for number in range(100):
        first = number % 5
        a.dial({"mallory": silent.addresses[first : first + 4]})
    b = group.open("b", connect=a.addresses)  # what is dialed takes no place of what is accepted
    connect(a, b)
    assert silent.count() == 1


def test_peers_that_were_never_met_share_so_many_dials_and_delay_no_other(group, silent, monkeypatch):
    monkeypatch.setattr(dialing, "MAX_DIALS", 2)
    trust = group.trust("a")
    trust.accept("b", identity_of("b").public_key)
    a, b = group.open("a", trust=trust), group.open("b")
    made_up = {f"sybil-{number}": (address,) for number, address in enumerate(silent.addresses)}
    a.dial(made_up)
    until(lambda: silent.count() == 2)
    a.dial({**made_up, "b": b.addresses})
    connect(a, b)
    assert silent.count() == 2


def test_every_named_peer_gets_its_turn_though_those_before_are_silent(group, silent, monkeypatch):
    monkeypatch.setattr(dialing, "MAX_DIALS", 1)
    a, b = group.open("a", limits=LinkLimits(handshake=0.5)), group.open("b")
    a.dial({"x": silent.addresses[:1], "y": silent.addresses[1:2], "b": (DEAD, *b.addresses)})
    connect(a, b)


def test_no_peer_keeps_others_from_being_dialed_by_naming_their_address(group, caplog):
    caplog.set_level(logging.WARNING)
    a, b = group.open("a"), group.open("b")
    a.dial({"mallory": b.addresses})
    sentence = "b is refused: it is not mallory, which is said to be there"
    until(lambda: f"a: refused the peer at {b.addresses[0]}: {sentence}" in caplog.text)
    assert a.connected() == []
    assert a._trust.names() == []

    a.dial({"mallory": b.addresses, "b": b.addresses})
    connect(a, b)
    assert a.connected() == ["b"]


def test_other_addresses_of_a_peer_are_dialed_without_waiting_for_the_pause_to_end(group):
    a, b = group.open("a", backoff=(1000.0, 1000.0)), group.open("b")
    a.dial({"b": (DEAD,)})
    a.dial({"b": b.addresses})
    connect(a, b)


def test_a_peer_that_names_no_address_any_more_leaves_no_trace(group):
    a = group.open("a", backoff=(1000.0, 1000.0))
    for number in range(20):
        a.dial({"b": (DEAD, MALFORMED)} if number % 2 == 0 else {})
    asyncio.run_coroutine_threadsafe(asyncio.sleep(0), a._loop).result(60)  # all of this has begun
    until(lambda: not a._dialer._targets and not a._tasks)


def test_an_address_that_was_reached_is_dialed_first_the_next_time(group, silent):
    a, b = group.open("a", limits=LinkLimits(handshake=0.5)), group.open("b")
    a.dial({"b": (silent.addresses[0], *b.addresses)})
    connect(a, b)
    a.disconnect("b")
    until(lambda: len(group.introduced["a"]) == 2)
    assert silent.count() == 1


def test_a_host_name_that_cannot_be_looked_up_ends_no_dialing(group, caplog):
    caplog.set_level(logging.INFO)
    b = group.open("b")
    a = group.open("a", connect=[MALFORMED])
    a._dialer._jitter = pauses = Pauses()
    until(lambda: len(pauses.longest) > 3)
    assert caplog.text.count("a: host..example:7000 is not reached yet: encoding with 'idna'") == 1
    a.dial({"b": (MALFORMED, *b.addresses)})
    connect(a, b)


@pytest.mark.parametrize("host", ["silent", "absent"])
def test_pauses_grow_towards_hosts_that_never_introduce_themselves(group, silent, monkeypatch, host):
    monkeypatch.setattr(dialing, "STABLE_SECONDS", 0.0)  # each try takes longer
    a = group.open("a", limits=LinkLimits(handshake=0.01))
    a._dialer._jitter = pauses = Pauses()
    a.dial({"b": silent.addresses[:1] if host == "silent" else (DEAD,)})
    until(lambda: len(pauses.longest) > 4)
    assert pauses.longest[:5] == [0.02, 0.04, 0.08, 0.1, 0.1]


@pytest.mark.parametrize("opens", ["a", "b"])
def test_pauses_are_short_again_after_a_connection_that_lasted(group, monkeypatch, opens):
    monkeypatch.setattr(dialing, "STABLE_SECONDS", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = PeerAddress(*free.getsockname())
    a = group.open("a")
    a._dialer._jitter = pauses = Pauses()
    a.dial({"b": (address,)})
    until(lambda: len(pauses.longest) > 4)
    if opens == "a":
        b = group.open("b", listen=(address,))
    else:
        b = group.open("b", listen=(), connect=a.addresses)
    connect(a, b)
    b.close()
    group.opened.remove(b)
    until(lambda: 0.02 in pauses.longest[4:])


@pytest.mark.parametrize("host", ["0.0.0.0", "127.1"])
def test_no_other_way_of_writing_it_makes_an_agent_dial_the_loopback_interface(group, caplog, host):
    caplog.set_level(logging.INFO)
    a = group.open("a", listen=(PeerAddress("0.0.0.0", 0),))
    b = group.open("b")
    a.dial({"b": (PeerAddress(host, b.addresses[0].port),)})
    until(lambda: "is not reached yet: it leads to this machine itself" in caplog.text)
    assert a.connected() == []


def test_a_fault_while_a_peer_is_met_ends_the_connection_and_not_the_dialing(group, caplog):
    b = group.open("b")
    faults = [RuntimeError("once")]

    def on_peer(peer):
        if faults:
            raise faults.pop()

    a = group.open("a", on_peer=on_peer)
    a.dial({"b": b.addresses})
    until(lambda: "the connection to b ended: this agent failed" in caplog.text)
    connect(a, b)
