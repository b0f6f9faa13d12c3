"""What this machine grants a run: CPUs, memory and processes, and whether a port is open.

Granted, not built in: an affinity mask and control groups may allow less than there is.
"""

import os
import socket
from collections.abc import Mapping
from pathlib import Path

from social_jepa.system import cgroups

ROOT = Path("/")


def is_listening(address: str, seconds: float = 2.0) -> bool:
    """Return whether a port is open at host:port or ray://host:port."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=seconds).close()
    except (OSError, ValueError, OverflowError):  # OverflowError: a port above 65535
        return False
    return True


def ray_folder(environ: Mapping[str, str] = os.environ) -> str:
    """Return the folder that a local Ray creates its temporary folder in."""
    return environ.get("RAY_TMPDIR") or "/tmp"


def usable_cpus(root: Path = ROOT) -> int:
    """Return the number of CPUs that this process may use, at least 1.

    Args:
        root: Folder that holds proc and sys.
    """
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only; a cpuset narrows it too
    cpus = len(affinity(0)) if affinity else os.cpu_count() or 1
    quota = cgroups.cpu_quota(root)
    return cpus if quota is None else max(1, min(cpus, int(quota)))


def memory_limit(root: Path = ROOT) -> int:
    """Return bytes of memory that this process, and those beside it in its control groups, may hold."""
    import psutil  # here, so that doctor can report that it is missing

    total: int = psutil.virtual_memory().total
    limit = cgroups.memory_limit(root)
    return total if limit is None else min(total, limit)


def available_memory(root: Path = ROOT) -> int:
    """Return bytes of memory that can be had now without swapping or reaching a limit."""
    import psutil

    free: int = psutil.virtual_memory().available
    left = cgroups.memory_left(root)
    return free if left is None else min(free, left)
