"""A local Ray that outlives the command that started it, and can be ended completely."""

import importlib.util
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from social_jepa.runtime.errors import LocalRayError
from social_jepa.system.machine import is_listening

logger = logging.getLogger(__name__)

START_TIMEOUT = 60.0  # seconds that Ray may take to open its port
STOP_TIMEOUT = 5.0  # seconds between SIGTERM and SIGKILL, and after SIGKILL
OBJECT_STORE = 120_000_000  # bytes; only small objects are passed


@dataclass(frozen=True)
class LocalRay:
    """A Ray head node that `start_local_ray` started.

    Attributes:
        session: Session of the operating system that all of its processes belong to, workers as well.
        address: host:port to join.
    """

    session: int
    address: str


def start_local_ray(cpus: int, log: Path, settings: dict[str, str]) -> LocalRay:
    """Start Ray in a new session and return once its port is open.

    Args:
        cpus: CPUs that Ray may assign.
        log: File for Ray's output.
        settings: Environment variables of its processes.

    Raises:
        LocalRayError: It did not start.
    """
    port, client_port = _free_ports(2)
    command = [
        sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", f"--port={port}",
        f"--num-cpus={cpus}", "--include-dashboard=false",
        f"--object-store-memory={OBJECT_STORE}", "--disable-usage-stats", "--node-ip-address=127.0.0.1",
    ]  # fmt: skip
    if importlib.util.find_spec("grpc"):  # only then is there a Ray Client, whose default port may be taken
        command.append(f"--ray-client-server-port={client_port}")
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
            start_new_session=True, env={**os.environ, **settings},
        )  # fmt: skip
    address, deadline = f"127.0.0.1:{port}", time.monotonic() + START_TIMEOUT
    try:
        while not is_listening(address, 0.2):
            if process.poll() is not None or time.monotonic() > deadline:
                raise LocalRayError(log)
            time.sleep(0.05)
    except BaseException:  # Ctrl-C too: the process is in a session of its own and would stay
        stop_local_ray(process.pid)
        raise
    logger.info("started Ray at %s, session %d", address, process.pid)
    return LocalRay(process.pid, address)


def stop_local_ray(session: int) -> None:
    """End every process of a session: SIGTERM first, then SIGKILL.

    psutil.wait_procs waits for a fixed list of processes; a session may gain some while it ends, so the
    list is read again on every poll.
    """
    for signal_number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + STOP_TIMEOUT
        for pid in processes_of(session):
            try:
                os.kill(pid, signal_number)
            except ProcessLookupError:
                continue
        while processes_of(session) and time.monotonic() < deadline:
            time.sleep(0.05)
    logger.info("stopped the processes of session %d", session)


def processes_of(session: int) -> list[int]:
    """Return the pids of a session's processes, zombies excluded."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except (psutil.Error, OSError):  # it has ended, or belongs to another user
            continue
    return found


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
