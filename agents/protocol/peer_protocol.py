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

LINGER = 0.1  # seconds after a frame in which the next one of the same conversation is expected
REMEMBERED = 100  # refusals kept for who asks; more would only be the same one again


class StaleReplyError(MessageError):
    """An answer that came when the question had been withdrawn."""


class PeerProtocol:
    """One agent's side of all its conversations. Every method may be called from any thread."""

    def __init__(self, name: str, transport: Transport, incarnation: int = 0) -> None:
        """Begin a life in which nobody is known and there is nothing to show."""
        self.name = name
        self.mailbox = Channel(transport, incarnation)
        self.negotiation: Negotiation | None = None
        self.asks: dict[str, DistillRequest] = {}  # pupils that wait for a lesson, by name
        self.greeted_by: set[str] = set()  # peers that have said Hello, and so have something to teach
        self.lessons: dict[str, DistillReply] = {}  # by teacher
        self._peers: dict[str, int] = {}  # the life that each is in
        self._made: dict[str, tuple[str, str]] = {}  # models that the newest offer to each peer was for
        self._rounds: Counter[str] = Counter()  # offers made, by peer
        self._told: dict[str, EdgeResult] = {}
        self._news: deque[tuple[int, EdgeResult | SentMessage | str]] = deque()
        self._number = 0
        self._published = 0
        self._quiet: set[str] = set()  # peers that have said nothing since the last reminder
        self._understood: set[str] = set()  # peers with both edges settled at least once in their life
        self._lock = threading.RLock()
        self.busy_until = 0.0  # on the monotonic clock: until then a peer is being answered, or soon will be

    def meet(self, peers: Mapping[str, int]) -> None:
        """Learn who is there, and in which life; whoever is new hears a Hello."""
        with self._lock:
            before, self._peers = self._peers, dict(peers)
            for name in before.keys() - peers.keys():
                self._forget(name)
            new = sorted(name for name, life in peers.items() if before.get(name) != life)
            for name in new:
                if self.mailbox.lives.get(name, -1) < peers[name]:
                    self._forget(name)
                    self.mailbox.lives[name] = peers[name]
            self._greet(new)

    def publish(self, negotiation: Negotiation) -> None:
        """Show peers a new model, in place of what was shown before."""
        with self._lock:
            self.negotiation = negotiation
            self._published += 1
            self._made.clear()
            self._told.clear()
            self._greet(self._peers)
            self.busy_until = time.monotonic() + LINGER

    def fall_silent(self) -> None:
        """Have nothing to show until the next model is published."""
        with self._lock:
            self.negotiation = None
            self._understood.clear()

    def say(self, messages: Iterable[AnyMessage]) -> None:
        """Send messages that no other message called for: a question to a teacher, a lesson to a pupil."""
        with self._lock:
            self._post(messages)

    def hear(self, frame: bytes) -> None:
        """Take one frame and send the replies; what cannot be read is refused and remembered."""
        self.busy_until = math.inf
        with self._lock:
            try:
                message = self.mailbox.open(frame)
                if message.speaker not in self._peers:
                    raise MessageError(f"{message.speaker} is nobody that {self.name} has met")
                if message.receiver != self.name:
                    raise MessageError(f"a message for {message.receiver} reached {self.name}")
                self._quiet.discard(message.speaker)
                self._notice_rebirth(message.speaker)
                if isinstance(message, Offer):
                    self._count_anew(message, len(frame))
                self._post(self._answer(message))
                self._tell_settled(message)
            except StaleReplyError:
                pass  # an answer to what was said before the newest model; its Hello has started anew
            except MessageError as error:
                self._add(str(error))
            finally:
                self.busy_until = time.monotonic() + LINGER

    def remind(self) -> None:
        """Speak again to who has not settled both edges and has been silent since the last reminder.

        Frames are lost when a process dies on the way; the next reminder starts such a conversation anew.
        """
        with self._lock:
            if self.negotiation is None:
                return
            verdicts, edges = self.negotiation.verdicts, self.negotiation.edges
            open_ = {peer for peer in self._peers if peer not in edges or peer not in verdicts}
            stuck = open_ & self._quiet
            for peer in sorted(stuck):
                made = self._made.pop(peer, None)
                if made is None:
                    self._greet([peer])
                else:  # a Hello would not bring back a peer for whom nothing is missing
                    self._post(self._offer(peer, made[1]))
            self._quiet = open_

    @property
    def peers(self) -> frozenset[str]:
        """Who is there."""
        return frozenset(self._peers)

    def settled(self) -> bool:
        """Whether both edges with every peer that is known have been settled, be it for an earlier model."""
        with self._lock:
            return self.negotiation is not None and self._peers.keys() <= self._understood

    def news(self, incarnation: int, since: int) -> AgentEvents:
        """Return what is new; what was asked for before, by its number in this life, is forgotten."""
        with self._lock:
            if incarnation == self.mailbox.incarnation:
                while self._news and self._news[0][0] <= since:
                    self._news.popleft()
            items = [item for _, item in self._news]
            return AgentEvents(
                self.mailbox.incarnation,
                self._number,
                tuple(item for item in items if isinstance(item, EdgeResult)),
                tuple(item for item in items if isinstance(item, SentMessage)),
                tuple(item for item in items if isinstance(item, str)),
            )

    def _answer(self, message: AnyMessage) -> list[AnyMessage]:
        if isinstance(message, Hello):
            self.greeted_by.add(message.source)
        match message:
            case DistillRequest():
                self.asks[message.target] = message
            case DistillReply():
                self.lessons[message.source] = message
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
                    raise StaleReplyError(str(error)) if self._published > 1 else error from None
        return []

    def _offer(self, peer: str, theirs: str) -> list[AnyMessage]:
        assert self.negotiation is not None
        pair = (self.negotiation.card.checkpoint, theirs)
        if self._made.get(peer) == pair:
            return []
        self._made[peer] = pair
        number = self._rounds[peer]
        self._rounds[peer] += 1
        return self.negotiation.open([peer], number)

    def _greet(self, peers: Iterable[str]) -> None:
        if self.negotiation is not None:
            checkpoint = self.negotiation.card.checkpoint
            self._post(
                Hello(source=self.name, target=peer, round=self._rounds[peer], checkpoint=checkpoint)
                for peer in sorted(peers)
            )

    def _post(self, messages: Iterable[AnyMessage]) -> None:
        for message in messages:
            try:
                self.mailbox.post([message])
            except LookupError as error:  # it left while we were thinking
                self._add(str(error))
        for entry in self.mailbox.log:
            self._add(entry)
        self.mailbox.log.clear()

    def _notice_rebirth(self, peer: str) -> None:
        """Let go of a former life as soon as the new one speaks, even before the registry tells of it."""
        life = self.mailbox.lives[peer]
        if life > self._peers[peer]:
            self._peers[peer] = life
            self._forget(peer)

    def _forget(self, peer: str) -> None:
        self._made.pop(peer, None)
        self._told.pop(peer, None)
        self.greeted_by.discard(peer)
        self._understood.discard(peer)
        if self.negotiation is not None:
            self.negotiation.forget(peer)

    def _count_anew(self, offer: Offer, size: int) -> None:
        self.mailbox.sent[offer.edge], self.mailbox.received[offer.edge] = 0, size

    def _tell_settled(self, message: AnyMessage) -> None:
        talk = self.negotiation
        if talk is not None and message.speaker in talk.edges and message.speaker in talk.verdicts:
            self._understood.add(message.speaker)
        edge = talk.edges.get(message.source) if talk else None
        if edge is None or message.target != self.name or self._told.get(edge.source) is edge:
            return
        self._told[edge.source] = edge
        pair = (edge.source, edge.target)
        lives = (self.mailbox.lives[edge.source], self.mailbox.incarnation)
        spent = self.mailbox.sent[pair] + self.mailbox.received[pair]
        self._add(replace(edge, lives=lives, bytes=spent))

    def _add(self, item: EdgeResult | SentMessage | str) -> None:
        self._number += 1
        self._news.append((self._number, item))
        if isinstance(item, str) and sum(isinstance(kept, str) for _, kept in self._news) > REMEMBERED:
            oldest = next(entry for entry in self._news if isinstance(entry[1], str))
            self._news.remove(oldest)
