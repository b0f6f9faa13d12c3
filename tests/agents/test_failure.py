import pickle

import pytest

from agents.failure import Failure
from agents.models.checker import WorldModelError


class UnreadableError(Exception):
    def __str__(self):
        raise TypeError("no text")


def caught(error, cause=None):
    try:
        raise error from cause
    except BaseException as found:
        return found


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ZeroDivisionError(), "ZeroDivisionError"),
        (SystemExit(), "SystemExit"),
        (KeyError("boom"), "KeyError: 'boom'"),
        (WorldModelError("two\nlines"), "agents.models.checker.WorldModelError: two lines"),
    ],
)
def test_a_failure_names_its_class_with_or_without_a_text(error, line):
    assert str(Failure.of(error, "agent-0")) == line


def test_an_error_whose_text_cannot_be_read_is_still_a_failure():
    assert Failure.of(UnreadableError(), "a").message == "its text cannot be read (TypeError)"


def test_a_failure_names_the_newest_line_outside_this_project_and_outside_libraries():
    failure = Failure.of(caught(KeyError("boom")), "agent-0", "training", 7)

    assert failure.file == __file__
    assert failure.line == caught.__code__.co_firstlineno + 2
    assert (failure.agent, failure.phase, failure.step) == ("agent-0", "training", 7)
    assert failure.traceback.rstrip().endswith("KeyError: 'boom'")


def test_an_error_raised_in_a_library_is_placed_where_it_was_called():
    try:
        pickle.loads(b"")
    except EOFError as error:
        failure = Failure.of(error, "agent-0")

    assert failure.file == __file__


def test_the_place_of_a_wrapped_error_is_that_of_its_cause():
    def custom_loss():
        raise KeyError("x")

    try:
        custom_loss()
    except KeyError as first:
        failure = Failure.of(caught(WorldModelError("loss failed"), first), "agent-0")

    assert failure.line == custom_loss.__code__.co_firstlineno + 1
    assert failure.message == "loss failed"


def test_an_error_that_was_never_raised_has_no_place():
    failure = Failure.of(ValueError("x"), "agent-0")

    assert (failure.file, failure.line) == ("", 0)
