import os
import signal
import subprocess
import sys
import time

import pytest

from social_jepa.runtime import local_ray
from social_jepa.runtime.errors import LocalRayError
from social_jepa.runtime.local_ray import processes_of, start_local_ray, stop_local_ray
from tests.support.command import alive

WITH_CHILDREN = "import subprocess, time; [subprocess.Popen(['sleep', '60']) for _ in '123']; time.sleep(60)"
IGNORES_SIGTERM = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(60)
"""


@pytest.fixture
def start_session():
    """Start programs as leaders of new sessions, and kill those sessions at teardown."""
    started = []

    def start(code, **options):
        process = subprocess.Popen([sys.executable, "-c", code], start_new_session=True, **options)
        started.append(process)
        return process

    yield start
    for process in started:
        for pid in processes_of(process.pid):
            os.kill(pid, signal.SIGKILL)
        process.wait()


def wait_until(ready):
    until = time.monotonic() + 20
    while not ready():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_the_processes_of_a_session_are_its_leader_and_its_descendants(start_session):
    mine, other = start_session(WITH_CHILDREN), start_session("import time; time.sleep(60)")
    wait_until(lambda: len(processes_of(mine.pid)) == 4)

    assert mine.pid in processes_of(mine.pid)
    assert processes_of(other.pid) == [other.pid]
    assert not set(processes_of(mine.pid)) & {other.pid, os.getpid()}
    assert processes_of(2**22) == []


def test_stopping_a_session_ends_its_processes_and_no_others(start_session):
    mine, other = start_session(WITH_CHILDREN), start_session("import time; time.sleep(60)")
    wait_until(lambda: len(processes_of(mine.pid)) == 4)
    family = processes_of(mine.pid)

    stop_local_ray(mine.pid)

    assert not [pid for pid in family if alive(pid)]
    assert alive(other.pid)
    stop_local_ray(mine.pid)  # a second call finds no process


def test_orphans_of_a_dead_leader_are_ended_too(start_session):
    mine = start_session(WITH_CHILDREN)
    wait_until(lambda: len(processes_of(mine.pid)) == 4)
    family = processes_of(mine.pid)
    mine.kill()
    mine.wait()
    assert len(processes_of(mine.pid)) == 3

    stop_local_ray(mine.pid)

    assert not [pid for pid in family if alive(pid)]


def test_a_process_that_ignores_sigterm_is_killed(start_session, monkeypatch):
    monkeypatch.setattr(local_ray, "STOP_TIMEOUT", 0.3)
    mine = start_session(IGNORES_SIGTERM, stdout=subprocess.PIPE, text=True)
    assert mine.stdout.readline() == "ready\n"

    stop_local_ray(mine.pid)

    assert mine.wait(10) == -signal.SIGKILL
    mine.stdout.close()


def test_a_ray_that_does_not_start_raises_an_error_with_its_log_file(tmp_path, monkeypatch):
    monkeypatch.setattr(local_ray.sys, "executable", "/bin/false")
    with pytest.raises(LocalRayError, match=r"^Ray did not start: .*ray\.log says why$") as error:
        start_local_ray(1, tmp_path / "deep" / "ray.log", {})

    assert error.value.log == tmp_path / "deep" / "ray.log"
    assert error.value.log.exists()
