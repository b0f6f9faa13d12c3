"""What this machine offers a run: CPUs, and whether a port is open."""

import os
import socket
from pathlib import Path


def is_listening(address: str, seconds: float = 2.0) -> bool:
    """Return whether a port is open at host:port or ray://host:port."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=seconds).close()
    except (OSError, ValueError, OverflowError):  # OverflowError: a port above 65535
        return False
    return True


def usable_cpus() -> int:
    """Return the number of CPUs that this process may use.

    Neither the affinity mask nor psutil knows a container's quota.
    """
    cpus = len(os.sched_getaffinity(0))
    quota = Path("/sys/fs/cgroup/cpu.max")
    share, _, period = quota.read_text().partition(" ") if quota.is_file() else ("max", "", "")
    return cpus if share == "max" else max(1, min(cpus, int(share) // int(period)))
