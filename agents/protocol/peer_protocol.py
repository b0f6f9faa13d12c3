"""One agent's exchange with all its peers: it announces models, makes offers, replies, and retries.

An agent that publishes a model sends Hello to every peer. An agent that receives a Hello, or an Offer, of a
model that it has not offered to yet sends an offer of its own model. So each pair negotiates both of its
edges once for every pair of models, whichever peer was first, and a joiner costs a constant number of
messages for each peer.
"""

import contextlib
import logging
import math
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import islice

from agents.protocol.budget import PeerLimits
from agents.protocol.channel import Channel, SentMessage, Transport, UnreachablePeerError
from agents.protocol.distill_exchange import DistillExchange
from agents.protocol.edge import EdgeResult
from agents.protocol.events import AgentEvents
from agents.protocol.messages import (
    AnchorReply,
    AnchorRequest,
    AnyMessage,
    DistillReply,
    DistillRequest,
    Hello,
    Offer,
)
from agents.protocol.negotiation import Negotiation
from agents.protocol.privacy import noise_key
from agents.protocol.states import OFFER_STEPS, Announced, OfferAction, TargetState
from agents.protocol.verifier import KnownPeer, LocalPeer
from agents.protocol.wire import (
    EnvelopeRejected,
    MessageError,
    OvertakenOfferError,
    Reason,
    StaleReplyError,
)

logger = logging.getLogger(__name__)

REPLY_GRACE_SECONDS = 0.1  # seconds in which the next message of the same conversation is expected
# Events that wait for the supervisor beyond which a message is not processed: its sender repeats it
MAX_EVENTS = 10_000
EVENTS_PER_REPORT = 1000
MAX_REFUSALS_KEPT = (
    100  # oldest refusals beyond this number are dropped, so that a peer cannot fill the memory
)


