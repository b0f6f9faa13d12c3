"""A Ray of our own that outlives the command that started it, and ends without a trace."""

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from social_jepa.doctor import is_listening

START_TIMEOUT = 60.0  # seconds that Ray may take to open its port
STOP_TIMEOUT = 5.0  # seconds between asking its processes to end and ending them
OBJECT_STORE = 120_000_000  # bytes; only small things travel


class LocalRayError(RuntimeError):
    """Ray did not start; the text says where it wrote why."""


@dataclass(frozen=True)
class LocalRay:
    """A Ray head that we started.

    Attributes:
        session: Session of the operating system that all of its processes belong to, workers as well.
        address: host:port to join.
    """

    session: int
    address: str


def start_local_ray(cores: int, log: Path, settings: dict[str, str]) -> LocalRay:
    """Start Ray in a session of its own and return once its port is open.

    Raises:
        HeadError: It did not start.
    """
    port, client = _free_ports(2)
    command = [
        sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", f"--port={port}",
        f"--num-cpus={cores}", "--include-dashboard=false",
        f"--object-store-memory={OBJECT_STORE}", "--disable-usage-stats", "--node-ip-address=127.0.0.1",
    ]  # fmt: skip
    if importlib.util.find_spec("grpc"):  # only then is there a Ray Client, whose usual port may be taken
        command.append(f"--ray-client-server-port={client}")
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
            start_new_session=True, env={**os.environ, **settings},
        )  # fmt: skip
    address, until = f"127.0.0.1:{port}", time.monotonic() + START_TIMEOUT
    try:
        while not is_listening(address, 0.2):
            if process.poll() is not None or time.monotonic() > until:
                raise LocalRayError(
                    f"Ray did not start: {log} says why; social-jepa doctor checks what it needs"
                )
            time.sleep(0.05)
    except BaseException:  # Ctrl-C too: it is in a session of its own and would stay
        stop_local_ray(process.pid)
        raise
    return LocalRay(process.pid, address)


def stop_local_ray(session: int) -> None:
    """End every process of a session: first politely, then for good."""
    for signal_, patience in ((signal.SIGTERM, STOP_TIMEOUT), (signal.SIGKILL, STOP_TIMEOUT)):
        until = time.monotonic() + patience
        for pid in processes_of(session):
            try:
                os.kill(pid, signal_)
            except ProcessLookupError:
                continue
        while processes_of(session) and time.monotonic() < until:
            time.sleep(0.05)


def processes_of(session: int) -> list[int]:
    """Return the processes of a session that are not already dead."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            # the command may hold spaces and parentheses: what follows the last one is numbers
            state, _, _, own = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
        except (OSError, ValueError):
            continue
        if int(own) == session and state != "Z":
            found.append(int(folder.name))
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
