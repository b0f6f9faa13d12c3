"""One peer has so many connections, however many it opens, and takes no place of others."""

import asyncio
import contextlib
import logging
import threading

import pytest

from agents.protocol.budget import Allowance
from agents.protocol.transports import link_table
from agents.protocol.transports.tcp_link import LinkLimits, close_writer, open_link
from tests.support.coroutines import run_coroutine
from tests.support.keys import identity_of, local_peer
from tests.support.tcp_group import Group, connect, until


@pytest.fixture
def group(tmp_path):
    opened = Group(tmp_path)
    yield opened
    opened.close()


class RawPeer:
    """A peer that opens connections as it likes."""

    def __init__(self, name, trust):
        self.local, self.trust, self.readers, self.writers = local_peer(name), trust, [], []

    async def open(self, address):
        reader, writer = await asyncio.open_connection(address.host, address.port)
        await open_link(reader, writer, True, self.local, self.trust, LinkLimits())
        self.readers.append(reader)
        self.writers.append(writer)

    async def until_closed(self, number):
        """Wait until the other end has closed one of the connections."""
        with contextlib.suppress(ConnectionError):
            while await self.readers[number].read(65536):
                pass

    async def __aenter__(self):
        return self

    async def __aexit__(self, *error):
        for writer in self.writers:
            await close_writer(writer)


def test_of_the_connections_that_one_peer_opens_the_newest_are_kept_and_others_get_in(group):
    a = group.open("a", max_links=4)

    async def attack():
        async with RawPeer("mallory", group.trust("mallory")) as mallory:
            for _ in range(8):
                await mallory.open(a.addresses[0])
            for number in range(6):
                await mallory.until_closed(number)
            newest = a._links.of("mallory")
            await asyncio.to_thread(connect, a, group.open("b", connect=a.addresses))
            assert a._links.of("mallory") == newest
            assert [link.active for link in newest] == [True, True]

    run_coroutine(attack())


def test_connections_of_a_peer_are_replaced_while_the_agent_is_busy(group):
    """A task of a replaced connection may wait for the agent: it keeps no place meanwhile."""
    gate = threading.Event()
    a = group.open("a", max_links=4, on_peer=lambda peer: gate.wait(60))

    async def attack():
        async with RawPeer("mallory", group.trust("mallory")) as mallory:
            for _ in range(8):
                await mallory.open(a.addresses[0])
            b = await asyncio.to_thread(group.open, "b", connect=a.addresses)
            await asyncio.to_thread(until, lambda: a.connected() == ["b", "mallory"])
            gate.set()
            await asyncio.to_thread(connect, a, b)

    try:
        run_coroutine(attack())
    finally:
        gate.set()


def test_a_peer_that_opens_connections_too_often_is_cut_off_and_others_are_not(group, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(link_table, "OPENINGS", Allowance(3, 1e-9))
    a = group.open("a")

    async def attack():
        async with RawPeer("mallory", group.trust("mallory")) as mallory:
            for _ in range(4):
                await mallory.open(a.addresses[0])
            await mallory.until_closed(3)
            sentence = "did not open: mallory opens connections too often"
            await asyncio.to_thread(until, lambda: sentence in caplog.text)
            assert len(a._links.of("mallory")) == 2

    run_coroutine(attack())
    connect(a, group.open("b", connect=a.addresses))


def test_what_a_peer_dials_takes_no_place_of_what_it_accepts(group):
    dialed = [group.open(name) for name in "bcd"]
    a = group.open("a", max_links=1, connect=[each.addresses[0] for each in dialed])
    for each in dialed:
        connect(a, each)
    connect(a, group.open("e", connect=a.addresses))


def test_an_agent_that_is_refused_gets_no_connection_and_no_line_in_the_trust_file(group, tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    a = group.open("a", reason_against=lambda name: "" if name == "b" else "it does not belong to this group")
    outsider = group.open("outsider", connect=a.addresses)
    until(lambda: "outsider is refused: it does not belong to this group" in caplog.text)
    until(lambda: not outsider.connected())
    assert a.connected() == group.introduced["a"] == []
    assert not (tmp_path / "a.toml").exists()

    connect(a, group.open("b", connect=a.addresses))
    assert a._trust.names() == ["b"]
    assert identity_of("b").public_key == a._trust.get("b").public_key
