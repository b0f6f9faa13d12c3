"""Envelope: one message as signed bytes, the same on every transport.

A fixed header, two names, a body and a signature, without gaps; integers are big-endian::

    magic 4s | version u16 | kind u8 | flags u8 | incarnation u32 | recipient incarnation u32 | sequence u64
    | time u64 | session 16s | key id 8s | sender length u8 | recipient length u8 | body length u32
    | sender | recipient | body | signature 64s

The signature covers a constant that names its purpose, which is not sent, and every byte before it. So no
signature made for anything else passes for one of an envelope (as in libp2p's signed envelopes, RFC 0002).
"""

import hashlib
import re
import struct
from dataclasses import dataclass
from enum import IntEnum

from agents.common.names import NAME_PATTERN
from agents.protocol.identity import KEY_ID_BYTES, SIGNATURE_BYTES, Identity, is_signed
from agents.protocol.wire import MAX_ENVELOPE_BYTES, EnvelopeRejected, MessageError, Reason

MAGIC = b"SJPA"
VERSION = 6
PURPOSE = b"social-jepa envelope 6\0"
SESSION_BYTES = 16
MAX_SMALL_BODY = 8192  # bytes; of every kind but messages, which hold embeddings
_HEADER = struct.Struct(">4sHBBIIQQ16s8sBBI")
HEADER_BYTES = _HEADER.size
MIN_ENVELOPE_BYTES = HEADER_BYTES + 1 + SIGNATURE_BYTES
_NAME = re.compile(NAME_PATTERN.encode())


class Kind(IntEnum):
    """What the body holds."""

    MESSAGE = 1  # one of `agents.protocol.messages`
    INTRODUCTION = 2  # who opens a connection; it is addressed to no name
    ADDRESSES = 3  # where agents are reached, see `agents.protocol.transports.address_book`


@dataclass(frozen=True)
class Envelope:
    """Fields of an envelope.

    Attributes:
        kind: What the body holds.
        sender: Name of the agent that sends it.
        recipient: Name of the agent that it is sent to; "" in an introduction alone.
        session: 16 bytes of the run or group that it belongs to, see `session_id`.
        incarnation: Number of the sender's process lifetime.
        recipient_incarnation: That of the recipient, as far as the sender knows.
        sequence: Number of the envelope from this sender's incarnation to this recipient, from 1.
        time: When it was signed, in microseconds since the epoch.
        key_id: Id of the key that signed it.
        body: As msgpack.
    """

    kind: Kind
    sender: str
    recipient: str
    session: bytes
    incarnation: int
    recipient_incarnation: int
    sequence: int
    time: int
    key_id: bytes
    body: bytes


def session_id(text: str) -> bytes:
    """Return the session of a run or group, 16 bytes, from a text that all of its agents know."""
    return hashlib.sha256(b"social-jepa session\0" + text.encode()).digest()[:SESSION_BYTES]


def seal(envelope: Envelope, identity: Identity) -> bytes:
    """Return an envelope as signed bytes.

    Raises:
        MessageError: It is larger than MAX_ENVELOPE_BYTES, or a field does not fit.
    """
    sender, recipient = envelope.sender.encode(), envelope.recipient.encode()
    size = HEADER_BYTES + len(sender) + len(recipient) + len(envelope.body) + SIGNATURE_BYTES
    if size > MAX_ENVELOPE_BYTES:
        raise MessageError(f"an envelope of {size} bytes exceeds the limit of {MAX_ENVELOPE_BYTES}")
    lengths = (len(envelope.session), len(envelope.key_id))
    if lengths != (SESSION_BYTES, KEY_ID_BYTES):  # struct would silently pad or cut
        raise MessageError(f"a session has {SESSION_BYTES} bytes and a key id has {KEY_ID_BYTES}")
    try:
        header = _HEADER.pack(
            MAGIC, VERSION, envelope.kind, 0, envelope.incarnation, envelope.recipient_incarnation,
            envelope.sequence, envelope.time, envelope.session, envelope.key_id, len(sender), len(recipient),
            len(envelope.body),
        )  # fmt: skip
    except struct.error as error:
        raise MessageError(f"a header field does not fit: {error}") from error
    unsigned = b"".join((header, sender, recipient, envelope.body))
    parse(unsigned + bytes(SIGNATURE_BYTES))  # what a recipient would refuse is not sent
    return unsigned + identity.sign(PURPOSE + unsigned)


def is_sealed_by(public_key: bytes, data: bytes) -> bool:
    """Return whether the signature at the end of an envelope's bytes was made with a key."""
    return is_signed(public_key, PURPOSE + data[:-SIGNATURE_BYTES], data[-SIGNATURE_BYTES:])


def parse(data: bytes) -> Envelope:
    """Return the envelope in these bytes, whose signature is not checked; the cheapest checks run first.

    Raises:
        EnvelopeRejected: Too long, too short, another protocol or version of it, unknown kind or flags, or
            lengths that are not those of the parts.
    """
    _check_size(len(data))
    magic, version, kind, flags, *fields, sender_length, recipient_length, body_length = _HEADER.unpack_from(
        data
    )
    if magic != MAGIC:
        raise _refuse(Reason.FORMAT, f"not a Social-JEPA envelope: it starts with {magic!r}")
    if version != VERSION:
        raise _refuse(
            Reason.VERSION, f"the peer sent version {version} of the protocol and this agent speaks version "
            f"{VERSION}: install the same release of social-jepa on every machine",
        )  # fmt: skip
    if flags:
        raise _refuse(Reason.FORMAT, f"unknown flags {flags:#04x}")
    if kind not in tuple(Kind):
        raise _refuse(Reason.FORMAT, f"unknown kind {kind} of envelope")
    if kind != Kind.MESSAGE and body_length > MAX_SMALL_BODY:
        raise _refuse(Reason.SIZE, f"a body of {body_length} bytes is too long for kind {kind}")
    recipient_at = HEADER_BYTES + sender_length
    body_at = recipient_at + recipient_length
    end = body_at + body_length
    if end + SIGNATURE_BYTES != len(data):
        raise _refuse(Reason.FORMAT, f"its parts make {end + SIGNATURE_BYTES} bytes, and {len(data)} arrived")
    sender = _read_name(data[HEADER_BYTES:recipient_at])
    # an introduction opens a connection to an address: the name behind it is not known yet
    recipient = "" if kind == Kind.INTRODUCTION and not recipient_length else _read_name(
        data[recipient_at:body_at]
    )  # fmt: skip
    incarnation, recipient_incarnation, sequence, time, session, key_id = fields
    return Envelope(
        Kind(kind), sender, recipient, session, incarnation, recipient_incarnation, sequence, time, key_id,
        bytes(data[body_at:end]),
    )  # fmt: skip


def _check_size(size: int) -> None:
    if size > MAX_ENVELOPE_BYTES:
        raise _refuse(Reason.SIZE, f"{size} bytes exceed the limit of {MAX_ENVELOPE_BYTES}")
    if size < MIN_ENVELOPE_BYTES:
        raise _refuse(
            Reason.SIZE, f"{size} bytes are shorter than an envelope, at least {MIN_ENVELOPE_BYTES}"
        )


def _read_name(data: bytes) -> str:
    if not _NAME.fullmatch(data):
        raise _refuse(Reason.FORMAT, "a name is not 1 to 64 letters, digits, '.', '-' or '_'")
    return bytes(data).decode("ascii")


def _refuse(reason: Reason, sentence: str) -> EnvelopeRejected:
    return EnvelopeRejected(reason, "", sentence)
