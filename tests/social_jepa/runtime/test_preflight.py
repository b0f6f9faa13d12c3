import contextlib
import os
import subprocess
import sys

import pytest
import torch

from agents.common.config_error import ConfigError
from agents.common.files import PUBLISHED
from social_jepa.config.run_config import load_config
from social_jepa.runtime import cluster, memory
from social_jepa.runtime.continuation import change_settings
from social_jepa.runtime.members import initial_members
from social_jepa.runtime.membership import record_start
from social_jepa.runtime.preflight import check_before_start
from social_jepa.runtime.simulation import Simulation
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.run_folder import create
from social_jepa.system.check import UnfitMachineError
from tests.support.command import TINY, call

LONG = f"/tmp/{'x' * 65}"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("verb", ["run", "up"])
def test_a_temporary_folder_too_long_for_ray_is_refused_before_anything_starts(here, monkeypatch, verb):
    monkeypatch.setenv("RAY_TMPDIR", LONG)
    said = call(verb, *TINY)

    assert said.status == 1
    assert said.err.startswith(f"social-jepa: temporary folder: {LONG} has 70 letters")
    assert "set RAY_TMPDIR to another folder" in said.err
    assert not list(here.iterdir())


@pytest.mark.parametrize("verb", ["run", "up"])
def test_a_device_that_is_not_there_is_refused_before_anything_starts(here, monkeypatch, verb):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    said = call(verb, *TINY, "agents.device=cuda")

    assert said.status == 2
    assert "agents.device='cuda': torch has cpu" in said.err
    assert not list(here.iterdir())


@pytest.mark.parametrize("verb", ["run", "up"])
def test_gpus_that_a_local_ray_will_not_have_are_refused_before_anything_starts(here, monkeypatch, verb):
    monkeypatch.setattr(cluster, "local_gpus", lambda: 1.0)
    said = call(verb, *TINY, "agents.gpus=2")

    assert said.status == 2
    assert (
        "agent-0 cannot start, because it waits for 2 GPUs on one node: no node has more than 1" in said.err
    )
    assert not list(here.iterdir())


def test_gpus_that_this_machine_has_are_not_refused(monkeypatch):
    monkeypatch.setattr(cluster, "local_gpus", lambda: 1.0)
    for gpus in (0.5, 1):
        check_before_start(load_config(overrides=[*TINY, f"agents.gpus={gpus}"]), None)


@pytest.fixture
def stopped(here):
    """A run folder with a published model, in which no process runs."""
    config = load_config(overrides=TINY)
    folder = create(config, here / "run")
    with contextlib.closing(Ledger(folder.ledger_file, create=True)) as ledger:
        ledger.join(initial_members(config), [])
        record_start(ledger, config, folder, "started", online=True)
    published = folder.agent("agent-0") / PUBLISHED
    published.parent.mkdir(parents=True)
    published.write_bytes(b"weights")
    return folder


def contents(folder):
    with contextlib.closing(Ledger(folder.ledger_file)) as ledger:
        return (
            folder.config_file.read_bytes(),
            ledger.events(),
            (folder.agent("agent-0") / PUBLISHED).exists(),
        )


def refused_resume(folder, *settings):
    """Return what `resume` says that refuses settings, and has changed nothing in the folder."""
    before = contents(folder)
    said = call("resume", "--run", folder.path, *settings)

    assert said.status in (1, 2)
    assert contents(folder) == before
    return said.err


@pytest.mark.parametrize("settings", [["agents.device=cuda"], ["agents.device=cuda", "training.steps=70"]])
def test_settings_for_resume_that_this_machine_cannot_run_change_nothing(stopped, monkeypatch, settings):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)

    assert "agents.device='cuda': torch has cpu" in refused_resume(stopped, *settings)


@pytest.mark.parametrize("settings", [["agents.gpus=2"], []])
def test_a_resume_with_too_few_gpus_changes_nothing(stopped, monkeypatch, settings):
    monkeypatch.setattr(cluster, "local_gpus", lambda: 1.0)
    if not settings:  # the machine has fewer than before
        monkeypatch.setattr(cluster, "local_gpus", lambda: 8.0)
        change_settings(stopped, ["agents.gpus=2"])
        monkeypatch.setattr(cluster, "local_gpus", lambda: 0.0)

    assert "agent-0 cannot start, because it waits for 2 GPUs" in refused_resume(stopped, *settings)


def test_a_resume_for_which_ray_or_memory_is_missing_changes_nothing(stopped, monkeypatch):
    with monkeypatch.context() as changed:
        changed.setattr(memory, "available_memory", lambda: 2**20)
        assert "GiB of memory" in refused_resume(stopped, "training.steps=70")

    monkeypatch.setenv("RAY_TMPDIR", LONG)
    assert "set RAY_TMPDIR to another folder" in refused_resume(stopped, "training.steps=70")


def test_the_python_interface_refuses_before_it_creates_a_folder(here, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(ConfigError, match="torch has cpu"):
        Simulation.up(*TINY, "agents.device=cuda:0")

    monkeypatch.setenv("RAY_TMPDIR", LONG)
    with pytest.raises(UnfitMachineError, match="RAY_TMPDIR"):
        Simulation.up(config=load_config(overrides=TINY))
    assert not list(here.iterdir())


def test_a_cluster_has_temporary_folders_and_devices_of_its_own(monkeypatch):
    monkeypatch.setenv("RAY_TMPDIR", LONG)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    config = load_config(overrides=[*TINY, "agents.device=cuda"])

    check_before_start(config, "10.0.0.1:6379")
    with pytest.raises(UnfitMachineError):
        check_before_start(config, "local")


LIMITED = f"""
import os, psutil, resource
from social_jepa.config.run_config import load_config
from social_jepa.runtime.preflight import check_before_start

config = load_config(overrides={TINY!r})
os.setgid(65534); os.setuid(65534)  # root is exempt from the limit
resource.setrlimit(resource.RLIMIT_NPROC, (120, 120))
try:
    check_before_start(config, None)
except RuntimeError as error:
    print(error)
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root may become another user")
def test_too_few_processes_for_ray_are_refused(here):
    done = subprocess.run([sys.executable, "-c", LIMITED], capture_output=True, text=True)

    assert done.stdout.startswith("processes: "), done.stderr
    assert "(ulimit -u), 260 needed for 2 agents; raise that limit by" in done.stdout