class PeerProtocol:
    """One agent's side of the protocol; every method may be called from any thread.

    Attributes:
        channel: Packs and unpacks messages.
        noise_key: Secret of the noise in what it sends.
        negotiation: State about the published model; None while none is published.
        distillation: Requests of students and replies of teachers that wait to be used.
        announced_peers: Peers that have sent Hello, and so have a model to distill from.
        busy_until: On the monotonic clock: until then a peer is being answered, or is expected to reply.
    """

    def __init__(self, local: LocalPeer, transport: Transport, limits: PeerLimits | None = None) -> None:
        """Start without peers and without a published model.

        Args:
            local: This agent.
            transport: Carries its envelopes.
            limits: What one peer may send.
        """
        self.name = local.name
        self.channel = Channel(transport, local, limits)
        self.noise_key = noise_key(local.identity)
        self.negotiation: Negotiation | None = None
        self.distillation = DistillExchange()
        self.announced_peers: set[str] = set()
        self.busy_until = 0.0
        self._incarnations: dict[str, int] = {}  # of each peer in the peer list
        self._returned: set[str] = set()  # peers that had left: what they answer may have been forgotten
        self._offered_models: dict[str, tuple[str, str]] = {}  # (own, peer's) checkpoint of the last offer
        self._rounds: Counter[str] = Counter()  # number of the next Hello or offer, by peer
        self._last_hello: dict[str, int] = {}  # number of the last Hello, by peer
        self._announced: dict[str, tuple[int, str]] = {}  # newest number and checkpoint from each peer
        self._recorded: dict[str, EdgeResult] = {}  # last edge that became an event, by source
        self._events: deque[tuple[int, EdgeResult | SentMessage | str]] = deque()
        self._event_number = 0
        self._models_published = 0
        # by the monotonic clock: first message of each open negotiation, and newest one of each peer
        self._tried_at: dict[str, float] = {}
        self._heard_at: dict[str, float] = {}
        self._unreachable: set[str] = set()  # peers that this was recorded of, until they are heard again
        self._silent_peers: set[str] = set()  # unsettled and without a message since the last retry
        self._settled_peers: set[str] = set()  # both edges settled at least once in their incarnation
        self._lock = threading.RLock()

    def update_peers(self, peers: Mapping[str, KnownPeer]) -> None:
        """Replace the peer list, and send Hello to new and restarted peers."""
        verifier = self.channel.verifier
        with self._lock:
            known = {name: verifier.incarnation_of(name) for name in peers}
            self._returned = {name for name in peers if name in self._returned or verifier.has_left(name)}
            self.channel.set_peers(peers)
            # of a peer that has restarted since the list was made, its own envelopes say so
            incarnations = {
                name: max(peer.incarnation, verifier.incarnation_of(name)) for name, peer in peers.items()
            }
            before, self._incarnations = self._incarnations, incarnations
            for name in before.keys() - incarnations.keys():
                logger.info("%s: peer %s left", self.name, name)
                self._forget_peer(name)
            new = sorted(name for name, number in incarnations.items() if before.get(name) != number)
            for name in new:
                logger.info("%s: peer %s is present as incarnation %d", self.name, name, incarnations[name])
                if known[name] != incarnations[name]:
                    self._forget_peer(name)
            self._send_hello(new)

    def publish(self, negotiation: Negotiation) -> None:
        """Replace the published model and send Hello to all peers."""
        with self._lock:
            self.negotiation = negotiation
            negotiation.noise_key = self.noise_key
            self._models_published += 1
            for peer, number in self._last_hello.items():
                if number == self._rounds[peer]:  # so it was not offered: its Hello had this number
                    self._rounds[peer] += 1
            self._offered_models.clear()
            self._recorded.clear()
            self._tried_at.clear()
            self._send_hello(self._incarnations)
            self.busy_until = time.monotonic() + REPLY_GRACE_SECONDS

    def withdraw(self) -> None:
        """Withdraw the published model; until the next one, peers get no reply."""
        with self._lock:
            self.negotiation = None
            self._settled_peers.clear()
            self._tried_at.clear()

    def send_addresses(self, peer: str, body: bytes) -> None:
        """Send addresses of agents to a peer; they are lost where it cannot be reached."""
        with self._lock, contextlib.suppress(UnreachablePeerError):
            self.channel.send_addresses(peer, body)

    def send(self, messages: Iterable[AnyMessage]) -> None:
        """Send messages that are not replies of the negotiation, such as those of a distillation."""
        with self._lock:
            sent = list(messages)
            for message in sent:
                if isinstance(message, DistillRequest):
                    self.distillation.note_sent(message)
            self._send(sent)

    def receive(self, data: bytes) -> None:
        """Process one envelope and send the replies; what is not valid is refused, logged and reported.

        While MAX_EVENTS wait for the supervisor, envelopes are lost, as a network may lose them.
        """
        with self._lock:
            if len(self._events) >= MAX_EVENTS:
                logger.debug("%s: dropped a message, %d events wait", self.name, len(self._events))
                return
            try:
                message = self.channel.receive(data)
            except EnvelopeRejected as error:  # it does not even interrupt training
                self._record_refusal(error)
                return
            if message is None:
                return
            before, self.busy_until, grace = self.busy_until, math.inf, 0.0
            try:
                if self._process(message, data):
                    grace = REPLY_GRACE_SECONDS
            except OvertakenOfferError as error:  # a network that reorders is no reason to worry anyone
                logger.debug("%s: ignored an offer: %s", self.name, error)
            except StaleReplyError as error:
                # it answers an offer of an earlier round, or of an earlier model: Hello has started anew
                if error.overtaken or self._models_published > 1 or error.peer in self._returned:
                    logger.debug("%s: ignored a stale reply: %s", self.name, error)
                else:
                    self._record_refusal(self.channel.refuse(message, error))
            except MessageError as error:
                self._record_refusal(self.channel.refuse(message, error))
            except Exception as error:  # this call has no caller to raise it to
                logger.exception("%s: a message could not be processed", self.name)
                self._record(f"a message could not be processed ({type(error).__name__}: {error})")
            finally:
                self.busy_until = max(before, time.monotonic() + grace)

    def _process(self, message: AnyMessage, data: bytes) -> bool:
        """Process a message, and return whether its sender is expected to answer what it was sent."""
        self._heard_at[message.sender] = time.monotonic()
        self._silent_peers.discard(message.sender)
        self._unreachable.discard(message.sender)
        self._notice_restart(message.sender)
        if isinstance(message, Offer):  # a new round: count the bytes of the edge from here
            self.channel.sent[message.edge], self.channel.received[message.edge] = 0, len(data)
        replies = self._replies_to(message)
        self._send(replies)
        self._record_settled_edge(message, data)
        return any(isinstance(reply, Offer | AnchorRequest | AnchorReply) for reply in replies)

    def retry_stalled(self) -> None:
        """Repeat the Hello or the offer to peers that owe an answer and sent nothing since the last retry.

        Messages are lost when a process dies or a network loses them. Every answer to a repeated offer is the
        answer to the first one, so that the edge does not depend on what was lost.
        """
        with self._lock:
            if self.negotiation is None or len(self._events) >= MAX_EVENTS:
                return
            waiting = {peer for peer in self._incarnations if self._lacks_an_answer(peer)}
            for peer in sorted(waiting & self._silent_peers):
                logger.info("%s: retrying the negotiation with %s, which has not answered", self.name, peer)
                self._send(self._answer(peer, self._silence_of(peer)))
            self._silent_peers = waiting

    def refusals(self) -> dict[tuple[str, Reason], int]:
        """Return the number of refused envelopes by peer, "" for any other sender, and reason."""
        with self._lock:
            return dict(self.channel.verifier.refusals)

    @property
    def peers(self) -> frozenset[str]:
        """Names of all peers."""
        return frozenset(self._incarnations)

    def settled(self) -> bool:
        """Return whether both edges with every peer are settled, if only for an earlier model."""
        with self._lock:
            return self.negotiation is not None and self._incarnations.keys() <= self._settled_peers

    def seconds_of_silence(self) -> float:
        """Return for how long no message has arrived; infinity where none ever has."""
        with self._lock:
            return time.monotonic() - max(self._heard_at.values(), default=-math.inf)

    def unanswered(self) -> dict[str, float]:
        """Return since when peers with an open negotiation have not answered, by name.

        In seconds since the epoch: the newest message of the peer, or the first one to it. A peer that has
        published no model yet answers nothing either.
        """
        since_epoch = time.time() - time.monotonic()
        with self._lock:
            return {
                peer: since_epoch + max(tried, self._heard_at.get(peer, -math.inf))
                for peer, tried in self._tried_at.items()
            }

    @property
    def newest_event(self) -> tuple[int, int]:
        """Incarnation, and number of the newest event."""
        return self.channel.incarnation, self._event_number

    def events(self, incarnation: int, since: int) -> AgentEvents:
        """Return the events after a number, at most EVENTS_PER_REPORT, and drop those up to it.

        Args:
            incarnation: Incarnation that `since` was counted in; with another one nothing is dropped.
            since: Number of the last event that the caller has.
        """
        with self._lock:
            if incarnation == self.channel.incarnation:
                while self._events and self._events[0][0] <= since:
                    self._events.popleft()
            numbered = list(islice(self._events, EVENTS_PER_REPORT))
            items, rest = [item for _, item in numbered], len(self._events) > len(numbered)
            return AgentEvents(
                self.channel.incarnation,
                numbered[-1][0] if rest else self._event_number,
                tuple(item for item in items if isinstance(item, EdgeResult)),
                tuple(item for item in items if isinstance(item, SentMessage)),
                tuple(item for item in items if isinstance(item, str)),
                more=rest,
            )

    def _replies_to(self, message: AnyMessage) -> list[AnyMessage]:
        if isinstance(message, Hello):
            self.announced_peers.add(message.source)
        match message:
            case DistillRequest() | DistillReply():
                self.distillation.receive(message)
            case _ if self.negotiation is None:
                pass  # the Hello of the next published model makes the peer offer again
            case Hello():
                return self._answer(message.source, self._classify(message), message.checkpoint)
            case Offer():
                announced = self._classify(message)
                replies = [] if announced is Announced.OVERTAKEN else self.negotiation.receive(message)
                return replies + self._answer(message.source, announced, message.checkpoint)
            case _:
                return self.negotiation.receive(message)
        return []

    def _classify(self, message: Hello | Offer) -> Announced:
        """Classify an announcement of a peer, and remember the newest model that it has announced."""
        assert self.negotiation is not None
        number, checkpoint = self._announced.get(message.source, (message.round, message.checkpoint))
        if message.round < number and message.checkpoint != checkpoint:
            return Announced.OVERTAKEN
        self._announced[message.source] = (max(number, message.round), message.checkpoint)
        models = (self.negotiation.peer_info.checkpoint, message.checkpoint)
        if self._offered_models.get(message.source) != models:
            return Announced.ANOTHER_MODEL
        return Announced.HELLO_AGAIN if isinstance(message, Hello) else Announced.OFFER_AGAIN

    def _answer(self, peer: str, announced: Announced, checkpoint: str = "") -> list[AnyMessage]:
        """Return the offer or the Hello that a peer is sent, if any; `checkpoint` is that of its model."""
        assert self.negotiation is not None
        action, state = OFFER_STEPS[self.negotiation.state_of_edge_to(peer), announced]
        messages: list[AnyMessage] = []
        match action:
            case OfferAction.OFFER:
                self._offered_models[peer] = (self.negotiation.peer_info.checkpoint, checkpoint)
                self._rounds[peer] += 1
                messages = self.negotiation.make_offers([peer], self._rounds[peer] - 1)
            case OfferAction.REPEAT_OFFER:
                messages = [self.negotiation.repeat_offer(peer)]
            case OfferAction.SEND_HELLO:
                messages = [self._hello(peer)]
        assert self.negotiation.state_of_edge_to(peer) is state
        return messages

    def _lacks_an_answer(self, peer: str) -> bool:
        """Return whether a peer that stays silent is sent something again."""
        assert self.negotiation is not None
        action, _ = OFFER_STEPS[self.negotiation.state_of_edge_to(peer), self._silence_of(peer)]
        return action is not OfferAction.IGNORE

    def _silence_of(self, peer: str) -> Announced:
        assert self.negotiation is not None
        settled = self.negotiation.state_of_edge_from(peer) is TargetState.SETTLED
        return Announced.SILENCE if settled else Announced.SILENCE_UNSETTLED

    def _hello(self, peer: str) -> Hello:
        assert self.negotiation is not None
        self._last_hello[peer] = self._rounds[peer]
        checkpoint = self.negotiation.peer_info.checkpoint
        return Hello(source=self.name, target=peer, round=self._rounds[peer], checkpoint=checkpoint)

    def _send_hello(self, peers: Iterable[str]) -> None:
        if self.negotiation is not None:
            self._send(self._hello(peer) for peer in sorted(peers))

    def _send(self, messages: Iterable[AnyMessage]) -> None:
        for message in messages:
            try:
                self.channel.send([message])
            except UnreachablePeerError as error:  # it left in the meantime, and is tried again and again
                if error.peer not in self._unreachable:
                    self._unreachable.add(error.peer)
                    logger.info("%s: could not send %s: %s", self.name, type(message).__name__, error)
                    self._record(str(error))
        for entry in self.channel.log:
            if entry.type in ("Hello", "Offer"):
                self._tried_at.setdefault(entry.receiver, time.monotonic())
            self._record(entry)
        self.channel.log.clear()

    def _notice_restart(self, peer: str) -> None:
        """Drop the state about a peer's former incarnation, which may precede the supervisor's peer list."""
        incarnation = self.channel.verifier.incarnation_of(peer)
        if incarnation > self._incarnations[peer]:
            logger.info("%s: peer %s restarted as incarnation %d", self.name, peer, incarnation)
            self._incarnations[peer] = incarnation
            self._forget_peer(peer)

    def _forget_peer(self, peer: str) -> None:
        self._offered_models.pop(peer, None)
        self._announced.pop(peer, None)
        self._recorded.pop(peer, None)
        self.announced_peers.discard(peer)
        self._settled_peers.discard(peer)
        self._tried_at.pop(peer, None)
        self._heard_at.pop(peer, None)
        self._unreachable.discard(peer)
        self.distillation.forget(peer)
        if self.negotiation is not None:
            self.negotiation.forget(peer)

    def _record_settled_edge(self, message: AnyMessage, data: bytes) -> None:
        negotiation, sender = self.negotiation, message.sender
        if negotiation is not None and sender in negotiation.edges and sender in negotiation.verdicts:
            self._settled_peers.add(sender)
            self._tried_at.pop(sender, None)
        edge = negotiation.edges.get(message.source) if negotiation else None
        if edge is None or message.target != self.name or self._recorded.get(edge.source) is edge:
            return
        self._recorded[edge.source] = edge
        pair = (edge.source, edge.target)
        incarnations = (self.channel.verifier.incarnation_of(edge.source), self.channel.incarnation)
        size = self.channel.sent[pair] + self.channel.received[pair]
        logger.info("edge %s -> %s %s%s", *pair, edge.status, f": {edge.reason}" if edge.reason else "")
        edge = replace(edge, incarnations=incarnations, bytes=size)
        if isinstance(message, AnchorReply):
            edge = replace(edge, reply=data, source_key=self.channel.verifier.key_of(edge.source))
        self._record(edge)

    def _record_refusal(self, error: EnvelopeRejected) -> None:
        if error.reason is Reason.REPLAY:  # a network that duplicates is no reason to worry anyone
            logger.debug("%s: refused a message: %s", self.name, error)
        elif self.channel.verifier.is_worth_reporting(error.peer, error.reason):
            logger.warning("%s: refused a message: %s", self.name, error)
            self._record(str(error))

    def _record(self, item: EdgeResult | SentMessage | str) -> None:
        self._event_number += 1
        self._events.append((self._event_number, item))
        if isinstance(item, str):
            refusals = [entry for entry in self._events if isinstance(entry[1], str)]
            if len(refusals) > MAX_REFUSALS_KEPT:
                self._events.remove(refusals[0])
