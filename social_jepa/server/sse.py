"""Server-sent events: every event of the ledger, to any number of listeners.

The id of an event is "RUN-NUMBER": a client that reconnects to a server of another run is told so.
"""

import asyncio
import logging
import re
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from typing import Any

import anyio
from sse_starlette import EventSourceResponse, ServerSentEvent

from social_jepa.records import EventRecord, encode
from social_jepa.runtime.run_list import is_run
from social_jepa.server.problems import BUSY, MALFORMED, ProblemError
from social_jepa.server.snapshots import SnapshotCache

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.25  # between two reads of the ledger's version, for all listeners together
PING_SECONDS = 15  # between two comments that keep the connection open
RETRY_MILLISECONDS = 2000  # that a browser waits before it reconnects
MAX_LISTENERS = 64
BATCH = 200  # events read at once
KEPT_EVENTS = 1000  # newest events kept in memory, from which listeners are served
LINE_END = "\n"
EVENT_ID = re.compile(r"((?P<run>[0-9a-f]{12})-)?(?P<number>[0-9]{1,15})", re.ASCII)


@dataclass(frozen=True)
class EventId:
    """The id of an event.

    Attributes:
        number: Number of the event.
        run: Run that it belongs to; empty: not said.
    """

    number: int
    run: str = ""

    @classmethod
    def parse(cls, text: str) -> "EventId":
        """Return the id in a text, "RUN-NUMBER" or "NUMBER".

        Raises:
            ProblemError: It is neither.
        """
        found = EVENT_ID.fullmatch(text)
        if found is None:
            raise ProblemError(
                MALFORMED,
                "the id of an event is RUN-NUMBER, as the stream sends it, or its number alone",
            )
        return cls(int(found["number"]), found["run"] or "")

    def __str__(self) -> str:
        """Return it as `parse` reads it."""
        return f"{self.run}-{self.number}"


class EventBroadcaster:
    """Reads new events once and sends them to all listeners.

    Attributes:
        listeners: Number of open streams.
        closing: Returns whether the server is about to end. sse-starlette recognizes the end of a server by
            its signal handler, which a server in another thread than the main one does not have; so each
            stream checks this as well.
    """

    def __init__(self, snapshots: SnapshotCache) -> None:
        self._snapshots = snapshots
        self._events: deque[tuple[int, str]] = deque(maxlen=KEPT_EVENTS)  # (number, JSON), without gaps
        self._newest: int | None = None  # number of the newest event that was read; None: none was
        self._changed = asyncio.Event()
        self._last_error = ""
        self._ended = False
        self.listeners = 0
        self.closing: Callable[[], bool] = lambda: False

    async def run(self) -> None:
        """Read new events until cancelled, or until the run is deleted or replaced: then every stream ends.

        A ledger that cannot be read is tried again.
        """
        self._ended = False
        while not await asyncio.to_thread(self._is_gone):
            try:
                while await self._read_new():
                    pass
                self._last_error = ""
            except ValueError as error:  # a ledger that cannot be read now may be readable later
                if str(error) != self._last_error:
                    logger.warning("cannot read the events: %s", error)
                self._last_error = str(error)
            await asyncio.sleep(POLL_SECONDS)
        self._ended = True

    def _is_gone(self) -> bool:
        return not is_run(self._snapshots.folder.path) or self._snapshots.is_replaced()

    async def _read_new(self) -> bool:
        """Read a batch of new events; return whether there may be more."""
        newest = (await asyncio.to_thread(self._snapshots.version))[2]
        if self._newest is None:
            self._newest = newest
        if newest <= self._newest:
            return False
        events = _encoded(await asyncio.to_thread(self._read, self._newest))
        self._events.extend(events)
        self._newest = max([self._newest, *(number for number, _ in events)])
        self._changed.set()
        self._changed = asyncio.Event()
        return len(events) == BATCH

    async def response(self, after: EventId | None) -> EventSourceResponse:
        """Return a stream of the events after one; None: of the events that follow now.

        After an event of another run, or of a future of this one, the stream begins with an event of type
        "reset" and continues with the events that follow now.

        Raises:
            ProblemError: There are too many listeners.
        """
        if self.listeners >= MAX_LISTENERS:
            raise ProblemError(
                BUSY, f"{MAX_LISTENERS} clients receive events already: close a page, then try again"
            )
        run, newest = await asyncio.to_thread(self._read_run)
        reset = after is not None and (after.run not in ("", run) or after.number > newest)
        start = newest if after is None or reset else after.number
        return EventSourceResponse(
            self._stream(start, reset), ping=PING_SECONDS,
            ping_message_factory=lambda: _message(comment="ping"), sep=LINE_END,
        )  # fmt: skip

    def _read_run(self) -> tuple[str, int]:
        """Return the identifier of the run and the number of its newest event; may wait for the ledger."""
        return self._snapshots.run_id, self._snapshots.version()[2]

    async def _stream(self, after: int, reset: bool) -> AsyncIterator[ServerSentEvent]:
        run = self._snapshots.run_id
        self.listeners += 1
        try:
            yield _message(comment=f"events after {after}", retry=RETRY_MILLISECONDS)
            if reset:
                data = encode({"run": run, "number": after}).decode()
                yield _message(event="reset", id=str(EventId(after, run)), data=data)
            while not self.closing() and not self._ended:
                changed = self._changed  # before the events are read, so that none is missed
                events = await self._after(after)
                for number, document in events:
                    after = number
                    yield _message(id=str(EventId(number, run)), data=document)
                if not events:
                    with anyio.move_on_after(POLL_SECONDS):
                        await changed.wait()
        finally:
            self.listeners -= 1

    async def _after(self, number: int) -> list[tuple[int, str]]:
        """Return events after a number: from memory, or from the ledger if they are older than that."""
        if self._newest is None or number >= self._newest:
            return []
        if self._events and self._events[0][0] <= number + 1:
            return [event for event in self._events if event[0] > number]
        try:
            return _encoded(await asyncio.to_thread(self._read, number))
        except ValueError:  # `run` logs it
            return []

    def _read(self, number: int) -> list[EventRecord]:
        with self._snapshots.ledger() as ledger:
            return ledger.events(number, BATCH)


def _encoded(events: Iterable[EventRecord]) -> list[tuple[int, str]]:
    return [(event.number, encode(event.as_dict()).decode()) for event in events]


def _message(**fields: Any) -> ServerSentEvent:
    return ServerSentEvent(**fields, sep=LINE_END)
