"""Transport over TCP: it listens, dials, introduces itself, and reconnects; no Ray.

Every connection carries envelopes both ways, so a peer that cannot be dialed, behind a firewall or network
address translation, is reached over the connection that it opened itself.
"""

import asyncio
import logging
import ssl
import threading
from collections.abc import Callable, Coroutine, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from agents.protocol.channel import Deliver, UnreachablePeerError
from agents.protocol.introduction import IntroducedPeer, ReasonAgainst, no_reason
from agents.protocol.transports.address import PeerAddress
from agents.protocol.transports.dialing import Dialer
from agents.protocol.transports.link_table import LinkTable
from agents.protocol.transports.tcp_link import Link, LinkError, LinkLimits, close_writer, open_link
from agents.protocol.trust import KeyRotation, TrustStore, UntrustedKeyError
from agents.protocol.verifier import LocalPeer
from agents.protocol.wire import EnvelopeRejected

logger = logging.getLogger(__name__)

START_SECONDS = 10.0  # that listening may take to begin
CANCEL_SECONDS = 0.2  # between two tries to end all tasks
MAX_HOSTS = 4  # addresses of this machine that are announced


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
        max_links: Accepted connections at once; how many are dialed is bounded by the number of addresses.
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
        reason_against: ReasonAgainst = no_reason,
    ) -> None:  # fmt: skip
        """Prepare; `start` listens and dials.

        Args:
            local: This agent.
            trust: Whose key is whose.
            options: Where it listens and dials.
            on_peer: Called when a peer has introduced itself, before its first message is delivered.
            rotations: Statements that lead to this agent's key.
            reason_against: Returns why an agent of a name gets no connection, "" if it may be a peer.
        """
        self.addresses: tuple[PeerAddress, ...] = ()
        self.dropped = 0
        self._local, self._trust, self._options = local, trust, options
        self._on_peer, self._rotations, self._reason_against = on_peer, tuple(rotations), reason_against
        self._deliver: Deliver = lambda data: None
        self._links = LinkTable(local.name, self._close_later)
        self._dialer = Dialer(
            local.name, options.backoff, self._links, self._open_dialed, self._serve,
            lambda name: trust.get(name) is not None, self._spawn,
        )  # fmt: skip
        self._hosts: list[str] = []  # of this machine, as peers reach it
        self._unknown = 0  # accepted connections that have not introduced themselves yet
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
        if not any(link.active for link in self._links.of(receiver)):
            raise UnreachablePeerError(receiver)
        self._loop.call_soon_threadsafe(self._send, receiver, data)

    def connected(self) -> list[str]:
        """Return the names of all connected peers."""
        return self._links.names()

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
        for link in self._links.of(name):
            asyncio.run_coroutine_threadsafe(link.close(), self._loop).result(START_SECONDS)

    def _send(self, receiver: str, data: bytes) -> None:
        for link in self._links.of(receiver):
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
        for address in dict.fromkeys(options.connect):
            self._dialer.keep(address)

    @property
    def _dials_loopback(self) -> bool:
        return any(each.is_loopback for each in (*self._options.listen, *self._options.connect))

    def _dial(self, addresses: dict[str, tuple[PeerAddress, ...]]) -> None:
        known = {*self.addresses, *self._options.connect}  # its own ones, and those that are dialed anyway
        self._dialer.dial({
            name: tuple(
                each
                for each in dict.fromkeys(found)
                if each not in known and (self._dials_loopback or not each.is_loopback)
            )
            for name, found in addresses.items()
        })  # fmt: skip

    async def _stop(self) -> None:
        """Stop listening and dialing, and end every task of the loop, also those that the servers started."""
        # A server that is closed before it has served what it accepted leaves that open: first accept no more
        for listener in (each for server in self._servers for each in server.sockets):
            self._loop.remove_reader(listener.fileno())
        await asyncio.sleep(0)
        for server in self._servers:
            server.close()
        while tasks := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=CANCEL_SECONDS)

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._spawn(self._welcome(reader, writer))
        task.add_done_callback(lambda _: writer.transport.abort())  # also if it is cancelled before it begins

    async def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        name = writer.get_extra_info("peername")
        where = str(PeerAddress(str(name[0]), int(name[1]))) if name else "a connection that has ended"
        accepted = self._links.accepted() + self._unknown
        if self._unknown >= self._options.max_unknown or accepted >= self._options.max_links:
            logger.warning("%s: refused a connection from %s: there are too many", self._local.name, where)
            await close_writer(writer)
            return
        self._unknown += 1
        try:
            link = await self._open(reader, writer, False, self._reason_against)
            if not self._links.may_open(link.peer.name):
                await link.close()
                raise LinkError(f"{link.peer.name} opens connections too often")
        except (EnvelopeRejected, UntrustedKeyError) as error:
            logger.warning("%s: refused the peer at %s: %s", self._local.name, where, error)
            return
        except (LinkError, EOFError, OSError) as error:
            reason = str(error) or "it did not introduce itself in time"
            logger.info("%s: the connection to %s did not open: %s", self._local.name, where, reason)
            return
        finally:
            self._unknown -= 1
        await self._serve(link, where)

    async def _open_dialed(self, address: PeerAddress, name: str) -> Link:
        """Dial an address and return the connection.

        Args:
            address: The address.
            name: Peer that must be there; empty: any, as the user gave the address.

        Raises:
            OSError, EOFError, ValueError: It is not reached, or nothing there is such a peer.
        """
        async with asyncio.timeout(self._options.limits.handshake):
            reader, writer = await asyncio.open_connection(
                address.host, address.port, ssl=self._options.client_tls
            )
        end = writer.get_extra_info("peername")
        if name and not self._dials_loopback and end and PeerAddress(str(end[0]), int(end[1])).is_loopback:
            await close_writer(writer)
            raise LinkError("it leads to this machine itself")

        def reason_against(other: str) -> str:
            if name not in ("", other):
                return f"it is not {name}, which is said to be there"
            return self._reason_against(other)

        return await self._open(reader, writer, True, reason_against)

    async def _open(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, dialed: bool, reason: ReasonAgainst
    ) -> Link:
        """Exchange introductions; the connection is closed if that raises what `open_link` raises."""
        local, trust, limits = self._local, self._trust, self._options.limits
        try:
            return await open_link(reader, writer, dialed, local, trust, limits, self._rotations, reason)
        except BaseException:
            await close_writer(writer)
            raise

    async def _serve(self, link: Link, where: str) -> None:
        """Serve a connection until it ends."""
        name = link.peer.name
        self._links.add(link)
        if link.host not in self._hosts:
            self._hosts = [link.host, *self._hosts][:MAX_HOSTS]
        try:
            await self._loop.run_in_executor(self._worker, self._on_peer, link.peer)
            logger.info("%s: connected with %s at %s", self._local.name, name, where)
            reason = await link.run(self._hand_over)
            logger.info("%s: the connection to %s ended: %s", self._local.name, name, reason)
        except Exception:  # it ends this connection, and not the task that dials the peer
            logger.exception("%s: the connection to %s ended: this agent failed", self._local.name, name)
        finally:
            self._links.remove(link)
            await link.close()

    async def _hand_over(self, data: bytes) -> None:
        await self._loop.run_in_executor(self._worker, self._deliver, data)

    def _close_later(self, link: Link, seconds: float) -> None:
        self._loop.call_later(seconds, lambda: self._spawn(link.close()))
