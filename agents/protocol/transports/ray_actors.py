"""Transport between Ray actors. It needs nothing of Ray but the handles that it is given."""

from collections.abc import Mapping
from typing import Any

from agents.protocol.channel import UnreachablePeerError


class RayTransport:
    """Transport that passes envelopes to the ``deliver`` of the peers' actors: bytes, never objects."""

    def __init__(self, peers: Mapping[str, Any] | None = None) -> None:
        """Take the handle of each peer's actor: name to handle."""
        self._peers = dict(peers or {})

    def set_peers(self, peers: Mapping[str, Any]) -> None:
        """Replace the actor handles."""
        self._peers = dict(peers)

    def send(self, receiver: str, data: bytes) -> None:
        """Send without waiting: two actors that waited for each other would deadlock."""
        if receiver not in self._peers:
            raise UnreachablePeerError(receiver)
        self._peers[receiver].deliver.remote(receiver, data)
