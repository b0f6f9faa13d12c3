import time

import pytest

from agents import duty_cycle
from agents.duty_cycle import DutyCycle


def work(seconds=0.01):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_work_takes_at_most_its_share_of_the_time(share):
    duty, began, worked = DutyCycle(), time.monotonic(), 0.0
    for _ in range(5):
        before = time.monotonic()
        work()
        worked += time.monotonic() - before
        duty.rest(share, lambda: False)

    assert worked <= share * (time.monotonic() - began)


def test_a_share_of_all_the_time_rests_never_and_a_rest_can_be_interrupted():
    duty, asked = DutyCycle(), []
    work()
    duty.rest(1.0, lambda: asked.append("whole") is None)
    work(0.05)
    duty.rest(1e-3, lambda: asked.append("share") is None)

    assert asked == ["share"]


def test_no_rest_is_longer_than_the_longest(monkeypatch):
    monkeypatch.setattr(duty_cycle, "MAX_REST_SECONDS", 0.05)
    duty, calls = DutyCycle(), []
    work(0.02)
    duty.rest(1e-9, lambda: calls.append(time.monotonic()) is not None)

    assert calls
