"""Commands that are interrupted or killed at any moment: nothing stays, and what was trained is saved."""

import os
import signal
import time

import psutil
import pytest

from agents.training.checkpoint import read_checkpoint
from social_jepa.runtime.control import ControlClient, socket_path
from social_jepa.runtime.simulation import Simulation
from social_jepa.runtime.start import status_of
from social_jepa.storage.run_folder import RunFolder
from tests.support.command import children, spawn, wait_for
from tests.support.simulations import QUIET, until

pytestmark = pytest.mark.ray
ATTEMPTS = 5


def nothing_remains(folder, family):
    until(lambda: not [pid for pid in family if psutil.pid_exists(pid) and not is_zombie(pid)])
    folder.acquire_lock().release()
    with folder.command_lock():
        pass
    assert not folder.simulation_file.exists()


def is_zombie(pid):
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def processes_of_starting(process):
    """Return the processes of a command once its Ray starts; None if the command has ended before."""
    found = children(process.pid)
    while len(found) < 3 and process.poll() is None:
        time.sleep(0.01)
        found = children(process.pid)
    return found if process.poll() is None else None


def signal_while_it_starts(folder, number):
    """Start `up`, send it a signal while it starts, and return it and all its processes.

    On a crowded machine it may be up before the signal arrives: then it is started again.
    """
    for attempt in range(ATTEMPTS):
        run = f"run-{attempt}"
        process = spawn(folder, "up", "--out", run, *QUIET)
        family = processes_of_starting(process) or []
        process.send_signal(number)
        _, err = process.communicate(timeout=120)
        if process.returncode != 0:
            return process, err, RunFolder(folder / run), [pid for pid, _ in family]
        Simulation.attach(RunFolder(folder / run)).down()
    raise AssertionError(f"it was up {ATTEMPTS} times before the signal arrived")


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_command_that_is_ended_while_it_starts_leaves_nothing(tmp_path, name):
    number = getattr(signal, name)
    process, err, folder, family = signal_while_it_starts(tmp_path, number)

    assert process.returncode == 128 + number
    assert "Traceback" not in err
    assert err.splitlines()[-1] == f"social-jepa: interrupted by {name}"
    nothing_remains(folder, family)


def test_a_killed_command_leaves_nothing_while_it_starts(tmp_path):
    _, _, folder, family = signal_while_it_starts(tmp_path, signal.SIGKILL)

    until(lambda: not [pid for pid in family if not is_zombie(pid)])
    assert Simulation.resume(folder).down() == []


@pytest.mark.parametrize("name", ["SIGTERM", "SIGKILL"])
def test_a_run_that_is_ended_saves_what_was_trained_and_leaves_nothing(tmp_path, name):
    """SIGTERM reaches the whole process group, as from systemd or Slurm; SIGKILL the command alone."""
    number, folder = getattr(signal, name), RunFolder(tmp_path / "run")
    settings = (*QUIET, "training.steps=100000", "training.checkpoint_every=1000000")
    process = spawn(tmp_path, "run", "--out", "run", *settings)
    wait_for(process, "training")
    control = ControlClient(socket_path(folder.path))
    until(lambda: all(agent.progress and agent.progress.step > 0 for agent in status_of(control)))
    family = [pid for pid, _ in children(process.pid)]
    send = process.send_signal if number == signal.SIGKILL else lambda number: os.killpg(process.pid, number)
    send(number)
    _, err = process.communicate(timeout=120)

    if number == signal.SIGTERM:
        assert process.returncode == 128 + number
        last = "social-jepa: stopped; continue with: social-jepa resume --run run"
        assert err.splitlines()[-1] == last
        assert "Traceback" not in err
    nothing_remains(folder, family)
    for agent in ("agent-0", "agent-1"):
        assert read_checkpoint(folder.agent(agent) / "checkpoint.safetensors")[1]["step"] > 0
