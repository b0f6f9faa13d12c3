"""Custom world models that pass the check of the contract and fail in training, at their third loss."""

import os
import threading
import time
from pathlib import Path

from agents.models.jepa import Jepa

LOSSES = 3


class Failing(Jepa):
    """A world model whose third loss calls `fail`."""

    losses = 0

    def loss(self, frames, generator):
        self.losses += 1
        if self.losses == LOSSES:
            self.fail()
        return super().loss(frames, generator)

    def fail(self):
        raise NotImplementedError


class RaisesWithoutText(Failing):
    def fail(self):
        raise ZeroDivisionError


class FailsAssertion(Failing):
    def fail(self):
        raise AssertionError


class RaisesKeyError(Failing):
    def fail(self):
        raise KeyError("boom in my loss")


class Exits(Failing):
    def fail(self):
        raise SystemExit


class Interrupts(Failing):
    def fail(self):
        raise KeyboardInterrupt


class ExitsWhileChecked(Jepa):
    def loss(self, frames, generator):
        raise SystemExit(3)


class EndsItsProcess(Failing):
    def fail(self):
        os._exit(3)


class LoopsForever(Failing):
    """It loops until a test of the same process sets `released`."""

    released = threading.Event()

    def fail(self):
        while not self.released.is_set():
            time.sleep(0.01)


class WaitsForGate(Failing):
    """It waits until there is a file that a test creates when its agents may go on."""

    VARIABLE = "SOCIAL_JEPA_TEST_GATE"  # set by the fixture `ray_local`, for this process and all actors

    @classmethod
    def path(cls):
        return Path(os.environ[cls.VARIABLE])

    def fail(self):
        while not self.path().exists():
            time.sleep(0.01)
