"""Waits of a training agent while its peers are answered."""

import time
from collections.abc import Callable

MAX_WAIT_SECONDS = 0.5  # longest wait between two steps
WAIT_SHARE = 0.25  # of the time that an agent waits at most, so that no peer can keep it from training ...
WAIT_BURST_SECONDS = 1.0  # ... beyond this much, which a joiner's negotiation may take at once
POLL_SECONDS = 0.002  # seconds between two checks during a wait


class PeerWait:
    """Lets training wait while peers are answered, which need the interpreter, for a share of the time."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        """Begin with the whole burst.

        Args:
            clock: Returns seconds on a clock that is never set back.
            sleep: Waits so many seconds.
        """
        self._clock, self._sleep = clock, sleep
        self._left, self._at = WAIT_BURST_SECONDS, clock()

    def wait(self, busy_until: Callable[[], float]) -> None:
        """Wait until peers are answered, as long as the share allows.

        Args:
            busy_until: Returns until when on the clock a peer is being answered, or expected to reply.
        """
        now = began = self._clock()
        self._left = min(WAIT_BURST_SECONDS, self._left + WAIT_SHARE * (began - self._at))
        end = began + min(MAX_WAIT_SECONDS, self._left)
        while now < min(end, busy_until()):
            self._sleep(POLL_SECONDS)
            now = self._clock()
        self._left, self._at = self._left - (now - began), began
