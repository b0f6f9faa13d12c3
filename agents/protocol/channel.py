"""Channel and transports: messages to envelopes and back, and the way that envelopes take to a peer."""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol

from agents.protocol.messages import AnyMessage, decode, encode
from agents.protocol.wire import Envelope, MessageError, pack, unpack

Pair = tuple[str, str]  # (source, target) of an edge


class UnreachablePeerError(LookupError):
    """A transport knows no address of this peer.

    Attributes:
        peer: Its name.
    """

    def __init__(self, peer: str) -> None:
        """Keep the name."""
        super().__init__(peer)
        self.peer = peer

    def __str__(self) -> str:
        """Return the sentence."""
        return f"peer {self.peer} cannot be reached: the transport has no address for it"


class FormerIncarnationError(MessageError):
    """Message of a process that another one has replaced since.

    Attributes:
        sender: Name of the agent.
        received: Incarnation that sent the message.
        newest: Newest incarnation of that agent known here.
    """

    def __init__(self, sender: str, received: int, newest: int) -> None:
        """Keep the fields."""
        super().__init__(sender, received, newest)
        self.sender, self.received, self.newest = sender, received, newest

    def __str__(self) -> str:
        """Return the sentence."""
        return f"{self.sender} sent this as incarnation {self.received}; its newest one is {self.newest}"


class SentMessage(NamedTuple):
    """One sent message: a row of the ledger."""

    sender: str
    receiver: str
    edge_source: str
    edge_target: str
    type: str
    bytes: int


class Transport(Protocol):
    """Carries envelopes to peers without reading them."""

    def send(self, receiver: str, data: bytes) -> None:
        """Hand over the bytes of one envelope.

        Raises:
            UnreachablePeerError: There is no address for this name.
        """


class Channel:
    """Packs messages into numbered envelopes and unpacks them; counts bytes and refuses former incarnations.

    Attributes:
        incarnation: Number of this agent's process lifetime; every envelope carries it.
        incarnations: Newest incarnation of each peer.
        sent: Bytes sent, by edge.
        received: Bytes received, by edge.
        log: Messages sent; the owner empties it.
    """

    def __init__(self, transport: Transport, incarnation: int = 0) -> None:
        """Start with nonce 0 and no known peer."""
        self._transport = transport
        self._nonce = 0
        self.incarnation = incarnation
        self.incarnations: dict[str, int] = {}
        self.sent: Counter[Pair] = Counter()
        self.received: Counter[Pair] = Counter()
        self.log: list[SentMessage] = []

    def send(self, messages: Iterable[AnyMessage]) -> None:
        """Send messages in order; one that cannot be sent is not counted.

        Raises:
            UnreachablePeerError: There is no address for a receiver.
        """
        for message in messages:
            self._nonce += 1
            data = pack(Envelope(encode(message), self.incarnation, self._nonce))
            self._transport.send(message.receiver, data)
            self.sent[message.edge] += len(data)
            kind = type(message).__name__
            self.log.append(SentMessage(message.sender, message.receiver, *message.edge, kind, len(data)))

    def receive(self, data: bytes) -> AnyMessage:
        """Return the message in an envelope that arrived.

        Raises:
            MessageError: The bytes are not a valid message.
            FormerIncarnationError: The sender's process has been replaced since.
        """
        envelope = unpack(data)
        message = decode(envelope.body)
        newest = self.incarnations.get(message.sender, envelope.incarnation)
        if envelope.incarnation < newest:
            raise FormerIncarnationError(message.sender, envelope.incarnation, newest)
        self.incarnations[message.sender] = envelope.incarnation
        self.received[message.edge] += len(data)
        return message


class MemoryTransport:
    """Transport between agents of one process: a queue that is delivered on request."""

    def __init__(self, tap: Callable[[str, bytes], None] | None = None) -> None:
        """Start without listeners.

        Args:
            tap: Called with (receiver, bytes) of every envelope that is sent.
        """
        self._listeners: dict[str, Callable[[bytes], None]] = {}
        self._queue: deque[tuple[str, bytes]] = deque()
        self._tap = tap

    def listen(self, name: str, deliver: Callable[[bytes], None]) -> None:
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


class RayTransport:
    """Transport that passes envelopes to the peers' ``deliver`` method: bytes, never objects."""

    def __init__(self, peers: Mapping[str, Any] | None = None) -> None:
        """Take the peers' actor handles, by name."""
        self._peers = dict(peers or {})

    def set_peers(self, peers: Mapping[str, Any]) -> None:
        """Replace the actor handles."""
        self._peers = dict(peers)

    def send(self, receiver: str, data: bytes) -> None:
        """Send without waiting: two actors that waited for each other would deadlock."""
        if receiver not in self._peers:
            raise UnreachablePeerError(receiver)
        self._peers[receiver].deliver.remote(data)
