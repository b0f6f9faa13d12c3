"""The share of its time for which a thread works."""

import time
from collections.abc import Callable

MAX_REST_SECONDS = 30.0  # longest rest after one piece of work, however long that took
POLL_SECONDS = 0.02  # seconds between two calls of `interrupted` during a rest


class DutyCycle:
    """Lets the calling thread rest between two pieces of work, for a multiple of the time that each took."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        """Begin the first piece of work.

        Args:
            clock: Returns seconds in which the thread could work.
            sleep: Waits for so many seconds.
        """
        self._clock, self._sleep = clock, sleep
        self._began = clock()

    def rest(self, share: float, interrupted: Callable[[], bool]) -> None:
        """Rest until the work since the last call took at most a share of the time; then begin the next.

        Args:
            share: Of the time, above 0; 1: no rest.
            interrupted: Called again and again meanwhile; the rest ends early when it returns True.
        """
        worked = self._clock() - self._began
        until = time.monotonic() + min(MAX_REST_SECONDS, worked * (1 / share - 1))
        while time.monotonic() < until and not interrupted():
            self._sleep(min(POLL_SECONDS, max(0.0, until - time.monotonic())))
        self._began = self._clock()
