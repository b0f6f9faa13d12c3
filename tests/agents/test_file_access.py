"""An agent's process writes into the run folder or sends its files there, whichever it can."""

import pytest

from agents import scratch_folder
from agents.common.files import CHECKPOINT, PUBLISHED, write_atomically
from agents.file_access import FileAccess
from social_jepa.storage.agent_files import AgentFileStore
from social_jepa.storage.run_folder import RunFolder


class Supervisor:
    """Its run folder is visible to the process or not; it stores and returns files as the real one does."""

    def __init__(self, folder, visible):
        self.store, self.visible = AgentFileStore(folder), visible

    def __call__(self, method, name, *arguments):
        if method == "locate_files":
            found = self.store.locate(name)
            if not self.visible:
                object.__setattr__(found, "folder_id", "of another machine")
            return found
        if method == "read_file":
            return self.store.read(name, *arguments)
        if method == "store_file":
            self.store.write(name, arguments[1])
            return True
        assert method == "append_log"
        return None


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(scratch_folder.tempfile, "gettempdir", lambda: str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    folder = RunFolder(tmp_path / "run")
    write_atomically(folder.agent("agent-0") / CHECKPOINT, b"before")
    return folder


def access(folder, visible):
    return FileAccess(Supervisor(folder, visible), "agent-0", 1, str(folder.agent("agent-0")), log_file="")


def test_a_process_that_sees_the_run_folder_writes_into_it(folder):
    files = access(folder, visible=True)

    assert not files.remote
    assert files.folder == str(folder.agent("agent-0"))
    assert files.arrived()
    assert files.published_arrived()


def test_a_process_that_does_not_see_it_continues_from_its_files_and_sends_its_own(folder, tmp_path):
    files = access(folder, visible=False)
    local = tmp_path / files.folder  # absolute

    assert files.remote
    assert (local / CHECKPOINT).read_bytes() == b"before"
    for name in (CHECKPOINT, PUBLISHED):
        write_atomically(local / name, b"after")
        files.saved(local / name)
    files.close(30)

    assert not local.exists()
    assert files.unsaved() == ()
    for name in (CHECKPOINT, PUBLISHED):
        assert (folder.agent("agent-0") / name).read_bytes() == b"after"
