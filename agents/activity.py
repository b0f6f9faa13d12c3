"""What the thread of an agent does: since when it made no progress, where it is, how it waits for a CPU."""

import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agents.failure import calls, custom_call
from agents.models.settings import module_of

IDLE_SECONDS = 10.0  # without progress that are remarkable, unless its steps take long
IDLE_FACTOR = 10.0  # so many times its longest step are remarkable
FIRST_STEP_SECONDS = 60.0  # that the first step may take: nothing says how long it takes
CPU_WINDOW = 5.0  # seconds over which the wait for a CPU is measured
NANOSECONDS = 1e9


@dataclass(frozen=True)
class Activity:
    """What the thread of an agent is doing.

    Attributes:
        idle_seconds: Seconds without progress: no step, no recorded or encoded ticks; 0 while that is normal.
        longest_step: Longest seconds between two signs of progress in this phase; 0 before the second.
        file: File of the custom world model, or else of this project, that it is in while idle; else empty.
        line: Line in that file; 0: unknown.
        stack: Its calls, as Python prints them, while idle; else empty.
        cpu_wait: Share of the time for which it was ready to run and waited for a CPU; None: unknown.
    """

    idle_seconds: float = 0.0
    longest_step: float = 0.0
    file: str = ""
    line: int = 0
    stack: str = ""
    cpu_wait: float | None = None


class ActivityMonitor:
    """Watches one thread, which calls `beat` whenever it makes progress."""

    def __init__(self, kind: str = "", clock: Callable[[], float] | None = None) -> None:
        """Watch the calling thread.

        Args:
            kind: Kind of its world model: calls of that module are preferred as the place where it is.
            clock: Returns seconds in which the thread could make progress; default: all seconds.
        """
        self._module, self._clock = module_of(kind), clock or (lambda: time.monotonic())
        self._thread = threading.get_ident()
        self._last, self._longest, self._phase = self._clock(), 0.0, ""
        self._schedstat = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat")
        self._cpu_at, self._cpu_times = time.monotonic(), self._read_cpu_times()
        self._cpu_wait: float | None = None

    def beat(self, phase: str = "") -> None:
        """Note progress; called by the thread itself.

        Args:
            phase: What the agent is doing: each phase has steps of its own length.
        """
        now = self._clock()
        longest = max(self._longest, now - self._last) if phase == self._phase else 0.0
        self._longest, self._phase, self._last = longest, phase, now

    def read(self) -> Activity:
        """Return the activity of the thread; called by another thread."""
        idle, longest = self._clock() - self._last, self._longest
        normal = max(IDLE_SECONDS, IDLE_FACTOR * longest) if longest else FIRST_STEP_SECONDS
        frame = sys._current_frames().get(self._thread)
        if idle < normal or frame is None:
            return Activity(longest_step=longest, cpu_wait=self._measure_cpu_wait())
        file, line = custom_call(calls(traceback.walk_stack(frame)), self._module)
        stack = "".join(traceback.format_stack(frame))
        return Activity(idle, longest, file, line, stack, self._measure_cpu_wait())

    def _measure_cpu_wait(self) -> float | None:
        now = time.monotonic()
        if now - self._cpu_at >= CPU_WINDOW:
            before, self._cpu_times, self._cpu_at = self._cpu_times, self._read_cpu_times(), now
            if before and self._cpu_times:
                run, wait = (new - old for new, old in zip(self._cpu_times, before, strict=True))
                self._cpu_wait = wait / (run + wait) if run + wait > 0.1 * NANOSECONDS else 0.0
        return self._cpu_wait

    def _read_cpu_times(self) -> tuple[int, int] | None:
        """Return nanoseconds that the thread ran and that it waited for a CPU; None where unknown."""
        try:
            run, wait = self._schedstat.read_text(encoding="ascii").split()[:2]
            return int(run), int(wait)
        except (OSError, ValueError):  # Linux only, and the thread may have ended
            return None
