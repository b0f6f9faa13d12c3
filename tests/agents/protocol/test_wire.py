import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.protocol.wire import (
    HEADER_BYTES,
    MAGIC,
    MAX_ENVELOPE_BYTES,
    VERSION,
    Envelope,
    MessageError,
    VersionError,
    pack,
    unpack,
)

ENVELOPE = Envelope(b"body", incarnation=3, nonce=5, key_id=b"whose-id", signature=b"s" * 64)
quick = settings(derandomize=True, database=None, max_examples=200)


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
def test_unpack_inverts_pack(envelope):
    assert unpack(pack(envelope)) == envelope
    assert len(pack(envelope)) == HEADER_BYTES + len(envelope.body)


def test_header_fields_are_at_the_documented_offsets():
    """Written out by hand: a peer in another language builds on these offsets."""
    data = pack(ENVELOPE)
    assert data[:4] == MAGIC == b"SJPA"
    assert struct.unpack(">HH", data[4:8]) == (VERSION, 0)
    assert struct.unpack(">IQ", data[8:20]) == (3, 5)
    assert (data[20:28], data[28:92], data[92:]) == (b"whose-id", b"s" * 64, b"body")


@pytest.mark.parametrize("length", range(HEADER_BYTES))
def test_a_truncated_header_is_refused(length):
    with pytest.raises(MessageError, match="shorter than a header"):
        unpack(pack(ENVELOPE)[:length])


@pytest.mark.parametrize(
    ("place", "sentence"), [(0, "not a Social-JEPA envelope"), (5, "version"), (7, "unknown flags")]
)
def test_another_protocol_version_or_flag_is_refused_with_its_reason(place, sentence):
    data = bytearray(pack(ENVELOPE))
    data[place] ^= 0x40
    with pytest.raises(MessageError, match=sentence):
        unpack(bytes(data))


@pytest.mark.parametrize("version", [0, 2, 4, 65535])
def test_an_unknown_version_is_refused_with_a_sentence_that_names_both(version):
    data = bytearray(pack(ENVELOPE))
    data[4:6] = struct.pack(">H", version)
    with pytest.raises(VersionError, match=rf"sent version {version} .* speaks version 3: install") as caught:
        unpack(bytes(data))
    assert (caught.value.received, caught.value.supported) == (version, VERSION) == (version, 3)


@pytest.mark.parametrize(
    "envelope",
    [
        Envelope(b"", incarnation=2**32),
        Envelope(b"", nonce=-1),
        Envelope(b"", key_id=b"short"),  # struct would silently pad this and cut the next one
        Envelope(b"", key_id=bytes(9)),
        Envelope(b"", signature=bytes(65)),
        Envelope(bytes(MAX_ENVELOPE_BYTES)),
    ],
)
def test_an_envelope_whose_fields_do_not_fit_is_not_packed(envelope):
    with pytest.raises(MessageError):
        pack(envelope)


def test_the_largest_envelope_is_accepted_and_one_byte_more_is_refused():
    largest = pack(Envelope(bytes(MAX_ENVELOPE_BYTES - HEADER_BYTES)))
    assert len(unpack(largest).body) == MAX_ENVELOPE_BYTES - HEADER_BYTES
    with pytest.raises(MessageError, match="limit"):
        unpack(largest + b"x")


@quick
@given(st.binary(max_size=200))
def test_any_bytes_are_an_envelope_or_a_message_error(data):
    for candidate in (data, MAGIC + data):
        try:
            envelope = unpack(candidate)
        except MessageError:
            continue
        assert pack(envelope) == candidate
