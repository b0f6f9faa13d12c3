"""Agents of one process that exchange signed messages over a transport in memory."""

from collections.abc import Iterable, Mapping

from agents.protocol.channel import Channel
from agents.protocol.envelope import session_id
from agents.protocol.identity import Identity
from agents.protocol.negotiation import Negotiation
from agents.protocol.transports.memory import MemoryTransport
from agents.protocol.verifier import KnownPeer, LocalPeer


def open_channels(names: Iterable[str]) -> tuple[MemoryTransport, dict[str, Channel]]:
    """Return a transport, and a channel for each agent that knows the keys of all others; none listens."""
    transport, session = MemoryTransport(), session_id("benchmark")
    identities = {name: Identity.generate() for name in names}
    peers = {name: KnownPeer(identity.public_key, 1) for name, identity in identities.items()}
    channels = {}
    for name, identity in identities.items():
        channels[name] = Channel(transport, LocalPeer(name, identity, 1, session))
        channels[name].set_peers({peer: known for peer, known in peers.items() if peer != name})
    return transport, channels


def negotiate_in_memory(sides: Mapping[str, Negotiation]) -> dict[str, Channel]:
    """Let all pairs of agents negotiate to the end; return their channels, which have counted the bytes."""
    transport, channels = open_channels(sides)
    for name, side in sides.items():
        channel = channels[name]
        transport.listen(name, lambda data, c=channel, s=side: c.send(s.receive(c.receive(data))))  # type: ignore[misc]
    for name, side in sides.items():
        channels[name].send(side.make_offers(peer for peer in sides if peer != name))
    transport.run()
    return channels
