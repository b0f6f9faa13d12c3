"""A local Ray that is started and ended; programs stand for Ray where its own behavior does not matter."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from social_jepa.runtime import local_ray, private_ray, session_leader
from social_jepa.runtime.errors import LocalRayError
from social_jepa.runtime.local_ray import processes_of, start_local_ray
from social_jepa.runtime.session_leader import members_of, temporary_folder
from social_jepa.system.process_identity import Presence
from tests.support.simulations import until

# A session leader whose Ray is a program that opens its port and ignores SIGTERM, with a child of its own.
STAND_IN = """
import pathlib, signal, socket, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
port = next(int(word.partition("=")[2]) for word in sys.argv if word.startswith("--port="))
child = subprocess.Popen(["sleep", "60"])
server = socket.create_server(("127.0.0.1", port))
pathlib.Path(sys.argv[2], "registered").touch()
time.sleep(60)
"""
LEADER = """
import sys
from pathlib import Path
from social_jepa.runtime import session_leader
program = sys.argv[-1]
session_leader._command = lambda folder, _cpus, port, _: [
    sys.executable, "-c", program, f"--port={port}", str(folder)
]
session_leader.SessionLeader(Path(sys.argv[1]), 1, int(sys.argv[3])).run()
"""


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Start local Rays with a stand-in for Ray."""
    popen = subprocess.Popen

    def start_leader(command, **options):
        assert command[2] == session_leader.__name__
        return popen([sys.executable, "-c", LEADER, *command[3:], STAND_IN], **options)

    def start_one(nice=0):
        with monkeypatch.context() as patch:
            patch.setattr(local_ray.subprocess, "Popen", start_leader)
            return start_local_ray(tmp_path, 1, nice)

    return start_one


def test_a_local_ray_runs_in_a_session_of_its_own_and_is_ended_completely(start, tmp_path):
    mine, other = start(), start()

    assert mine.leader.presence() is Presence.RUNNING
    assert len(processes_of(mine.leader, mine.session)) == 3
    assert processes_of(mine.leader, other.session) == []
    mine.stop()
    assert mine.leader.presence() is Presence.ENDED
    assert members_of(mine.leader.pid) == []
    assert not temporary_folder(mine.session).exists()
    assert temporary_folder(other.session).is_dir()
    assert len(processes_of(other.leader, other.session)) == 3
    other.stop()


@pytest.mark.parametrize("nice", [0, 19])
def test_all_processes_of_a_local_ray_have_the_niceness_of_the_run(start, nice):
    ray, own = start(nice), os.getpriority(os.PRIO_PROCESS, 0)

    found = [os.getpriority(os.PRIO_PROCESS, each.pid) for each in processes_of(ray.leader, ray.session)]
    ray.stop()

    assert found == [max(own, nice)] * 3


def test_a_kept_ray_outlives_its_starter_and_ends_on_sigterm(start):
    ray = start()
    ray.keep()
    assert ray.leader.presence() is Presence.RUNNING

    os.kill(ray.leader.pid, signal.SIGTERM)

    until(lambda: members_of(ray.leader.pid) == [])


STARTER = """
import os, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from social_jepa.runtime.session_leader import KEEP
import subprocess
process = subprocess.Popen(
    [sys.executable, "-c", sys.argv[3], sys.argv[2], "1", "0", sys.argv[4]],
    stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
    env={**os.environ, "SOCIAL_JEPA_SESSION": "of-this-test"},
)
print(process.pid, process.stdout.readline().decode().split()[0], flush=True)
time.sleep(60)
"""


def test_a_ray_ends_with_a_starter_that_is_killed_before_it_keeps_it(tmp_path):
    root = str(Path(__file__).resolve().parents[3])
    command = [sys.executable, "-c", STARTER, root, str(tmp_path), LEADER, STAND_IN]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as starter:
        number, word = starter.stdout.readline().split()
        assert word == "address"
        assert len(members_of(int(number))) == 3
        starter.kill()

    until(lambda: members_of(int(number)) == [])


