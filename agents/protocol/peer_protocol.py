"""What an agent says to whom, and when: it greets, offers, answers, and tells nobody the same thing twice.

An agent that has something new to show says Hello to every peer. Whoever hears a Hello, or an Offer, of a
model that it has not offered to yet, offers its own; so each pair negotiates both of its edges once for every
pair of models, whoever came first, and a newcomer costs as many messages as it has peers, times a constant.
"""

import math
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import replace

from agents.protocol.channel import Channel, SentMessage, Transport
from agents.protocol.edge import EdgeResult
from agents.protocol.events import AgentEvents
from agents.protocol.messages import AnyMessage, DistillReply, DistillRequest, Hello, Offer
from agents.protocol.negotiation import Negotiation
from agents.protocol.wire import MessageError

REPLY_GRACE_SECONDS = 0.1  # seconds after a frame in which the next one of the same conversation is expected
MAX_REFUSALS_KEPT = 100  # refusals kept for who asks; more would only be the same one again


class StaleReplyError(MessageError):
    """An answer that came when the question had been withdrawn."""


class PeerProtocol:
    """One agent's side of all its conversations. Every method may be called from any thread."""

    def __init__(self, name: str, transport: Transport, incarnation: int = 0) -> None:
        """Begin a life in which nobody is known and there is nothing to show."""
        self.name = name
        self.channel = Channel(transport, incarnation)
        self.negotiation: Negotiation | None = None
        self.distill_requests: dict[str, DistillRequest] = {}  # pupils that wait for a lesson, by name
        self.greeted_by: set[str] = set()  # peers that have said Hello, and so have something to teach
        self.distill_replies: dict[str, DistillReply] = {}  # by teacher
        self._peers: dict[str, int] = {}  # the life that each is in
        self._offered_models: dict[
            str, tuple[str, str]
        ] = {}  # models that the newest offer to each peer was for
        self._rounds: Counter[str] = Counter()  # offers made, by peer
        self._recorded: dict[str, EdgeResult] = {}
        self._events: deque[tuple[int, EdgeResult | SentMessage | str]] = deque()
        self._event_number = 0
        self._models_published = 0
        self._silent_peers: set[str] = set()  # peers that have said nothing since the last reminder
        self._settled_peers: set[str] = set()  # peers with both edges settled at least once in their life
        self._lock = threading.RLock()
        self.busy_until = 0.0  # on the monotonic clock: until then a peer is being answered, or soon will be

    def update_peers(self, peers: Mapping[str, int]) -> None:
        """Learn who is there, and in which life; whoever is new hears a Hello."""
        with self._lock:
            before, self._peers = self._peers, dict(peers)
            for name in before.keys() - peers.keys():
                self._forget_peer(name)
            new = sorted(name for name, life in peers.items() if before.get(name) != life)
            for name in new:
                if self.channel.incarnations.get(name, -1) < peers[name]:
                    self._forget_peer(name)
                    self.channel.incarnations[name] = peers[name]
            self._send_hello(new)

    def publish(self, negotiation: Negotiation) -> None:
        """Show peers a new model, in place of what was shown before."""
        with self._lock:
            self.negotiation = negotiation
            self._models_published += 1
            self._offered_models.clear()
            self._recorded.clear()
            self._send_hello(self._peers)
            self.busy_until = time.monotonic() + REPLY_GRACE_SECONDS

    def withdraw(self) -> None:
        """Have nothing to show until the next model is published."""
        with self._lock:
            self.negotiation = None
            self._settled_peers.clear()

    def send(self, messages: Iterable[AnyMessage]) -> None:
        """Send messages that no other message called for: a question to a teacher, a lesson to a pupil."""
        with self._lock:
            self._send(messages)

    def receive(self, frame: bytes) -> None:
        """Take one frame and send the replies; what cannot be read is refused and remembered."""
        self.busy_until = math.inf
        with self._lock:
            try:
                message = self.channel.receive(frame)
                if message.sender not in self._peers:
                    raise MessageError(f"{message.sender} is nobody that {self.name} has met")
                if message.receiver != self.name:
                    raise MessageError(f"a message for {message.receiver} reached {self.name}")
                self._silent_peers.discard(message.sender)
                self._notice_restart(message.sender)
                if isinstance(message, Offer):
                    self._reset_byte_count(message, len(frame))
                self._send(self._reply_to(message))
                self._record_settled_edge(message)
            except StaleReplyError:
                pass  # an answer to what was said before the newest model; its Hello has started anew
            except MessageError as error:
                self._record(str(error))
            finally:
                self.busy_until = time.monotonic() + REPLY_GRACE_SECONDS

    def retry_stalled(self) -> None:
        """Speak again to who has not settled both edges and has been silent since the last reminder.

        Frames are lost when a process dies on the way; the next reminder starts such a conversation anew.
        """
        with self._lock:
            if self.negotiation is None:
                return
            verdicts, edges = self.negotiation.verdicts, self.negotiation.edges
            open_ = {peer for peer in self._peers if peer not in edges or peer not in verdicts}
            stuck = open_ & self._silent_peers
            for peer in sorted(stuck):
                made = self._offered_models.pop(peer, None)
                if made is None:
                    self._send_hello([peer])
                else:  # a Hello would not bring back a peer for whom nothing is missing
                    self._send(self._offer(peer, made[1]))
            self._silent_peers = open_

    @property
    def peers(self) -> frozenset[str]:
        """Who is there."""
        return frozenset(self._peers)

    def settled(self) -> bool:
        """Whether both edges with every peer that is known have been settled, be it for an earlier model."""
        with self._lock:
            return self.negotiation is not None and self._peers.keys() <= self._settled_peers

    def events(self, incarnation: int, since: int) -> AgentEvents:
        """Return what is new; what was asked for before, by its number in this life, is forgotten."""
        with self._lock:
            if incarnation == self.channel.incarnation:
                while self._events and self._events[0][0] <= since:
                    self._events.popleft()
            items = [item for _, item in self._events]
            return AgentEvents(
                self.channel.incarnation,
                self._event_number,
                tuple(item for item in items if isinstance(item, EdgeResult)),
                tuple(item for item in items if isinstance(item, SentMessage)),
                tuple(item for item in items if isinstance(item, str)),
            )

    def _reply_to(self, message: AnyMessage) -> list[AnyMessage]:
        if isinstance(message, Hello):
            self.greeted_by.add(message.source)
        match message:
            case DistillRequest():
                self.distill_requests[message.target] = message
            case DistillReply():
                self.distill_replies[message.source] = message
            case _ if self.negotiation is None:
                pass  # nothing to show yet: the Hello that says so later brings the peer back
            case Hello():
                return self._offer(message.source, message.checkpoint)
            case Offer():
                replies = self.negotiation.receive(message)
                return replies + self._offer(message.source, message.checkpoint)
            case _:
                try:
                    return self.negotiation.receive(message)
                except MessageError as error:
                    raise StaleReplyError(str(error)) if self._models_published > 1 else error from None
        return []

    def _offer(self, peer: str, theirs: str) -> list[AnyMessage]:
        assert self.negotiation is not None
        pair = (self.negotiation.peer_info.checkpoint, theirs)
        if self._offered_models.get(peer) == pair:
            return []
        self._offered_models[peer] = pair
        number = self._rounds[peer]
        self._rounds[peer] += 1
        return self.negotiation.make_offers([peer], number)

    def _send_hello(self, peers: Iterable[str]) -> None:
        if self.negotiation is not None:
            checkpoint = self.negotiation.peer_info.checkpoint
            self._send(
                Hello(source=self.name, target=peer, round=self._rounds[peer], checkpoint=checkpoint)
                for peer in sorted(peers)
            )

    def _send(self, messages: Iterable[AnyMessage]) -> None:
        for message in messages:
            try:
                self.channel.send([message])
            except LookupError as error:  # it left while we were thinking
                self._record(str(error))
        for entry in self.channel.log:
            self._record(entry)
        self.channel.log.clear()

    def _notice_restart(self, peer: str) -> None:
        """Let go of a former life as soon as the new one speaks, even before the registry tells of it."""
        life = self.channel.incarnations[peer]
        if life > self._peers[peer]:
            self._peers[peer] = life
            self._forget_peer(peer)

    def _forget_peer(self, peer: str) -> None:
        self._offered_models.pop(peer, None)
        self._recorded.pop(peer, None)
        self.greeted_by.discard(peer)
        self._settled_peers.discard(peer)
        if self.negotiation is not None:
            self.negotiation.forget(peer)

    def _reset_byte_count(self, offer: Offer, size: int) -> None:
        self.channel.sent[offer.edge], self.channel.received[offer.edge] = 0, size

    def _record_settled_edge(self, message: AnyMessage) -> None:
        talk = self.negotiation
        if talk is not None and message.sender in talk.edges and message.sender in talk.verdicts:
            self._settled_peers.add(message.sender)
        edge = talk.edges.get(message.source) if talk else None
        if edge is None or message.target != self.name or self._recorded.get(edge.source) is edge:
            return
        self._recorded[edge.source] = edge
        pair = (edge.source, edge.target)
        lives = (self.channel.incarnations[edge.source], self.channel.incarnation)
        spent = self.channel.sent[pair] + self.channel.received[pair]
        self._record(replace(edge, incarnations=lives, bytes=spent))

    def _record(self, item: EdgeResult | SentMessage | str) -> None:
        self._event_number += 1
        self._events.append((self._event_number, item))
        if (
            isinstance(item, str)
            and sum(isinstance(kept, str) for _, kept in self._events) > MAX_REFUSALS_KEPT
        ):
            oldest = next(entry for entry in self._events if isinstance(entry[1], str))
            self._events.remove(oldest)
