"""How frames reach a peer. Every transport carries the same bytes and counts them."""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol

from agents.protocol.messages import AnyMessage, decode, encode
from agents.protocol.wire import Envelope, MessageError, pack, unpack

Edge = tuple[str, str]


class SentMessage(NamedTuple):
    """One message on the wire: a row of the ledger."""

    sender: str
    receiver: str
    edge_source: str
    edge_target: str
    type: str
    bytes: int


class Transport(Protocol):
    """Carries one frame to one peer; does not look inside."""

    def send(self, receiver: str, frame: bytes) -> None:
        """Hand a frame over.

        Raises:
            LookupError: Nobody of that name can be reached.
        """


class Channel:
    """Turns messages into frames and back, numbers them, counts bytes, and refuses the voices of the dead.

    Attributes:
        incarnation: Which of its lives the agent is in; every frame says so.
        lives: The newest life heard of each peer. What an earlier one still says is refused.
    """

    def __init__(self, transport: Transport, incarnation: int = 0) -> None:
        """Start a life."""
        self._transport = transport
        self._nonce = 0
        self.incarnation = incarnation
        self.incarnations: dict[str, int] = {}
        self.sent: Counter[Edge] = Counter()  # bytes, per edge
        self.received: Counter[Edge] = Counter()
        self.log: list[SentMessage] = []

    def send(self, messages: Iterable[AnyMessage]) -> None:
        """Send messages, in order; what cannot be sent is not counted.

        Raises:
            LookupError: Nobody of that name can be reached.
        """
        for message in messages:
            self._nonce += 1
            frame = pack(Envelope(encode(message), self.incarnation, self._nonce))
            self._transport.send(message.receiver, frame)
            self.sent[message.edge] += len(frame)
            self.log.append(
                SentMessage(
                    message.sender, message.receiver, *message.edge, type(message).__name__, len(frame)
                )
            )

    def receive(self, data: bytes) -> AnyMessage:
        """Return the message in a frame that arrived.

        Raises:
            MessageError: The bytes are not a message of ours, or the speaker has begun another life since.
        """
        frame = unpack(data)
        message = decode(frame.body)
        newest = self.incarnations.get(message.sender, frame.incarnation)
        if frame.incarnation < newest:
            raise MessageError(
                f"{message.sender} speaks from a former life ({frame.incarnation}, it is in {newest} now)"
            )
        self.incarnations[message.sender] = frame.incarnation
        self.received[message.edge] += len(data)
        return message


class MemoryTransport:
    """Frames between agents of one process: a queue, delivered when asked."""

    def __init__(self, tap: Callable[[str, bytes], None] | None = None) -> None:
        """Start with nobody listening; a tap sees every frame with its receiver."""
        self._listeners: dict[str, Callable[[bytes], None]] = {}
        self._queue: deque[tuple[str, bytes]] = deque()
        self._tap = tap

    def listen(self, name: str, deliver: Callable[[bytes], None]) -> None:
        """Deliver frames for this name to this function."""
        self._listeners[name] = deliver

    def send(self, receiver: str, frame: bytes) -> None:
        """Queue a frame."""
        if receiver not in self._listeners:
            raise LookupError(f"nobody called {receiver} can be reached")
        if self._tap:
            self._tap(receiver, frame)
        self._queue.append((receiver, frame))

    def run(self) -> int:
        """Deliver until nobody has anything more to say; return how many frames that took."""
        delivered = 0
        while self._queue:
            receiver, frame = self._queue.popleft()
            self._listeners[receiver](frame)
            delivered += 1
        return delivered


class RayTransport:
    """Frames as arguments of the peers' ``deliver`` method: bytes, never objects."""

    def __init__(self, peers: Mapping[str, Any] | None = None) -> None:
        """Take the handles of the peers' actors, by name."""
        self._peers = dict(peers or {})

    def set_peers(self, peers: Mapping[str, Any]) -> None:
        """Take the handles of who is there now, in place of those from before."""
        self._peers = dict(peers)

    def send(self, receiver: str, frame: bytes) -> None:
        """Send without waiting: two actors that wait for each other would never answer."""
        if receiver not in self._peers:
            raise LookupError(f"nobody called {receiver} can be reached")
        self._peers[receiver].deliver.remote(frame)


__all__ = ["Channel", "MemoryTransport", "MessageError", "RayTransport", "Transport"]
