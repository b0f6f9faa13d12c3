"""Dialing: one task for each address that the user gave, and one for each peer that has named its own.

A peer may name any addresses, and other ones at any time. So it costs one dial at a time, whatever it names,
and all such peers together cost a limited number of them. What one peer names keeps no other one from being
dialed.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

from agents.protocol.transports.address import PeerAddress
from agents.protocol.transports.link_table import LinkTable
from agents.protocol.transports.tcp_link import Link
from agents.protocol.trust import UntrustedKeyError
from agents.protocol.wire import EnvelopeRejected

logger = logging.getLogger(__name__)

STABLE_SECONDS = 5.0  # that a connection lasts unless the other end refuses it
MAX_DIALS = 8  # at once, of peers that have introduced themselves before; as many of others

Open = Callable[[PeerAddress, str], Awaitable[Link]]  # dials an address, for a peer of a name or for any one
Serve = Callable[[Link, str], Awaitable[None]]  # serves a connection, with a text that says where it leads


@dataclass(eq=False)
class _Target:
    """What one task dials.

    Attributes:
        name: Peer that is said to be there; empty: any, as the user gave the address.
        addresses: Where, in the order of the tries; none: the task ends.
        changed: Set when the addresses have changed.
        reported: Why an address was not reached the last time, so that it is said once.
        reached: Address that was reached the last time.
    """

    name: str
    addresses: tuple[PeerAddress, ...]
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    reported: dict[PeerAddress, str] = field(default_factory=dict)
    reached: PeerAddress | None = None

    def change(self, addresses: tuple[PeerAddress, ...]) -> None:
        """Replace the addresses."""
        if addresses != self.addresses:
            self.addresses = addresses
            self.reported.clear()
            self.changed.set()

    def in_order(self) -> list[PeerAddress]:
        """Return the addresses, first the one that was reached the last time."""
        return sorted(self.addresses, key=lambda address: address != self.reached)


class Dialer:
    """Keeps connections to addresses, with pauses of growing, random length between two tries."""

    def __init__(
        self, name: str, backoff: tuple[float, float], links: LinkTable, open_link: Open, serve: Serve,
        has_met: Callable[[str], bool], spawn: Callable[[Coroutine[Any, Any, Any]], object],
    ) -> None:  # fmt: skip
        """Start with no address.

        Args:
            name: Name of this agent.
            backoff: Shortest and longest pause, seconds.
            links: All connections.
            open_link: Dials an address, and returns the connection with an introduced peer.
            serve: Serves a connection until it ends.
            has_met: Whether a peer of a name has introduced itself before.
            spawn: Starts a task.
        """
        self._name, self._backoff, self._links = name, backoff, links
        self._open, self._serve, self._has_met, self._spawn = open_link, serve, has_met, spawn
        self._targets: dict[str, _Target] = {}
        # made-up names, of which one peer can announce many, must not delay peers that were met
        self._slots = {met: asyncio.Semaphore(MAX_DIALS) for met in (True, False)}
        self._jitter = random.Random()

    def names(self) -> list[str]:
        """Return the names of the peers that have addresses to be dialed at."""
        return [name for name, target in self._targets.items() if target.addresses]

    def keep(self, address: PeerAddress) -> None:
        """Keep a connection to an address that the user gave, whichever peer is there."""
        self._spawn(self._keep(_Target("", (address,))))

    def dial(self, addresses: Mapping[str, tuple[PeerAddress, ...]]) -> None:
        """Dial peers, by name, whenever there is no connection to them; others are not dialed any more."""
        for name, target in self._targets.items():
            target.change(addresses.get(name, ()))
        for name, found in addresses.items():
            if found and name not in self._targets:
                target = self._targets[name] = _Target(name, found)
                self._spawn(self._keep(target))

    async def _keep(self, target: _Target) -> None:
        shortest, longest = self._backoff
        pause = shortest
        try:
            while target.addresses:
                connected = await self._links.until_gone(target.name)  # the peer has opened the connection
                target.changed.clear()
                if max(connected, await self._walk(target)) > STABLE_SECONDS:
                    pause = shortest
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._jitter.uniform(shortest, max(shortest, pause))):
                        await target.changed.wait()
                pause = min(longest, 2 * pause)
        finally:
            if target.name:
                del self._targets[target.name]

    async def _walk(self, target: _Target) -> float:
        """Dial the addresses in turn until one is reached, and serve the connection.

        Returns:
            For how many seconds there was one; 0 if none was opened.
        """
        for address in target.in_order():
            async with self._slot(target.name):
                if target.changed.is_set() or self._links.of(target.name):
                    return 0.0  # other addresses count now, or the peer has opened a connection
                link = await self._try(target, address)
            if link is not None:
                opened, target.reached = time.monotonic(), address
                await self._serve(link, str(address))
                await self._links.until_gone(link.peer.name)  # the peer may have opened a connection too
                return time.monotonic() - opened
        return 0.0

    def _slot(self, name: str) -> AbstractAsyncContextManager[object]:
        """Return the semaphore that limits dials at once; those to addresses of the user are not limited."""
        return self._slots[self._has_met(name)] if name else contextlib.nullcontext()

    async def _try(self, target: _Target, address: PeerAddress) -> Link | None:
        try:
            link = await self._open(address, target.name)
        except (EnvelopeRejected, UntrustedKeyError) as error:
            self._report(target, address, logging.WARNING, f"refused the peer at {address}: {error}")
        except (OSError, EOFError, ValueError) as error:  # ValueError: a name that cannot be looked up
            reason = str(error) or "it did not answer in time"
            self._report(target, address, logging.INFO, f"{address} is not reached yet: {reason}")
        else:
            target.reported.pop(address, None)
            return link
        return None

    def _report(self, target: _Target, address: PeerAddress, level: int, sentence: str) -> None:
        """Log why an address was not reached, unless that was the reason before too."""
        if target.reported.get(address) != sentence:
            target.reported[address] = sentence
            logger.log(level, "%s: %s", self._name, sentence)
