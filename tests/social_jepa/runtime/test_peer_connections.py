"""Agents that were told one address find all others by addresses that spread from peer to peer."""

import contextlib
import threading
import time
from itertools import permutations

import pytest

from agents.protocol.envelope import Envelope, Kind, seal
from agents.protocol.transports.address import PeerAddress
from agents.protocol.transports.address_book import (
    AddressStatement,
    Refusal,
    pack_statements,
    unpack_statements,
)
from agents.protocol.transports.faults import Faults
from agents.protocol.transports.tcp import TcpOptions
from agents.protocol.verifier import LocalPeer
from social_jepa.runtime import peer_connections
from social_jepa.runtime.peer_connections import ConnectionOptions, PeerConnections
from tests.support.keys import SESSION, identity_of
from tests.support.swarm import planted_negotiation

LOOPBACK = (PeerAddress("127.0.0.1", 0),)
WITHOUT = Faults()
SECONDS = 120.0


@pytest.fixture
def group(tmp_path):
    """Start agents whose connections end with the test."""
    with contextlib.ExitStack() as opened:

        def start(name, connect=(), listen=LOOPBACK, faults=WITHOUT, incarnation=1, more=None, **options):
            tcp = TcpOptions(listen, tuple(connect), backoff=(0.02, 0.2), **options)
            made = PeerConnections(
                name, incarnation, SESSION,
                ConnectionOptions(tcp, tmp_path / f"{name}.key", tmp_path / f"{name}.toml", True, faults),
                **(more or {}),
            )  # fmt: skip
            made.start()
            opened.callback(made.close)
            return made

        yield start


def until(ready, *agents):
    """Let agents work until something is so."""
    end = time.monotonic() + SECONDS
    while not ready():
        assert time.monotonic() < end
        for agent in agents:
            agent.keep()
        time.sleep(0.005)


def publish(agents):
    for index, agent in enumerate(agents):
        made = planted_negotiation(index, checkpoint=f"c0de{index}")
        made.peer_info = type(made.peer_info)(**{**vars(made.peer_info), "name": agent.local.name})
        agent.protocol.publish(made)


def edges(agents):
    return {(source, agent.local.name) for agent in agents for source in agent.protocol.negotiation.edges}


def test_in_a_chain_of_three_where_each_knows_one_all_pairs_get_their_edges(group):
    a = group("a")
    b = group("b", connect=a.transport.addresses)
    c = group("c", connect=b.transport.addresses)
    publish([a, b, c])
    until(lambda: all(agent.protocol.settled() for agent in (a, b, c))
          and len(edges([a, b, c])) == 6, a, b, c)  # fmt: skip
    assert edges([a, b, c]) == {*permutations("abc", 2)}
    assert {peer.name for peer in c.peers() if peer.connected} == {"a", "b"}


def test_an_agent_that_listens_nowhere_finds_those_that_do_and_stays_reachable_over_its_connections(group):
    a = group("a")
    b = group("b", connect=a.transport.addresses)
    hidden = group("hidden", connect=b.transport.addresses, listen=())
    publish([a, b, hidden])
    until(lambda: len(edges([a, b, hidden])) == 6, a, b, hidden)
    (seen,) = [peer for peer in a.peers() if peer.name == "hidden"]
    assert (seen.addresses, seen.connected, seen.unreachable_since) == ((), True, None)


def test_addresses_that_a_bad_network_loses_arrive_another_time(group, monkeypatch):
    monkeypatch.setattr(peer_connections, "GOSSIP_SECONDS", 0.02)
    faults = Faults(drop=0.6)
    a = group("a", faults=faults)
    b = group("b", connect=a.transport.addresses, faults=faults)
    c = group("c", connect=b.transport.addresses, faults=faults)
    until(lambda: "a" in c.transport.connected(), a, b, c)


def test_an_agent_that_is_gone_is_unreachable_and_found_again_at_its_new_address(group, monkeypatch):
    monkeypatch.setattr(peer_connections, "UNREACHABLE_SECONDS", 0.0)
    a = group("a")
    b = group("b", connect=a.transport.addresses)
    c = group("c", connect=a.transport.addresses)
    until(lambda: c.transport.connected() == ["a", "b"], a, b, c)
    b.close()
    until(lambda: c.transport.connected() == ["a"], a, c)
    (gone,) = [peer for peer in c.peers() if peer.name == "b"]
    assert gone.unreachable_since is not None
    again = group("b", connect=a.transport.addresses, incarnation=2)
    until(lambda: c.transport.connected() == ["a", "b"], a, c, again)
    until(lambda: [peer.addresses for peer in c.peers() if peer.name == "b"]
          == [(str(again.transport.addresses[0]),)], a, c, again)  # fmt: skip


