"""scripts/cluster_node.py, with a command that leaves daemons behind as `ray start` does."""

import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
# Starts two daemons; the second one overwrites its environment, as a worker that writes its title does.
DAEMONS = """
import subprocess, sys
for options in ({}, {"env": {}}):
    command = [sys.executable, "-c", "import time; print(flush=True); time.sleep(600)"]
    found = subprocess.Popen(command, stdout=subprocess.PIPE, **options)
    found.stdout.readline()
    print(found.pid, file=open(sys.argv[1], "a"))
"""
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(600)"
)
BACKGROUND = """
import subprocess, sys
subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdout=subprocess.PIPE).stdout.readline()
"""


@pytest.fixture
def node(monkeypatch):
    spec = importlib.util.spec_from_file_location("cluster_node", ROOT / "scripts" / "cluster_node.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def daemons(tmp_path):
    """The command and a function that returns which of its daemons are alive; they are ended afterwards."""
    file = tmp_path / "pids"

    def alive():
        pids = [int(line) for line in file.read_text(encoding="utf-8").split()]
        return [pid for pid in pids if psutil.pid_exists(pid) and not is_zombie(pid)]

    file.write_text("", encoding="utf-8")
    yield [sys.executable, "-c", DAEMONS, str(file)], alive
    for pid in alive():
        os.kill(pid, signal.SIGKILL)


def is_zombie(pid):
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    return True


def test_stop_ends_the_daemons_of_the_command_and_no_process_of_another_ray(node, daemons, tmp_path):
    command, alive = daemons
    other = subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE, start_new_session=True)
    other.stdout.readline()
    try:
        assert node.start(command, tmp_path / "mark") == 0
        assert len(alive()) == 2
        assert node.stop(tmp_path / "mark") == 2
        assert alive() == []
        assert node.stop(tmp_path / "mark") == 0
        assert other.poll() is None
    finally:
        other.kill()
        other.communicate()


def test_start_ends_the_earlier_node_first(node, daemons, tmp_path):
    command, alive = daemons
    node.start(command, tmp_path / "mark")
    first = alive()
    node.start(command, tmp_path / "mark")

    assert len(alive()) == 2
    assert not {*first} & {*alive()}
    node.stop(tmp_path / "mark")


def test_a_mark_of_an_earlier_boot_ends_nothing(node, tmp_path):
    (tmp_path / "mark").write_text("of an earlier boot", encoding="utf-8")

    assert node.stop(tmp_path / "mark") == 0
    assert not (tmp_path / "mark").exists()


def test_a_command_that_fails_leaves_no_process_and_hands_on_its_status(node, daemons, tmp_path):
    (*command, script, file), alive = daemons
    assert node.start([*command, f"{script}\nsys.exit(7)", file], tmp_path / "mark") == 7
    assert alive() == []
    assert len(Path(file).read_text(encoding="utf-8").split()) == 2 * node.TRIES


def test_a_node_that_could_not_start_at_once_is_started_again(node, daemons, tmp_path):
    (*command, script, file), alive = daemons
    once = f"{script}\nsys.exit(len(open(sys.argv[1]).read().split()) == 2)"

    assert node.start([*command, once, file], tmp_path / "mark") == 0
    assert len(alive()) == 2
    node.stop(tmp_path / "mark")


def test_a_process_that_ignores_sigterm_is_killed(node, tmp_path, monkeypatch):
    monkeypatch.setattr(node, "STOP_TIMEOUT", 0.5)
    node.start([sys.executable, "-c", BACKGROUND, STUBBORN], tmp_path / "mark")
    began = time.monotonic()

    assert node.stop(tmp_path / "mark") == 1
    assert time.monotonic() - began >= 0.5


def test_the_cluster_file_starts_ray_through_the_script_and_stops_no_other_one():
    cluster = yaml.safe_load((ROOT / "cluster.yaml").read_text(encoding="utf-8"))
    commands = [
        " ".join(each.split())
        for each in cluster["head_start_ray_commands"] + cluster["worker_start_ray_commands"]
    ]

    assert all("/scripts/cluster_node.py start ray start " in command for command in commands)
    assert not any("ray stop" in command for command in commands)
    assert cluster["file_mounts"]["~/social-jepa/scripts"] == "scripts"


def test_every_machine_is_reached_with_the_user_and_the_key_of_the_cluster_file(node):
    command = node.ssh_command({"ssh_user": "ubuntu", "ssh_private_key": "~/.ssh/key"}, "192.0.2.10")

    assert command[-2:] == ["ubuntu@192.0.2.10", node.STOP_COMMAND]
    assert command[command.index("-i") + 1] == str(Path("~/.ssh/key").expanduser())
    assert "-i" not in node.ssh_command({"ssh_user": "ubuntu"}, "192.0.2.10")
