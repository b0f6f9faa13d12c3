"""Planted agents that join, publish models and negotiate through PeerProtocol, for its tests."""

from collections import Counter
from itertools import permutations

from agents.protocol.messages import Offer
from agents.protocol.peer_protocol import PeerProtocol
from tests.support.keys import known_peers, local_peer
from tests.support.swarm import planted_negotiation


def planted_model(index, version=0):
    """Return the negotiations of a planted agent with one version of its model."""
    return planted_negotiation(index, checkpoint=f"c0de{index}.{version}")


def first_models(protocols):
    """Return version 0 of every agent's model, by name."""
    return {name: planted_model(int(name[6:])) for name in protocols}


def newest_edges(protocols):
    """Return (source checkpoint, target checkpoint) of the newest reported edge, by ordered pair."""
    newest = {}
    for protocol in protocols.values():
        for edge in protocol.events(1, 0).edges:
            newest[edge.source, edge.target] = (edge.source_checkpoint, edge.target_checkpoint)
    return newest


def expected_edges(protocols, versions):
    """Return the value of `newest_edges` after every pair has negotiated these versions."""
    return {
        (a, b): (f"c0de{a[6:]}.{versions[a]}", f"c0de{b[6:]}.{versions[b]}")
        for a, b in permutations(protocols, 2)
    }


def count_offers(transport):
    """Return the number of offers of each model, by ordered pair and checkpoint."""
    return Counter(
        (message.edge, message.checkpoint) for message in transport.messages if isinstance(message, Offer)
    )


def join(protocols, transport, index, incarnation=1):
    """Add an agent, or a new incarnation of one: all peers learn of it, then it publishes its model."""
    name = f"agent-{index}"
    protocols[name] = PeerProtocol(local_peer(name, incarnation), transport)
    transport.listen(name, protocols[name].receive)
    incarnations = {peer: protocol.channel.incarnation for peer, protocol in protocols.items()}
    for peer, protocol in protocols.items():
        protocol.update_peers(
            known_peers({other: each for other, each in incarnations.items() if other != peer})
        )
    protocols[name].publish(planted_model(index))


def deliver_some(transport, count):
    """Deliver at most this many queued envelopes; the others stay on the way."""
    for _ in range(min(count, len(transport._queue))):
        receiver, data = transport._queue.popleft()
        transport._listeners[receiver](data)