def test_a_peer_that_sends_forged_and_old_addresses_moves_nobody(group):
    a = group("a")
    b = group("b", connect=a.transport.addresses)
    until(lambda: a.book.addresses() and b.book.addresses(), a, b)
    before = a.book.addresses()
    own = b.book.own()[0]
    eve = LocalPeer("b", identity_of("eve"), 1, SESSION)
    made = [
        AddressStatement.make(eve, own.time + 1, ["6.6.6.6:6"]),
        AddressStatement.make(b.local, own.time - 1, ["6.6.6.6:6"]),
    ]
    (body,) = pack_statements(made)
    a.protocol.receive(_sealed(b, body))
    assert a.book.refusals == {Refusal.KEY: 1, Refusal.OLD: 1}
    a.protocol.receive(_sealed(b, b"nonsense", 1001))
    assert {reason.value for _, reason in a.protocol.refusals()} == {"body"}
    assert a.book.addresses() == before


def test_what_one_peer_sends_is_passed_on_in_few_envelopes(group):
    """Or else it would spend what its peers may send each other."""
    clock = Clock()
    a = group("a", more={"clock": clock})
    b, c = (group(name, connect=a.transport.addresses) for name in "bc")
    until(lambda: len(a.book.addresses()) == len(c.book.addresses()) == 2, a, b, c)
    clock.now += peer_connections.PASS_SECONDS
    a.keep()
    arrived, take = [], c.protocol.channel.on_addresses
    c.protocol.channel.on_addresses = lambda sender, body: (arrived.append(body), take(sender, body))

    own = b.book.own()[0].time + 1
    made = [AddressStatement.make(b.local, own + k, [f"127.0.0.1:{1 + k}"]) for k in range(50)]
    further = [f"sybil-{k}" for k in range(20)]
    made += [AddressStatement.make(_local(name), own, []) for name in further]
    for number, statement in enumerate(made):
        (body,) = pack_statements([statement])
        a.protocol.receive(_sealed(b, body, 1000 + number))
        a.keep()
    assert a.book.refusals[Refusal.SOON] > 40
    clock.now += peer_connections.PASS_SECONDS
    a.keep()
    until(lambda: {*further} <= c.book.addresses().keys(), a)
    lists = [unpack_statements(body) for body in arrived]
    assert 1 <= sum(any(each in made for each in found) for found in lists) <= 2
    assert c.book.addresses()["b"] == a.book.addresses()["b"]


def test_an_agent_that_does_not_belong_here_gets_no_connection_and_is_written_nowhere(
    group, caplog, tmp_path
):
    a = group("a", more={"belongs": {"a", "b"}.__contains__, "remedy": "raise agents.count"})
    outsider = group("outsider", connect=a.transport.addresses)
    until(lambda: "outsider is refused: raise agents.count" in caplog.text, a)
    until(lambda: not outsider.transport.connected(), a)
    assert (a.transport.connected(), a.peers()) == ([], ())
    assert not (tmp_path / "a.toml").exists()
    b = group("b", connect=a.transport.addresses)
    until(lambda: a.transport.connected() == ["b"], a, b)


class Clock:
    """A clock that stands still."""

    now = 0.0

    def __call__(self):
        return self.now


def _local(name):
    return LocalPeer(name, identity_of(name), 1, SESSION)


def _sealed(sender, body, sequence=1000):
    """Return an envelope of addresses from an agent to `a`."""
    local = sender.local
    envelope = Envelope(
        Kind.ADDRESSES, local.name, "a", SESSION, 1, 1, sequence, int(time.time() * 1e6),
        local.identity.key_id, body,
    )  # fmt: skip
    return seal(envelope, local.identity)


def test_an_agent_of_the_network_does_not_dial_the_loopback_addresses_of_others(group):
    a = group("a", listen=(PeerAddress("0.0.0.0", 0),))
    a.transport.dial({"b": (PeerAddress("127.0.0.1", 1), PeerAddress("localhost", 1))})
    b = group("b", connect=[PeerAddress("127.0.0.1", a.transport.addresses[0].port)])
    until(lambda: a.transport.connected() == ["b"], a, b)
    assert a.transport._dialer.names() == []


def test_an_agent_that_listens_at_all_addresses_announces_that_at_which_it_was_reached(group):
    a = group("a", listen=(PeerAddress("0.0.0.0", 0),))
    port = a.transport.addresses[0].port
    assert a.transport.own_addresses() == []
    b = group("b", connect=[PeerAddress("127.0.0.1", port)])
    until(lambda: b.book.addresses().get("a") == (PeerAddress("127.0.0.1", port),), a, b)


def test_a_given_address_is_announced_in_place_of_those_that_it_listens_at(group):
    a = group("a", announce=(PeerAddress("peer.example.org", 7000),))
    assert a.transport.own_addresses() == ["peer.example.org:7000"]


def test_reading_the_state_never_holds_the_addresses_while_it_waits_for_the_protocol(group):
    """The protocol, which is locked, takes addresses: the other order would stop both for ever."""
    a = group("a")
    reader = threading.Thread(target=lambda: [a.peers() for _ in range(20)])
    with a.protocol._lock:
        reader.start()
        for _ in range(200):
            assert a._lock.acquire(timeout=SECONDS)
            a._lock.release()
            time.sleep(0.001)
    reader.join(SECONDS)
    assert not reader.is_alive()
