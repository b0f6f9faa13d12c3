"""Frames: how one message travels as bytes, on every transport.

A frame is a fixed header followed by a msgpack body::

    magic 4s | version u16 | flags u16 | incarnation u32 | nonce u64 | key id 8s | signature 64s | body

Key id and signature are zero while nobody signs. All integers are big-endian.
"""

import struct
from dataclasses import dataclass

MAGIC = b"SJPA"
VERSION = 1
MAX_FRAME = 16 * 1024 * 1024  # bytes; what a peer may make us hold before anything is checked
_HEADER = struct.Struct(">4sHHIQ8s64s")
HEADER_SIZE = _HEADER.size


class MessageError(ValueError):
    """Bytes from a peer that are not a message of ours; the text says what is wrong."""


@dataclass(frozen=True)
class Envelope:
    """The header's fields and the body's bytes.

    Attributes:
        body: msgpack bytes of one message.
        incarnation: Which of its lives the sender is in; peers refuse what a former one says.
        nonce: Number of the frame.
        key_id: First eight bytes of the hash of the sender's public key.
        signature: ed25519 over header (with this field zero) and body.
    """

    body: bytes
    incarnation: int = 0
    nonce: int = 0
    key_id: bytes = bytes(8)
    signature: bytes = bytes(64)


def pack(frame: Envelope) -> bytes:
    """Return the frame as bytes.

    Raises:
        MessageError: The frame is larger than MAX_FRAME or a field does not fit.
    """
    if HEADER_SIZE + len(frame.body) > MAX_FRAME:
        raise MessageError(
            f"a frame of {HEADER_SIZE + len(frame.body)} bytes passes the limit of {MAX_FRAME}"
        )
    if (len(frame.key_id), len(frame.signature)) != (8, 64):  # struct would pad or cut without a word
        raise MessageError("a key id has 8 bytes and a signature 64")
    try:
        header = _HEADER.pack(
            MAGIC, VERSION, 0, frame.incarnation, frame.nonce, frame.key_id, frame.signature
        )
    except struct.error as error:
        raise MessageError(f"a header field does not fit: {error}") from error
    return header + frame.body


def unpack(data: bytes) -> Envelope:
    """Return the frame in these bytes; checks run from the cheapest to the dearest.

    Raises:
        MessageError: Too long, too short, another protocol, another version, or unknown flags.
    """
    if len(data) > MAX_FRAME:
        raise MessageError(f"{len(data)} bytes pass the limit of {MAX_FRAME}")
    if len(data) < HEADER_SIZE:
        raise MessageError(f"{len(data)} bytes are shorter than a header of {HEADER_SIZE}")
    magic, version, flags, incarnation, nonce, key_id, signature = _HEADER.unpack_from(data)
    if magic != MAGIC:
        raise MessageError(f"not a Social-JEPA frame: it starts with {magic!r}")
    if version != VERSION:
        raise MessageError(f"the peer speaks version {version} of the protocol, this agent version {VERSION}")
    if flags:
        raise MessageError(f"unknown flags {flags:#06x}")
    return Envelope(bytes(data[HEADER_SIZE:]), incarnation, nonce, key_id, signature)
