"""The connections of one agent without Ray: whom it trusts, whom it has met, and how it finds the others."""

import logging
import math
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from agents.protocol.channel import Transport
from agents.protocol.edge import EdgeResult
from agents.protocol.embedding_negotiation import EmbeddingResult
from agents.protocol.identity import KEY_FILE, fingerprint
from agents.protocol.introduction import IntroducedPeer
from agents.protocol.peer_protocol import PeerProtocol
from agents.protocol.transports.address_book import (
    AddressBook,
    AddressStatement,
    pack_statements,
    unpack_statements,
)
from agents.protocol.transports.faults import Faults, FaultyTransport
from agents.protocol.transports.tcp import TcpOptions, TcpTransport
from agents.protocol.trust import RotatedIdentity, TrustStore
from agents.protocol.verifier import KnownPeer, LocalPeer
from alignment.natural_order import natural_key
from social_jepa.records.peer import PeerRecord

logger = logging.getLogger(__name__)

TRUST_FILE = "trust.toml"  # the keys that peers showed first
RETRY_SECONDS = 2.0  # between two repetitions of what a peer has not answered
PASS_SECONDS = 1.0  # between two times at which new addresses are passed on, to all peers
GOSSIP_SECONDS = 10.0  # between two repetitions of all addresses, to one peer
UNREACHABLE_SECONDS = 20.0  # that a connection may take before a peer counts as unreachable


@dataclass(frozen=True)
class ConnectionOptions:
    """How an agent meets others.

    Attributes:
        tcp: Where it listens and dials.
        key: Its key file.
        trust: File of the keys of others.
        first_use: Whether the first key that a name shows is added to that file.
        faults: What happens to its envelopes.
        seed: What the faults follow from.
    """

    tcp: TcpOptions
    key: Path
    trust: Path
    first_use: bool
    faults: Faults = Faults()  # noqa: RUF009 (it is frozen)
    seed: int = 0


@dataclass(frozen=True)
class NetworkOptions:
    """How a peer meets others, as its user says it.

    Attributes:
        tcp: Where it listens and dials.
        key: Its key file; None: in the folder of the agent.
        trust: Allow-list of the keys of others; None: the first key that each shows, kept in its run folder.
        session: A text that separates groups.
        faults: What happens to its envelopes.
    """

    tcp: TcpOptions = field(default_factory=TcpOptions)
    key: Path | None = None
    trust: Path | None = None
    session: str = ""
    faults: Faults = Faults()  # noqa: RUF009 (it is frozen)

    def of_agent(self, agent: Path, run: Path, seed: int) -> ConnectionOptions:
        """Return the options with the files of an agent.

        Args:
            agent: Folder of its key, unless another file is named.
            run: Folder of the keys that peers showed first, unless there is an allow-list.
            seed: What the faults follow from.
        """
        return ConnectionOptions(
            self.tcp, self.key or agent / KEY_FILE, self.trust or run / TRUST_FILE, self.trust is None,
            self.faults, seed,
        )  # fmt: skip


