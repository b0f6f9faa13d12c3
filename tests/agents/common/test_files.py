import os
import stat
from pathlib import Path

import pytest

from agents.common.files import write_atomically


@pytest.fixture
def path(tmp_path):
    return tmp_path / "folder" / "file"


@pytest.fixture
def open_umask():
    """A process that would give every new file to all users."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


def temporary_of(path):
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


@pytest.mark.usefixtures("open_umask")
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666])
def test_a_file_has_its_mode_from_its_creation_on_also_in_place_of_an_open_one(path, mode, monkeypatch):
    modes = []

    def fsync(number, flush=os.fsync):
        modes.append(stat.S_IMODE(os.fstat(number).st_mode))
        flush(number)

    monkeypatch.setattr(os, "fsync", fsync)
    for data in (b"first", b"second"):
        write_atomically(path, data, mode)
        assert (path.read_bytes(), mode_of(path)) == (data, mode)
        path.chmod(0o666)
    assert modes == [mode, mode]
    assert list(path.parent.iterdir()) == [path]


def test_the_umask_takes_from_the_default_mode(path):
    before = os.umask(0o027)
    try:
        write_atomically(path, b"data")
    finally:
        os.umask(before)
    assert mode_of(path) == 0o640


@pytest.mark.usefixtures("open_umask")
def test_a_temporary_file_that_somebody_left_never_holds_what_is_written(path):
    path.parent.mkdir()
    temporary_of(path).write_bytes(b"half")
    with temporary_of(path).open("rb") as left:
        write_atomically(path, b"secret", 0o600)
        assert left.read() == b"half"
    assert (path.read_bytes(), mode_of(path)) == (b"secret", 0o600)

    elsewhere = path.parent / "elsewhere"
    elsewhere.write_bytes(b"of another program")
    temporary_of(path).symlink_to(elsewhere)
    write_atomically(path, b"more", 0o600)
    assert (elsewhere.read_bytes(), path.read_bytes()) == (b"of another program", b"more")
    assert sorted(path.parent.iterdir()) == [elsewhere, path]


def test_a_failed_write_names_the_file_and_leaves_the_earlier_one_and_nothing_else(path, monkeypatch):
    write_atomically(path, b"earlier")

    def replace(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(OSError, match="No space left") as caught:
        write_atomically(path, b"later")
    assert caught.value.filename == str(path)
    assert path.read_bytes() == b"earlier"
    assert list(path.parent.iterdir()) == [path]
