import json
import os
import socket
import subprocess
import sys
from contextlib import closing
from types import SimpleNamespace

import pytest

from social_jepa.runtime import cluster
from social_jepa.runtime.errors import (
    AddressError,
    NotOnClusterError,
    SupervisorFailedError,
    SupervisorUnavailableError,
)
from tests.support.command import TINY, call

# Starts three nodes and runs the command on them.
SCRIPT = """
import json, sys
from ray.cluster_utils import Cluster

small = {"num_cpus": 1, "object_store_memory": 80_000_000, "include_dashboard": False}
nodes = Cluster(initialize_head=True, head_node_args=small)
for _ in range(2):
    nodes.add_node(num_cpus=1, object_store_memory=80_000_000)
from social_jepa.cli.app import main
sys.argv = ["social-jepa", "run", "--address", nodes.address, "--json", *sys.argv[1:]]
try:
    main()
finally:
    nodes.shutdown()
"""


@pytest.fixture
def machine(monkeypatch):
    """Replace the CPUs and GPUs that Ray reports."""

    def set_resources(**resources):
        monkeypatch.setattr(cluster.ray, "cluster_resources", lambda: resources)

    return set_resources


@pytest.mark.parametrize("units", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("count", range(2, 18))
def test_every_agent_can_be_placed_though_no_share_may_span_two_cpus_or_gpus(machine, units, count):
    machine(CPU=float(units), GPU=float(units))
    share = cluster.share(count, 0)

    for part in (share.cpus, share.gpus):
        assert 0 < part <= 1
        assert units * int(1e4 // round(1e4 * part)) >= count


def test_a_machine_without_gpus_shares_its_cpus(machine):
    machine(CPU=2.0)

    assert cluster.share(4, 0) == cluster.ResourceShare(0.5, 0.0, 1, "no GPU; 1 thread each, sharing 2 CPUs")
    assert cluster.share(2, 0) == cluster.ResourceShare(1.0, 0.0, 1, "no GPU; 1 thread each")


def test_agents_get_an_equal_share_of_threads_or_the_requested_number(machine):
    machine(CPU=16.0, GPU=4.0)

    assert (cluster.share(4, 0).threads, cluster.share(4, 3).threads) == (4, 3)
    assert cluster.share(4, 0).note == "one GPU each; 4 threads each"
    assert cluster.share(6, 0).note.startswith("6 agents share 4 GPUs")


@pytest.mark.parametrize("address", ["127.0.0.1:9", "127.0.0.1:x", "127.0.0.1:99999", "here"])
def test_an_address_where_nothing_listens_is_refused_before_ray_connects(address):
    for check in (cluster.check_address, cluster.connect):
        with pytest.raises(AddressError, match=rf"^no Ray cluster answers at {address}$") as error:
            check(address)
        assert error.value.address == address


def test_an_address_where_a_port_is_open_passes():
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        cluster.check_address(f"127.0.0.1:{server.getsockname()[1]}")
    cluster.check_address("auto")


@pytest.mark.parametrize(
    ("free", "wanted", "line"),
    [
        ({"CPU": 1.0}, {"num_cpus": 1.0, "num_gpus": 0.0}, ""),
        ({"CPU": 0.5, "GPU": 1.0}, {"num_cpus": 0.5, "num_gpus": 1.0}, ""),
        ({"CPU": 0.5}, {"num_cpus": 1.0, "num_gpus": 0.0}, "1 CPU: 0.5 of 4 in the cluster are free"),
        ({}, {"num_cpus": 2.0, "num_gpus": 0.0}, "2 CPUs: 0 of 4 in the cluster are free"),
        ({"CPU": 4.0}, {"num_cpus": 1.0, "num_gpus": 1.0}, "1 GPU: 0 of 2 in the cluster are free"),
        ({}, {"num_cpus": 1.0, "num_gpus": 0.5}, "0.5 GPU: 0 of 2 in the cluster are free"),
    ],
)
def test_a_shortage_of_resources_is_described_in_one_line(machine, monkeypatch, free, wanted, line):
    machine(CPU=4.0, GPU=2.0)
    monkeypatch.setattr(cluster.ray, "available_resources", lambda: free)

    assert cluster.shortage(wanted) == line


def test_an_agent_of_a_simulation_is_restarted_without_limit(machine):
    machine(CPU=2.0)
    parts = cluster.share(2, 0, capacity=16)

    online, batch = (cluster.agent_options(parts, 0.0, each) for each in (True, False))
    assert (online["max_restarts"], batch["max_restarts"]) == (-1, cluster.MAX_RESTARTS)
    assert online["lifetime"] == batch["lifetime"] == "detached"  # the process that starts them ends
    assert parts.cpus == 2 / 16
    assert cluster.agent_options(parts, 0.5, True)["num_gpus"] == 0.5


class RecordedOptions:
    """In place of an actor class: remembers what it was started with."""

    def options(self, **options):
        self.started_with = options
        return self

    def remote(self, *arguments):
        return self


def test_a_supervisor_starts_on_the_machine_of_the_run_folder_and_on_no_other(monkeypatch):
    here = SimpleNamespace(get_node_id=lambda: "ab" * 28)
    monkeypatch.setattr(cluster.ray, "get_runtime_context", lambda: here)
    started = cluster.start_supervisor(RecordedOptions(), "of-the-test")

    placed = started.started_with["scheduling_strategy"]
    assert (placed.node_id, placed.soft) == ("ab" * 28, False)


def test_an_address_of_ray_client_is_refused_before_there_is_a_folder(tmp_path):
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        address = f"ray://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(NotOnClusterError, match="started on a machine of its cluster"):
            cluster.check_address(address)
        said = call("up", "--out", tmp_path / "run", "--address", address)

    assert said.status == 2
    assert f"{address}: a simulation is started on a machine of its cluster" in said.err
    assert "give this command there" in said.err
    assert not (tmp_path / "run").exists()


@pytest.fixture
def supervisor(ray_local):
    """An actor that answers, refuses, fails or dies."""
    import ray

    @ray.remote
    class Actor:
        def answer(self, value):
            return value

        def refuse(self):
            raise ValueError("no agent has that name")

        def fail(self):
            raise RuntimeError("the disk is full")

        def die(self):
            os._exit(1)

    yield cluster.start_supervisor(Actor, "of-the-test")
    cluster.end("of-the-test")


@pytest.mark.ray
def test_a_supervisor_is_found_by_its_namespace_until_it_is_ended(supervisor):
    assert cluster.call(supervisor, "answer", 3) == 3
    assert cluster.call(cluster.find_supervisor("of-the-test"), "answer", 4) == 4
    assert cluster.find_supervisor("elsewhere") is None
    assert cluster.names_in("of-the-test") == ["supervisor"]

    cluster.end("of-the-test")

    assert cluster.names_in("of-the-test") == []
    with pytest.raises(SupervisorUnavailableError, match="supervisor of the simulation does not answer"):
        cluster.call(supervisor, "answer", 3)


@pytest.mark.ray
def test_a_refusal_is_raised_as_it_is_and_a_failure_as_supervisor_failed(supervisor):
    with pytest.raises(ValueError, match=r"^no agent has that name$"):
        cluster.call(supervisor, "refuse")
    with pytest.raises(SupervisorFailedError, match=r"failed: the disk is full$"):
        cluster.call(supervisor, "fail")


@pytest.mark.ray
def test_a_supervisor_whose_process_died_is_reported_in_one_line_and_restarts(supervisor):
    with pytest.raises(
        SupervisorUnavailableError, match="supervisor of the simulation does not answer"
    ) as loss:
        cluster.call(supervisor, "die")

    assert "\n" not in str(loss.value)
    assert cluster.call(supervisor, "answer", 5, idempotent=True) == 5


@pytest.mark.ray
def test_agents_spread_over_the_nodes_of_a_cluster(tmp_path):
    words = ["--out", str(tmp_path / "run"), *TINY, "agents.count=3", "training.steps=20"]
    done = subprocess.run([sys.executable, "-c", SCRIPT, *words], capture_output=True, text=True, timeout=200)

    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert len({agent["node"] for agent in document["agents"]}) == 3
    assert {edge["status"] for edge in document["edges"]} <= {"accepted", "refused"}
    assert len(document["edges"]) == 6
