"""Transport over TCP: it listens, dials, introduces itself, and reconnects; no Ray.

Every connection carries envelopes both ways, so a peer that cannot be dialed, behind a firewall or network
address translation, is reached over the connection that it opened itself.
"""

import asyncio
import contextlib
import logging
import random
import ssl
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from agents.protocol.channel import Deliver, UnreachablePeerError
from agents.protocol.introduction import IntroducedPeer
from agents.protocol.transports.address import PeerAddress
from agents.protocol.transports.tcp_link import Link, LinkError, LinkLimits, close_writer, open_link
from agents.protocol.trust import KeyRotation, TrustStore, UntrustedKeyError
from agents.protocol.verifier import LocalPeer
from agents.protocol.wire import EnvelopeRejected

logger = logging.getLogger(__name__)

START_SECONDS = 10.0  # that listening may take to begin
STABLE_SECONDS = 5.0  # that a connection lasts unless the other end refuses it
CANCEL_SECONDS = 0.2  # between two tries to end all tasks
MAX_HOSTS = 4  # addresses of this machine that are announced
SUPERSEDED_SECONDS = 2.0  # that a superseded connection is still read


@dataclass(frozen=True)
class TcpOptions:
    """Where a transport listens and dials, and how.

    Attributes:
        listen: Addresses to accept connections at.
        connect: Addresses to keep a connection to.
        announce: Addresses at which others reach it; none: those that it listens at.
        server_tls: TLS of accepted connections; None for none.
        client_tls: TLS of dialed connections; None for none.
        limits: What the end of a connection may do.
        max_links: Connections at once.
        max_unknown: Of these, connections that have not introduced themselves yet.
        backoff: Shortest and longest pause between two tries to dial an address, seconds; the longest doubles
            with every failure, and a random time up to it is waited.
    """

    listen: tuple[PeerAddress, ...] = ()
    connect: tuple[PeerAddress, ...] = ()
    announce: tuple[PeerAddress, ...] = ()
    server_tls: ssl.SSLContext | None = None
    client_tls: ssl.SSLContext | None = None
    limits: LinkLimits = field(default_factory=LinkLimits)
    max_links: int = 256
    max_unknown: int = 32
    backoff: tuple[float, float] = (0.2, 30.0)


