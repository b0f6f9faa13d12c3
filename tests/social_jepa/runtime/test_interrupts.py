"""Commands that are interrupted or killed at any moment: nothing stays, and what was trained is saved."""

import os
import signal

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


def ends(process):
    """Return exit status and last line of a command that was asked to end."""
    out, err = process.communicate(timeout=120)
    assert out == ""
    assert "Traceback" not in err
    return process.returncode, err.splitlines()[-1]


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


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_command_that_is_ended_while_it_starts_leaves_nothing(tmp_path, name):
    number = getattr(signal, name)
    process = spawn(tmp_path, "up", "--out", "run", *QUIET)
    family = until(lambda: found if len(found := [pid for pid, _ in children(process.pid)]) > 3 else [])
    process.send_signal(number)

    status, line = ends(process)

    assert (status, line) == (128 + number, f"social-jepa: interrupted by {name}")
    nothing_remains(RunFolder(tmp_path / "run"), family)


def test_a_killed_command_leaves_nothing_while_it_starts(tmp_path):
    process = spawn(tmp_path, "up", "--out", "run", *QUIET)
    family = until(lambda: found if len(found := [pid for pid, _ in children(process.pid)]) > 3 else [])
    process.kill()
    process.communicate(timeout=120)

    until(lambda: not [pid for pid in family if not is_zombie(pid)])
    assert Simulation.resume(RunFolder(tmp_path / "run")).down() == []


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
        last = "social-jepa: stopped; continue with: social-jepa resume run"
        assert err.splitlines()[-1] == last
        assert "Traceback" not in err
    nothing_remains(folder, family)
    for agent in ("agent-0", "agent-1"):
        assert read_checkpoint(folder.agent(agent) / "checkpoint.safetensors")[1]["step"] > 0
