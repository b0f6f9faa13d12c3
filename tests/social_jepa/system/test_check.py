import pytest

from social_jepa.system.check import Check, UnfitMachineError, require, size_text

MIB = 2**20


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"), (1023, "1023 bytes"), (64 * MIB, "64 MiB"), (95_367_431, "90 MiB"),
        (1023 * MIB, "1023 MiB"),
        (1536 * MIB, "1.5 GiB"), (2**31 - 1, "1.9 GiB"), (200 * 2**30, "200 GiB"), (5000 * 2**40, "5000 TiB"),
    ],
)  # fmt: skip
def test_sizes_are_rounded_down_in_a_unit_that_shows_them(count, text):
    assert size_text(count) == text


def test_the_first_failed_check_is_raised_as_a_sentence():
    good, bad = Check("disk", True, "9 GiB free", ""), Check("CPUs", False, "1", "provide two CPUs")

    require(good)
    with pytest.raises(UnfitMachineError, match=r"^CPUs: 1; provide two CPUs$"):
        require(good, bad)
