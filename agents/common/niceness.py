"""Niceness of a process: how much all of its threads give way to other programs."""

import os
import sys
from pathlib import Path

MAX_NICENESS = 19
AUTOGROUP = Path("/proc/self/autogroup")
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
    its session alone, and that of the session beside others.

    Args:
        least: 0 to `MAX_NICENESS`.
    """
    raise_niceness(least)
    if least and AUTOGROUP.exists():
        AUTOGROUP.write_text(str(os.getpriority(os.PRIO_PROCESS, 0)), encoding="ascii")
