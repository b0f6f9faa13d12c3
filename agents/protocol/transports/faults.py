"""Faults on request: a transport that loses, doubles, reorders, delays and damages what it is given.

What happens to the k-th envelope between two agents follows from a seed, the two names and k alone, so that a
run with faults can be repeated whatever the order in which threads send.
"""

import heapq
import itertools
import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Protocol

from agents.protocol.channel import Transport, UnreachablePeerError

logger = logging.getLogger(__name__)

HOLD_SECONDS = 0.2  # that an envelope is held back for later ones to overtake it, if none come


@dataclass(eq=False, repr=False)
class FaultsError(ValueError):
    """A text that does not describe faults.

    Attributes:
        text: The part that cannot be read.
        reason: Why not.
    """

    text: str
    reason: str

    def __str__(self) -> str:
        """Return the sentence."""
        return f"faults: {self.text!r} {self.reason}"


@dataclass(frozen=True)
class Faults:
    """What happens to envelopes.

    Attributes:
        drop: Share that is lost.
        dup: Share that is sent twice.
        reorder: Later envelopes to the same agent, at most, that may overtake one.
        delay: Longest delay, seconds; each envelope gets a random share of it.
        corrupt: Share of which one bit is flipped.
        partition: Two groups of names between which everything is lost.
    """

    drop: float = 0.0
    dup: float = 0.0
    reorder: int = 0
    delay: float = 0.0
    corrupt: float = 0.0
    partition: tuple[frozenset[str], frozenset[str]] = (frozenset(), frozenset())

    @classmethod
    def parse(cls, text: str) -> "Faults":
        """Return the faults in a text such as ``drop=0.3,dup=0.3,reorder=32,partition=a+b|c``.

        Raises:
            FaultsError: It names an unknown fault, or a value that cannot be.
        """
        found: dict[str, object] = {}
        for part in filter(None, text.split(",")):
            name, _, value = part.partition("=")
            if name not in {field.name for field in fields(cls)}:
                known = ", ".join(field.name for field in fields(cls))
                raise FaultsError(part, f"is unknown: choose from {known}")
            found[name] = _read_value(part, name, value)
        return cls(**found)  # type: ignore[arg-type]

    def separates(self, one: str, other: str) -> bool:
        """Return whether the partition lies between two agents."""
        left, right = self.partition
        return (one in left and other in right) or (one in right and other in left)


def _read_value(part: str, name: str, value: str) -> object:
    if name == "partition":
        sides = value.split("|")
        if len(sides) != 2 or not all(sides):
            raise FaultsError(part, "should name two groups, as in partition=agent-0+agent-1|agent-2")
        return frozenset(sides[0].split("+")), frozenset(sides[1].split("+"))
    try:
        number = int(value) if name == "reorder" else float(value)
    except ValueError:
        raise FaultsError(part, "should be a number") from None
    if not 0 <= number <= (1 if name in ("drop", "dup", "corrupt") else 1e6):
        raise FaultsError(part, "is out of range: shares are from 0 to 1")
    return number


class Scheduler(Protocol):
    """Calls functions later."""

    def call_later(self, seconds: float, function: Callable[[], None]) -> None:
        """Call a function after so many seconds."""


class ThreadScheduler:
    """Scheduler in real time, on a separate thread."""

    def __init__(self) -> None:
        """Start the thread."""
        self._waiting: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        threading.Thread(target=self._run, name="faults", daemon=True).start()

    def call_later(self, seconds: float, function: Callable[[], None]) -> None:
        """Call a function after so many seconds, on the thread."""
        with self._changed:
            heapq.heappush(self._waiting, (time.monotonic() + seconds, next(self._numbers), function))
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting or self._waiting[0][0] > time.monotonic():
                    self._changed.wait(self._waiting[0][0] - time.monotonic() if self._waiting else None)
                _, _, function = heapq.heappop(self._waiting)
            function()


class FaultyTransport:
    """A transport around another one, with faults.

    Attributes:
        counts: Envelopes by what happened to them: sent, dropped, doubled, corrupted, cut off.
    """

    def __init__(
        self, transport: Transport, name: str, faults: Faults, seed: int, scheduler: Scheduler | None = None
    ) -> None:
        """Wrap a transport.

        Args:
            transport: Carries what is left.
            name: Name of the agent that sends through it.
            faults: What happens.
            seed: What the faults follow from.
            scheduler: Calls functions later; by default in real time.
        """
        self.counts: Counter[str] = Counter()
        self._transport, self._name, self._faults, self._seed = transport, name, faults, seed
        self._scheduler = scheduler or ThreadScheduler()
        self._sent: Counter[str] = Counter()
        self._held: dict[str, list[tuple[int, int, bytes]]] = {}  # (released by which number, own, bytes)
        self._lock = threading.Lock()

    def send(self, receiver: str, data: bytes) -> None:
        """Send an envelope, or not."""
        with self._lock:
            self._sent[receiver] += 1
            number = self._sent[receiver]
            self.counts["sent"] += 1
            due = self._apply(receiver, number, data) + self._release(receiver, number)
        for delay, each in due:
            if delay:
                self._scheduler.call_later(delay, lambda each=each: self._forward(receiver, each))  # type: ignore[misc]
            else:
                self._transport.send(receiver, each)

    def _apply(self, receiver: str, number: int, data: bytes) -> list[tuple[float, bytes]]:
        """Return the copies of the k-th envelope that are sent now, each with its delay; hold the others."""
        faults, rng = self._faults, random.Random(f"{self._seed} {self._name} {receiver} {number}")
        drop, dup, corrupt = (rng.random() for _ in range(3))
        if faults.separates(self._name, receiver):
            self.counts["cut off"] += 1
            return []
        if drop < faults.drop:
            self.counts["dropped"] += 1
            return []
        if corrupt < faults.corrupt:
            self.counts["corrupted"] += 1
            data = flip_bit(data, rng)
        due: list[tuple[float, bytes]] = []
        copies = 1 + (dup < faults.dup)
        self.counts["doubled"] += copies - 1
        for _ in range(copies):
            later, delay = rng.randint(0, faults.reorder), rng.uniform(0, faults.delay)
            if later:
                self._held.setdefault(receiver, []).append((number + later, number, data))
                self._scheduler.call_later(HOLD_SECONDS + delay, lambda: self._flush(receiver, number))
            else:
                due.append((delay, data))
        return due

    def _release(self, receiver: str, number: int) -> list[tuple[float, bytes]]:
        """Return the held envelopes that so many later ones have overtaken."""
        held = self._held.get(receiver, [])
        self._held[receiver] = [each for each in held if each[0] > number]
        return [(0.0, each[2]) for each in held if each[0] <= number]

    def _flush(self, receiver: str, number: int) -> None:
        """Send what is still held of an envelope: nothing has overtaken it for long enough."""
        with self._lock:
            held = self._held.get(receiver, [])
            self._held[receiver] = [each for each in held if each[1] != number]
            due = [each[2] for each in held if each[1] == number]
        for data in due:
            self._forward(receiver, data)

    def _forward(self, receiver: str, data: bytes) -> None:
        try:
            self._transport.send(receiver, data)
        except UnreachablePeerError as error:  # like any other loss: this call has no caller to raise it to
            logger.debug("%s", error)


def flip_bit(data: bytes, rng: random.Random) -> bytes:
    """Return bytes with one random bit flipped."""
    place = rng.randrange(8 * len(data))
    changed = bytearray(data)
    changed[place // 8] ^= 1 << place % 8
    return bytes(changed)
