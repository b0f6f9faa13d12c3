"""Which process a record means: a process id alone is reused, and counts differently in every container."""

import contextlib
import functools
import os
import signal
import socket
from enum import Enum
from pathlib import Path

import psutil
from msgspec import Struct

PROC = Path("/proc")
MACHINE_ID_FILES = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))


class Presence(Enum):
    """What this process can say about another one."""

    RUNNING = "running"
    ENDED = "ended"
    ELSEWHERE = "elsewhere"  # on another host or in another pid namespace, where nothing can be said


class MachineIdentity(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One boot of one machine, and the pid namespace (container) that numbers its processes.

    Attributes:
        host: Host name.
        machine: Content of /etc/machine-id; empty where there is none.
        boot: Id of the boot; process ids of another boot mean nothing.
        pid_namespace: Id of the pid namespace; empty where there are none.
    """

    host: str
    machine: str
    boot: str
    pid_namespace: str

    @classmethod
    @functools.cache
    def current(cls) -> "MachineIdentity":
        """Return that of this process, as it was when first asked."""
        return cls(
            host=socket.gethostname(), machine=_machine_id(), boot=_boot_id(), pid_namespace=_pid_namespace()
        )

    @property
    def is_here(self) -> bool:
        """Whether process ids of this machine and namespace are those that this process sees."""
        now = MachineIdentity.current()
        if self.pid_namespace:  # a boot has its own id there, whatever the machine is called meanwhile
            return (self.boot, self.pid_namespace) == (now.boot, now.pid_namespace)
        return self == now

    @property
    def has_rebooted(self) -> bool:
        """Whether this is an earlier boot of the machine that this process runs on."""
        now = MachineIdentity.current()
        return (self.host, self.machine) == (now.host, now.machine) and self.boot != now.boot


class ProcessIdentity(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One process, so that no other process is taken for it.

    Attributes:
        machine: Where it runs.
        pid: Its process id there.
        started: When it started, as the kernel counts (`_start_time`).
        command: Its command line.
    """

    machine: MachineIdentity
    pid: int
    started: float
    command: tuple[str, ...]

    @classmethod
    def of(cls, pid: int) -> "ProcessIdentity":
        """Return that of a process of this machine.

        Raises:
            LookupError: There is no such process.
        """
        try:
            command = tuple(psutil.Process(pid).cmdline())
            return cls(machine=MachineIdentity.current(), pid=pid, started=_start_time(pid), command=command)
        except (psutil.Error, OSError) as error:
            raise LookupError(pid) from error

    def presence(self) -> Presence:
        """Return whether exactly this process runs; a zombie has ended."""
        if not self.machine.is_here:
            return Presence.ENDED if self.machine.has_rebooted else Presence.ELSEWHERE
        with contextlib.suppress(LookupError, psutil.Error):
            found = ProcessIdentity.of(self.pid)
            same = (found.started, found.command) == (self.started, self.command)
            if same and psutil.Process(self.pid).status() != psutil.STATUS_ZOMBIE:
                return Presence.RUNNING
        return Presence.ENDED

    def send_signal(self, number: int) -> None:
        """Send a signal to this process if it runs, and to no other one."""
        with contextlib.suppress(ProcessLookupError):
            if not hasattr(os, "pidfd_open"):  # not Linux
                if self.presence() is Presence.RUNNING:
                    os.kill(self.pid, number)
                return
            descriptor = os.pidfd_open(self.pid)  # means this process, even when its number is given again
            try:
                if self.presence() is Presence.RUNNING:
                    signal.pidfd_send_signal(descriptor, number)
            finally:
                os.close(descriptor)


def _start_time(pid: int) -> float:
    """Return when a process started: clock ticks since boot on Linux, else seconds since 1970.

    psutil adds the boot time, which moves whenever the clock is set.
    """
    stat = PROC / str(pid) / "stat"
    if stat.exists():
        return float(stat.read_bytes().rpartition(b")")[2].split()[19])
    started: float = psutil.Process(pid).create_time()
    return started


def _boot_id() -> str:
    with contextlib.suppress(OSError):
        return (PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{psutil.boot_time():.0f}"


def _machine_id() -> str:
    for path in MACHINE_ID_FILES:
        with contextlib.suppress(OSError, UnicodeDecodeError):
            return path.read_text(encoding="ascii").strip()
    return ""


def _pid_namespace() -> str:
    with contextlib.suppress(OSError):
        return str((PROC / "self/ns/pid").readlink())
    return ""
