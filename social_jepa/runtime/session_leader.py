"""The process that owns a local Ray: it starts the head node and ends every process of it.

It leads an operating-system session, which all processes of that Ray belong to. Its standard input is a pipe
from the program that starts it. Until that program writes `KEEP`, the Ray ends with the program, however it
ends; afterwards it runs until SIGTERM. Its standard output says ``address <host:port>`` once Ray is ready, or
closes. Importing this loads no Ray.
"""

import contextlib
import importlib.util
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import psutil

from agents.common.niceness import raise_session_niceness
from social_jepa.runtime.control import RESTART_TIMEOUT, ControlClient, is_listening, socket_path
from social_jepa.runtime.errors import ClusterError
from social_jepa.system import machine

KEEP = b"keep\n"
SESSION_VARIABLE = "SOCIAL_JEPA_SESSION"  # in the environment of every process of a local Ray
START_TIMEOUT = 180.0  # seconds that Ray's node may take to register; minutes on a crowded machine
REGISTERED = (
    "registered"  # file of its temporary folder that `private_ray` writes once the node has registered
)
START_ATTEMPTS = 3  # another program may take a port between its choice and its use
STOP_TIMEOUT = 1.0  # seconds between SIGTERM and SIGKILL: Ray has nothing to save
SAVE_TIMEOUT = 90.0  # seconds for agents to save, after the program that owns the Ray has ended
POLL_SECONDS = 0.05
OBJECT_STORE = 120_000_000  # bytes; only small objects are passed


class SessionLeader:
    """Owner of one local Ray.

    Attributes:
        folder: Run folder that it is for.
        cpus: CPUs that Ray may assign.
        nice: Least niceness of this process and all that it starts.
    """

    def __init__(self, folder: Path, cpus: int, nice: int = 0) -> None:
        """Prepare; `run` starts Ray."""
        self.folder, self.cpus, self.nice = folder, cpus, nice
        self._ended = False
        self._ray: subprocess.Popen[bytes] | None = None

    def run(self) -> None:
        """Start Ray, wait for its end, and end what remains of it."""
        raise_session_niceness(self.nice)
        signal.signal(signal.SIGTERM, self._on_signal)
        for name in (signal.SIGINT, signal.SIGHUP):
            signal.signal(name, signal.SIG_IGN)
        temporary = temporary_folder(os.environ[SESSION_VARIABLE])
        temporary.mkdir(mode=0o700)
        try:
            address = self._start(temporary)
            if address:
                sys.stdout.write(f"address {address}\n")
                sys.stdout.flush()
                self._wait()
        finally:
            self._end_processes()
            shutil.rmtree(temporary, ignore_errors=True)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._ended = True

    def _start(self, temporary: Path) -> str:
        """Start Ray and return its address; empty if it does not start."""
        for _ in range(START_ATTEMPTS):
            port, client_port = _free_ports(2)
            self._ray = subprocess.Popen(
                _command(temporary, self.cpus, port, client_port), stdin=subprocess.DEVNULL, stdout=sys.stderr
            )
            deadline = time.monotonic() + START_TIMEOUT
            while self._ray.poll() is None and not self._should_end() and time.monotonic() < deadline:
                if (temporary / REGISTERED).exists() and machine.is_listening(f"127.0.0.1:{port}", 0.2):
                    return f"127.0.0.1:{port}"
                time.sleep(POLL_SECONDS)
            if self._should_end():
                return ""
            self._end_processes()
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(mode=0o700)
        return ""

    def _should_end(self) -> bool:
        """Return whether SIGTERM came, or the program that starts this one has ended."""
        readable, _, _ = select.select([sys.stdin.fileno()], [], [], 0)
        return self._ended or bool(readable)  # nothing is written to it before Ray has started

    def _wait(self) -> None:
        """Return when Ray has ended, on SIGTERM, or when the owning program has ended and all is saved."""
        kept = False
        while not self._ended and self._ray is not None and self._ray.poll() is None:
            readable, _, _ = select.select([] if kept else [sys.stdin.fileno()], [], [], 0.2)
            if not readable:
                continue
            if os.read(sys.stdin.fileno(), len(KEEP)) != KEEP:
                if not self._ended:
                    self._save_agents()
                return
            kept = True

    def _save_agents(self) -> None:
        path, deadline = socket_path(self.folder), time.monotonic() + RESTART_TIMEOUT
        while path.exists() and not is_listening(path) and time.monotonic() < deadline and not self._ended:
            time.sleep(POLL_SECONDS)
        if is_listening(path):
            with contextlib.suppress(ClusterError, ValueError, LookupError):
                ControlClient(path).call("stop", "the command that ran it has ended", timeout=SAVE_TIMEOUT)

    def _end_processes(self) -> None:
        """End every other process of this session."""
        end_processes(self._others, STOP_TIMEOUT)

    def _others(self) -> list[psutil.Process]:
        if self._ray is not None:
            self._ray.poll()  # reaps it
        return [each for each in members_of(os.getpid()) if each.pid != os.getpid()]


def temporary_folder(session: str) -> Path:
    """Return the folder of a local Ray; short, since the path of a socket may have 107 bytes."""
    return Path(machine.ray_folder()) / f"sj-{session[:8]}"


def end_processes(find: Callable[[], list[psutil.Process]], timeout: float) -> None:
    """Send SIGTERM, and then SIGKILL, to processes until none is left.

    Args:
        find: Returns those that are left; called again and again, since one may start another meanwhile.
        timeout: Seconds to go on with each of the two signals.
    """
    for signal_number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + timeout
        while (left := find()) and time.monotonic() < deadline:
            for process in left:
                with contextlib.suppress(psutil.Error):
                    process.send_signal(signal_number)
            time.sleep(POLL_SECONDS)


def members_of(session: int) -> list[psutil.Process]:
    """Return the processes of an operating-system session, zombies excluded."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, OSError):  # it has ended, or belongs to another user
            continue
    return found


def _command(temporary: Path, cpus: int, port: int, client_port: int) -> list[str]:
    command = [
        sys.executable, "-m", "social_jepa.runtime.private_ray", str(temporary), f"--port={port}",
        f"--num-cpus={cpus}", "--include-dashboard=false", f"--object-store-memory={OBJECT_STORE}",
        "--disable-usage-stats", "--node-ip-address=127.0.0.1",
        "--no-monitor",  # of the autoscaler, which has no nodes to add
        "--include-log-monitor=false",  # it prints what workers print in drivers, of which none stays
    ]  # fmt: skip
    if importlib.util.find_spec("grpc"):  # only then is there a Ray Client, whose default port may be taken
        command.append(f"--ray-client-server-port={client_port}")
    return command


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


if __name__ == "__main__":
    SessionLeader(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])).run()