class TcpTransport:
    """Connections of one agent, served on a separate thread.

    Attributes:
        addresses: Where it listens, with the ports that it was given; known once `start` has returned.
        dropped: Frames that were not sent because a peer takes them too slowly.
    """

    def __init__(
        self, local: LocalPeer, trust: TrustStore, options: TcpOptions,
        on_peer: Callable[[IntroducedPeer], None] = lambda peer: None, rotations: Iterable[KeyRotation] = (),
    ) -> None:  # fmt: skip
        """Prepare; `start` listens and dials.

        Args:
            local: This agent.
            trust: Whose key is whose.
            options: Where it listens and dials.
            on_peer: Called when a peer has introduced itself, before its first message is delivered.
            rotations: Statements that lead to this agent's key.
        """
        self.addresses: tuple[PeerAddress, ...] = ()
        self.dropped = 0
        self._local, self._trust, self._options = local, trust, options
        self._on_peer, self._rotations = on_peer, tuple(rotations)
        self._deliver: Deliver = lambda data: None
        self._links: dict[str, list[Link]] = {}
        self._ended: dict[str, asyncio.Event] = {}  # set when the last connection to a peer ends
        self._found: dict[str, tuple[PeerAddress, ...]] = {}  # addresses of peers that others have named
        self._dialed: set[PeerAddress] = set()
        self._hosts: list[str] = []  # of this machine, as peers reach it
        self._unknown = 0
        self._jitter = random.Random()
        self._loop = asyncio.new_event_loop()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="deliver")
        self._tasks: set[asyncio.Task[Any]] = set()
        self._servers: list[asyncio.Server] = []
        self._thread = threading.Thread(target=self._loop.run_forever, name="tcp", daemon=True)

    def start(self, deliver: Deliver) -> None:
        """Listen and dial.

        Args:
            deliver: Called with the bytes of every envelope that arrives, one at a time, on one thread.

        Raises:
            OSError: An address cannot be listened at.
        """
        self._deliver = deliver
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(START_SECONDS)

    def send(self, receiver: str, data: bytes) -> None:
        """Queue an envelope for a connected peer."""
        if not any(link.active for link in self._links.get(receiver, ())):
            raise UnreachablePeerError(receiver)
        self._loop.call_soon_threadsafe(self._send, receiver, data)

    def connected(self) -> list[str]:
        """Return the names of all connected peers."""
        return sorted(name for name, links in list(self._links.items()) if links)

    def own_addresses(self) -> list[str]:
        """Return addresses at which others reach this agent, as far as it knows: it may be none.

        Where it listens at all addresses of its machine, those count over which peers have reached it.
        """
        found: list[str] = []
        for address in self._options.announce or self.addresses:
            hosts = list(self._hosts) if address.is_unspecified else [address.host]
            found += [str(PeerAddress(host, address.port)) for host in hosts]
        return list(dict.fromkeys(found))

    def dial(self, addresses: Mapping[str, tuple[PeerAddress, ...]]) -> None:
        """Dial peers, by name, whenever there is no connection to them; others are not dialed any more.

        An address of the loopback interface means this machine: it is dialed only by an agent that itself
        listens at, or was told to dial, such an address.
        """
        self._loop.call_soon_threadsafe(self._dial, dict(addresses))

    def close(self) -> None:
        """End all connections and the thread."""
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(START_SECONDS)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        self._loop.close()
        self._worker.shutdown(wait=False, cancel_futures=True)

    def disconnect(self, name: str) -> None:
        """Close all connections to a peer; those that this end dialed are opened again."""
        for link in list(self._links.get(name, ())):
            asyncio.run_coroutine_threadsafe(link.close(), self._loop).result(START_SECONDS)

    def _send(self, receiver: str, data: bytes) -> None:
        for link in self._links.get(receiver, ()):
            # two may be active where the peer is reached at two addresses: what arrives twice is refused once
            if link.active and not link.send(data):
                self.dropped += 1

    async def _start(self) -> None:
        options = self._options
        for address in options.listen:
            server = await asyncio.start_server(
                self._accept, address.host, address.port, ssl=options.server_tls
            )
            self._servers.append(server)
        names = [server.sockets[0].getsockname() for server in self._servers]
        self.addresses = tuple(PeerAddress(name[0], name[1]) for name in names)
        for address in options.connect:
            self._dialed.add(address)
            self._spawn(self._keep_dialing(address))

    def _dial(self, addresses: dict[str, tuple[PeerAddress, ...]]) -> None:
        options, self._found = self._options, addresses
        loopback = any(each.is_loopback for each in (*options.listen, *options.connect))
        for name, found in addresses.items():
            for address in set(found) - self._dialed - {*self.addresses}:
                if loopback or not address.is_loopback:
                    self._dialed.add(address)
                    self._spawn(self._keep_dialing(address, name))

    async def _stop(self) -> None:
        for server in self._servers:
            server.close()
        while self._tasks:  # again, because a connection that opens at this moment adds one
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks, timeout=CANCEL_SECONDS)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # the server's own task is not cancelled by `_stop`
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        name = writer.get_extra_info("peername")
        where = str(PeerAddress(str(name[0]), int(name[1]))) if name else "a connection that has ended"
        if self._unknown >= self._options.max_unknown or self._count() >= self._options.max_links:
            logger.warning("%s: refused a connection from %s: there are too many", self._local.name, where)
            await close_writer(writer)
            return
        with contextlib.suppress(asyncio.CancelledError):  # the server would log it as an error
            await self._serve(reader, writer, False, where)

    def _count(self) -> int:
        return sum(map(len, self._links.values())) + self._unknown

    async def _until_gone(self, name: str) -> None:
        """Wait until there is no connection to a peer."""
        while name in self._links:
            await self._ended.setdefault(name, asyncio.Event()).wait()

    async def _keep_dialing(self, address: PeerAddress, found: str = "") -> None:
        """Keep a connection to an address, with pauses of growing, random length between two tries.

        Args:
            address: The address.
            found: Peer that is said to be there; it is dialed only while this is said, and while there is
                no connection to the peer. Empty: the address was given by the user.
        """
        shortest, longest = self._options.backoff
        pause, reported = shortest, ""
        while not found or address in self._found.get(found, ()):
            await self._until_gone(found)
            began = time.monotonic()
            try:
                async with asyncio.timeout(self._options.limits.handshake):
                    reader, writer = await asyncio.open_connection(
                        address.host, address.port, ssl=self._options.client_tls
                    )
            except (OSError, TimeoutError) as error:
                reason = str(error) or type(error).__name__
                if reason != reported:
                    logger.info("%s: %s is not reached yet: %s", self._local.name, address, reason)
                reported = reason
            else:
                reported = ""
                name = await self._serve(reader, writer, True, str(address))
                await self._until_gone(name)  # the peer may have opened a connection too
            if time.monotonic() - began > STABLE_SECONDS:
                pause = shortest
            await asyncio.sleep(self._jitter.uniform(shortest, max(shortest, pause)))
            pause = min(longest, 2 * pause)
        self._dialed.discard(address)

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, dialed: bool, where: str
    ) -> str:
        """Serve a connection until it ends; return the name of its other end, "" if it gave none."""
        self._unknown += 1
        try:
            link = await open_link(
                reader, writer, dialed, self._local, self._trust, self._options.limits, self._rotations
            )
        except (EnvelopeRejected, UntrustedKeyError) as error:
            logger.warning("%s: refused the peer at %s: %s", self._local.name, where, error)
            await close_writer(writer)
            return ""
        except (LinkError, EOFError, OSError, TimeoutError) as error:
            reason = str(error) or "it did not introduce itself in time"
            logger.info("%s: the connection to %s did not open: %s", self._local.name, where, reason)
            await close_writer(writer)
            return ""
        except asyncio.CancelledError:
            await close_writer(writer)
            raise
        finally:
            self._unknown -= 1
        await self._run(link, where)
        return link.peer.name

    async def _run(self, link: Link, where: str) -> None:
        name = link.peer.name
        self._adopt(link)
        if link.host not in self._hosts:
            self._hosts = [link.host, *self._hosts][:MAX_HOSTS]
        try:
            await self._loop.run_in_executor(self._worker, self._on_peer, link.peer)
            logger.info("%s: connected with %s at %s", self._local.name, name, where)
            reason = await link.run(self._hand_over)
            logger.info("%s: the connection to %s ended: %s", self._local.name, name, reason)
        finally:
            self._links[name].remove(link)
            if not self._links[name]:
                del self._links[name]
                if ended := self._ended.pop(name, None):
                    ended.set()
            await link.close()

    async def _hand_over(self, data: bytes) -> None:
        await self._loop.run_in_executor(self._worker, self._deliver, data)

    def _adopt(self, link: Link) -> None:
        """Add a link; where two ends have dialed each other, both keep the one of the lower name."""
        links = self._links.setdefault(link.peer.name, [])
        for other in links:
            if link.peer.known.incarnation > other.peer.known.incarnation:
                self._supersede(other)
            elif link.dialed != other.dialed:
                lower_dials = self._local.name < link.peer.name
                self._supersede(other if link.dialed == lower_dials else link)
        links.append(link)

    def _supersede(self, link: Link) -> None:
        link.active = False
        self._loop.call_later(SUPERSEDED_SECONDS, lambda: self._spawn(link.close()))
