import string

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.common.names import is_name
from agents.protocol.messages import Name

ALLOWED = set(string.ascii_letters + string.digits + "_.-")
near_names = st.text(st.sampled_from([*sorted(ALLOWED), " ", "\n", "/", "ä", "٣"]), max_size=66)


@given(st.one_of(near_names, st.text(max_size=3)))
def test_a_name_is_1_to_64_letters_digits_dots_hyphens_and_underscores(text):
    assert is_name(text) == (1 <= len(text) <= 64 and set(text) <= ALLOWED)


@pytest.mark.parametrize("text", ["", "a", "x" * 64, "x" * 65, "a\n", "a b", "٣", "a/b", "..", "\0"])
def test_a_message_holds_the_names_that_agents_may_have(text):
    try:
        accepted = msgspec.convert(text, Name) == text
    except msgspec.ValidationError:
        accepted = False
    assert accepted == is_name(text)
