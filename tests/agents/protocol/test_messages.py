import math
import typing

import msgpack
import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agents.protocol.envelope import MIN_ENVELOPE_BYTES, parse, seal
from agents.protocol.messages import (
    AnchorReply,
    AnchorRequest,
    AnyMessage,
    DistillReply,
    DistillRequest,
    Hello,
    Offer,
    Verdict,
    decode,
    encode,
)
from agents.protocol.precision import pack_metric
from agents.protocol.wire import MAX_ENVELOPE_BYTES, MessageError
from alignment.status import Status
from tests.support.keys import envelope_of, identity_of
from tests.support.swarm import example_offer

EDGE = {"source": "agent-0", "target": "agent-1", "round": 2}
ROWS = np.arange(6, dtype="<f4").reshape(3, 2)
REPLY = {
    "digest": b"0123456789abcdef", "rows": 3, "dim": 2, "precision": "float32", "noise": 0,
    "data": ROWS.tobytes(), "metric": pack_metric(np.diag([2.0, 3.0])),
}  # fmt: skip
EXAMPLES = [
    example_offer(),
    AnchorRequest(
        **EDGE, anchors=8, heldout=9, offer_nonce=5, nonce=2**63 - 1, chosen=b"", dims=5, precision="int8"
    ),
    AnchorReply(**EDGE, **REPLY),
    Verdict(
        **EDGE,
        status=Status.REFUSED,
        reason="no shared direction",
        shared_dim=0,
        r2_shared=-0.25,
        null_correlation=0.5,
    ),
    Hello(**EDGE, checkpoint="c0de0"),
    DistillRequest(**EDGE, ticks=64),
    DistillReply(**EDGE, first_tick=7, rows=3, dim=2, data=ROWS.tobytes()),
]
quick = settings(derandomize=True, database=None, max_examples=100)
each = pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: type(message).__name__)


def read(body):
    """Return the message in the body of an envelope, or None where it is refused."""
    try:
        message = decode(body)
        if isinstance(message, AnchorReply | DistillReply):
            message.embeddings()
        if isinstance(message, AnchorReply):
            message.raw_metric()
    except MessageError:
        return None
    assert isinstance(message, AnyMessage)
    return message


def changed(message, field, value):
    """Return the body of a message with one field replaced, which no struct checks."""
    plain = {"type": typing.get_args(AnyMessage).index(type(message)) + 1, **msgspec.structs.asdict(message)}
    return msgpack.packb(list((plain | {field: value}).values()))


@each
def test_decode_inverts_encode(message):
    assert decode(encode(message)) == message
    assert (message.sender, message.receiver) in (message.edge, message.edge[::-1])


@each
def test_every_truncation_is_refused(message):
    data = encode(message)
    assert {read(data[:length]) for length in range(len(data))} == {None}
    assert read(data + b"\0") is None


@each
def test_every_flipped_byte_gives_a_message_or_is_refused(message):
    data = bytearray(encode(message))
    for place in range(len(data)):
        for flip in (0x01, 0x80, 0xFF, data[place]):
            data[place] ^= flip
            read(bytes(data))
            data[place] ^= flip


@each
def test_another_msgpack_library_reads_and_writes_the_same_bytes(message):
    body = encode(message)
    plain = msgpack.unpackb(body)
    number = typing.get_args(AnyMessage).index(type(message)) + 1
    assert plain == [number, *msgspec.structs.asdict(message).values()]
    assert msgpack.packb(plain) == body


@each
def test_every_field_is_required_and_a_further_one_is_refused(message):
    plain = msgpack.unpackb(encode(message))
    for length in range(len(plain)):
        with pytest.raises(MessageError):
            decode(msgpack.packb(plain[:length]))
    for further in (b"0" * 100, None, "\x1b[31mred\n"):
        with pytest.raises(MessageError, match="not a message") as caught:
            decode(msgpack.packb([*plain, further]))
        assert str(caught.value).isprintable()


@each
def test_a_message_with_named_fields_is_refused(message):
    named = {"type": 1, **msgspec.structs.asdict(message)}
    with pytest.raises(MessageError):
        decode(msgpack.packb(named))


@pytest.mark.parametrize("status", [Status.FAILED, Status.STALE, Status.ENDED])
def test_a_verdict_is_accepted_or_refused(status):
    with pytest.raises(ValueError, match=f"a verdict is accepted or refused, not {status}"):
        Verdict(**EDGE, status=status, reason="", shared_dim=0, r2_shared=0.0, null_correlation=0.0)


@each
def test_a_field_of_the_wrong_type_is_refused(message):
    """No field is optional, and none converts text to bytes or numbers to text."""
    plain = msgpack.unpackb(encode(message))
    for place, right in enumerate(plain):
        for value in (None, [], {}, {"a": 1}, [right], msgpack.ExtType(4, b"code")):
            with pytest.raises(MessageError):
                decode(msgpack.packb([*plain[:place], value, *plain[place + 1 :]]))


