"""Negotiation for agents that have published: one process speaks for many, over a transport in memory.

A published agent needs no process to negotiate: its anchors are all that peers ask for. Each side still has
its own protocol and signing key, and envelopes are sealed, checked and counted as between processes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from agents.common.streams import Stream, stream_seed
from agents.protocol.edge import AnchorPools, PeerInfo
from agents.protocol.events import AgentEvents
from agents.protocol.identity import Identity
from agents.protocol.negotiation import Negotiation
from agents.protocol.peer_protocol import PeerProtocol
from agents.protocol.transports.memory import MemoryTransport
from agents.protocol.verifier import KnownPeer, LocalPeer
from agents.snapshot import AgentSnapshot
from agents.spec import AgentSpec


@dataclass(frozen=True)
class Side:
    """What is needed to negotiate for an agent that has published its model.

    Attributes:
        spec: Specification of the agent.
        incarnation: Number of its newest process.
        peer_info: What peers know of it.
        pools: Embeddings of the ticks that maps may be fitted and scored on.
        peers: Agents that it negotiates with here.
    """

    spec: AgentSpec
    incarnation: int
    peer_info: PeerInfo
    pools: AnchorPools
    peers: frozenset[str] = frozenset()

    @classmethod
    def of(cls, spec: AgentSpec, incarnation: int, snapshot: AgentSnapshot) -> "Side":
        """Return the side of an agent, without peers."""
        bare = replace(spec, events=())  # a thousand agents have a thousand bodies each
        return cls(bare, incarnation, snapshot.peer_info, snapshot.sent)

    def negotiation(self) -> Negotiation:
        """Return the state of its negotiations, as the agent's own process would begin with."""
        config = self.spec.negotiation
        rng = np.random.default_rng(stream_seed(self.spec.seed, self.spec.index, Stream.NONCES))
        memory_rows = config.memory_rows(self.spec.scene.decorrelation_ticks)
        return Negotiation(self.peer_info, self.pools, config, rng, memory_rows)


def negotiate_sides(
    sides: Sequence[Side], identities: Mapping[str, Identity], session: bytes
) -> dict[str, AgentEvents]:
    """Let every side negotiate with its peers, which are among the sides; return the events of each name.

    Args:
        sides: The agents.
        identities: The signing key of each name.
        session: 16 bytes of the run, which every envelope carries.
    """
    transport = MemoryTransport()
    known = {
        side.spec.name: KnownPeer(identities[side.spec.name].public_key, side.incarnation) for side in sides
    }
    protocols: dict[str, PeerProtocol] = {}
    for side in sides:
        name = side.spec.name
        local = LocalPeer(name, identities[name], side.incarnation, session)
        protocols[name] = protocol = PeerProtocol(local, transport)
        protocol.update_peers({peer: known[peer] for peer in side.peers})
        transport.listen(name, protocol.receive)
    for side in sides:
        protocols[side.spec.name].publish(side.negotiation())
        transport.run()
    return {side.spec.name: protocols[side.spec.name].events(side.incarnation, since=0) for side in sides}
