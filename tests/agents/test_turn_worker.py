"""A worker on which agents take turns: a full disk of its supervisor, a turn that is asked for twice."""

import errno
import time
from dataclasses import replace

import pytest
import ray

from agents.common.files import CHECKPOINT, PUBLISHED
from agents.training.checkpoint import read_checkpoint
from agents.turn_worker import TurnWorker
from social_jepa.storage.agent_files import AgentFileStore
from social_jepa.storage.run_folder import RunFolder
from tests.support.keys import SESSION
from tests.support.swarm import tiny_spec

pytestmark = pytest.mark.ray

TIMEOUT = 120  # seconds


class DiskSupervisor:
    """Stores files of an agent on another machine as a supervisor does, while its disk has room."""

    def __init__(self, folder):
        self._store, self._full, self._turns = AgentFileStore(RunFolder(folder)), False, 0

    def fill(self, full):
        self._full = full

    def turns(self):
        """Return the number of turns that have asked where their files are."""
        return self._turns

    def locate_files(self, name):
        self._turns += 1
        return replace(self._store.locate(name), folder_id="of another machine")

    def read_file(self, name, file, offset):
        return self._store.read(name, file, offset)

    def store_file(self, name, incarnation, chunk):
        if self._full:
            raise OSError(errno.ENOSPC, "No space left on device")
        self._store.write(name, chunk)
        return True

    def append_log(self, name, lines):
        """Drop them."""


@pytest.fixture
def supervisor(ray_local, tmp_path):
    found = ray.remote(num_cpus=0)(DiskSupervisor).remote(tmp_path)
    yield found
    ray.kill(found)


@pytest.fixture
def worker(supervisor):
    found = TurnWorker.options(num_cpus=0).remote("worker-0", supervisor)
    yield found
    ray.kill(found)


@pytest.fixture
def spec(tmp_path):
    return tiny_spec(0, RunFolder(tmp_path).agent("agent-0").parent)


def unsaved(worker):
    report = ray.get(worker.report.remote())
    return {file.path.rsplit("/", 1)[1] for file in report.unsaved} if report else set()


def test_a_turn_waits_for_room_on_the_disk_of_its_supervisor_and_says_so(supervisor, worker, spec, tmp_path):
    ray.get(supervisor.fill.remote(True))
    turn = worker.train.remote(spec, 1, SESSION)
    until = time.monotonic() + TIMEOUT
    while not unsaved(worker) and time.monotonic() < until:
        time.sleep(0.05)
    assert ray.wait([turn], timeout=0)[0] == []
    ray.get(supervisor.fill.remote(False))
    report = ray.get(turn, timeout=TIMEOUT)

    assert (report.failure, report.unsaved) == (None, ())
    folder = RunFolder(tmp_path).agent("agent-0")
    assert read_checkpoint(folder / CHECKPOINT)[1]["step"] == report.progress.step > 0
    assert (folder / PUBLISHED).exists()


def test_a_turn_that_is_stopped_on_a_full_disk_ends_without_a_failure(supervisor, worker, spec):
    ray.get(supervisor.fill.remote(True))
    turn = worker.train.remote(spec, 1, SESSION)
    until = time.monotonic() + TIMEOUT
    while not unsaved(worker) and time.monotonic() < until:
        time.sleep(0.05)
    worker.stop.remote()
    report = ray.get(turn, timeout=TIMEOUT)

    assert (report.failure, report.snapshot) == (None, None)
    assert {file.path.rsplit("/", 1)[1] for file in report.unsaved} >= {"checkpoint.safetensors"}


def test_a_turn_that_is_asked_for_twice_is_had_once(supervisor, worker, spec):
    reports = ray.get([worker.train.remote(spec, 1, SESSION) for _ in range(2)], timeout=TIMEOUT)

    assert ray.get(supervisor.turns.remote()) == 1
    assert reports[0].checkpoint == reports[1].checkpoint
    assert reports[0].snapshot.losses == reports[1].snapshot.losses
    assert ray.get(worker.train.remote(spec, 2, SESSION), timeout=TIMEOUT).failure is None
    assert ray.get(supervisor.turns.remote()) == 2
