import io
import logging

import pytest
from rich.console import Console

from social_jepa.cli.options import wait_progress
from social_jepa.cli.working import working
from social_jepa.runtime.logs import log_to_stderr


def shown(**options):
    text = io.StringIO()
    with working("2 agents [save]", Console(file=text, width=80, **options)):
        pass
    return text.getvalue()


def test_a_terminal_shows_what_is_done_and_for_how_long_and_is_cleared_at_the_end():
    text = shown(force_terminal=True)

    assert "2 agents [save]" in text
    assert "0:00:00" in text
    assert "\x1b[2K" in text
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h")  # the cursor is shown again


@pytest.mark.parametrize("options", [{"force_terminal": False}, {"force_terminal": True, "quiet": True}])
def test_without_a_terminal_or_with_quiet_nothing_is_written(options):
    assert shown(**options) == ""


def test_an_error_passes_and_leaves_the_terminal_in_order():
    text = io.StringIO()
    with (
        pytest.raises(ValueError, match="mine"),
        working("waiting", Console(file=text, force_terminal=True)),
    ):
        raise ValueError("mine")

    assert text.getvalue().count("\x1b[?25l") == text.getvalue().count("\x1b[?25h")


@pytest.mark.parametrize(
    ("level", "shown"), [(logging.ERROR, False), (logging.WARNING, None), (logging.INFO, None)]
)
def test_a_wait_shows_no_progress_with_quiet(level, shown):
    log_to_stderr(level)

    assert wait_progress() is shown
