import json
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from agents.common.config_error import ConfigError
from social_jepa.config.run_config import load_config
from social_jepa.storage import run_folder, simulation_file
from social_jepa.storage.run_folder import RunFolder, create, find, find_running, write_json
from social_jepa.storage.run_folder_errors import (
    NoRunError,
    NotARunFolderError,
    RunFolderError,
    RunFolderExistsError,
    RunFolderInUseError,
    RunFolderNameError,
    RunFolderWriteError,
    SimulationFileError,
)
from social_jepa.storage.simulation_file import SimulationFile
from social_jepa.system.process_identity import MachineIdentity

CONFIG = load_config(
    overrides=["scene.renderer=toy", "seed=3", "scene.autocorrelation=[0.8]", "agents.count=3"]
)


def test_a_new_run_folder_holds_settings_that_load_back_equal(tmp_path):
    folder = create(CONFIG, tmp_path / "a" / "b")

    assert folder.config() == CONFIG
    assert {path.name for path in folder.path.iterdir()} == {"config.toml", "versions.json"}


@pytest.mark.parametrize("name", ["Übung", os.fsdecode(b"\xff"), "two words"])
def test_the_namespace_of_any_folder_is_plain_text_of_its_own(tmp_path, name):
    namespace = RunFolder.at(tmp_path / name).namespace

    assert namespace.isascii()
    assert " " not in namespace
    assert namespace != RunFolder.at(tmp_path / name.swapcase() / "a").namespace


def test_a_name_that_ray_cannot_encode_is_refused(tmp_path):
    with pytest.raises(RunFolderNameError, match="is not UTF-8: choose another one, or set LC_ALL"):
        create(CONFIG, tmp_path / os.fsdecode(b"\xff"))

    assert not list(tmp_path.iterdir())


def test_an_empty_folder_can_be_a_new_run(tmp_path):
    assert create(CONFIG, tmp_path).path == tmp_path.resolve()


@pytest.mark.parametrize("names", [("notes.txt",), ("config.toml",), ("config.toml", "ledger.sqlite")])
def test_a_folder_that_is_not_empty_is_refused_and_left_as_it_is(tmp_path, names):
    """Only a run that has a ledger can be continued."""
    for name in names:
        (tmp_path / name).write_text("mine")

    with pytest.raises(RunFolderExistsError, match="choose another folder") as refusal:
        create(CONFIG, tmp_path)

    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"] * len(names)
    assert ("social-jepa resume" in str(refusal.value)) == (len(names) == 2)
    assert (refusal.value.path, refusal.value.resumable) == (tmp_path, len(names) == 2)


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/nowhere/run"])
def test_a_folder_that_cannot_be_written_is_named(tmp_path, place):
    (tmp_path / "file").write_text("mine")

    with pytest.raises(RunFolderError, match=f"{place}.*(exists|Not a directory|No such file)"):
        create(CONFIG, tmp_path / place)


def test_every_run_without_a_name_gets_its_own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    paths = {create(CONFIG, None).path for _ in range(3)}

    assert len(paths) == 3
    assert {path.parent for path in paths} == {tmp_path / "runs"}


def test_runs_that_start_in_the_same_second_get_folders_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run_folder.time, "strftime", lambda form: "now")
    together = threading.Barrier(8)

    def start(seed):
        together.wait()
        return create(replace(CONFIG, seed=seed), None)

    with ThreadPoolExecutor(8) as workers:
        found = list(workers.map(start, range(8)))

    assert len({folder.path for folder in found}) == 8
    assert [folder.config().seed for folder in found] == list(range(8))


def test_a_folder_of_runs_that_leads_nowhere_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").symlink_to(tmp_path / "an unmounted disk")
    with pytest.raises(RunFolderWriteError, match="cannot create the run folder runs: File exists"):
        create(CONFIG, None)


def test_a_setting_that_this_version_does_not_have_is_named_with_its_file_and_the_version(tmp_path):
    folder = create(CONFIG, tmp_path / "run")
    folder.config_file.write_text(folder.config_file.read_text() + "[distillation.foo]\nbar = 1\n")
    for read in (folder.config, folder.recorded_config):
        with pytest.raises(ConfigError, match=r"distillation.foo.bar: no such setting.*config\.toml\)$"):
            read()
    versions = json.loads((folder.path / "versions.json").read_text()) | {"social-jepa": "0.0.1"}
    (folder.path / "versions.json").write_text(json.dumps(versions))
    with pytest.raises(ConfigError, match=r"config\.toml, which social-jepa 0\.0\.1 made\)$"):
        folder.config()


