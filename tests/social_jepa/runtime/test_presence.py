"""What is done to processes that simulation.json names, with processes that stand for those of a Ray."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from social_jepa.config.run_config import load_config
from social_jepa.runtime.errors import CopiedFolderError, ElsewhereError, NotUpError
from social_jepa.runtime.local_ray import processes_of
from social_jepa.runtime.membership import record_start
from social_jepa.runtime.presence import end_remaining, find_simulation, was_simulation
from social_jepa.runtime.session_leader import SESSION_VARIABLE, members_of, temporary_folder
from social_jepa.runtime.simulation import Simulation
from social_jepa.storage import simulation_file
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.run_folder import RunFolder, create
from social_jepa.storage.simulation_file import SimulationFile
from social_jepa.system.process_identity import MachineIdentity, ProcessIdentity
from tests.support.command import alive, call

# The second child has no environment to be known by, as processes of Ray that set their own title.
LEADER = """
import subprocess, sys, time
subprocess.Popen(['/bin/sleep', '60'])
subprocess.Popen(['/bin/sleep', '60'], env={}, stdout=open(sys.argv[1], 'w'))
print(flush=True)
time.sleep(60)
"""


@pytest.fixture
def folder(tmp_path):
    return create(load_config(), tmp_path / "run")


@pytest.fixture
def start():
    """Start leaders of sessions with two children each; all are killed at teardown."""
    started = []

    def start_leader(session):
        environ = {**os.environ, SESSION_VARIABLE: session}
        temporary_folder(session).mkdir(exist_ok=True)
        log = str(temporary_folder(session) / "log")
        process = subprocess.Popen(
            [sys.executable, "-c", LEADER, log], start_new_session=True, env=environ, stdout=subprocess.PIPE
        )
        started.append(process)
        process.stdout.readline()
        return process

    yield start_leader
    for process in started:
        for each in processes_of_session(process.pid):
            os.kill(each, 9)
        process.wait()
        process.stdout.close()
    for session in ("mine", "other", "innocent"):
        shutil.rmtree(temporary_folder(session), ignore_errors=True)


def processes_of_session(number):
    return [process.pid for process in members_of(number)]


def write(folder, leader, session, machine=None, original=None):
    place = folder.path.stat()
    content = SimulationFile(
        folder=str(original or folder.path), control=str(folder.path / "no-socket"), address="127.0.0.1:1",
        machine=machine or MachineIdentity.current(), leader=leader, session=session,
        device=place.st_dev, inode=place.st_ino,
    )  # fmt: skip
    simulation_file.write(folder.path, content)


def test_a_leader_and_all_of_its_session_are_ended(folder, start):
    leader, other = start("mine"), start("other")
    identity = ProcessIdentity.of(leader.pid)
    write(folder, identity, "mine")
    assert len(processes_of(identity, "mine")) == 3
    assert find_simulation(folder).leader == identity

    end_remaining(folder)

    leader.wait(10)
    assert processes_of_session(leader.pid) == []
    assert len(processes_of_session(other.pid)) == 3
    assert not folder.simulation_file.exists()


def test_orphans_of_a_dead_leader_are_found_and_ended(folder, start):
    leader = start("mine")
    identity = ProcessIdentity.of(leader.pid)
    write(folder, identity, "mine")
    leader.kill()
    leader.wait()
    assert len(processes_of(identity, "mine")) == 2

    assert find_simulation(folder).session == "mine"
    end_remaining(folder)

    assert processes_of_session(leader.pid) == []


@pytest.mark.parametrize("command", ["down", "resume"])
def test_a_process_that_got_the_number_of_the_leader_is_left_alone(folder, start, command, monkeypatch):
    """The simulation has ended, and the number of its session was given to an innocent process."""
    innocent = start("innocent")
    identity = ProcessIdentity.of(innocent.pid)
    write(folder, msgspec.structs.replace(identity, started=identity.started - 1000), "mine")
    temporary_folder("mine").mkdir()  # left by a leader that was killed

    with pytest.raises(NotUpError, match="was up, but its processes have ended"):
        find_simulation(folder)
    if command == "down":
        said = call("down", "--run", folder.path)
        assert (said.status, folder.simulation_file.exists()) == (1, False)
        assert not temporary_folder("mine").exists()
        assert "its processes had ended before" in said.err
    else:
        with pytest.raises(NotUpError):
            end_remaining(folder)

    assert len(processes_of_session(innocent.pid)) == 3


def test_the_simulation_of_a_folder_is_not_touched_through_a_copy(folder, start, tmp_path):
    leader = start("mine")
    copy = create(load_config(), tmp_path / "copy")
    for each in (folder, copy):
        write(each, ProcessIdentity.of(leader.pid), "mine", original=folder.path)

    for use in (find_simulation, end_remaining, Simulation.attach, Simulation.resume):
        with pytest.raises(CopiedFolderError, match=r"has the simulation\.json of"):
            use(copy)
    said = call("down", "--run", copy.path)
    assert (said.status, said.out) == (2, "")
    assert str(folder.path) in said.err
    assert alive(leader.pid)
    assert find_simulation(folder).leader.pid == leader.pid


def test_a_folder_that_was_renamed_can_be_taken_down(folder, start, tmp_path):
    leader = start("mine")
    write(folder, ProcessIdentity.of(leader.pid), "mine")
    renamed = RunFolder.at(folder.path.rename(tmp_path / "renamed"))
    assert find_simulation(renamed).leader.pid == leader.pid
    folder.path.mkdir()  # another one in its place: which of the two is meant cannot be known
    with pytest.raises(CopiedFolderError):
        find_simulation(renamed)
    folder.path.rmdir()

    end_remaining(renamed)

    leader.wait(10)
    assert processes_of_session(leader.pid) == []
    assert not renamed.simulation_file.exists()


def test_a_copy_whose_original_is_gone_is_not_taken_for_it(folder, start, tmp_path):
    leader = start("mine")
    write(folder, ProcessIdentity.of(leader.pid), "mine")
    copy = RunFolder.at(shutil.copytree(folder.path, tmp_path / "copy"))
    shutil.rmtree(folder.path)

    with pytest.raises(CopiedFolderError):
        find_simulation(copy)
    assert alive(leader.pid)


def test_a_simulation_of_another_machine_or_container_is_not_touched(folder, start):
    leader = start("mine")
    identity = ProcessIdentity.of(leader.pid)
    elsewhere = msgspec.structs.replace(identity.machine, host="node-7", pid_namespace="pid:[7]")
    write(folder, msgspec.structs.replace(identity, machine=elsewhere), "mine", elsewhere)

    for use in (find_simulation, end_remaining, Simulation.attach, Simulation.resume):
        with pytest.raises(ElsewhereError, match="is up on node-7"):
            use(folder)
    with contextlib.closing(Ledger(folder.ledger_file, create=True)) as ledger:
        record_start(ledger, folder.config(), folder, "started", online=True)
    for words in (("down", "--run"), ("status", "--run"), ("resume", "--run"), ("add-agent", "--run")):
        said = call(*words, folder.path)
        assert (said.status, said.out) == (2, "")
        assert "is up on node-7" in said.err
    assert alive(leader.pid)
    assert folder.simulation_file.exists()


INSIDE = """
import sys
from tests.support.command import call
for verb in ("down", "resume", "status"):
    said = call(verb, "--run", sys.argv[1])
    print(verb, said.status, said.err.strip())
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root may make namespaces")
def test_a_container_neither_ends_nor_resumes_the_simulation_of_its_host(folder, start):
    leader = start("mine")
    write(folder, ProcessIdentity.of(leader.pid), "mine")
    with contextlib.closing(Ledger(folder.ledger_file, create=True)) as ledger:
        record_start(ledger, folder.config(), folder, "started", online=True)
    before = folder.simulation_file.read_bytes()
    container = ["unshare", "--pid", "--net", "--mount-proc", "--fork", "--kill-child"]
    done = subprocess.run(
        [*container, sys.executable, "-c", INSIDE, folder.path], cwd=Path(__file__).parents[3],
        capture_output=True, text=True,
    )  # fmt: skip

    lines = done.stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [["down", "2"], ["resume", "2"], ["status", "2"]], done
    assert all(f"is up on {socket.gethostname()}, in another container or machine" in line for line in lines)
    assert len(processes_of_session(leader.pid)) == 3
    assert folder.simulation_file.read_bytes() == before