def test_a_ray_that_does_not_start_raises_an_error_with_its_log_file(tmp_path, monkeypatch):
    monkeypatch.setattr(local_ray.sys, "executable", "/bin/false")
    with pytest.raises(LocalRayError, match=r"^Ray did not start: .*ray\.log says why$") as error:
        start_local_ray(tmp_path / "deep", 1)

    assert error.value.log == tmp_path / "deep" / "ray.log"
    assert error.value.log.exists()


def test_a_ray_whose_node_registers_late_is_waited_for_and_says_so(tmp_path, monkeypatch):
    calls = []

    def get_node(address, node):
        calls.append((address, node))
        assert not (tmp_path / session_leader.REGISTERED).exists()
        if len(calls) < 4:
            raise RuntimeError("not registered")
        return {"node": node}

    monkeypatch.setattr(private_ray.services, "get_node", get_node)
    monkeypatch.setattr(private_ray, "POLL_SECONDS", 0.0)
    private_ray.wait_for_registration(tmp_path)

    with raylet_stand_in(tmp_path):
        assert private_ray.services.get_node("here", "n1") == {"node": "n1"}
    assert calls == [("here", "n1")] * 4
    assert (tmp_path / session_leader.REGISTERED).exists()


def test_a_ray_whose_node_never_registers_is_given_up(tmp_path, monkeypatch):
    def get_node(address, node):
        raise RuntimeError("not registered")

    monkeypatch.setattr(private_ray.services, "get_node", get_node)
    monkeypatch.setattr(private_ray, "REGISTRATION_TIMEOUT", 0.0)
    private_ray.wait_for_registration(tmp_path)

    with raylet_stand_in(tmp_path), pytest.raises(RuntimeError, match="not registered"):
        private_ray.services.get_node("here", "n1")
    assert not (tmp_path / session_leader.REGISTERED).exists()


def test_another_error_of_ray_than_a_missing_registration_is_raised_at_once(tmp_path, monkeypatch):
    def get_node(address, node):
        raise ConnectionError("no control service")

    monkeypatch.setattr(private_ray.services, "get_node", get_node)
    private_ray.wait_for_registration(tmp_path)

    with raylet_stand_in(tmp_path), pytest.raises(ConnectionError, match="no control service"):
        private_ray.services.get_node("here", "n1")


def test_a_node_whose_raylet_has_ended_is_not_waited_for(tmp_path, monkeypatch):
    calls = []

    def get_node(address, node):
        calls.append(node)
        if len(calls) == 3:
            raylet.kill()
            until(lambda: not private_ray.raylet_runs())
        raise RuntimeError("not registered")

    monkeypatch.setattr(private_ray.services, "get_node", get_node)
    monkeypatch.setattr(private_ray, "POLL_SECONDS", 0.0)
    private_ray.wait_for_registration(tmp_path)

    began = time.monotonic()
    with raylet_stand_in(tmp_path) as raylet, pytest.raises(private_ray.RayletEndedError):
        private_ray.services.get_node("here", "n1")
    assert len(calls) >= 3  # the thread that asks may ask again before it is told
    assert time.monotonic() - began < private_ray.REGISTRATION_TIMEOUT


def test_a_ray_whose_raylet_is_killed_while_it_starts_is_started_again(tmp_path):
    """The kill comes as soon as the raylet is there, and so before its node has registered."""
    killed = []

    def kill_first_raylet():
        until(lambda: any(map(is_raylet, psutil.Process().children(recursive=True))))
        for child in filter(is_raylet, psutil.Process().children(recursive=True)):
            child.kill()
            killed.append(child.pid)

    killer = threading.Thread(target=kill_first_raylet)
    killer.start()
    ray = start_local_ray(tmp_path, 1)
    try:
        killer.join()
        running = [member.pid for member in processes_of(ray.leader, ray.session) if is_raylet(member)]
        assert len(killed) == len(running) == 1
        assert killed != running
    finally:
        ray.stop()


def is_raylet(process):
    try:
        return Path(process.cmdline()[0]).name == private_ray.RAYLET
    except (psutil.Error, IndexError):
        return False


@contextlib.contextmanager
def raylet_stand_in(folder):
    """A child of this process that has the name of a raylet."""
    link = folder / private_ray.RAYLET
    link.symlink_to(shutil.which("sleep"))
    with subprocess.Popen([str(link), "60"]) as process:
        yield process
        process.kill()
