"""Transport between agents of one process."""

from collections import deque
from collections.abc import Callable

from agents.protocol.channel import Deliver, UnreachablePeerError


class MemoryTransport:
    """Transport between agents of one process: a queue that is delivered on request."""

    def __init__(self, tap: Callable[[str, bytes], None] | None = None) -> None:
        """Start without listeners.

        Args:
            tap: Called with (receiver, bytes) of every envelope that is sent.
        """
        self._listeners: dict[str, Deliver] = {}
        self._queue: deque[tuple[str, bytes]] = deque()
        self._tap = tap

    def listen(self, name: str, deliver: Deliver) -> None:
        """Deliver envelopes for this name to this function."""
        self._listeners[name] = deliver

    def send(self, receiver: str, data: bytes) -> None:
        """Queue an envelope."""
        if receiver not in self._listeners:
            raise UnreachablePeerError(receiver)
        if self._tap:
            self._tap(receiver, data)
        self._queue.append((receiver, data))

    def run(self) -> int:
        """Deliver until the queue is empty; return how many envelopes that were."""
        delivered = 0
        while self._queue:
            receiver, data = self._queue.popleft()
            self._listeners[receiver](data)
            delivered += 1
        return delivered
