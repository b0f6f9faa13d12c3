"""What is said to help where a simulation is not up does help: `resume` only where it is not refused."""

import contextlib
import os
import shutil
from pathlib import Path

import pytest
from msgspec.structs import replace

from agents.common.files import CHECKPOINT
from social_jepa.graph.exchange import ENCODERS
from social_jepa.runtime.import_run import import_run
from social_jepa.runtime.membership import record_start
from social_jepa.runtime.presence import was_simulation
from social_jepa.runtime.remedies import Remedy, can_resume, find_remedy
from social_jepa.runtime.run_list import inspect_run
from social_jepa.storage import simulation_file
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.run_folder import RunFolder, create
from social_jepa.storage.run_folder_errors import RunFolderExistsError
from social_jepa.storage.simulation_file import SimulationFile
from social_jepa.system.process_identity import MachineIdentity, ProcessIdentity
from tests.support.command import call

PLACE = Path("runs/one")
UP = "social-jepa up --config runs/one/config.toml"
RESUME = "social-jepa resume --run runs/one"
BRINGS_BACK = Remedy(f"{RESUME} brings it back", RESUME)
CONTINUES = Remedy(f"it is a batch run that was stopped, which {RESUME} continues", RESUME)
FINISHED = Remedy(f"it is a batch run that has finished; {UP} starts a simulation with its settings", UP)
READ_ONLY = Remedy(
    f"it can only be read, since it has models without checkpoints, as an import has; {UP} starts a "
    "simulation with its settings", UP,
)  # fmt: skip
AT_WORK = Remedy("a batch run is at work in it")
STARTING = Remedy("a command is starting or ending it: try again in a moment")


@pytest.fixture
def copy(small_run, tmp_path):
    """A copy of the small run, a batch run that has finished."""
    return RunFolder.at(shutil.copytree(small_run.folder.path, tmp_path / "runs" / "one"))


def restart(folder, online, *events):
    with contextlib.closing(Ledger(folder.ledger_file)) as ledger:
        record_start(ledger, folder.config(), folder, "resumed", online)
        for event in events:
            ledger.event(event)


def write_simulation_file(folder, leader=None):
    place = folder.path.stat()
    content = SimulationFile(
        folder=str(folder.path), control="/none", address="127.0.0.1:1", machine=MachineIdentity.current(),
        device=place.st_dev, inode=place.st_ino, leader=leader,
    )  # fmt: skip
    simulation_file.write(folder.path, content)


def remove_checkpoints(folder):
    for file in folder.path.glob(f"agents/*/{CHECKPOINT}"):
        file.unlink()


@pytest.mark.parametrize(
    ("online", "events", "at_rest", "at_work"),
    [
        (None, (), FINISHED, AT_WORK),
        (False, ("finished",), FINISHED, AT_WORK),
        (False, ("stopped",), CONTINUES, AT_WORK),
        (False, (), CONTINUES, AT_WORK),
        (True, ("stopped",), BRINGS_BACK, STARTING),
        (True, (), BRINGS_BACK, STARTING),
    ],
)
def test_the_remedy_follows_from_what_the_run_was_and_whether_it_is_at_work(
    copy, online, events, at_rest, at_work
):
    if online is not None:
        restart(copy, online, *events)

    assert find_remedy(copy, PLACE) == at_rest
    assert was_simulation(copy) == inspect_run(copy.path).online == bool(online)
    assert can_resume(copy)
    lock = copy.acquire_lock()
    try:
        assert find_remedy(copy, PLACE) == at_work
        assert not can_resume(copy)
    finally:
        lock.release()
    remove_checkpoints(copy)
    assert find_remedy(copy, PLACE) == READ_ONLY
    assert not can_resume(copy)


def test_agents_that_take_turns_are_not_started_so_in_a_simulation(copy):
    text = copy.config_file.read_text()
    copy.config_file.write_text(text.replace("workers = 0", "workers = 2"))

    assert find_remedy(copy, PLACE).command == f"{UP} agents.workers=0"


def test_a_copy_of_a_folder_whose_simulation_was_up_is_named_with_its_original(copy, tmp_path):
    write_simulation_file(copy)
    other = RunFolder.at(shutil.copytree(copy.path, tmp_path / "other"))

    remove = "rm runs/one/simulation.json"
    assert find_remedy(other, PLACE) == Remedy(
        f"name that folder, or use this one apart from it after {remove}", remove
    )
    assert not can_resume(other)


def test_the_folder_of_a_peer_is_not_resumed_as_a_simulation(copy):
    (copy.path / "status.json").write_text("{}")
    show = "social-jepa status --run runs/one"

    assert find_remedy(copy, PLACE) == Remedy(f"it is of one peer without Ray, which {show} shows", show)
    assert not can_resume(copy)


def test_a_damaged_folder_says_what_is_wrong(copy):
    (copy.path / "ledger.sqlite").write_bytes(b"nothing of a ledger" * 100)
    assert "is damaged" in find_remedy(copy, PLACE).sentence
    shutil.rmtree(copy.path)
    assert find_remedy(copy, PLACE) == Remedy(f"{copy.path}/config.toml is missing")


@pytest.mark.parametrize("words", ["status", "down", "add-agent", "wait", "pause", "topology ring"])
def test_commands_do_not_send_the_reader_of_an_import_to_a_command_that_refuses_it(
    small_run, tmp_path, monkeypatch, words
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.npz").write_bytes(ENCODERS["npz"](small_run, False))
    folder = import_run(tmp_path / "run.npz", PLACE)

    said = call(*words.split(), "--run", "one")

    assert (said.status, said.out) == (2, "")
    assert said.err == f"social-jepa: {folder.path} is not up: {READ_ONLY.sentence}\n"


def test_a_fork_of_an_import_and_a_folder_that_holds_one_are_not_said_to_continue(
    small_run, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run.npz").write_bytes(ENCODERS["npz"](small_run, False))
    import_run(tmp_path / "run.npz", PLACE)

    fork, again = call("fork", "--run", "one"), call("import", "run.npz", "--out", PLACE)
    assert fork.status == again.status == 2
    assert "has models without checkpoints, as an import has" in fork.err
    assert "continue" not in fork.err
    assert again.err == "social-jepa: runs/one exists already: choose another --out\n"


@pytest.mark.parametrize("kind", ["run", "killed", "import", "peer", "up", "at work", "command", "copy"])
def test_a_program_that_names_a_folder_in_use_is_sent_to_resume_only_where_that_continues_it(
    copy, small_run, tmp_path, kind
):
    folder = copy
    if kind == "import":
        (tmp_path / "run.npz").write_bytes(ENCODERS["npz"](small_run, True))
        folder = import_run(tmp_path / "run.npz", tmp_path / "runs" / "import")
    if kind == "peer":
        (copy.path / "status.json").write_text("{}")
    if kind in ("killed", "up", "copy"):
        leader = ProcessIdentity.of(os.getpid())
        # an earlier process that had the same number
        write_simulation_file(copy, replace(leader, started=0.0) if kind == "killed" else leader)
    if kind == "copy":
        folder = RunFolder.at(shutil.copytree(copy.path, tmp_path / "other"))
    with contextlib.ExitStack() as held:
        if kind == "at work":
            held.callback(folder.acquire_lock().release)
        if kind == "command":
            held.enter_context(folder.command_lock())
        with pytest.raises(RunFolderExistsError, match="exists already: choose another folder") as refusal:
            create(copy.config(), folder.path)
        resumable = can_resume(folder)

    assert refusal.value.resumable == resumable == (kind in ("run", "killed"))
    assert ("social-jepa resume" in str(refusal.value)) == resumable
