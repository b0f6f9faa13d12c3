"""Niceness of a process: how much all of its threads give way to other programs."""

import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

logger = logging.getLogger(__name__)

MAX_NICENESS = 19
AUTOGROUP = Path("/proc/self/autogroup")
ATTEMPTS = 10  # to set the niceness of a session: one program alone may do so within ...
PAUSE_SECONDS = 0.1  # of the whole machine, unless it has CAP_SYS_ADMIN; any other is refused by EAGAIN
TASKS = Path("/proc/self/task")


def raise_niceness(least: int) -> None:
    """Give every thread of this process at least a niceness; threads that start later inherit it.

    On Linux a niceness belongs to a thread: setting that of the process would leave the threads that its
    libraries have started.

    Args:
        least: 0 to `MAX_NICENESS`. It can be raised without privileges, but not lowered again.
    """
    if sys.platform != "linux":
        os.setpriority(os.PRIO_PROCESS, 0, max(least, os.getpriority(os.PRIO_PROCESS, 0)))
        return
    for thread in (int(each.name) for each in TASKS.iterdir()):
        try:
            if os.getpriority(os.PRIO_PROCESS, thread) < least:
                os.setpriority(os.PRIO_PROCESS, thread, least)
        except ProcessLookupError:
            continue  # it has ended


def raise_session_niceness(least: int) -> None:
    """Give this process, which leads a session, and its session at least a niceness.

    Where Linux groups processes by session (autogroup, see sched(7)), the niceness of a process counts within
    its session alone, and that of the session beside others. Where the kernel refuses that of the session, a
    warning is logged.

    Args:
        least: 0 to `MAX_NICENESS`.
    """
    raise_niceness(least)
    if least and AUTOGROUP.exists():
        set_session_niceness(os.getpriority(os.PRIO_PROCESS, 0))


def set_session_niceness(
    niceness: int, write: Callable[[str], object] = AUTOGROUP.write_text, pause: float = PAUSE_SECONDS
) -> bool:
    """Set the niceness of the session of this process; return whether the kernel took it.

    Args:
        niceness: 0 to `MAX_NICENESS`.
        write: Writes it to the kernel; raises OSError where that is refused.
        pause: Seconds until the next attempt after EAGAIN.
    """
    refusal: OSError | None = None
    for attempt in range(ATTEMPTS):
        if attempt:
            time.sleep(pause)
        try:
            write(str(niceness))
            return True
        except BlockingIOError as error:  # EAGAIN
            refusal = error
        except OSError as error:
            refusal = error
            break
    logger.warning("the niceness of this session stays as it is: %s", refusal)
    return False
