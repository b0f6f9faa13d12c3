import contextlib
import re

import pytest

from social_jepa.cli.errors import describe, exit_status
from social_jepa.config.run_config import load_config
from social_jepa.runtime import memory
from social_jepa.runtime.membership import record_start
from social_jepa.runtime.memory import agent_memory, check_room
from social_jepa.runtime.resource_errors import NotEnoughDiskError, NotEnoughMemoryError
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.run_folder import RunFolder, create
from tests.support.command import TINY, call

GIB = 2**30


FRAMES = ["training.replay_ticks=10000", "scene.frame_size=64"]
IN_MEMORY = "training.replay_storage=memory"


def test_an_agent_needs_its_process_and_a_replay_buffer_in_memory_or_on_disk():
    assert agent_memory(load_config(overrides=FRAMES)) == memory.PROCESS_BYTES
    in_memory = load_config(overrides=[*FRAMES, IN_MEMORY])
    assert agent_memory(in_memory) == memory.PROCESS_BYTES + 10000 * 64 * 64 * 3
    assert memory.replay_bytes(in_memory) == 10000 * 64 * 64 * 3


def test_replay_buffers_that_do_not_fit_on_the_disk_are_refused_with_a_count_that_does():
    config = load_config(overrides=[*FRAMES, "agents.count=8"])

    check_room(config, 8, 64 * GIB, disk=GIB)
    with pytest.raises(NotEnoughDiskError) as caught:
        check_room(config, 8, 64 * GIB, disk=GIB // 2)

    check_room(config, caught.value.fits, 64 * GIB, disk=GIB // 2)
    assert re.fullmatch(
        r"replay buffers of 8 agents need 0.9 GiB in \S+, where 0.5 GiB are free: set agents.count=4 or "
        r"lower, or for run agents.workers=4 or lower, so that agents take turns, lower "
        r"training.replay_ticks, set TMPDIR to a folder with more room, or keep frames in memory "
        r"\(training.replay_storage=memory\)",
        describe(caught.value),
    )
    assert exit_status(caught.value) == 2
    check_room(load_config(overrides=[*FRAMES, "agents.count=8", IN_MEMORY]), 8, 64 * GIB, disk=0)


def test_agents_that_cannot_fit_are_refused_with_a_count_that_does():
    config = load_config(overrides=[*TINY, "agents.count=24"])

    check_room(config, 24, 8 * GIB)
    with pytest.raises(NotEnoughMemoryError) as caught:
        check_room(config, 24, 4 * GIB)

    check_room(config, caught.value.fits, 4 * GIB)
    assert describe(caught.value) == (
        "24 agents need at least 6.8 GiB of memory, and 4.0 GiB can be had on this machine: set "
        "agents.count=14 or lower, or for run agents.workers=14 or lower, so that agents take turns, or end "
        "other programs"
    )
    assert exit_status(caught.value) == 2


def test_no_count_is_named_where_not_even_two_agents_fit():
    with pytest.raises(NotEnoughMemoryError) as caught:
        check_room(load_config(overrides=[*TINY, IN_MEMORY]), 2, GIB // 2)

    assert "agents.count" not in describe(caught.value)
    assert "training.replay_storage=file" in describe(caught.value)


def test_a_joiner_that_cannot_fit_is_refused_with_what_is_left_to_do():
    with pytest.raises(NotEnoughMemoryError) as caught:
        check_room(load_config(overrides=TINY), 1, GIB // 8)

    assert describe(caught.value).endswith("on this machine: end other programs")


@pytest.mark.parametrize("command", ["run", "up"])
def test_a_run_that_cannot_fit_leaves_no_folder(tmp_path, monkeypatch, command):
    monkeypatch.setattr(memory, "available_memory", lambda: 2 * GIB)

    said = call(command, "--out", tmp_path / "run", *TINY, "agents.count=24")

    assert said.status == 2
    assert "Ray and 24 agents need at least 7.3 GiB of memory" in said.err
    assert "agents.count=5 or lower" in said.err  # Ray needs memory, too
    assert not RunFolder(tmp_path / "run").path.exists()


def test_a_resume_with_settings_that_cannot_fit_changes_none(tmp_path, monkeypatch):
    folder = create(load_config(overrides=TINY), tmp_path / "run")
    before = folder.config_file.read_bytes()
    with contextlib.closing(Ledger(folder.ledger_file, create=True)) as ledger:
        record_start(ledger, folder.config(), folder, "started", online=False)
    monkeypatch.setattr(memory, "available_memory", lambda: 3 * GIB)

    said = call("resume", "--run", folder.path, IN_MEMORY, "training.replay_ticks=1000000")

    assert said.status == 2
    assert "training.replay_storage=file" in said.err
    assert folder.config_file.read_bytes() == before
