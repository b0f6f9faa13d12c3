import numpy as np
import pytest

from env.checks import check_number, check_whole


def test_what_is_in_range_passes():
    check_whole("n", 1, 1, 3)
    check_whole("n", np.int64(3), 1, 3)
    check_whole("n", 10**9, 1)
    check_number("x", 0, 0, 1)
    check_number("x", 0.5, 0, 1)


@pytest.mark.parametrize("value", [0, 4, 1.0, True, "2", None])
def test_what_is_no_whole_number_in_range_is_refused_by_name(value):
    with pytest.raises(ValueError, match="n must be a whole number from 1 to 3"):
        check_whole("n", value, 1, 3)


def test_an_open_range_says_so():
    with pytest.raises(ValueError, match="n must be a whole number of 1 or more, got 0"):
        check_whole("n", 0, 1)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), float("inf"), True, "0.5"])
def test_what_is_no_number_in_range_is_refused_by_name(value):
    with pytest.raises(ValueError, match="x must be a number from 0 to 1"):
        check_number("x", value, 0, 1)
