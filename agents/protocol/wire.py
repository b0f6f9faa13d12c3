"""Envelope: one message as bytes, the same on every transport.

An envelope is a fixed header followed by a msgpack body::

    magic 4s | version u16 | flags u16 | incarnation u32 | nonce u64 | key id 8s | signature 64s | body

All integers are big-endian. Key id and signature are zero because envelopes are not signed yet.
"""

import struct
from dataclasses import dataclass

MAGIC = b"SJPA"
VERSION = 3
MAX_ENVELOPE_BYTES = 16 * 1024 * 1024  # bounds the memory that a peer can claim before any check
_HEADER = struct.Struct(">4sHHIQ8s64s")
HEADER_BYTES = _HEADER.size


class MessageError(ValueError):
    """Bytes or a message from a peer that are not valid; subclasses carry fields."""


class VersionError(MessageError):
    """Envelope of another version of the protocol.

    Attributes:
        received: Version in the envelope.
        supported: Version of this agent.
    """

    def __init__(self, received: int, supported: int = VERSION) -> None:
        """Keep both versions."""
        super().__init__(received, supported)
        self.received, self.supported = received, supported

    def __str__(self) -> str:
        """Return a sentence that names both versions."""
        return (
            f"the peer sent version {self.received} of the protocol and this agent speaks version "
            f"{self.supported}: install the same release of social-jepa on every machine"
        )


@dataclass(frozen=True)
class Envelope:
    """Fields of the header, and the body.

    Attributes:
        body: One message as msgpack.
        incarnation: Number of the sender's process lifetime; a receiver refuses an earlier one.
        nonce: Number of the envelope within that incarnation, from 1.
        key_id: First eight bytes of the hash of the sender's public key.
        signature: ed25519 over the header, with this field zero, and the body.
    """

    body: bytes
    incarnation: int = 0
    nonce: int = 0
    key_id: bytes = bytes(8)
    signature: bytes = bytes(64)


def pack(envelope: Envelope) -> bytes:
    """Return the envelope as bytes.

    Raises:
        MessageError: It is larger than MAX_ENVELOPE_BYTES, or a field does not fit.
    """
    size = HEADER_BYTES + len(envelope.body)
    if size > MAX_ENVELOPE_BYTES:
        raise MessageError(f"an envelope of {size} bytes exceeds the limit of {MAX_ENVELOPE_BYTES}")
    if (len(envelope.key_id), len(envelope.signature)) != (8, 64):  # struct would silently pad or cut
        raise MessageError("a key id has 8 bytes and a signature has 64")
    try:
        header = _HEADER.pack(
            MAGIC, VERSION, 0, envelope.incarnation, envelope.nonce, envelope.key_id, envelope.signature
        )
    except struct.error as error:
        raise MessageError(f"a header field does not fit: {error}") from error
    return header + envelope.body


def unpack(data: bytes) -> Envelope:
    """Return the envelope in these bytes; the cheapest checks run first.

    Raises:
        MessageError: Too long, too short, another protocol, or unknown flags.
        VersionError: Another version of the protocol.
    """
    if len(data) > MAX_ENVELOPE_BYTES:
        raise MessageError(f"{len(data)} bytes exceed the limit of {MAX_ENVELOPE_BYTES}")
    if len(data) < HEADER_BYTES:
        raise MessageError(f"{len(data)} bytes are shorter than a header of {HEADER_BYTES}")
    magic, version, flags, incarnation, nonce, key_id, signature = _HEADER.unpack_from(data)
    if magic != MAGIC:
        raise MessageError(f"not a Social-JEPA envelope: it starts with {magic!r}")
    if version != VERSION:
        raise VersionError(version)
    if flags:
        raise MessageError(f"unknown flags {flags:#06x}")
    return Envelope(bytes(data[HEADER_BYTES:]), incarnation, nonce, key_id, signature)