class PeerConnections:
    """An agent's exchange with peers over TCP.

    Addresses that their owners signed spread from peer to peer, so that an agent that was told one address
    finds all agents of its group.

    Attributes:
        local: The agent.
        transport: Its connections.
        protocol: Its exchange with peers.
        book: Where agents are reached.
        trust: Whose key is whose.
    """

    def __init__(
        self, name: str, incarnation: int, session: bytes, options: ConnectionOptions,
        belongs: Callable[[str], bool] = lambda name: True, remedy: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        """Read the keys; `start` listens and dials.

        Args:
            name: Name of the agent.
            incarnation: Number of this process.
            session: 16 bytes of its group.
            options: How it meets others.
            belongs: Whether an agent of a name may be a peer.
            remedy: What to change for one that may not.
            clock: Returns seconds; how often things are repeated follows from it.

        Raises:
            KeyFileError, TrustFileError: A file of keys cannot be used.
            OSError: A new key cannot be written.
        """
        own = RotatedIdentity(options.key)
        self.local = LocalPeer(name, own.identity, incarnation, session)
        self.trust = TrustStore(options.trust, options.first_use)
        self.book = AddressBook(self.local, self.trust, belongs)
        self.transport = TcpTransport(
            self.local, self.trust, options.tcp, self.meet, own.rotations,
            lambda name: "" if belongs(name) else remedy or "it does not belong to this group",
        )  # fmt: skip
        self.protocol = PeerProtocol(self.local, self._with_faults(options))
        self.protocol.channel.on_addresses = self._receive_addresses
        self._known: dict[str, KnownPeer] = {}
        self._seen: dict[str, float] = {}  # when a peer was connected last, or heard of first
        self._waiting: dict[str, tuple[str, AddressStatement]] = {}  # to be passed on: sender, what
        self._lock = threading.Lock()  # of the book and of what waits; not held while the protocol is called
        self._clock = clock
        self._retried_at = self._gossiped_at = clock()
        self._passed_at = -math.inf
        self._random = random.Random()

    def _with_faults(self, options: ConnectionOptions) -> Transport:
        if options.faults == Faults():
            return self.transport
        return FaultyTransport(self.transport, self.local.name, options.faults, options.seed)

    def start(self) -> None:
        """Listen and dial.

        Raises:
            OSError: An address cannot be listened at.
        """
        self.transport.start(self.protocol.receive)

    def close(self) -> None:
        """End all connections."""
        self.transport.close()

    def meet(self, peer: IntroducedPeer) -> None:
        """Take a peer that has introduced itself: its key, and the incarnation that it signed.

        Its introduction may have revoked keys of other peers. The transport calls this on one thread.
        """
        self._known[peer.name] = peer.known
        for name, known in self._known.items():
            trusted = self.trust.get(name)
            self._known[name] = replace(known, revoked=trusted is None or trusted.revoked)
        self.protocol.update_peers(dict(self._known))
        renewed = self._announce()
        with self._lock:
            statements = self.book.statements()
        self._send_statements([peer.name], statements)
        if renewed:  # a connection may have shown another address of this machine
            self._send_statements(self.transport.connected(), self.book.own())

    def keep(self) -> None:
        """Repeat what has not been answered, and pass addresses on; call this a few times a second."""
        now = self._clock()
        if now - self._retried_at > RETRY_SECONDS:
            self._retried_at = now
            self.protocol.retry_stalled()
        connected = self.transport.connected()
        self._seen.update(dict.fromkeys(connected, time.time()))
        if self._announce():
            self._send_statements(connected, self.book.own())
        if now - self._passed_at >= PASS_SECONDS:
            self._pass_on(connected, now)
        if connected and now - self._gossiped_at > GOSSIP_SECONDS:  # what was lost arrives over another way
            self._gossiped_at = now
            with self._lock:
                statements = self.book.statements()
            self._send_statements([self._random.choice(connected)], statements)

    def _announce(self) -> bool:
        with self._lock:
            return self.book.announce(self.transport.own_addresses())

    def _receive_addresses(self, sender: str, body: bytes) -> None:
        """Keep new addresses and dial them; the protocol calls this."""
        statements = unpack_statements(body)
        with self._lock:
            new = self.book.receive(statements, sender)
            addresses = self.book.addresses()
            self._waiting.update((each.name, (sender, each)) for each in new)
        if new:
            names = ", ".join(each.name for each in new)
            logger.info("%s: %s says where %s can be reached", self.local.name, sender, names)
            self.transport.dial(addresses)

    def _pass_on(self, connected: Sequence[str], now: float) -> None:
        """Pass new addresses on, many in one envelope: what one peer sends must not become many."""
        with self._lock:
            waiting, self._waiting = list(self._waiting.values()), {}
        if waiting:
            self._passed_at = now
        for name in connected:
            self._send_statements([name], [each for sender, each in waiting if sender != name])

    def _send_statements(self, names: Sequence[str], statements: Sequence[AddressStatement]) -> None:
        for name in names:
            for body in pack_statements(each for each in statements if each.name != name):
                self.protocol.send_addresses(name, body)

    def peers(
        self, edges: Mapping[str, EdgeResult | EmbeddingResult] | None = None,
        flagged: Mapping[str, str] | None = None,
    ) -> tuple[PeerRecord, ...]:  # fmt: skip
        """Return the records of all peers that were met or heard of, in natural order of names.

        Args:
            edges: Newest edge out of each peer.
            flagged: Why peers are flagged.
        """
        statuses, reasons = {name: str(edge.status) for name, edge in (edges or {}).items()}, flagged or {}
        with self._lock:
            addresses = self.book.addresses()
        refused = self.protocol.refusals()
        connected, unanswered = {*self.transport.connected()}, self.protocol.unanswered()
        found, now = [], time.time()
        for name in sorted({*self._known, *addresses}, key=natural_key):
            seen = self._seen.setdefault(name, now)
            gone = name not in connected and now - seen >= UNREACHABLE_SECONDS
            trusted = self.trust.get(name)
            found.append(
                PeerRecord(
                    name=name, fingerprint=fingerprint(trusted.public_key) if trusted else "",
                    addresses=tuple(map(str, addresses.get(name, ()))), connected=name in connected,
                    unreachable_since=seen if gone else None,
                    unanswered_since=unanswered.get(name),
                    refused=sum(count for (peer, _), count in refused.items() if peer == name),
                    edge=statuses.get(name, ""), flagged=reasons.get(name, ""),
                )
            )  # fmt: skip
        return tuple(found)
