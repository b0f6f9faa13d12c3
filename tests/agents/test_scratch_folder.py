from agents import scratch_folder
from agents.common.files import CHECKPOINT
from agents.scratch_folder import ScratchFolder


def test_scratch_folders_that_killed_processes_left_are_removed_and_no_others(tmp_path, monkeypatch):
    monkeypatch.setattr(scratch_folder.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(scratch_folder, "MIN_AGE_SECONDS", -1.0)
    in_use, left = ScratchFolder("agent-0"), ScratchFolder("agent-1")
    (left.path / CHECKPOINT).write_bytes(b"data")
    left._lock.release()  # as the kernel does when a process ends
    other = ScratchFolder("agent-2")

    assert in_use.path.exists()
    assert other.path.exists()
    assert not left.path.exists()
    other.close()
    assert not other.path.exists()
    assert in_use.path.parent.stat().st_mode & 0o777 == 0o700


def test_a_scratch_folder_with_what_the_supervisor_lacks_outlives_its_process(tmp_path, monkeypatch):
    monkeypatch.setattr(scratch_folder.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(scratch_folder, "MIN_AGE_SECONDS", -1.0)
    kept = ScratchFolder("agent-0")
    (kept.path / CHECKPOINT).write_bytes(b"data")
    kept.keep()
    ScratchFolder("agent-1").close()

    assert (kept.path / CHECKPOINT).read_bytes() == b"data"
