"""A simulation whose disk is full: it goes on, says so, and writes everything once there is room."""

import contextlib
import errno
import json
import subprocess
from itertools import permutations
from types import SimpleNamespace

import pytest

from agents.training.checkpoint import read_checkpoint
from tests.support.command import call
from tests.support.failing_models import WaitsForGate
from tests.support.simulations import TIMEOUT, edges, ledger_of, status_of, until, up

pytestmark = pytest.mark.ray

NAMES = ("agent-0", "agent-1")


@pytest.fixture
def disk(tmp_path):
    """A file system of 16 MB, and functions that fill and free it."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("only root may mount a small file system")

    def fill():
        with contextlib.suppress(OSError), (folder / "filler").open("ab", buffering=0) as file:
            for size in (1 << 20, 4096, 1):
                with contextlib.suppress(OSError):
                    while file.write(bytes(size)) == size:
                        pass

    yield SimpleNamespace(path=folder, fill=fill, free=(folder / "filler").unlink)
    subprocess.run(["umount", "--lazy", folder], check=True)


def unsaved(simulation, name):
    return {record.path.rsplit("/", 1)[1] for record in status_of(simulation, name).unsaved}


def is_recorded(simulation, name):
    """Return whether nothing of an agent's reports waits for room: in its folder, or in the ledger."""
    return not {"ledger.sqlite", name} & unsaved(simulation, name)


def check_that_it_goes_on(simulation):
    """Agents train, and status says what is not written."""
    until(lambda: not any(is_recorded(simulation, name) for name in NAMES))
    until(lambda: "checkpoint.safetensors" in unsaved(simulation, "agent-0"))
    step = status_of(simulation, "agent-0").progress.step
    until(lambda: status_of(simulation, "agent-0").progress.step > step)
    agents = simulation.status()
    assert [agent.name for agent in agents if not agent.failure and not agent.settled] == list(NAMES)
    shown = " ".join(call("status", "--run", simulation.folder.path).out.split())
    assert "it goes on and tries again" in shown


def check_that_all_is_written(simulation):
    """No edge, event or file is missing."""
    simulation.wait(timeout=TIMEOUT)
    until(lambda: not any(agent.unsaved for agent in simulation.status()))
    assert edges(simulation).keys() == set(permutations(NAMES, 2))
    with ledger_of(simulation) as ledger:
        assert {event.details["agent"] for event in ledger.events_of("published")} == set(NAMES)
        assert len(ledger.events_of("edge")) == 2
        assert ledger.messages()
    for name in NAMES:
        assert read_checkpoint(simulation.folder.agent(name) / "published.safetensors")


def test_a_simulation_on_a_full_disk_goes_on_and_writes_everything_once_there_is_room(ray_local, disk):
    gate = WaitsForGate.path()
    gate.unlink(missing_ok=True)
    simulation = up(disk.path / "run", ray_local, "agents.kind=tests.support.failing_models:WaitsForGate")
    disk.fill()
    gate.touch()  # an agent that publishes earlier gives the ledger the pages that it needs later
    try:
        check_that_it_goes_on(simulation)
        disk.free()
        check_that_all_is_written(simulation)
        disk.fill()
        until(lambda: unsaved(simulation, "agent-0"))
    finally:
        said = call("down", "--run", simulation.folder.path, "--json")

    assert said.status == 1
    sentences = json.loads(said.out)["unsaved"]
    assert {sentence.split()[0] for sentence in sentences} >= set(NAMES)
    assert any("checkpoint.safetensors" in sentence for sentence in sentences)
    assert any("does not say that the simulation has stopped" in sentence for sentence in sentences)
    assert said.err.count("unsaved  ") == len(sentences)
    disk.free()
    assert call("graph", "--run", simulation.folder.path).status == 0


def test_the_error_of_a_full_disk_names_the_file_and_the_remedy(disk):
    disk.fill()
    said = call("run", "--out", disk.path / "run", "scene.renderer=toy")

    assert said.status == 2
    assert (
        f"run folder {disk.path / 'run'}: {OSError(errno.ENOSPC, '').strerror or 'No space left'}" in said.err
    )
