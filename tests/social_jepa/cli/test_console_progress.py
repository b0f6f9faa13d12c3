import io
import math

from rich.console import Console

from agents.spec import Progress
from social_jepa.cli.console_progress import ProgressDisplay

RECORDING = Progress("agent-0", "recording", 0, 30, 1234, 5000, 0, math.nan, 0.0, math.nan, 1.0, 0.0, "cpu")
TRAINING = Progress("agent-1", "training", 7, 30, 4096, 9000, 1792, 3.25, 5120.0, 12.4, 1.0, 0.5, "cpu")


def shown(terminal, *doings):
    text = io.StringIO()
    screen = ProgressDisplay(Console(file=text, force_terminal=terminal, width=120))
    for do in doings:
        do(screen)
    screen.close()
    return text.getvalue()


def test_without_a_terminal_an_agent_is_a_plain_line_now_and_then():
    both = {"agent-0": RECORDING, "agent-1": TRAINING}
    text = shown(False, *[lambda screen: screen.progress(both)] * 50)

    lines = [line.strip() for line in text.splitlines()]
    assert lines[0] == "agent-0  recording  1,234 ticks"
    assert lines[1] == "agent-1  training  7/30  1,792 frames  loss 3.250  5,120 frames/s  12 s left"
    assert len(lines) == 2
    assert "\x1b" not in text


def test_a_new_phase_is_said_at_once_and_its_first_progress_too():
    doings = [lambda screen: screen.phase("training"), lambda screen: screen.progress({"agent-1": TRAINING})]

    lines = shown(False, *doings, *doings).splitlines()

    assert ["training" in line for line in lines] == [True] * 4


def test_a_terminal_gets_a_table_that_is_gone_in_the_end():
    text = shown(True, lambda screen: screen.progress({"agent-1": TRAINING}))

    assert "loss 3.250" in text
    assert text.endswith("\x1b[2K") or "\x1b[1A" in text  # the lines were taken back
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h")  # and so is the cursor


def test_nobody_to_show_is_shown_as_nothing():
    assert shown(False, lambda screen: screen.progress({})) == ""


def test_brackets_in_an_address_are_no_markup():
    assert "joining [::1]:6379 [red]" in shown(False, lambda screen: screen.phase("joining [::1]:6379 [red]"))
