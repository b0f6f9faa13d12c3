"""Exclusive use of a folder: a lock of the operating system, or, where the file system has none, a lease."""

import contextlib
import errno
import fcntl
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from filelock import FileLock, Timeout

from social_jepa.system.process_identity import Presence, ProcessIdentity

logger = logging.getLogger(__name__)

LEASE_SECONDS = 30.0  # age at which the lease of a holder on another machine counts as given up
ASKING_SECONDS = 0.2  # in which `FolderLock.is_held` of another process gives a lock up again
RENEW_SECONDS = 5.0  # between two renewals of a lease
_without_locks: set[Path] = set()  # folders of which that was logged
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL)


class LockHeldError(Exception):
    """Another process holds the lock.

    Attributes:
        holder: Description of that process; empty where the operating system does not tell.
    """

    def __init__(self, holder: str = "") -> None:
        super().__init__(holder)
        self.holder = holder


class FolderLock:
    """A lock file in a folder; the lock ends with the process that holds it.

    On a file system without locks the file holds a lease: the identity of its holder, which renews it every
    `RENEW_SECONDS`. A second process takes the lease over when the holder has ended, or, where that cannot be
    seen, when it has not been renewed for `LEASE_SECONDS`.
    """

    def __init__(self, path: Path) -> None:
        """Prepare a lock on a file, which need not exist."""
        self._path = path
        # any thread may release it; a fallback to the mere existence of a file would outlive its holder
        self._lock = FileLock(
            path, timeout=ASKING_SECONDS, poll_interval=ASKING_SECONDS / 10, thread_local=False,
            fallback_to_soft=False,
        )  # fmt: skip
        self._lease: Lease | None = None

    def acquire(self) -> None:
        """Take the lock; where a process holds it for longer than asking whether it is held takes, fail.

        Raises:
            LockHeldError: Another process holds it.
            OSError: The file cannot be written.
        """
        try:
            self._lock.acquire()
        except Timeout:
            raise LockHeldError from None
        except NotImplementedError:
            self._acquire_lease()
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            self._acquire_lease()

    def is_held(self) -> bool:
        """Return whether a process holds the lock; nothing is written, and no holder is disturbed."""
        lease = Lease(self._path.with_name(self._path.name + ".lease"))
        if lease.is_held():
            return True
        try:
            with self._path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # given up when the file is closed
        except BlockingIOError:
            return True
        except OSError:  # there is no such file, or it cannot be read
            return False
        return False

    def _acquire_lease(self) -> None:
        lease = Lease(self._path.with_name(self._path.name + ".lease"))
        lease.acquire()
        self._lease = lease
        if self._path.parent in _without_locks:  # a command takes several locks of a folder
            return
        _without_locks.add(self._path.parent)
        logger.warning(
            "%s is on a file system without locks: a lease in %s keeps other processes out",
            self._path.parent, lease.path.name,
        )  # fmt: skip

    def release(self) -> None:
        """Give the lock up; without effect where it is not held."""
        if self._lease is not None:
            self._lease.release()
            self._lease = None
        self._lock.release()


class Lease:
    """A file that names its holder; its modification time says when the holder last renewed it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._mine = ProcessIdentity.of(os.getpid())
        self._released = threading.Event()

    def is_held(self) -> bool:
        """Return whether a process holds the lease."""
        try:
            return self._holder(now=time.time) is not None
        except (LockHeldError, OSError):
            return self.path.exists()

    def acquire(self) -> None:
        """Take the lease and keep renewing it on a thread.

        Raises:
            LockHeldError: Another process holds it.
        """
        while not self._create():
            holder = self._holder()
            if holder is not None:
                raise LockHeldError(f"process {holder.pid} on {holder.machine.host}")
            self._take_away()
        threading.Thread(target=self._renew, daemon=True).start()

    def _take_away(self) -> None:
        """Remove the lease of a holder that has ended; one that was made meanwhile is put back."""
        taken = self.path.with_name(f"{self.path.name}.{os.getpid()}.old")
        with contextlib.suppress(FileNotFoundError):
            self.path.rename(taken)
            if self._holder(taken) is not None:
                with contextlib.suppress(FileExistsError):
                    os.link(taken, self.path)
            taken.unlink()

    def _create(self) -> bool:
        """Create the file with its content at once: a reader never sees half of it."""
        draft = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        draft.write_bytes(msgspec.json.encode(self._mine))
        try:
            os.link(draft, self.path)
        except FileExistsError:
            return False
        except OSError:  # no hard links either
            return self._create_exclusively()
        finally:
            draft.unlink()
        return True

    def _create_exclusively(self) -> bool:
        try:
            with self.path.open("xb") as file:
                file.write(msgspec.json.encode(self._mine))
        except FileExistsError:
            return False
        return True

    def _holder(
        self, path: Path | None = None, now: Callable[[], float] | None = None
    ) -> ProcessIdentity | None:
        """Return the process that holds the lease, or None if it may be taken over.

        Args:
            path: File of the lease.
            now: Tells the time that ages are measured by; by default that of the file system, for which a
                file is made.
        """
        path = path or self.path
        try:
            modified = path.stat().st_mtime
            holder = msgspec.json.decode(path.read_bytes(), type=ProcessIdentity)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError:
            raise LockHeldError(f"{path} cannot be read") from None
        presence = holder.presence()
        given_up = (
            presence is Presence.ELSEWHERE and (now or self._file_system_time)() - modified > LEASE_SECONDS
        )
        return None if presence is Presence.ENDED or given_up else holder

    def _file_system_time(self) -> float:
        """Return the time of the file server, which sets the times of files: this clock may be another."""
        probe = self.path.with_name(f"{self.path.name}.{os.getpid()}.now")
        try:
            probe.touch()
            return probe.stat().st_mtime
        except OSError:
            return time.time()
        finally:
            with contextlib.suppress(OSError):
                probe.unlink()

    def _renew(self) -> None:
        while not self._released.wait(RENEW_SECONDS):
            with contextlib.suppress(OSError):
                if not self._is_mine():  # this process was stopped for so long that another took it over
                    logger.error("%s belongs to another process: this one ends", self.path)
                    os.kill(os.getpid(), signal.SIGTERM)
                    return
                os.utime(self.path)

    def _is_mine(self) -> bool:
        return self.path.read_bytes() == msgspec.json.encode(self._mine)

    def release(self) -> None:
        """Give the lease up, unless another process has taken it over."""
        self._released.set()
        with contextlib.suppress(OSError):
            if self._is_mine():
                self.path.unlink()
