"""Threads of one process that compute in turn."""

import threading
import time

import pytest

from agents import compute_share
from agents.compute_share import ComputeShare, FairLock

SECONDS = 60.0


@pytest.fixture(autouse=True)
def no_slices(monkeypatch):
    """A thread hands the lock on at every offer."""
    monkeypatch.setattr(compute_share, "SLICE_SECONDS", 0.0)


def run_all(*bodies):
    """Run functions on threads until all have ended; raise what one of them raises."""
    errors = []

    def guarded(body):
        try:
            body()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(body,), daemon=True) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
        assert not thread.is_alive()
    if errors:
        raise errors[0]


def until(ready):
    deadline = time.monotonic() + SECONDS
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_one_thread_computes_at_a_time():
    lock, inside, most = FairLock(), [], []

    def compute():
        with ComputeShare(lock) as share:
            for step in range(200):
                inside.append(step)
                most.append(len(inside))
                inside.pop()
                share.offer()

    run_all(*[compute] * 4)
    assert set(most) == {1}
    assert len(most) == 800


def test_threads_that_offer_the_lock_take_turns_in_the_order_in_which_they_came():
    lock, order = FairLock(), []

    def compute(name):
        with ComputeShare(lock) as share:
            for _ in range(3):
                until(lambda: len(lock._waiting) == 2 or len(order) >= 3)
                order.append(name)
                share.offer()

    run_all(*[lambda name=name: compute(name) for name in "abc"])
    assert sorted(order[:3]) == ["a", "b", "c"]
    assert order == order[:3] * 3


def test_a_thread_keeps_the_lock_for_its_slice_and_while_no_other_waits(monkeypatch):
    lock, order = FairLock(), []

    def compute():
        with ComputeShare(lock):
            order.append("other")

    with ComputeShare(lock) as share:
        share.offer()  # no other thread waits
        other = threading.Thread(target=compute)
        other.start()
        until(lambda: lock._waiting)
        monkeypatch.setattr(compute_share, "SLICE_SECONDS", 3600.0)
        share.offer()
        assert order == []
        monkeypatch.setattr(compute_share, "SLICE_SECONDS", 0.0)
        share.offer()
        assert order == ["other"]
    other.join(SECONDS)


def test_others_compute_while_a_thread_sleeps():
    lock = FairLock()
    found = threading.Event()

    def sleep():
        with ComputeShare(lock) as share:
            while not found.is_set():
                share.sleep(0.001)

    def compute():
        with ComputeShare(lock):
            found.set()

    run_all(sleep, compute)


def test_the_clock_of_a_thread_stands_still_while_it_waits_and_goes_on_while_it_computes():
    lock, read = FairLock(), []
    share = ComputeShare(lock)
    lock.acquire()

    def compute():
        with share:
            read.append(share.clock())
            time.sleep(0.01)
            read.append(share.clock())

    thread = threading.Thread(target=compute)
    thread.start()
    until(lambda: lock._waiting)
    first, waited_from = share.clock(), time.monotonic()
    time.sleep(0.2)
    assert share.clock() == first
    lock.release()
    thread.join(SECONDS)
    assert 0 <= read[0] - first < time.monotonic() - waited_from - 0.2 + 1e-6
    assert read[1] - read[0] >= 0.01