@pytest.mark.parametrize(
    ("number", "field", "value"),
    [
        (0, "source", ""), (0, "source", "a" * 65), (0, "source", "a\n"), (0, "target", "../../etc"),
        (0, "round", -1), (0, "round", 2**63), (0, "round", 1.5), (0, "round", True), (0, "dim", 0),
        (0, "dim", 4097), (0, "core_dim", -1), (0, "collapsed", 1), (0, "scene", "\x1b[31mred"),
        (0, "scene", "[bold]"), (0, "kind", "k" * 129), (0, "checkpoint", "c0de\n"), (0, "nonce", -1),
        (0, "pool_ticks", 0), (0, "pool_stride", 0), (0, "pool_stride", 2**33), (1, "offer_nonce", -1),
        (1, "anchors", 0), (1, "anchors", 65537), (1, "heldout", 0), (2, "digest", b"123456789abcdef"),
        (2, "rows", 131073), (2, "dim", 0), (2, "data", "text"), (3, "status", "unknown"),
        (3, "status", "failed"), (3, "status", "stale"), (3, "status", "ended"),
        (1, "dims", 0), (1, "dims", 4097), (1, "precision", "float64"), (1, "precision", ""),
        (1, "chosen", b"0" * 129), (2, "precision", "int4"), (2, "metric", "text"),
        (3, "reason", "x" * 501), (3, "reason", "over\rwritten"), (3, "r2_shared", math.nan),
        (3, "r2_shared", math.inf), (3, "null_correlation", -1e10),
    ],
)  # fmt: skip
def test_a_value_out_of_range_is_refused(number, field, value):
    with pytest.raises(MessageError, match="not a message"):
        decode(changed(EXAMPLES[number], field, value))


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, 1e6, -3e38])
def test_an_embedding_that_is_not_finite_or_too_large_is_refused(number):
    rows = ROWS.copy()
    rows[1, 1] = number
    with pytest.raises(MessageError, match="not finite"):
        AnchorReply(**EDGE, **REPLY | {"data": rows.tobytes()}).embeddings()


@pytest.mark.parametrize(("rows", "dim"), [(3, 3), (2, 2), (6, 2), (131072, 4096)])
def test_anchors_whose_bytes_are_not_rows_times_dim_are_refused(rows, dim):
    with pytest.raises(MessageError, match="bytes"):
        AnchorReply(**EDGE, **REPLY | {"rows": rows, "dim": dim}).embeddings()


def test_embeddings_are_read_as_little_endian_float32_and_are_writable():
    embeddings = EXAMPLES[2].embeddings()
    assert embeddings.dtype == np.float32
    assert (embeddings == ROWS).all()
    embeddings[0, 0] = 9.0


@pytest.mark.parametrize("start", [b"", b"\x82\xa1x", encode(EXAMPLES[0])[:-9]])
@pytest.mark.parametrize("opener", [b"\x91", b"\x81", b"\x81\xa1x", b"\xdc\xff\xff"])
def test_deep_nesting_is_refused_without_a_crash(start, opener):
    """The decoder skips unknown fields recursively, which must not exhaust the stack."""
    for depth in (10, 1000, 100_000):
        assert read(start + opener * depth) is None


def test_a_field_behind_the_last_one_is_refused():
    body = encode(EXAMPLES[0])
    doubled = bytes([body[0] + 1]) + body[1:] + msgpack.packb(4096)
    assert read(doubled) is None


plain_values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(),
        st.text(max_size=8), st.binary(max_size=8),
    ),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=6,
)  # fmt: skip


@quick
@given(plain_values)
def test_msgpack_that_is_no_message_is_refused(value):
    assert read(msgpack.packb(value)) is None


@quick
@given(st.sampled_from(EXAMPLES), st.dictionaries(st.integers(0, 20), plain_values, max_size=3))
def test_a_message_with_changed_fields_is_decoded_or_refused(message, changed):
    plain = msgpack.unpackb(encode(message))
    for place, value in changed.items():
        plain[place % len(plain)] = value
    read(msgpack.packb(plain))


@quick
@given(st.binary(max_size=60))
@example(b"\xc1")
def test_a_body_of_random_bytes_is_refused(body):
    assert read(body) is None


def test_no_message_can_hold_weights():
    """Arrays travel in fields whose size is checked against rows and dim; all other fields are short."""
    unbounded = {}
    for kind in typing.get_args(AnyMessage):
        for field in msgspec.inspect.type_info(kind).fields:
            length = getattr(field.type, "max_length", 0)
            if isinstance(field.type, msgspec.inspect.LiteralType):
                continue
            assert isinstance(
                field.type,
                msgspec.inspect.StrType | msgspec.inspect.IntType | msgspec.inspect.FloatType
                | msgspec.inspect.BoolType | msgspec.inspect.EnumType | msgspec.inspect.BytesType,
            )  # fmt: skip
            if length is None:
                unbounded[f"{kind.__name__}.{field.name}"] = length
            else:
                assert length <= 500
    assert list(unbounded) == ["AnchorReply.data", "AnchorReply.metric", "DistillReply.data"]
    assert typing.get_args(AnyMessage) == (
        Hello,
        Offer,
        AnchorRequest,
        AnchorReply,
        Verdict,
        DistillRequest,
        DistillReply,
    )


def test_the_largest_anchor_reply_fits_into_an_envelope_and_a_larger_one_is_not_packed():
    rows = (MAX_ENVELOPE_BYTES - MIN_ENVELOPE_BYTES - 200) // (4 * 32)
    data = bytes(4 * 32 * rows)
    message = AnchorReply(**EDGE, **REPLY | {"rows": rows, "dim": 32, "data": data, "metric": b""})
    data = seal(envelope_of(message), identity_of("agent-0"))
    assert read(parse(data).body).rows == rows
    with pytest.raises(MessageError, match="limit"):
        seal(envelope_of(message, body=bytes(MAX_ENVELOPE_BYTES)), identity_of("agent-0"))
