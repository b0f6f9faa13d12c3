"""Channel: messages to signed envelopes and back, over a transport that it is given."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, Protocol

from agents.common.limits import MAX_DIM
from agents.protocol.budget import DIMS_OF_ONE_OFFER, PeerLimits
from agents.protocol.envelope import Kind, seal
from agents.protocol.messages import (
    AnchorReply,
    AnchorRequest,
    AnyMessage,
    DistillReply,
    DistillRequest,
    Offer,
    decode,
    encode,
)
from agents.protocol.verifier import EnvelopeVerifier, KnownPeer, LocalPeer
from agents.protocol.wire import EnvelopeRejected, MessageError, Reason

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


class SentMessage(NamedTuple):
    """One sent message: a row of the ledger."""

    sender: str
    receiver: str
    edge_source: str
    edge_target: str
    type: str
    bytes: int


class Transport(Protocol):
    """Carries envelopes to peers without reading them.

    It may lose, duplicate, delay and reorder them: the protocol above it retries and is idempotent.
    """

    def send(self, receiver: str, data: bytes) -> None:
        """Hand over the bytes of one envelope; returns at once, before they are delivered.

        Raises:
            UnreachablePeerError: There is no address for this name.
        """


Deliver = Callable[[bytes], None]  # takes the bytes of an envelope that has arrived
TakeAddresses = Callable[[str, bytes], None]  # takes who sent addresses of agents, and the bytes of the list


class Channel:
    """Packs messages into signed, numbered envelopes, unpacks what is accepted, and counts bytes.

    Attributes:
        verifier: Decides which envelopes are accepted, and counts those that are not.
        sent: Bytes sent, by edge.
        received: Bytes received, by edge.
        log: Messages sent; the owner empties it.
        on_addresses: Takes addresses that a peer has sent; raises MessageError for a malformed list.
    """

    def __init__(self, transport: Transport, local: LocalPeer, limits: PeerLimits | None = None) -> None:
        """Start with no known peer."""
        self._transport = transport
        self.verifier = EnvelopeVerifier(local, limits)
        self.sent: Counter[Pair] = Counter()
        self.received: Counter[Pair] = Counter()
        self.log: list[SentMessage] = []
        self.on_addresses: TakeAddresses = _refuse_addresses
        self._charged: dict[str, tuple[str, int]] = {}  # newest model that a sender paid a whole fit for

    @property
    def incarnation(self) -> int:
        """Number of this agent's process lifetime; every envelope carries it."""
        return self.verifier.local.incarnation

    def set_peers(self, peers: Mapping[str, KnownPeer]) -> None:
        """Replace the peers, and drop the byte counts of edges to others."""
        self.verifier.set_peers(peers)
        known = {*peers, self.verifier.local.name}
        for counts in (self.sent, self.received):
            for pair in [pair for pair in counts if not known.issuperset(pair)]:
                del counts[pair]
        for name in self._charged.keys() - known:
            del self._charged[name]

    def send(self, messages: Iterable[AnyMessage]) -> None:
        """Send messages in order; one that cannot be sent is not counted.

        Raises:
            UnreachablePeerError: There is no address for a receiver.
        """
        for message in messages:
            envelope = self.verifier.next_envelope(message.receiver, encode(message))
            data = seal(envelope, self.verifier.local.identity)
            self._transport.send(message.receiver, data)
            self.sent[message.edge] += len(data)
            kind = type(message).__name__
            self.log.append(SentMessage(message.sender, message.receiver, *message.edge, kind, len(data)))

    def send_addresses(self, receiver: str, body: bytes) -> None:
        """Send addresses of agents, which count for no edge.

        Raises:
            UnreachablePeerError: There is no address for the receiver.
        """
        envelope = self.verifier.next_envelope(receiver, body, Kind.ADDRESSES)
        self._transport.send(receiver, seal(envelope, self.verifier.local.identity))

    def receive(self, data: bytes) -> AnyMessage | None:
        """Return the message in an envelope that arrived; its sender is a peer, its receiver this agent.

        None: it held addresses, which `on_addresses` has taken.

        Raises:
            EnvelopeRejected: The envelope or the message is refused.
        """
        envelope = self.verifier.admit(data)
        try:
            if envelope.kind is Kind.ADDRESSES:
                self.on_addresses(envelope.sender, envelope.body)
                return None
            message = decode(envelope.body)
        except MessageError as error:
            raise self.verifier.refuse(Reason.BODY, envelope.sender, str(error)) from error
        if (message.sender, message.receiver) != (envelope.sender, envelope.recipient):
            raise self.verifier.refuse(
                Reason.BODY, envelope.sender,
                f"{envelope.sender} signed a message from {message.sender} to {message.receiver}",
            )  # fmt: skip
        self.verifier.charge(envelope.sender, _anchors_of(message), self._negotiations_of(message))
        if isinstance(message, Offer):
            self._charged[message.sender] = message.checkpoint, message.dim
        self.received[message.edge] += len(data)
        return message

    def _negotiations_of(self, message: AnyMessage) -> int:
        """Return the number of negotiations that a message counts as: an offer makes this agent fit maps.

        An honest peer repeats an offer that is not answered, which costs no fit: it counts as one.
        """
        if not isinstance(message, Offer):
            return 0
        if self._charged.get(message.sender) == (message.checkpoint, message.dim):
            return 1
        return max(1, min(message.dim, MAX_DIM) // DIMS_OF_ONE_OFFER)

    def refuse(self, message: AnyMessage, error: MessageError) -> EnvelopeRejected:
        """Return the refusal of a message that `receive` returned and the negotiation refused."""
        return self.verifier.refuse(Reason.CONTENT, message.sender, str(error))


def _refuse_addresses(sender: str, body: bytes) -> None:
    raise MessageError(f"{sender} sent addresses, and this agent dials no other one")


def _anchors_of(message: AnyMessage) -> int:
    """Return the number of ticks that a message requests or holds embeddings of."""
    match message:
        case AnchorRequest():
            return message.anchors + message.heldout
        case DistillRequest():
            return message.ticks
        case AnchorReply() | DistillReply():
            return message.rows
    return 0
