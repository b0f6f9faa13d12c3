import os
import time
from pathlib import Path

import pytest

from agents.config_error import ConfigError
from social_jepa.config.run_config import load_config
from social_jepa.storage.run_folder import (
    RunFolder,
    RunFolderError,
    create,
    find,
    find_running,
    versions,
    write_json,
)

CONFIG = load_config(
    overrides=["scene.renderer=toy", "seed=3", "scene.autocorrelation=[0.8]", "agents.count=3"]
)


def test_a_new_run_folder_holds_settings_that_load_back_equal(tmp_path):
    folder = create(CONFIG, tmp_path / "a" / "b")

    assert folder.config() == CONFIG
    assert {path.name for path in folder.path.iterdir()} == {"config.toml", "versions.json"}


def test_versions_name_what_made_the_run():
    found = versions()

    assert {"python", "torch", "ray", "social-jepa"} <= found.keys()
    assert "not installed" not in found.values()


def test_an_empty_folder_is_taken(tmp_path):
    assert create(CONFIG, tmp_path).path == tmp_path.resolve()


@pytest.mark.parametrize("name", ["notes.txt", "config.toml"])
def test_a_folder_with_something_in_it_is_left_as_it_is(tmp_path, name):
    (tmp_path / name).write_text("mine")

    with pytest.raises(RunFolderError, match="choose another --out") as refusal:
        create(CONFIG, tmp_path)

    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]
    assert ("social-jepa resume" in str(refusal.value)) == (name == "config.toml")


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/nowhere/run"])
def test_a_place_that_cannot_be_written_is_named(tmp_path, place):
    (tmp_path / "file").write_text("mine")

    with pytest.raises(RunFolderError, match=f"{place}.*(exists|Not a directory|No such file)"):
        create(CONFIG, tmp_path / place)


def test_runs_without_a_name_get_a_folder_each(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    paths = {create(CONFIG, None).path for _ in range(3)}

    assert len(paths) == 3
    assert {path.parent for path in paths} == {tmp_path / "runs"}


def test_the_latest_run_is_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first, second = create(CONFIG, Path("runs/b")), create(CONFIG, Path("runs/a"))
    (tmp_path / "runs" / "c").mkdir()
    os.utime(first.config_file, (0, time.time() + 60))

    assert find(None) == first
    assert find(Path("runs/a")) == second


@pytest.mark.parametrize("name", ["nowhere", "file", "empty", None])
def test_what_is_no_run_folder_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    Path("empty").mkdir()

    with pytest.raises(
        RunFolderError, match="is no run folder" if name else "start one with social-jepa run"
    ):
        find(name and Path(name))


def test_damaged_settings_are_named(tmp_path):
    folder = create(CONFIG, tmp_path)
    folder.config_file.write_bytes(folder.config_file.read_bytes()[:-5])

    with pytest.raises(ConfigError, match=r"config\.toml is not TOML"):
        folder.config()


def test_one_name_for_ray_belongs_to_one_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = [RunFolder.at(path).namespace for path in ("a/run", "b/run", "a/../a/run", tmp_path / "a/run")]

    assert names[0] == names[2] == names[3] != names[1]
    assert all(name.startswith("social-jepa-run-") for name in names)


@pytest.mark.parametrize("text", [None, "", "{"])
def test_a_folder_that_says_nothing_of_a_simulation_has_none_that_is_up(tmp_path, text):
    folder = create(CONFIG, tmp_path)
    if text is not None:
        folder.simulation_file.write_text(text)

    assert folder.simulation_address() is None


def test_the_latest_simulation_that_is_up_is_found_and_not_a_later_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunFolderError, match="start one with social-jepa up"):
        find_running(None)
    first, second, _ = (create(CONFIG, Path(f"runs/{name}")) for name in ("a", "b", "c"))
    for when, folder in enumerate((second, first)):
        write_json(folder.simulation_file, {"address": "", "session": 0})
        os.utime(folder.simulation_file, (when, when))

    assert find_running(None) == first
    assert find_running(Path("runs/c")).path.name == "c"


def test_one_run_at_a_time_in_a_folder(tmp_path):
    folder = create(CONFIG, tmp_path)
    again = RunFolder(folder.path)

    with folder.lock(), pytest.raises(RunFolderError, match="is in use"), again.lock():
        pass
    with again.lock():
        assert again.config() == CONFIG
