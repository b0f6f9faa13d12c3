import numpy as np
import pytest

from env.checks import check_choice, check_integer, check_number, check_positive


def test_values_in_range_pass():
    check_integer("n", 1, 1, 3)
    check_integer("n", np.int64(3), 1, 3)
    check_integer("n", 10**9, 1)
    check_integer("n", -(10**9))
    check_number("x", 0, 0, 1)
    check_number("x", 0.5, 0, 1)
    check_number("x", np.float32(-1e9))
    check_positive("x", 1e-9)
    check_positive("x", 360.0, 360)
    check_choice("kind", "a", ("a", "b"))


@pytest.mark.parametrize("value", [0, 4, 1.0, True, "2", None])
def test_a_value_that_is_not_an_integer_in_range_is_rejected_with_its_name(value):
    with pytest.raises(ValueError, match="n must be an integer from 1 to 3"):
        check_integer("n", value, 1, 3)


def test_the_message_describes_an_open_range():
    with pytest.raises(ValueError, match="n must be an integer of 1 or more, got 0"):
        check_integer("n", 0, 1)
    with pytest.raises(ValueError, match="n must be an integer, got '1'"):
        check_integer("n", "1")


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), float("inf"), True, "0.5"])
def test_a_value_that_is_not_a_number_in_range_is_rejected_with_its_name(value):
    with pytest.raises(ValueError, match="x must be a finite number from 0 to 1"):
        check_number("x", value, 0, 1)


@pytest.mark.parametrize("value", [0, -1.0, 2.5, float("nan"), float("inf"), True, "0.5"])
def test_a_value_that_is_not_positive_is_rejected_with_its_name(value):
    with pytest.raises(ValueError, match="x must be a positive number, at most 2, got"):
        check_positive("x", value, 2)


def test_an_unknown_choice_is_rejected_with_the_choices():
    with pytest.raises(ValueError, match="kind must be one of a, b, got 'c'"):
        check_choice("kind", "c", ("a", "b"))
