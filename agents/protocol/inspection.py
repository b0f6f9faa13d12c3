"""A second decoder of envelopes, for people who look at a captured one and for tests that compare the two.

It shares no code with `envelope.py` and `messages.py`: it reads the bytes one by one after the table in
docs/wire.md, and the body with plain msgpack. It knows the layout, not the ranges of a message's fields.
"""

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgpack

FIELDS = (  # name and length in bytes, in the order of docs/wire.md
    ("magic", 4), ("version", 2), ("kind", 1), ("flags", 1), ("incarnation", 4),
    ("recipient_incarnation", 4), ("sequence", 8), ("time", 8), ("session", 16), ("key_id", 8),
    ("sender_length", 1), ("recipient_length", 1), ("body_length", 4),
)  # fmt: skip
TEXTS = ("magic", "session", "key_id")  # fields that are bytes; all others are integers
KINDS = {1: "message", 2: "introduction", 3: "addresses"}
EDGE = ("source", "target", "round")
MESSAGES = {  # name and fields of a message by its number, in the order of docs/wire.md
    1: ("Hello", *EDGE, "checkpoint"),
    2: ("Offer", *EDGE, "scene", "kind", "checkpoint", "dim", "core_dim", "collapsed", "pool_ticks",
        "pool_stride", "nonce"),
    3: ("AnchorRequest", *EDGE, "anchors", "heldout", "offer_nonce", "nonce", "chosen", "dims", "precision"),
    4: ("AnchorReply", *EDGE, "digest", "rows", "dim", "precision", "noise", "data", "metric"),
    5: ("Verdict", *EDGE, "status", "reason", "shared_dim", "r2_shared", "null_correlation"),
    6: ("DistillRequest", *EDGE, "ticks"),
    7: ("DistillReply", *EDGE, "first_tick", "rows", "dim", "data"),
}  # fmt: skip
LIMIT = 16 * 2**20
SHOWN_BYTES = 32  # of a long field of the body


class InspectionError(ValueError):
    """Bytes that are no envelope; the text says where."""


def inspect(data: bytes) -> dict[str, Any]:
    """Return the fields of an envelope, by name; `message` holds those of its body.

    The signature is not checked: see `signature_holds`.

    Raises:
        InspectionError: The bytes are not laid out as an envelope.
    """
    if len(data) > LIMIT:
        raise InspectionError(f"{len(data)} bytes are more than the {LIMIT} of an envelope")
    found: dict[str, Any] = {}
    place = 0
    for name, length in FIELDS:
        part = data[place : place + length]
        if len(part) < length:
            raise InspectionError(f"it ends at byte {len(data)}, within the field {name}")
        found[name] = part if name in TEXTS else int.from_bytes(part, "big")
        place += length
    _check_fixed(found)
    for name in ("sender", "recipient", "body"):
        length = found.pop(f"{name}_length")
        found[name], place = data[place : place + length], place + length
    found["signature"] = data[place:]
    if place > len(data) or len(found["signature"]) != 64:
        raise InspectionError(f"its parts make {place + 64} bytes, and there are {len(data)}")
    for name in ("sender", "recipient"):
        found[name] = _name(found[name], may_be_empty=name == "recipient" and found["kind"] == "introduction")
    found["message"] = _message(found["body"], found["kind"])
    return found


def signature_holds(data: bytes, public_key: bytes) -> bool:
    """Return whether the envelope was signed with a key, whose id it also carries."""
    from nacl.bindings import crypto_sign_open
    from nacl.exceptions import CryptoError

    signed = b"social-jepa envelope 6\0" + data[:-64]
    try:
        holds: bool = crypto_sign_open(data[-64:] + signed, public_key) == signed
    except (CryptoError, ValueError):
        return False
    return holds and data[48:56] == hashlib.sha256(public_key).digest()[:8]


def describe(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the result of `inspect` as values for JSON, with long bytes shortened."""
    shown = {name: value for name, value in found.items() if name not in ("body", "magic")}
    shown["time"] = _time(found["time"])
    shown["body_bytes"] = len(found["body"])
    shown["message"] = {str(name): _plain(value) for name, value in found["message"].items()}
    return {name: value.hex() if isinstance(value, bytes) else value for name, value in shown.items()}


def _check_fixed(found: dict[str, Any]) -> None:
    if found["magic"] != b"SJPA":
        raise InspectionError(f"it starts with {found['magic']!r}, not with b'SJPA'")
    if found["version"] != 6:
        raise InspectionError(f"it has version {found['version']}, and this program reads version 6")
    if found["flags"] != 0:
        raise InspectionError(f"it has flags {found['flags']:#04x}, and version 6 has none")
    if found["kind"] not in KINDS:
        raise InspectionError(f"it has the unknown kind {found['kind']}")
    found["kind"] = KINDS[found["kind"]]
    if found["kind"] != "message" and found["body_length"] > 8192:
        raise InspectionError(f"its body has {found['body_length']} bytes, and only messages have over 8192")


def _name(data: bytes, may_be_empty: bool) -> str:
    if may_be_empty and not data:
        return ""
    text = data.decode("ascii", "replace")
    if not 1 <= len(text) <= 64 or re.sub("[A-Za-z0-9_.-]", "", text):
        raise InspectionError(f"{text!r} is not a name of 1 to 64 letters, digits, '.', '-' or '_'")
    return text


def _message(body: bytes, kind: str) -> dict[Any, Any]:
    try:
        message = msgpack.unpackb(body, strict_map_key=True, max_map_len=64, max_array_len=1024)
    except (ValueError, msgpack.UnpackException) as error:  # truncated, extra bytes, or nested too deep
        raise InspectionError(f"its body is not msgpack: {error}") from error
    if kind != "message":
        if not isinstance(message, dict):
            raise InspectionError("its body is not a msgpack map")
        return message
    if not isinstance(message, list) or not message:
        raise InspectionError("its body is not a msgpack array")
    number = message[0]
    if type(number) is not int or number not in MESSAGES:
        raise InspectionError(f"its body is of the unknown type {number!r}")
    name, *fields = MESSAGES[number]
    if len(message) != len(fields) + 1:
        raise InspectionError(f"a {name} has {len(fields)} fields, and this one has {len(message) - 1}")
    return {"type": name, **dict(zip(fields, message[1:], strict=True))}


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        more = f"... {len(value)} bytes" if len(value) > SHOWN_BYTES else ""
        return value[:SHOWN_BYTES].hex() + more
    return value if isinstance(value, str | int | float | bool) or value is None else repr(value)


def _time(microseconds: int) -> str:
    try:
        return datetime.fromtimestamp(microseconds / 1e6, UTC).isoformat()
    except (OverflowError, ValueError, OSError):
        return f"{microseconds} microseconds after 1970"
