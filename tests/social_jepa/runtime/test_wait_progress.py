"""What a wait shows: steps and phases to a person, and elsewhere notes alone."""

import sys

import pytest

from social_jepa.records import replace
from social_jepa.runtime import wait_progress
from social_jepa.runtime.wait_progress import describe_agents, describe_seconds, make_progress
from tests.support.statuses import AGENT, FAILURE, PROGRESS

TRAINING = replace(AGENT, progress=replace(PROGRESS, step=93, steps=150, seconds_left=118.0))
RECORDING = replace(
    AGENT, name="agent-1", phase="recording", progress=replace(PROGRESS, phase="recording", recorded=4096)
)
SETTLED, FAILED = replace(AGENT, name="agent-2", settled=True), replace(AGENT, failure=FAILURE)


def shown(progress, *statuses):
    for status in statuses:
        progress.progress(status)
    progress.close()


def test_a_wait_is_silent_where_stderr_is_no_terminal(capfd, caplog):
    shown(make_progress(None), [TRAINING, RECORDING])

    assert capfd.readouterr() == ("", "")
    assert not caplog.records


def waiting(*names, free=0):
    return [replace(AGENT, name=name, waiting_for=f"1 GPU: a has {free} of 2 free") for name in names]


def test_without_a_terminal_a_note_is_logged_once_for_each_agent(caplog):
    statuses = [waiting("agent-0"), waiting("agent-0", "agent-1"), waiting("agent-0", "agent-1", free=0.5)]
    shown(make_progress(None), *statuses)

    assert [record.getMessage() for record in caplog.records] == [
        f"agent-{k} waits for 1 GPU: a has 0 of 2 free" for k in range(2)
    ]
    assert {record.levelname for record in caplog.records} == {"WARNING"}
    shown(make_progress(False), waiting("agent-2"))
    assert len(caplog.records) == 2


def test_a_wait_shows_steps_and_phases_when_asked_and_each_note_once(capsys, monkeypatch):
    monkeypatch.setattr(wait_progress, "REDRAW_SECONDS", 0.0)
    note = replace(RECORDING, waiting_for="a GPU")
    shown(make_progress(True), *[[TRAINING, note, replace(note, name="agent-2")]] * 3)
    said = capsys.readouterr()

    assert said.out == ""
    assert "agent-0 training 93/150, 2 min left, agent-1 recording, 4,096 ticks" in said.err
    assert "2561/8150" in said.err  # the steps of all
    assert [said.err.count(f"agent-{k} waits for a GPU") for k in (1, 2)] == [1, 1]


def test_without_tqdm_a_wait_shows_the_lines_of_a_run(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)  # as if it were not installed
    shown(make_progress(True), [TRAINING])

    assert "agent-0  training  93/150" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("agents", "text"),
    [
        ([TRAINING, SETTLED], "agent-0 training 93/150, 2 min left, agent-2 settled"),
        ([FAILED], "agent-0 failed"),
        ([replace(AGENT, phase="waiting", progress=None)], "agent-0 waiting"),
        ([TRAINING, TRAINING, RECORDING, SETTLED], "2 training, 1 recording, 1 settled"),
        ([], ""),
    ],
)
def test_a_few_agents_are_described_one_by_one_and_more_are_counted(agents, text):
    assert describe_agents(agents) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (89.0, "89 s"), (90.0, "2 min"), (5399.0, "90 min"), (7200.0, "2 h")]
)
def test_a_time_is_told_in_the_largest_unit_that_fits(seconds, text):
    assert describe_seconds(seconds) == text
