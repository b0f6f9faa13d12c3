"""Transports over TCP of several agents in one process, and raw connections to them."""

import contextlib
import socket
import struct
import time
from dataclasses import replace

from agents.protocol.introduction import no_reason
from agents.protocol.transports.address import PeerAddress
from agents.protocol.transports.tcp import TcpOptions, TcpTransport
from agents.protocol.transports.tcp_link import LinkLimits
from agents.protocol.trust import TrustStore
from tests.support.keys import local_peer

LOOPBACK = (PeerAddress("127.0.0.1", 0),)
QUICK = TcpOptions(backoff=(0.02, 0.1), limits=LinkLimits(handshake=10.0, ping=0.05, silence=30.0))
PREAMBLE = b"SJPC" + struct.pack(">H", 1) + bytes(32)


class Group:
    """Transports of several agents, closed at the end."""

    def __init__(self, folder):
        self.folder, self.opened, self.inboxes, self.introduced = folder, [], {}, {}

    def open(
        self, name, listen=LOOPBACK, connect=(), local=None, trust=None, rotations=(), deliver=None,
        reason_against=no_reason, on_peer=None, **options
    ):  # fmt: skip
        """Start the transport of an agent."""
        inbox, introduced = self.inboxes.setdefault(name, []), self.introduced.setdefault(name, [])
        transport = TcpTransport(
            local or local_peer(name), trust or self.trust(name),
            replace(QUICK, listen=listen, connect=tuple(connect), **options),
            on_peer or introduced.append, rotations, reason_against,
        )  # fmt: skip
        transport.start(deliver or inbox.append)
        self.opened.append(transport)
        return transport

    def trust(self, name, first_use=True):
        """Return the trust store of an agent."""
        return TrustStore(self.folder / f"{name}.toml", first_use)

    def close(self):
        """End all."""
        for transport in self.opened:
            transport.close()


def until(ready, seconds=60.0):
    """Wait until something is so, and return it."""
    end = time.monotonic() + seconds
    while not (found := ready()):
        assert time.monotonic() < end
        time.sleep(0.005)
    return found


def connect(one, other):
    """Wait until two transports are connected."""
    until(lambda: one._local.name in other.connected() and other._local.name in one.connected())


def raw_connection(transport):
    """Return a socket that is connected to a transport, and has read its preamble."""
    address = transport.addresses[0]
    opened = socket.create_connection((address.host, address.port), timeout=30)
    opened.settimeout(30)
    return opened


def closed_by_peer(opened):
    """Return whether the other end closes the connection."""
    with contextlib.suppress(ConnectionError):
        while opened.recv(65536):
            pass
    opened.close()
    return True