def test_after_a_reboot_nothing_runs_any_more(folder, start):
    leader = start("mine")
    identity = ProcessIdentity.of(leader.pid)
    earlier = msgspec.structs.replace(identity.machine, boot="an earlier boot")
    write(folder, msgspec.structs.replace(identity, machine=earlier), "mine", earlier)

    with pytest.raises(NotUpError, match="its processes have ended"):
        find_simulation(folder)
    assert alive(leader.pid)


def test_an_unreadable_simulation_file_ends_nothing(folder):
    folder.simulation_file.write_text(json.dumps({"session": os.getpid(), "address": ""}), encoding="utf-8")

    said = call("down", "--run", folder.path)

    assert said.status == 2
    assert "delete the file" in said.err
    assert folder.simulation_file.exists()


def test_a_simulation_on_a_cluster_has_ended_after_a_reboot_of_its_machine(folder):
    earlier = msgspec.structs.replace(MachineIdentity.current(), boot="an earlier boot")
    write(folder, None, "", earlier)

    with pytest.raises(NotUpError, match="its processes have ended"):
        find_simulation(folder)
    write(folder, None, "")
    assert find_simulation(folder).leader is None


def test_taking_a_copy_down_whose_processes_have_ended_leaves_the_socket_of_the_original(
    folder, start, tmp_path
):
    leader = start("mine")
    identity = ProcessIdentity.of(leader.pid)
    copy = create(load_config(), tmp_path / "copy")
    write(
        copy,
        msgspec.structs.replace(identity, started=identity.started - 1000),
        "other",
        original=folder.path,
    )
    control = copy.path / "no-socket"
    control.touch()

    call("down", "--run", copy.path)

    assert not copy.simulation_file.exists()
    assert control.exists()
    assert alive(leader.pid)


def test_a_simulation_on_a_local_ray_is_not_served_on_that_ray(folder, start):
    leader = start("mine")
    write(folder, ProcessIdentity.of(leader.pid), "mine")

    said = call("serve", "--run", folder.path, "--on-ray")

    assert (said.status, said.out) == (2, "")
    assert (
        "is up on a local Ray of its own, and --on-ray is for a cluster: serve without --on-ray" in said.err
    )
    assert alive(leader.pid)


def test_what_used_a_folder_last_is_read_while_another_program_writes_and_nothing_is_written(folder):
    with contextlib.closing(Ledger(folder.ledger_file, create=True)) as ledger:
        record_start(ledger, folder.config(), folder, "started", online=False)
        assert not was_simulation(folder)
        ledger.event("resumed", online=True)
        ledger.event("stopped")
        before = folder.ledger_file.stat().st_mtime_ns
        folder.ledger_file.chmod(0o444)
        with ledger._transaction():
            assert was_simulation(folder)

    assert folder.ledger_file.stat().st_mtime_ns == before
