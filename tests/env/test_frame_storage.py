import errno
import gc
import os
import re
import tempfile
from pathlib import Path

import numpy as np
import pytest

from env.frame_storage import FileStorage, MemoryStorage, frame_storage, scratch_folder

SHAPE = (2, 3, 3)


def open_descriptors():
    return {int(path.name) for path in Path("/proc/self/fd").iterdir()}


@pytest.fixture(params=["memory", "file"])
def storage(request):
    return frame_storage(request.param, 16, SHAPE)


def random_frames(seed, count):
    return np.random.default_rng(seed).integers(0, 256, (count, *SHAPE), dtype=np.uint8)


def test_rows_are_read_as_they_were_last_written_in_any_order_and_shape(storage):
    expected = np.zeros((16, *SHAPE), dtype=np.uint8)
    storage.write(np.arange(16), expected)
    rng = np.random.default_rng(0)
    for seed in range(20):
        rows = (np.arange(rng.integers(0, 17)) + rng.integers(16)) % 16  # as a ring buffer writes them
        frames = random_frames(seed, len(rows))
        storage.write(rows, frames)
        expected[rows] = frames
        read = rng.integers(0, 16, (4, 5))
        assert (storage.read(read) == expected[read]).all()
    assert (storage.read(np.arange(16)) == expected).all()
    assert storage.read(np.array([], dtype=np.int64)).shape == (0, *SHAPE)


def test_frames_that_are_not_contiguous_are_stored(storage):
    frames = np.moveaxis(random_frames(0, 4), 1, 2)[:, ::-1].reshape(4, *SHAPE)
    frames = np.asfortranarray(frames)
    storage.write(np.arange(4), frames)
    assert (storage.read(np.arange(4)) == frames).all()


def test_what_was_read_does_not_change_with_the_storage(storage):
    storage.write(np.arange(4), random_frames(0, 4))
    read = storage.read(np.arange(4))
    storage.write(np.arange(4), random_frames(1, 4))
    assert (read == random_frames(0, 4)).all()


def test_a_file_has_no_name_and_its_descriptor_is_closed_with_the_storage(tmp_path):
    before = open_descriptors()
    storage = FileStorage(16, SHAPE, str(tmp_path))
    assert not list(tmp_path.iterdir())
    storage.write(np.arange(16), random_frames(0, 16))
    del storage
    gc.collect()
    assert open_descriptors() <= before


def test_a_file_takes_its_room_at_once_and_no_memory(tmp_path):
    storage = FileStorage(1000, (64, 64, 3), str(tmp_path))
    assert os.fstat(storage._file).st_blocks * 512 >= 1000 * 64 * 64 * 3
    assert not any(isinstance(value, np.ndarray) for value in vars(storage).values())


def test_a_disk_without_room_is_named_with_what_to_change(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    descriptors = open_descriptors()
    text = re.escape(f"0.01 GiB cannot be kept in a file in {tmp_path}")
    with pytest.raises(OSError, match=text) as caught:
        FileStorage(1000, (64, 64, 3), str(tmp_path))
    assert caught.value.errno == errno.ENOSPC
    assert "training.replay_storage=memory" in str(caught.value)
    assert open_descriptors() <= descriptors
    assert not list(tmp_path.iterdir())


def test_the_folder_is_the_one_that_the_user_names_and_else_one_for_large_files(tmp_path):
    assert scratch_folder({"TMPDIR": str(tmp_path)}) == str(tmp_path)
    expected = "/var/tmp" if os.access("/var/tmp", os.W_OK) else tempfile.gettempdir()
    assert scratch_folder({}) == expected
    assert scratch_folder({"TMPDIR": str(tmp_path / "missing")}) == expected


def test_storage_in_memory_needs_no_folder(monkeypatch):
    monkeypatch.setenv("TMPDIR", "/missing")
    assert isinstance(frame_storage("memory", 4, SHAPE), MemoryStorage)
