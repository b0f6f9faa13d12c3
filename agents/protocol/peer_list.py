"""The list of peers that the supervisor sends to an agent; importing this loads no torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agents.protocol.verifier import KnownPeer
from env.scene import BodyEvent


@dataclass(frozen=True)
class PeerList:
    """The agents that one agent negotiates with: how to reach each, its incarnation, and all bodies.

    Attributes:
        version: Grows with every change; a list that arrives after a newer one is ignored.
        handles: Ray actor handles, by name.
        peers: Name to public key and incarnation of each agent.
        session: 16 bytes of the run, which every envelope carries.
        body_events: Every appearance, move and removal of a body.
    """

    version: int
    handles: Mapping[str, Any]
    peers: Mapping[str, KnownPeer]
    session: bytes
    body_events: tuple[BodyEvent, ...]
