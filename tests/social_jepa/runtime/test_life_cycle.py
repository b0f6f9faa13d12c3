"""Simulations on local Rays of their own, beside other programs of the machine that use Ray."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from social_jepa.runtime import cluster
from social_jepa.runtime.errors import AlreadyUpError, NotUpError
from social_jepa.runtime.local_ray import processes_of
from social_jepa.runtime.presence import find_simulation
from social_jepa.runtime.private_ray import RAYLET
from social_jepa.runtime.session_leader import members_of
from social_jepa.runtime.simulation import Simulation
from social_jepa.server.client import SimulationClient
from social_jepa.storage.run_folder_errors import NotARunFolderError, RunFolderInUseError
from tests.support.command import call
from tests.support.simulations import QUIET, TIMEOUT, until

pytestmark = pytest.mark.ray

AUTO = """
import ray
try:
    ray.init("auto", logging_level="ERROR")
    print("joined", ray.get_runtime_context().gcs_address)
except ConnectionError:
    print("none found")
"""
OWN = """
import ray
for attempt in range(5):  # Ray gives itself 30 seconds to start, which a busy machine may exceed
    try:
        ray.init(num_cpus=1, logging_level="ERROR", include_dashboard=False, object_store_memory=80_000_000)
        break
    except Exception as error:
        assert "timed out during startup" in str(error)
print(ray.cluster_resources()["CPU"])
"""


def python(code):
    """Run a program in a process of its own, and return its last line."""
    environ = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environ)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def two(ray_local, tmp_path_factory):
    """Two simulations that one process has started after its own `ray.init`."""
    folder = tmp_path_factory.mktemp("two")
    started = [Simulation.up(*QUIET, folder=folder / name) for name in ("first", "second")]
    yield started
    for each in started:
        if each.folder.simulation_file.exists():
            each.down()


def assert_own_ray_works(address):
    """Check that this process is still in the Ray that it started, and that this Ray runs tasks."""
    import ray

    @ray.remote(num_cpus=0)
    def process():
        return os.getpid()

    assert ray.get_runtime_context().gcs_address == address
    assert ray.get(process.remote(), timeout=TIMEOUT) != os.getpid()


def test_simulations_run_on_rays_apart_from_one_another_and_from_that_of_the_process(two, ray_local):
    first, second = (find_simulation(each.folder) for each in two)

    assert len({first.address, second.address, ray_local}) == 3
    assert first.leader != second.leader
    assert_own_ray_works(ray_local)
    for each in two:
        assert cluster.names_in(each.folder.namespace) == []  # in the Ray of this process
        assert [agent.name for agent in each.status()] == ["agent-0", "agent-1"]
        with pytest.raises(AlreadyUpError):
            Simulation.resume(each.folder)
        with pytest.raises(RunFolderInUseError):
            each.folder.acquire_lock()


def test_other_programs_of_the_machine_do_not_find_them(two):
    joined = python(AUTO)

    assert joined not in [f"joined {find_simulation(each.folder).address}" for each in two]


def test_other_programs_start_rays_of_their_own_beside_them(two):
    assert python(OWN) == "1.0"


def test_the_status_of_a_simulation_whose_ray_is_frozen_comes_in_seconds(two):
    found = find_simulation(two[0].folder)
    daemons = {
        Path(process.cmdline()[0]).name: process for process in processes_of(found.leader, found.session)
    }
    frozen = [daemons["gcs_server"], daemons[RAYLET]]
    until(lambda: [agent.incarnation for agent in two[0].status()] == [1, 1])
    for process in frozen:
        process.send_signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        said = call("status", "--run", two[0].folder.path, "--json")
        seconds = time.monotonic() - began
    finally:
        for process in frozen:
            process.send_signal(signal.SIGCONT)

    assert (said.status, seconds < 5) == (0, True)
    assert [agent["incarnation"] for agent in json.loads(said.out)["agents"]] == [1, 1]


def test_a_server_outlives_the_end_of_a_simulation_and_follows_it_when_it_is_resumed(two, ray_local):
    simulation = two[1]
    client = SimulationClient(simulation.folder)
    until(lambda: [agent.incarnation for agent in client.status().agents] == [1, 1])
    found = find_simulation(simulation.folder)

    assert simulation.down() == []

    assert processes_of(found.leader, found.session) == []
    assert members_of(found.leader.pid) == []
    assert_own_ray_works(ray_local)
    until(lambda: client.status() == ([], False, ""))
    with pytest.raises(NotUpError, match="is not up"):
        client.call(lambda each: each.status())
    assert [agent.name for agent in two[0].status()] == ["agent-0", "agent-1"]
    two[1] = Simulation.resume(simulation.folder)
    until(lambda: [agent.incarnation for agent in client.status().agents] == [2, 2])
    with pytest.raises(NotARunFolderError, match="is no run folder"):  # at once and in our words
        Simulation.attach(simulation.folder.path.parent / "none")


def test_a_simulation_whose_ray_was_killed_is_said_to_have_ended_and_can_be_resumed(two):
    simulation = two[0]
    simulation.wait(timeout=TIMEOUT)
    found = find_simulation(simulation.folder)
    for process in processes_of(found.leader, found.session):
        process.kill()
    until(lambda: not processes_of(found.leader, found.session))

    with pytest.raises(NotUpError, match="was up, but its processes have ended"):
        Simulation.attach(simulation.folder)
    two[0] = Simulation.resume(simulation.folder)
    agents = until(lambda: [a for a in two[0].status() if a.progress and a.progress.step >= 60])
    assert {agent.incarnation for agent in agents} == {2}
