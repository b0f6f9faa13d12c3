"""Every event of the ledger as it is written down, to any number of listeners (server-sent events)."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from social_jepa.server.problems import BUSY, ProblemError
from social_jepa.server.snapshots import SnapshotCache, as_json

LOOK_EVERY = 0.25  # seconds between two looks at the ledger, for all listeners together
HEARTBEAT = 15.0  # seconds of silence after which a comment says that the line is open
RECONNECT = 2000  # milliseconds that a browser waits before it comes back
MOST_LISTENERS = 64
BATCH = 200  # events read at once


class EventBroadcaster:
    """Rings when anything was written down; one look serves every listener.

    Attributes:
        closing: Whether the server is about to end, so that nobody waits on.
    """

    def __init__(self, view: SnapshotCache, chore: Callable[[], None]) -> None:
        """Args: chore is done at every fourth look."""
        self._view, self._chore = view, chore
        self._rung = asyncio.Event()
        self.listeners = 0
        self.closing: Callable[[], bool] = lambda: False

    async def watch(self) -> None:
        """Look again and again until cancelled."""
        seen: object = None
        for turn in range(2**63):
            with contextlib.suppress(ValueError):  # a ledger that cannot be read now may be read later
                version = await asyncio.to_thread(self._view.version)
                if version != seen:
                    seen = version
                    self._rung.set()
                    self._rung = asyncio.Event()
            if turn % 4 == 0:
                await asyncio.to_thread(self._chore)
            await asyncio.sleep(LOOK_EVERY)

    async def heard(self, seconds: float) -> None:
        """Wait for the next ring, or until time is up."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._rung.wait(), seconds)

    async def listen(self, after: int | None) -> AsyncIterator[bytes]:
        """Yield every event after a number, by default the newest, as the lines of an event stream.

        Raises:
            ProblemError: Too many listen.
        """
        if self.listeners >= MOST_LISTENERS:
            raise ProblemError(BUSY, f"{MOST_LISTENERS} listen already: close a page, then try again")
        if after is None:
            after = (await asyncio.to_thread(self._view.version))[2]
        return self._lines(after)

    async def _lines(self, after: int) -> AsyncIterator[bytes]:
        self.listeners += 1
        try:
            yield f"retry: {RECONNECT}\n: listening after {after}\n\n".encode()
            spoke = time.monotonic()
            while not self.closing():
                events = await asyncio.to_thread(self._after, after)
                for event in events:
                    after = event["number"]
                    yield b"id: %d\ndata: %s\n\n" % (after, as_json(event))
                    spoke = time.monotonic()
                if time.monotonic() - spoke > HEARTBEAT:
                    yield b": still here\n\n"
                    spoke = time.monotonic()
                if len(events) < BATCH:
                    await self.heard(LOOK_EVERY)
        finally:
            self.listeners -= 1

    def _after(self, number: int) -> list[dict[str, Any]]:
        try:
            with self._view.ledger() as ledger:
                return [event.as_dict() for event in ledger.events(number, BATCH)]
        except ValueError:
            return []
