"""A local Ray that outlives the command that started it, and can be ended completely."""

from agents.common.ray_environment import RAY_SETTINGS

import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from social_jepa.runtime import session_leader
from social_jepa.runtime.errors import LocalRayError
from social_jepa.runtime.session_leader import (
    KEEP,
    SESSION_VARIABLE,
    end_processes,
    members_of,
    temporary_folder,
)
from social_jepa.system.process_identity import Presence, ProcessIdentity

logger = logging.getLogger(__name__)

STOP_TIMEOUT = 20.0  # seconds that the leader of a session may take to end it
ORPHAN_TIMEOUT = 5.0  # seconds between SIGTERM and SIGKILL, and after SIGKILL
POLL_SECONDS = 0.05


@dataclass
class LocalRay:
    """A Ray head node that ends with this process, or with `stop`, until `keep` is called.

    Attributes:
        address: host:port to join.
        leader: Process that owns it, and leads the session of the operating system that all of it runs in.
        session: Value of `SESSION_VARIABLE` in its processes.
        kept: Whether `keep` was called.
    """

    address: str
    leader: ProcessIdentity
    session: str
    _process: subprocess.Popen[bytes] = field(repr=False)
    kept: bool = field(default=False, init=False)

    def keep(self) -> None:
        """Have it outlive this process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self.kept = True
        self._process.stdin.write(KEEP)
        self._process.stdin.close()
        self._process.stdout.close()
        threading.Thread(target=self._process.wait, daemon=True).start()  # else it would stay as a zombie

    def stop(self) -> None:
        """End it and all of its processes."""
        _stop(self._process, self.session)


def start_local_ray(folder: Path, cpus: int, nice: int = 0) -> LocalRay:
    """Start a Ray that no other program of this machine finds, in an operating-system session of its own.

    Args:
        folder: Run folder that it is for; its output goes to ray.log there.
        cpus: CPUs that Ray may assign.
        nice: Least niceness of its processes.

    Raises:
        LocalRayError: It did not start.
    """
    session, log = uuid.uuid4().hex, folder / "ray.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", session_leader.__name__, str(folder), str(cpus), str(nice)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=file, start_new_session=True,
            env={**RAY_SETTINGS, **os.environ, SESSION_VARIABLE: session},
        )  # fmt: skip
    try:
        assert process.stdout is not None
        word, _, address = process.stdout.readline().decode().strip().partition(" ")
        if word != "address":
            raise LocalRayError(log)
        leader = ProcessIdentity.of(process.pid)
    except BaseException as error:  # Ctrl-C too: it is in a session of its own and would stay
        _stop(process, session)
        if isinstance(error, LookupError):
            raise LocalRayError(log) from error
        raise
    logger.info("started Ray at %s, session %d", address, process.pid)
    return LocalRay(address, leader, session, process)


def _stop(process: subprocess.Popen[bytes], session: str) -> None:
    """End a leader of this process, and through it all of its session."""
    process.terminate()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()
    try:
        process.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    _end_orphans(process.pid, session)


def stop_local_ray(leader: ProcessIdentity, session: str) -> None:
    """End the local Ray of another command, also where its leader has died; no other process is touched.

    Args:
        leader: Its leader.
        session: Value of `SESSION_VARIABLE` in its processes.
    """
    if leader.presence() is Presence.RUNNING:
        leader.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_TIMEOUT
        while leader.presence() is Presence.RUNNING and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
    if leader.machine.is_here and session:
        _end_orphans(leader.pid, session)


def _end_orphans(number: int, session: str) -> None:
    """End what is left of a session whose leader has ended, or does not end it in time."""
    end_processes(lambda: _members(number, session), ORPHAN_TIMEOUT)
    if not _members(number, session):  # their open files tell that they belong to it
        shutil.rmtree(temporary_folder(session), ignore_errors=True)
    logger.info("stopped the processes of session %d", number)


def processes_of(leader: ProcessIdentity, session: str) -> list[psutil.Process]:
    """Return the processes of a local Ray, its leader included, zombies excluded; none of another machine.

    The number of a session is given again once all of its processes have ended. So the environment of a
    process decides, or its open files, where its title has overwritten its environment, as in Ray's agents.
    """
    if not leader.machine.is_here:
        return []
    return _members(leader.pid, session)


def _members(number: int, session: str) -> list[psutil.Process]:
    return [process for process in members_of(number) if _belongs(process, session)]


def _belongs(process: psutil.Process, session: str) -> bool:
    folder = str(temporary_folder(session)) + os.sep
    try:
        if environ := process.environ():
            return environ.get(SESSION_VARIABLE) == session
        return any(file.path.startswith(folder) for file in process.open_files())
    except (psutil.Error, OSError):
        return False
