from dataclasses import replace

import pytest

from agents import file_transfer
from agents.common.files import CHECKPOINT, PUBLISHED
from agents.file_transfer import FOLDER_ID, chunks, fetch
from social_jepa.storage import agent_files
from social_jepa.storage.agent_files import AgentFileStore
from social_jepa.storage.run_folder import RunFolder

DATA = bytes(range(256)) * 4


@pytest.fixture
def store(tmp_path):
    return AgentFileStore(RunFolder(tmp_path / "run"))


@pytest.fixture(params=[1 << 20, 100, len(DATA)])
def parts(request, tmp_path, monkeypatch):
    """The parts of a checkpoint: one, several, and one of exactly the size of a part."""
    for module in (file_transfer, agent_files):
        monkeypatch.setattr(module, "CHUNK_BYTES", request.param)
    (tmp_path / CHECKPOINT).write_bytes(DATA)
    return list(chunks(tmp_path / CHECKPOINT))


def stored_bytes(store, tmp_path):
    return (tmp_path / "run" / "agents" / "agent-0" / CHECKPOINT).read_bytes()


def test_a_file_that_was_sent_in_parts_is_stored_and_can_be_fetched(store, parts, tmp_path):
    for part in parts:
        store.write("agent-0", part)
    located = store.locate("agent-0")
    fetch(located, tmp_path / "fetched", lambda file, offset: store.read("agent-0", file, offset))

    assert stored_bytes(store, tmp_path) == (tmp_path / "fetched" / CHECKPOINT).read_bytes() == DATA
    assert located.stored == {CHECKPOINT: parts[0].whole}
    assert [path.name for path in (tmp_path / "run" / "agents" / "agent-0").iterdir()] == [CHECKPOINT]


def test_a_file_appears_only_with_its_last_part_and_only_if_it_is_the_one_that_was_announced(
    store, parts, tmp_path
):
    for part in parts:
        store.write("agent-0", part)
    newer = [replace(part, data=bytes(len(part.data))) for part in parts]  # not what their digest says
    for part in newer[:-1]:
        store.write("agent-0", part)
        assert stored_bytes(store, tmp_path) == DATA
    with pytest.raises(ValueError, match="arrived incomplete or damaged"):
        store.write("agent-0", newer[-1])

    assert stored_bytes(store, tmp_path) == DATA


def test_a_part_that_is_sent_twice_or_after_a_lost_one_does_no_harm(store, parts, tmp_path):
    for part in [*parts[:-1], *parts]:
        store.write("agent-0", part)
    assert stored_bytes(store, tmp_path) == DATA

    if len(parts) > 2:
        store.write("agent-1", parts[0])
        with pytest.raises(ValueError, match="arrived incomplete or damaged"):
            store.write("agent-1", parts[-1])


@pytest.mark.parametrize("file", ["../../config.toml", "config.toml", "", ".folder-id"])
def test_only_files_of_agents_are_written_or_read(store, parts, file):
    with pytest.raises(ValueError, match=f"choose from {CHECKPOINT}, {PUBLISHED}"):
        store.write("agent-0", replace(parts[0], file=file))
    with pytest.raises(ValueError, match="is not a file of an agent"):
        store.read("agent-0", file, 0)


def test_a_copy_of_the_run_folder_is_not_taken_for_it_after_the_next_start(store, tmp_path):
    located = store.locate("agent-0")
    assert located.visible()
    assert located.stored == {}

    copied = (tmp_path / "run" / FOLDER_ID).read_text()
    again = AgentFileStore(RunFolder(tmp_path / "run")).locate("agent-0")
    assert again.visible()
    assert not located.visible()
    (tmp_path / "run" / FOLDER_ID).write_text(copied)
    assert not again.visible()


def test_a_folder_that_cannot_be_written_is_visible_to_no_agent_and_stops_no_supervisor(tmp_path, caplog):
    (tmp_path / "run").write_text("a file in place of the folder: not even root can write into it")
    located = AgentFileStore(RunFolder(tmp_path / "run")).locate("agent-0")

    assert not located.visible()
    assert located.stored == {}
    assert "cannot be written" in caplog.text
