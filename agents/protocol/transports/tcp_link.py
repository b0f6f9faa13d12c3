"""One TCP connection between two agents: frames, introductions, keep-alive, and what an end may send.

A connection begins with ``SJPC``, a version and a challenge from each end. Then come frames: a length of four
bytes, big-endian, and so many bytes; a frame of length 0 says that the sender is alive.
"""

import asyncio
import contextlib
import struct
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

from agents.protocol.budget import Allowance, Bucket
from agents.protocol.introduction import (
    CHALLENGE_BYTES,
    IntroducedPeer,
    ReasonAgainst,
    check_introduction,
    introduce,
    new_challenge,
    no_reason,
)
from agents.protocol.trust import KeyRotation, TrustStore
from agents.protocol.verifier import LocalPeer
from agents.protocol.wire import MAX_ENVELOPE_BYTES

MAGIC, VERSION = b"SJPC", 1
CHUNK_BYTES = 64 * 1024
MAX_INTRODUCTION_BYTES = 10_240  # a body of 8,192, two names and the rest of an envelope
_PREAMBLE = struct.Struct(f">4sH{CHALLENGE_BYTES}s")
_LENGTH = struct.Struct(">I")


@dataclass(frozen=True)
class LinkLimits:
    """What the end of a connection may do before the signature of an envelope is looked at; seconds, bytes.

    Attributes:
        handshake: In which both ends must have introduced themselves.
        ping: Without anything to send, after which a frame of length 0 is sent.
        silence: Without anything received, after which the other end counts as gone.
        write: In which the other end must take what is sent.
        pending: Bytes that may wait to be sent; what exceeds that is dropped, and sent again by a retry.
        bytes: Received at once, and each second; reading pauses at more.
        frames: The same, in frames.
    """

    handshake: float = 10.0
    ping: float = 5.0
    silence: float = 20.0
    write: float = 20.0
    pending: int = 64 * 2**20
    bytes: Allowance = field(default_factory=lambda: Allowance(64 * 2**20, 32 * 2**20))
    frames: Allowance = field(default_factory=lambda: Allowance(4096, 1000))


class LinkError(ConnectionError):
    """A connection that does not follow the protocol; the text says how."""


