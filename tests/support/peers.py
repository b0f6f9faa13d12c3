"""Planted agents that come, show their models and speak through voices: what tests of voices share."""

from collections import Counter
from itertools import permutations

from agents.protocol.messages import Offer
from agents.protocol.peer_protocol import PeerProtocol
from tests.support.swarm import agent


def planted(index, version=0):
    """A planted agent's side of its negotiations, as it is in one of its models."""
    return agent(index, checkpoint=f"c0de{index}.{version}")


def edges_of(protocols):
    """The newest edge of every ordered pair that was told: which models it joins, by pair."""
    found = {}
    for protocol in protocols.values():
        for edge in protocol.events(1, 0).edges:
            found[edge.source, edge.target] = (edge.source_checkpoint, edge.target_checkpoint)
    return found


def settled_pairs(protocols, versions):
    """What `edges_of` should be once everybody has talked with everybody."""
    return {
        (a, b): (f"c0de{a[6:]}.{versions[a]}", f"c0de{b[6:]}.{versions[b]}")
        for a, b in permutations(protocols, 2)
    }


def offers(transport):
    """How often each pair of models was offered, by who offers to whom."""
    return Counter(
        (message.edge, message.checkpoint) for message in transport.said if isinstance(message, Offer)
    )


def join(protocols, transport, index, life=1):
    """Have somebody come: everybody is told, with what it has to show."""
    name = f"agent-{index}"
    protocols[name] = PeerProtocol(name, transport, incarnation=life)
    transport.listen(name, protocols[name].receive)
    lives = {peer: protocol.channel.incarnation for peer, protocol in protocols.items()}
    for peer, protocol in protocols.items():
        protocol.update_peers({other: each for other, each in lives.items() if other != peer})
    protocols[name].publish(planted(index))


def deliver(transport, count):
    """Deliver only so many frames: others are still on the way."""
    for _ in range(min(count, len(transport._queue))):
        receiver, frame = transport._queue.popleft()
        transport._listeners[receiver](frame)
