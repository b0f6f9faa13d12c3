import errno
import fcntl
import logging
import os
import signal
import subprocess
import sys
import threading
import time

import filelock
import msgspec
import pytest

from social_jepa.storage.folder_lock import LEASE_SECONDS, FolderLock, Lease, LockHeldError
from social_jepa.system.process_identity import ProcessIdentity

HOLD = """
import errno, sys, time
from pathlib import Path
import filelock
from social_jepa.storage.folder_lock import FolderLock

class NoLocks:
    def __init__(self, *_, **__): pass
    def acquire(self): raise OSError(errno.ENOLCK, "No locks available")
    def release(self): pass

if sys.argv[2] == "lease":
    import social_jepa.storage.folder_lock as module
    module.FileLock, module.RENEW_SECONDS = NoLocks, 0.05
lock = FolderLock(Path(sys.argv[1]))
lock.acquire()
print("held", flush=True)
time.sleep(60)
"""


def without_locks(*_, **__):
    raise OSError(errno.ENOLCK, "No locks available")


@pytest.fixture(params=["lock", "lease"])
def mode(request, monkeypatch):
    """Test on a file system with locks, and on one that answers ENOLCK as some network file systems do."""
    if request.param == "lease":
        monkeypatch.setattr(filelock.FileLock, "acquire", without_locks)
    return request.param


@pytest.fixture
def holder(tmp_path, mode):
    """A process that holds the lock of a file."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / ".lock"), mode]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_process_is_refused_until_the_first_has_been_killed(tmp_path, holder, mode):
    lock = FolderLock(tmp_path / ".lock")

    with pytest.raises(LockHeldError) as refusal:
        lock.acquire()
    assert (f"process {holder.pid} on" in refusal.value.holder) == (mode == "lease")

    holder.send_signal(signal.SIGKILL)
    holder.wait()
    lock.acquire()
    lock.release()


@pytest.mark.parametrize("mode", ["lease"], indirect=True)
def test_a_process_whose_lease_was_taken_over_while_it_was_stopped_ends(tmp_path, holder, mode):
    """It may not go on beside the process that works in the folder now."""
    holder.send_signal(signal.SIGSTOP)
    lease_of_another_machine(tmp_path, 0.0)
    theirs = (tmp_path / ".lock.lease").read_bytes()
    holder.send_signal(signal.SIGCONT)

    assert holder.wait(20) == -signal.SIGTERM
    assert (tmp_path / ".lock.lease").read_bytes() == theirs


def test_a_released_lock_can_be_taken_again(tmp_path, mode):
    for _ in range(2):
        lock = FolderLock(tmp_path / ".lock")
        lock.acquire()
        lock.release()
        lock.release()  # without effect
    assert [path.name for path in tmp_path.iterdir() if "lease" in path.name] == []


def test_a_lease_is_logged_once_and_names_the_file_system(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(filelock.FileLock, "acquire", without_locks)
    locks = [FolderLock(tmp_path / name) for name in (".lock", ".command.lock")]
    with caplog.at_level(logging.WARNING):
        for lock in locks:
            lock.acquire()

    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path} is on a file system without locks: a lease in .lock.lease keeps other processes out"
    ]
    for lock in locks:
        lock.release()


def lease_of_another_machine(tmp_path, age):
    mine = ProcessIdentity.of(os.getpid())
    other = msgspec.structs.replace(
        mine, machine=msgspec.structs.replace(mine.machine, host="other", boot="other")
    )
    lease = tmp_path / ".lock.lease"
    lease.write_bytes(msgspec.json.encode(other))
    os.utime(lease, (time.time() - age,) * 2)


@pytest.mark.parametrize("age", [0.0, 2 * LEASE_SECONDS])
def test_a_lease_of_another_machine_holds_while_it_is_renewed(tmp_path, monkeypatch, age):
    monkeypatch.setattr(filelock.FileLock, "acquire", without_locks)
    lease_of_another_machine(tmp_path, age)
    lock = FolderLock(tmp_path / ".lock")

    if age < LEASE_SECONDS:
        with pytest.raises(LockHeldError, match="on other"):
            lock.acquire()
    else:
        lock.acquire()
        lock.release()


def test_the_age_of_a_lease_is_told_by_the_clock_of_its_file_system(tmp_path, monkeypatch):
    monkeypatch.setattr(filelock.FileLock, "acquire", without_locks)
    lease_of_another_machine(tmp_path, 0.0)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 10 * LEASE_SECONDS)  # this machine's clock is ahead

    with pytest.raises(LockHeldError, match="on other"):
        FolderLock(tmp_path / ".lock").acquire()
    assert {path.name for path in tmp_path.iterdir()} <= {".lock", ".lock.lease"}


@pytest.mark.parametrize("leased", [False, True])
def test_to_ask_for_a_lock_writes_nothing(tmp_path, leased):
    if leased:
        lease_of_another_machine(tmp_path, 0.0)
    os.utime(tmp_path, (1e9, 1e9))

    assert FolderLock(tmp_path / ".lock").is_held() == leased
    assert tmp_path.stat().st_mtime == 1e9


def test_a_lock_is_taken_while_another_process_asks_whether_it_is_held(tmp_path):
    lock = FolderLock(tmp_path / ".lock")
    lock.acquire()  # makes the file
    lock.release()
    with (tmp_path / ".lock").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        asked = threading.Timer(0.02, fcntl.flock, (file, fcntl.LOCK_UN))
        asked.start()
        lock.acquire()
        asked.join()
    lock.release()


def test_other_errors_of_the_file_system_are_not_taken_for_missing_locks(tmp_path):
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(OSError, match=r"Not a directory|File exists"):
        FolderLock(file / ".lock").acquire()


def test_two_processes_that_find_the_same_dead_holder_do_not_both_get_its_lease(tmp_path, monkeypatch):
    lease_of_a_dead_process(tmp_path)
    first, second = Lease(tmp_path / ".lock.lease"), Lease(tmp_path / ".lock.lease")
    take_away = second._take_away

    def take_away_late():
        if not first_has_it:
            first.acquire()
            first_has_it.append(True)
        take_away()

    first_has_it = []
    monkeypatch.setattr(second, "_take_away", take_away_late)
    with pytest.raises(LockHeldError):
        second.acquire()
    assert first._is_mine()
    first.release()


def lease_of_a_dead_process(tmp_path):
    mine = ProcessIdentity.of(os.getpid())
    dead = msgspec.structs.replace(mine, started=mine.started - 1)
    (tmp_path / ".lock.lease").write_bytes(msgspec.json.encode(dead))


def test_a_lease_that_another_process_has_taken_over_is_not_given_up(tmp_path):
    lease = Lease(tmp_path / ".lock.lease")
    lease.acquire()
    lease_of_another_machine(tmp_path, 0.0)

    lease.release()

    assert lease.path.exists()


def test_any_thread_may_release_a_lock(tmp_path):
    lock = FolderLock(tmp_path / ".lock")
    lock.acquire()
    thread = threading.Thread(target=lock.release)
    thread.start()
    thread.join()

    FolderLock(tmp_path / ".lock").acquire()