class Link:
    """One connection whose other end has introduced itself.

    Attributes:
        peer: The other end.
        dialed: Whether this end opened the connection.
        active: Whether messages are sent on it; a superseded one is only read until it closes.
        host: Address of this machine that it runs over.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, peer: IntroducedPeer, dialed: bool,
        limits: LinkLimits,
    ) -> None:  # fmt: skip
        """Take an introduced connection; `run` serves it."""
        self.peer, self.dialed, self.active = peer, dialed, True
        self.host: str = writer.get_extra_info("sockname")[0]
        self._reader, self._writer, self._limits = reader, writer, limits
        self._queue: asyncio.Queue[bytes] = asyncio.Queue()
        self._pending = 0
        self._tasks: list[asyncio.Task[None]] = []

    def send(self, data: bytes) -> bool:
        """Queue a frame; return false, and drop it, if too many bytes are waiting. Call it in the loop."""
        if self._pending + len(data) > self._limits.pending:
            return False
        self._pending += len(data)
        self._queue.put_nowait(data)
        return True

    async def run(self, deliver: Callable[[bytes], Awaitable[None]]) -> str:
        """Send and receive frames until the connection ends; return why it ended.

        Args:
            deliver: Takes each frame; the next one is read when it returns, so that a peer that sends
                faster than this agent works is slowed by TCP itself.
        """
        self._tasks = [
            asyncio.ensure_future(work) for work in (self._read(deliver), self._write(), self._ping())
        ]
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        await self.close()
        reasons = [task.exception() for task in done if not task.cancelled()]
        return next((str(reason) or type(reason).__name__ for reason in reasons if reason), "it was closed")

    async def close(self) -> None:
        """End the connection at once."""
        self.active = False
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await close_writer(self._writer)

    async def _read(self, deliver: Callable[[bytes], Awaitable[None]]) -> None:
        limits = self._limits
        frames, received = Bucket(limits.frames, time.monotonic()), Bucket(limits.bytes, time.monotonic())
        while True:
            data = await read_frame(self._reader, MAX_ENVELOPE_BYTES, limits.silence)
            for bucket, amount in ((frames, 1), (received, len(data))):
                while not bucket.take(amount, time.monotonic()):
                    await asyncio.sleep(bucket.seconds_until(amount) + 0.001)
            if data:
                await deliver(data)

    async def _write(self) -> None:
        while True:
            data = await self._queue.get()
            self._writer.write(_LENGTH.pack(len(data)) + data)
            try:
                async with asyncio.timeout(self._limits.write):
                    await self._writer.drain()
            except TimeoutError:
                raise LinkError("the other end takes nothing any more") from None
            self._pending -= len(data)

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(self._limits.ping)
            if self._queue.empty():
                self._queue.put_nowait(b"")


async def read_frame(reader: asyncio.StreamReader, limit: int, silence: float) -> bytes:
    """Return the next frame; its memory grows with the bytes that arrive, not with the length that it claims.

    Args:
        reader: Where from.
        limit: Longest frame.
        silence: Seconds without any byte after which the other end counts as gone.

    Raises:
        LinkError: It is longer, or nothing arrives any more.
        EOFError: The connection was closed.
    """
    (length,) = _LENGTH.unpack(await _read_exactly(reader, _LENGTH.size, silence))
    if length > limit:
        raise LinkError(f"a frame of {length} bytes exceeds the limit of {limit}")
    return await _read_exactly(reader, length, silence)


async def _read_exactly(reader: asyncio.StreamReader, size: int, silence: float) -> bytes:
    data = bytearray()
    while len(data) < size:
        try:
            async with asyncio.timeout(silence):  # `wait_for` of Python 3.11 may lose a cancellation
                part = await reader.read(min(CHUNK_BYTES, size - len(data)))
        except TimeoutError:
            raise LinkError(f"nothing has arrived for {silence:g} s") from None
        if not part:
            raise EOFError("the other end closed the connection")
        data += part
    return bytes(data)


async def open_link(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, dialed: bool, local: LocalPeer,
    trust: TrustStore, limits: LinkLimits, rotations: Iterable[KeyRotation] = (),
    reason_against: ReasonAgainst = no_reason,
) -> Link:  # fmt: skip
    """Exchange introductions on a new connection and return the link.

    An agent against whose name there is a reason is refused, and nothing of it is kept.

    Raises:
        LinkError, EOFError, OSError: The connection ends, or does not begin as it should.
        EnvelopeRejected, UntrustedKeyError: The other end cannot prove who it is, or is not trusted.
        TimeoutError: It does not do so in time.
    """
    async with asyncio.timeout(limits.handshake):
        challenge = new_challenge()
        writer.write(_PREAMBLE.pack(MAGIC, VERSION, challenge))
        await writer.drain()
        first = await _read_exactly(reader, _PREAMBLE.size, limits.handshake)
        magic, version, theirs = _PREAMBLE.unpack(first)
        if magic != MAGIC or version != VERSION:
            raise LinkError("it speaks another protocol, or another version of this one")

        async def send(recipient: str) -> None:
            data = introduce(local, theirs, time.time(), recipient, rotations, trust.revocations())
            writer.write(_LENGTH.pack(len(data)) + data)
            await writer.drain()

        if not dialed:
            await send("")
        data = await read_frame(reader, MAX_INTRODUCTION_BYTES, limits.handshake)
        peer = check_introduction(data, local, challenge, trust, not dialed, reason_against)
        if dialed:
            await send(peer.name)
        return Link(reader, writer, peer, dialed, limits)


async def close_writer(writer: asyncio.StreamWriter) -> None:
    """Close a connection without waiting for what it has not sent."""
    writer.transport.abort()
    with contextlib.suppress(OSError, EOFError):
        await writer.wait_closed()
