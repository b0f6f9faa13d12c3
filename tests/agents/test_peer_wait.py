import itertools
import math

from agents.peer_wait import MAX_WAIT_SECONDS, WAIT_BURST_SECONDS, WAIT_SHARE, PeerWait


class Clock:
    """A clock that moves on when something sleeps."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def test_training_waits_until_a_peer_is_answered_and_no_longer_than_the_longest_wait():
    clock = Clock()
    wait = PeerWait(clock, clock.sleep)
    wait.wait(lambda: 0.1)
    assert 0.1 <= clock.now < 0.11
    before = clock.now
    wait.wait(lambda: before)
    assert clock.now == before

    wait.wait(lambda: math.inf)
    assert 0 <= clock.now - before - MAX_WAIT_SECONDS < 0.01


def test_peers_that_write_all_the_time_take_a_quarter_of_it_from_training():
    clock, trained = Clock(), 0
    wait = PeerWait(clock, clock.sleep)
    while clock.now < 60:
        wait.wait(lambda: math.inf)
        clock.sleep(0.02)  # a step
        trained += 0.02

    assert abs(clock.now - trained - WAIT_BURST_SECONDS - WAIT_SHARE * 60) < 0.1


def test_after_a_quiet_time_a_whole_negotiation_is_waited_for_again():
    clock = Clock()
    wait = PeerWait(clock, clock.sleep)
    for _ in itertools.repeat(None, 20):
        wait.wait(lambda: math.inf)
    clock.sleep(WAIT_BURST_SECONDS / WAIT_SHARE)
    before = clock.now
    wait.wait(lambda: before + 0.4)

    assert 0.4 <= clock.now - before < 0.41
