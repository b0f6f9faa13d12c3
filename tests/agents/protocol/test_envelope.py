import struct
from dataclasses import fields, replace

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.protocol.envelope import (
    HEADER_BYTES,
    MAGIC,
    MIN_ENVELOPE_BYTES,
    PURPOSE,
    VERSION,
    Envelope,
    Kind,
    is_sealed_by,
    parse,
    seal,
    session_id,
)
from agents.protocol.inspection import InspectionError, inspect, signature_holds
from agents.protocol.messages import decode
from agents.protocol.wire import MAX_ENVELOPE_BYTES, EnvelopeRejected, MessageError, Reason
from tests.support.keys import envelope_of, identity_of, signed
from tests.support.swarm import example_offer, negotiation_messages, planted_negotiations

KEY = identity_of("agent-0")
ENVELOPE = Envelope(
    kind=Kind.MESSAGE, sender="agent-0", recipient="b", session=b"sixteen bytes it", incarnation=3,
    recipient_incarnation=4, sequence=5, time=6, key_id=b"whose-id", body=b"body",
)  # fmt: skip
MESSAGES = {type(message): message for message in negotiation_messages(planted_negotiations(2))}
each = pytest.mark.parametrize("message", MESSAGES.values(), ids=lambda message: type(message).__name__)
quick = settings(derandomize=True, database=None, max_examples=200)
names = st.from_regex(r"[A-Za-z0-9_.-]{1,64}", fullmatch=True)
envelopes = st.builds(
    Envelope, st.just(Kind.MESSAGE), names, names, st.binary(min_size=16, max_size=16),
    st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1),
    st.integers(0, 2**64 - 1), st.binary(min_size=8, max_size=8), st.binary(max_size=40),
)  # fmt: skip


@quick
@given(envelopes)
def test_parse_inverts_seal(envelope):
    data = seal(envelope, KEY)

    assert parse(data) == envelope
    assert is_sealed_by(KEY.public_key, data)
    assert not is_sealed_by(identity_of("eve").public_key, data)
    assert len(data) == MIN_ENVELOPE_BYTES - 1 + len(envelope.sender + envelope.recipient) + len(
        envelope.body
    )


def test_header_fields_are_at_the_documented_offsets():
    """Written out by hand: a peer in another language builds on these offsets."""
    data = seal(ENVELOPE, KEY)
    assert data[:4] == MAGIC == b"SJPA"
    assert struct.unpack(">HBB", data[4:8]) == (VERSION, 1, 0)
    assert struct.unpack(">IIQQ", data[8:32]) == (3, 4, 5, 6)
    assert (data[32:48], data[48:56]) == (b"sixteen bytes it", b"whose-id")
    assert struct.unpack(">BBI", data[56:62]) == (7, 1, 4)
    assert (data[62:69], data[69:70], data[70:74]) == (b"agent-0", b"b", b"body")
    assert data[74:] == KEY.sign(PURPOSE + data[:74])
    assert (HEADER_BYTES, len(data)) == (62, 74 + 64)


def test_a_signature_for_another_purpose_is_no_signature_of_an_envelope():
    data = seal(ENVELOPE, KEY)
    assert not is_sealed_by(KEY.public_key, data[:-64] + KEY.sign(data[:-64]))


