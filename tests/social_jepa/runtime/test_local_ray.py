import os
import signal
import subprocess
import sys
import time

import pytest

from social_jepa.runtime import local_ray
from social_jepa.runtime.local_ray import LocalRayError, processes_of, start_local_ray, stop_local_ray
from tests.support.command import alive

FAMILY = "import subprocess, time; [subprocess.Popen(['sleep', '60']) for _ in range(3)]; time.sleep(60)"
STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
time.sleep(60)
"""


@pytest.fixture
def begin():
    """Start a program as the leader of a session of its own, and end all of them in the end."""
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


def test_the_processes_of_a_session_are_its_leader_and_all_that_it_started(begin):
    mine, other = begin(FAMILY), begin("import time; time.sleep(60)")
    wait_until(lambda: len(processes_of(mine.pid)) == 4)

    assert mine.pid in processes_of(mine.pid)
    assert processes_of(other.pid) == [other.pid]
    assert not set(processes_of(mine.pid)) & {other.pid, os.getpid()}
    assert processes_of(2**22) == []


def test_ending_a_session_ends_all_of_it_and_nothing_else(begin):
    mine, other = begin(FAMILY), begin("import time; time.sleep(60)")
    wait_until(lambda: len(processes_of(mine.pid)) == 4)
    family = processes_of(mine.pid)

    stop_local_ray(mine.pid)

    assert not [pid for pid in family if alive(pid)]
    assert alive(other.pid)
    stop_local_ray(mine.pid)  # again: nobody is left to end


def test_orphans_of_a_dead_leader_are_ended_too(begin):
    mine = begin(FAMILY)
    wait_until(lambda: len(processes_of(mine.pid)) == 4)
    family = processes_of(mine.pid)
    mine.kill()
    mine.wait()
    assert len(processes_of(mine.pid)) == 3

    stop_local_ray(mine.pid)

    assert not [pid for pid in family if alive(pid)]


def test_one_that_does_not_listen_is_ended_for_good(begin, monkeypatch):
    monkeypatch.setattr(local_ray, "STOP_TIMEOUT", 0.3)
    mine = begin(STUBBORN, stdout=subprocess.PIPE, text=True)
    assert mine.stdout.readline() == "deaf\n"

    stop_local_ray(mine.pid)

    assert mine.wait(10) == -signal.SIGKILL
    mine.stdout.close()


def test_a_ray_that_does_not_start_says_where_it_wrote_why(tmp_path, monkeypatch):
    monkeypatch.setattr(local_ray.sys, "executable", "/bin/false")
    with pytest.raises(LocalRayError, match=r"Ray did not start: .*ray\.log says why; social-jepa doctor"):
        start_local_ray(1, tmp_path / "deep" / "ray.log", {})

    assert (tmp_path / "deep" / "ray.log").exists()
