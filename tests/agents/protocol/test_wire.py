import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.protocol.wire import HEADER_SIZE, MAGIC, MAX_FRAME, VERSION, Envelope, MessageError, pack, unpack

FRAME = Envelope(b"body", incarnation=3, nonce=5, key_id=b"whose-id", signature=b"s" * 64)
quick = settings(derandomize=True, database=None, deadline=None, max_examples=200)


@quick
@given(
    st.builds(
        Envelope,
        st.binary(max_size=40),
        st.integers(0, 2**32 - 1),
        st.integers(0, 2**64 - 1),
        st.binary(min_size=8, max_size=8),
        st.binary(min_size=64, max_size=64),
    )
)
def test_a_frame_comes_back_as_it_was_packed(frame):
    assert unpack(pack(frame)) == frame
    assert len(pack(frame)) == HEADER_SIZE + len(frame.body)


def test_a_header_lies_where_the_format_says():
    """Written out once by hand: a peer in another language builds on these offsets."""
    data = pack(FRAME)
    assert data[:4] == MAGIC == b"SJPA"
    assert struct.unpack(">HH", data[4:8]) == (VERSION, 0)
    assert struct.unpack(">IQ", data[8:20]) == (3, 5)
    assert (data[20:28], data[28:92], data[92:]) == (b"whose-id", b"s" * 64, b"body")


@pytest.mark.parametrize("length", range(HEADER_SIZE))
def test_a_header_that_was_cut_is_refused(length):
    with pytest.raises(MessageError, match="shorter than a header"):
        unpack(pack(FRAME)[:length])


@pytest.mark.parametrize(
    ("place", "sentence"), [(0, "not a Social-JEPA"), (5, "version"), (7, "unknown flags")]
)
def test_another_protocol_version_or_flag_is_refused_by_name(place, sentence):
    data = bytearray(pack(FRAME))
    data[place] ^= 0x40
    with pytest.raises(MessageError, match=sentence):
        unpack(bytes(data))


@pytest.mark.parametrize(
    "frame",
    [
        Envelope(b"", incarnation=2**32),
        Envelope(b"", nonce=-1),
        Envelope(b"", key_id=b"short"),  # struct would fill it up and cut the next one without a word
        Envelope(b"", key_id=bytes(9)),
        Envelope(b"", signature=bytes(65)),
        Envelope(bytes(MAX_FRAME)),
    ],
)
def test_a_frame_whose_fields_do_not_fit_is_never_sent(frame):
    with pytest.raises(MessageError):
        pack(frame)


def test_the_largest_frame_passes_and_one_byte_more_does_not():
    largest = pack(Envelope(bytes(MAX_FRAME - HEADER_SIZE)))
    assert len(unpack(largest).body) == MAX_FRAME - HEADER_SIZE
    with pytest.raises(MessageError, match="limit"):
        unpack(largest + b"x")


@quick
@given(st.binary(max_size=200))
def test_any_bytes_are_a_frame_or_a_message_error(data):
    for candidate in (data, MAGIC + data):
        try:
            frame = unpack(candidate)
        except MessageError:
            continue
        assert pack(frame) == candidate