@each
def test_every_flipped_bit_and_every_truncation_of_a_signed_envelope_is_refused(message):
    data, key = signed(message), identity_of(message.sender).public_key
    for length in range(len(data)):
        assert not _passes(data[:length], key)
    assert not _passes(data + b"\0", key)
    changed = bytearray(data)
    for bit in range(8 * len(data)):
        changed[bit // 8] ^= 1 << bit % 8
        assert not _passes(bytes(changed), key), bit
        changed[bit // 8] ^= 1 << bit % 8
    assert _passes(bytes(changed), key)


def _passes(data, key=KEY.public_key):
    """Return whether the layout and the signature of an envelope hold; both decoders must agree."""
    try:
        parse(data)
        holds = is_sealed_by(key, data)
    except EnvelopeRejected:
        holds = False
    try:
        inspect(data)
        assert signature_holds(data, key) == holds
    except InspectionError:
        assert not holds
    return holds


@pytest.mark.parametrize(
    ("place", "reason", "sentence"),
    [
        (0, Reason.FORMAT, "not a Social-JEPA envelope"), (5, Reason.VERSION, "version"),
        (6, Reason.FORMAT, "unknown kind"), (7, Reason.FORMAT, "unknown flags"),
        (56, Reason.FORMAT, "its parts make"), (62, Reason.FORMAT, "a name is not"),
    ],
)  # fmt: skip
def test_another_layout_is_refused_with_its_reason(place, reason, sentence):
    data = bytearray(seal(ENVELOPE, KEY))
    data[place] ^= 0x40 if place != 62 else 0xFF
    with pytest.raises(EnvelopeRejected, match=sentence) as caught:
        parse(bytes(data))
    assert caught.value.reason is reason


@pytest.mark.parametrize("version", [0, 5, 7, 65535])
def test_an_unknown_version_is_refused_with_a_sentence_that_names_both(version):
    data = bytearray(seal(ENVELOPE, KEY))
    data[4:6] = struct.pack(">H", version)
    sentence = rf"sent version {version} .* speaks version 6: install"
    with pytest.raises(EnvelopeRejected, match=sentence) as caught:
        parse(bytes(data))
    assert caught.value.reason is Reason.VERSION


@pytest.mark.parametrize(
    "changes",
    [
        {"incarnation": 2**32}, {"sequence": -1}, {"time": 2**64}, {"key_id": b"short"}, {"session": b""},
        {"sender": ""}, {"sender": "a b"}, {"sender": "x" * 65}, {"recipient": ""}, {"recipient": "ä"},
        {"body": bytes(MAX_ENVELOPE_BYTES)}, {"kind": Kind.INTRODUCTION, "body": bytes(8193)},
    ],
    ids=lambda changes: str(changes)[:40],
)  # fmt: skip
def test_an_envelope_whose_fields_do_not_fit_is_not_sealed(changes):
    with pytest.raises(MessageError):
        seal(replace(ENVELOPE, **changes), KEY)


def test_an_introduction_alone_may_have_no_recipient():
    introduction = replace(ENVELOPE, kind=Kind.INTRODUCTION, recipient="")
    assert parse(seal(introduction, KEY)) == introduction


def test_the_largest_envelope_is_accepted_and_one_byte_more_is_refused():
    largest = seal(replace(ENVELOPE, body=bytes(MAX_ENVELOPE_BYTES - MIN_ENVELOPE_BYTES - 7)), KEY)
    assert len(largest) == MAX_ENVELOPE_BYTES
    assert parse(largest).body == bytes(MAX_ENVELOPE_BYTES - MIN_ENVELOPE_BYTES - 7)
    with pytest.raises(EnvelopeRejected, match="limit"):
        parse(largest + b"x")


@quick
@given(st.binary(max_size=200))
def test_any_bytes_are_an_envelope_or_refused_by_both_decoders(data):
    for candidate in (data, MAGIC + data, seal(ENVELOPE, KEY)[:6] + data):
        assert not _passes(candidate)


@quick
@given(envelopes)
def test_both_decoders_read_the_same_fields(envelope):
    envelope = replace(envelope, body=msgpack.packb([1, "agent-0", "agent-1", 3, "c0de"]))
    found = inspect(seal(envelope, KEY))

    for field in fields(Envelope):
        expected = getattr(envelope, field.name)
        assert found[field.name] == (expected.name.lower() if field.name == "kind" else expected)
    assert found["message"] == {
        "type": "Hello", "source": "agent-0", "target": "agent-1", "round": 3, "checkpoint": "c0de"
    }  # fmt: skip


@each
def test_both_decoders_read_the_same_message(message):
    data = signed(message)
    plain = inspect(data)["message"]

    assert decode(parse(data).body) == message
    assert plain.pop("type") == type(message).__name__
    assert plain == {name: getattr(message, name) for name in type(message).__struct_fields__}
    assert signature_holds(data, identity_of(message.sender).public_key)


def test_a_session_follows_from_its_text_alone():
    assert session_id("a") == session_id("a") != session_id("b")
    assert len(session_id("")) == 16


def test_the_same_envelope_has_the_same_bytes():
    envelope = envelope_of(example_offer())
    assert seal(envelope, KEY) == seal(envelope, KEY)
