import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.common.hexadecimal import hex_bytes


@given(st.binary(min_size=1, max_size=64))
def test_bytes_return_from_their_digits_in_either_case_and_in_their_size_alone(data):
    assert hex_bytes(data.hex(), len(data)) == hex_bytes(data.hex().upper(), len(data)) == data
    assert hex_bytes(data.hex(), len(data) + 1) == hex_bytes(data.hex(), len(data) - 1) == b""


@pytest.mark.parametrize("text", ["", "0", "zz", "ä0", "0x", "٣٣", None, 7, b"00", ["00"]])
def test_what_are_no_digits_is_empty(text):
    assert hex_bytes(text, 1) == b""
