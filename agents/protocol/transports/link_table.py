"""The connections of one agent by the name of their other end: how many it has, and which replace others."""

import asyncio
import time
from collections.abc import Callable

from agents.protocol.budget import Allowance, Bucket
from agents.protocol.transports.tcp_link import Link

MAX_LINKS_OF_ONE = 2  # connections with one peer
OPENINGS = Allowance(16, 1.0)  # connections that one peer may open at once, and each second
SUPERSEDED_SECONDS = 2.0  # that a superseded connection is still read


class LinkTable:
    """Connections whose other end has introduced itself.

    `of` and `names` may be called on any thread, all else in the loop of the connections.
    """

    def __init__(
        self, name: str, close: Callable[[Link, float], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Start with none.

        Args:
            name: Name of this agent.
            close: Closes a connection after so many seconds.
            clock: Returns seconds.
        """
        self._name, self._close, self._clock = name, close, clock
        self._links: dict[str, list[Link]] = {}
        self._ended: dict[str, asyncio.Event] = {}  # set when the last connection to a peer ends
        self._openings: dict[str, Bucket] = {}

    def of(self, name: str) -> tuple[Link, ...]:
        """Return the connections with a peer, oldest first."""
        return tuple(self._links.get(name, ()))

    def names(self) -> list[str]:
        """Return the names of all connected peers, sorted."""
        return sorted(self._links)

    def accepted(self) -> int:
        """Return the number of connections that peers have opened."""
        return sum(not link.dialed for links in self._links.values() for link in links)

    def may_open(self, name: str) -> bool:
        """Count a connection that a peer opens; return false if it has opened too many of late.

        Each one costs the check of a signature and a list of addresses, also where it replaces another.
        """
        now = self._clock()
        return self._openings.setdefault(name, Bucket(OPENINGS, now)).take(1, now)

    def add(self, link: Link) -> None:
        """Add a connection; where two ends have dialed each other, both keep the one of the lower name.

        A peer that has lost a connection may open another one before this end notices. So of more than
        MAX_LINKS_OF_ONE the oldest is closed, superseded ones first.
        """
        name = link.peer.name
        links = self._links.setdefault(name, [])
        for other in links:
            if link.peer.known.incarnation > other.peer.known.incarnation:
                self._supersede(other)
            elif link.dialed != other.dialed:
                lower_dials = self._name < name
                self._supersede(other if link.dialed == lower_dials else link)
        links.append(link)
        for other in sorted(links, key=lambda each: each.active)[: len(links) - MAX_LINKS_OF_ONE]:
            links.remove(other)  # at once: its task may wait for a busy thread
            other.active = False
            self._close(other, 0.0)

    def remove(self, link: Link) -> None:
        """Remove a connection that has ended; nothing happens if it has been replaced."""
        name = link.peer.name
        links = self._links.get(name, [])
        if link in links:
            links.remove(link)
        if not links and self._links.pop(name, None) is not None and (ended := self._ended.pop(name, None)):
            ended.set()

    async def until_gone(self, name: str) -> float:
        """Wait until there is no connection with a peer; return the seconds, 0 if there was none."""
        if name not in self._links:
            return 0.0
        began = self._clock()
        while name in self._links:
            await self._ended.setdefault(name, asyncio.Event()).wait()
        return self._clock() - began

    def _supersede(self, link: Link) -> None:
        link.active = False
        self._close(link, SUPERSEDED_SECONDS)
