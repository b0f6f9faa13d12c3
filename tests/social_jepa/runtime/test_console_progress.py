import io

from rich.console import Console

from social_jepa.records import ProgressRecord, replace
from social_jepa.runtime.console_progress import ProgressDisplay
from tests.support.statuses import AGENT

TRAINING = ProgressRecord(
    phase="training", step=7, steps=30, recorded=4096, next_tick=9000, frames=1792, loss=3.25,
    frames_per_s=5120.0, seconds_left=12.4, record_seconds=1.0, train_seconds=0.5, device="cpu", drift=0.0,
    saved_at=0.0, distill_frames=0,
)  # fmt: skip
RECORDING = replace(TRAINING, phase="recording", step=0, recorded=1234, frames=0, loss=None, frames_per_s=0.0)


def agents(*progress):
    return [replace(AGENT, name=f"agent-{k}", progress=each) for k, each in enumerate(progress)]


def rendered(terminal, *calls):
    text = io.StringIO()
    display = ProgressDisplay(Console(file=text, force_terminal=terminal, width=120))
    for call in calls:
        call(display)
    display.close()
    return text.getvalue()


def test_without_a_terminal_each_agent_is_an_occasional_plain_line():
    both = agents(RECORDING, TRAINING)
    text = rendered(False, *[lambda it: it.progress(both)] * 50)

    lines = [line.strip() for line in text.splitlines()]
    assert lines[0] == "agent-0  recording  1,234 ticks"
    assert lines[1] == "agent-1  training  7/30  1,792 frames  loss 3.250  5,120 frames/s  12 s left"
    assert len(lines) == 2
    assert "\x1b" not in text


def test_a_new_phase_and_its_first_progress_are_printed_at_once():
    calls = [
        lambda it: it.phase("training"),
        lambda it: it.progress(agents(TRAINING)),
    ]

    lines = rendered(False, *calls, *calls).splitlines()

    assert ["training" in line for line in lines] == [True] * 4


def test_a_terminal_shows_a_table_that_is_removed_at_the_end():
    text = rendered(True, lambda it: it.progress(agents(TRAINING)))

    assert "loss 3.250" in text
    assert text.endswith("\x1b[2K") or "\x1b[1A" in text  # the lines were erased
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h")  # the cursor is shown again


def test_no_agents_print_nothing():
    assert rendered(False, lambda it: it.progress([])) == ""


def test_brackets_in_a_phase_are_not_parsed_as_markup():
    assert "joining [::1]:6379 [red]" in rendered(False, lambda it: it.phase("joining [::1]:6379 [red]"))


def test_without_a_terminal_a_new_note_is_printed_at_once_and_not_with_every_second():
    (first,) = agents(TRAINING)
    calls = [lambda it: it.progress([first])]
    for seconds in (12.0, 13.0, 14.0):
        calls.append(lambda it, idle=seconds: it.progress([replace(first, idle_seconds=idle)]))

    lines = [line.strip() for line in rendered(False, *calls).splitlines()]

    assert [line for line in lines if "no step" in line] == ["agent-0 has made no step for 12 s"]


def test_an_agent_that_waits_for_resources_is_shown_though_no_agent_has_any_progress():
    waiting = replace(AGENT, progress=None, waiting_for="1 GPU: a has 0 of 2 free")

    for terminal in (False, True):
        assert "agent-0 waits for 1 GPU: a has 0 of 2 free" in rendered(
            terminal, lambda it: it.progress([waiting])
        )
