import threading
import time

import pytest

from agents import activity
from agents.activity import ActivityMonitor


@pytest.fixture
def clock(monkeypatch):
    """Replace the clock of monitors; return a function that moves it on."""
    now = [100.0]
    monkeypatch.setattr(activity.time, "monotonic", lambda: now[0])

    def advance(seconds):
        now[0] += seconds

    return advance


def test_a_step_that_takes_as_long_as_its_steps_do_is_no_idleness(clock):
    monitor = ActivityMonitor()
    for _ in range(3):
        clock(30)
        monitor.beat()
    clock(299)

    assert (monitor.read().idle_seconds, monitor.read().longest_step) == (0, 30)
    clock(2)
    assert monitor.read().idle_seconds == 301


def test_short_steps_must_be_missing_for_some_seconds(clock):
    monitor = ActivityMonitor()
    clock(0.1)
    monitor.beat()
    clock(9)

    assert monitor.read().idle_seconds == 0
    clock(2)
    assert monitor.read().idle_seconds == 11


def test_the_first_step_may_take_longer(clock):
    monitor = ActivityMonitor()
    clock(59)
    assert monitor.read().idle_seconds == 0
    clock(2)
    assert monitor.read().idle_seconds == 61


def test_an_idle_thread_is_shown_where_it_is(clock):
    entered, leave, found = threading.Event(), threading.Event(), []

    def stuck_loss():
        entered.set()
        leave.wait(30)

    def work():
        found.append(ActivityMonitor(f"{__name__}:Model"))
        stuck_loss()

    thread = threading.Thread(target=work)
    thread.start()
    entered.wait(30)
    clock(100)
    try:
        seen = found[0].read()
    finally:
        leave.set()
        thread.join()

    first = stuck_loss.__code__.co_firstlineno
    assert (seen.file, seen.line) in {(__file__, first + 1), (__file__, first + 2)}
    assert "in stuck_loss" in seen.stack


def test_a_thread_that_ended_is_not_idle(clock):
    found = []
    thread = threading.Thread(target=lambda: found.append(ActivityMonitor()))
    thread.start()
    thread.join()
    clock(1000)

    assert found[0].read().idle_seconds == 0


def test_the_wait_for_a_cpu_is_a_share_of_the_time_in_which_it_could_run(clock, tmp_path):
    monitor = ActivityMonitor()
    monitor._schedstat = tmp_path / "schedstat"
    monitor._schedstat.write_text("1000000000 500000000 7\n", encoding="ascii")
    clock(5)
    monitor.read()
    monitor._schedstat.write_text("2000000000 3500000000 9\n", encoding="ascii")
    clock(5)

    assert monitor.read().cpu_wait == 0.75
    monitor._schedstat.write_text("2000000001 3500000001 9\n", encoding="ascii")  # it slept
    clock(5)
    assert monitor.read().cpu_wait == 0


def test_the_wait_is_unknown_where_the_system_does_not_tell(clock, tmp_path):
    monitor = ActivityMonitor()
    monitor._schedstat, monitor._cpu_times = tmp_path / "none", None
    clock(20)

    assert monitor.read().cpu_wait is None


def test_reading_costs_little():
    monitor = ActivityMonitor()
    began = time.perf_counter()
    for _ in range(100):
        monitor.read()

    assert time.perf_counter() - began < 5
