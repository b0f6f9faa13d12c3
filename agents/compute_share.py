"""How the threads of several agents of one process compute: one at a time, in turn.

Python runs one thread at a time anyway, torch draws first weights from one global generator, and an OpenGL
context may be current in only one thread.
"""

import threading
import time
from collections import deque
from types import TracebackType

SLICE_SECONDS = 0.05  # that a thread may compute while others wait, to the end of its step


class FairLock:
    """A lock that threads get in the order in which they have asked for it."""

    def __init__(self) -> None:
        """Start unlocked."""
        self._guard = threading.Lock()
        self._waiting: deque[threading.Event] = deque()
        self._held = False
        self._since = 0.0  # when its holder got it, on the monotonic clock

    def acquire(self) -> None:
        """Wait for the lock."""
        with self._guard:
            if not self._held:
                self._held, self._since = True, time.monotonic()
                return
            turn = threading.Event()
            self._waiting.append(turn)
        turn.wait()

    def release(self) -> None:
        """Hand the lock to the thread that has waited longest."""
        with self._guard:
            if self._waiting:
                self._since = time.monotonic()
                self._waiting.popleft().set()
            else:
                self._held = False

    @property
    def due(self) -> bool:
        """Whether its holder has had it for long enough while others wait."""
        return bool(self._waiting) and time.monotonic() - self._since >= SLICE_SECONDS


class ComputeShare:
    """What one thread has of a lock that is held to compute."""

    def __init__(self, lock: FairLock | None = None) -> None:
        """Hold nothing yet.

        Args:
            lock: That of all threads of this process which compute; by default no other thread has it.
        """
        self._lock = lock or FairLock()
        self._asked_and_waited: tuple[float | None, float] = None, 0.0  # at once: other threads read `clock`

    def __enter__(self) -> "ComputeShare":
        """Wait for the lock."""
        self._acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Hand it on."""
        self._lock.release()

    def offer(self) -> None:
        """Let others compute if it is their turn."""
        if self._lock.due:
            self._lock.release()
            self._acquire()

    def sleep(self, seconds: float) -> None:
        """Sleep; meanwhile others compute."""
        self._lock.release()
        time.sleep(seconds)
        self._acquire()

    def clock(self) -> float:
        """Return seconds on a clock that stands still while the thread waits for the lock."""
        asked, waited = self._asked_and_waited
        return (time.monotonic() if asked is None else asked) - waited

    def _acquire(self) -> None:
        asked, waited = time.monotonic(), self._asked_and_waited[1]
        self._asked_and_waited = asked, waited
        self._lock.acquire()
        self._asked_and_waited = None, waited + time.monotonic() - asked