def test_settings_are_read_where_a_class_that_they_name_is_missing(tmp_path):
    folder = create(CONFIG, tmp_path / "run")
    text = folder.config_file.read_text()
    folder.config_file.write_text(text.replace('renderer = "toy"', 'renderer = "my_pkg:Missing"'))

    assert folder.recorded_config().scene.renderer == "my_pkg:Missing"
    with pytest.raises(ConfigError, match="there is no module my_pkg"):
        folder.config()


def test_the_latest_run_is_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first, second = create(CONFIG, Path("runs/b")), create(CONFIG, Path("runs/a"))
    (tmp_path / "runs" / "c").mkdir()
    os.utime(first.config_file, (0, time.time() + 60))

    assert find(None) == first
    assert find(Path("runs/a")) == second


@pytest.mark.parametrize("name", ["nowhere", "file", "empty", None])
def test_a_folder_that_is_no_run_folder_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    Path("empty").mkdir()

    with pytest.raises(
        NotARunFolderError if name else NoRunError,
        match="is no run folder" if name else "start one with social-jepa run",
    ):
        find(name and Path(name))


def test_damaged_settings_are_named(tmp_path):
    folder = create(CONFIG, tmp_path)
    folder.config_file.write_bytes(folder.config_file.read_bytes()[:-5])

    with pytest.raises(ConfigError, match=r"config\.toml is not TOML"):
        folder.config()


def test_every_folder_has_its_own_ray_namespace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = [RunFolder.at(path).namespace for path in ("a/run", "b/run", "a/../a/run", tmp_path / "a/run")]

    assert names[0] == names[2] == names[3] != names[1]
    assert all(name.startswith("social-jepa-run-") for name in names)


@pytest.mark.parametrize("text", ["", "{", "{}", "[]", '{"address": "10.0.0.1:6379", "session": 7}'])
def test_a_simulation_file_that_cannot_be_read_is_no_sign_that_nothing_runs(tmp_path, text):
    folder = create(CONFIG, tmp_path)
    assert folder.simulation() is None
    folder.simulation_file.write_text(text)

    with pytest.raises(SimulationFileError, match="end its processes, if any run, and delete the file"):
        folder.simulation()


def test_where_a_simulation_is_reached_is_read_as_it_was_written_and_is_not_that_of_a_copy(tmp_path):
    folder, copy = (create(CONFIG, tmp_path / name) for name in ("run", "copy"))
    written = SimulationFile(
        folder=str(folder.path), control="/tmp/x", address="10.0.0.1:6379", machine=MachineIdentity.current()
    )
    for each in (folder, copy):
        simulation_file.write(each.path, written)

    assert folder.simulation() == copy.simulation() == written
    assert written.is_of(folder.path)
    assert not written.is_of(copy.path)


def test_the_latest_simulation_that_is_up_is_found_and_not_a_later_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NoRunError, match="start one with social-jepa up"):
        find_running(None)
    first, second, _ = (create(CONFIG, Path(f"runs/{name}")) for name in ("a", "b", "c"))
    for when, folder in enumerate((second, first)):
        write_json(folder.simulation_file, {"address": "", "session": 0})
        os.utime(folder.simulation_file, (when, when))

    assert find_running(None) == first
    assert find_running(Path("runs/c")).path.name == "c"


def test_only_one_process_runs_in_a_folder_and_only_one_command_starts_one(tmp_path):
    folder = create(CONFIG, tmp_path)
    again = RunFolder(folder.path)

    lock = folder.acquire_lock()
    with folder.command_lock():  # a command starts the process that takes the other lock
        with pytest.raises(RunFolderInUseError, match="is in use: another process is running in it"):
            again.acquire_lock()
        with pytest.raises(RunFolderInUseError), again.command_lock():
            pass
    lock.release()
    with again.command_lock():
        again.acquire_lock().release()


def test_a_folder_that_cannot_be_written_is_refused_with_the_reason(tmp_path, monkeypatch):
    folder = create(CONFIG, tmp_path)

    def fail(self):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("filelock.FileLock.acquire", fail)
    with pytest.raises(RunFolderWriteError, match=r"cannot write into .*: Read-only file system$"):
        folder.acquire_lock()


def test_a_run_is_found_by_its_name_below_runs_but_a_path_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    below = create(CONFIG, Path("runs/one"))

    assert find(Path("one")).path == below.path
    here = create(CONFIG, Path("one"))
    assert find(Path("one")).path == here.path
    with pytest.raises(NotARunFolderError, match=r"^two is no run folder"):
        find(Path("two"))
