import contextlib
import json
import os
import socket
import subprocess
import sys
from contextlib import closing
from types import SimpleNamespace
from unittest import mock

import pytest

from social_jepa.config.run_config import load_config
from social_jepa.runtime import cluster, launch_process
from social_jepa.runtime.errors import (
    AddressError,
    NotOnClusterError,
    RayUnavailableError,
    SupervisorFailedError,
    SupervisorLostError,
    SupervisorUnavailableError,
)
from social_jepa.runtime.launcher import LaunchRequest
from social_jepa.storage.run_folder import create
from tests.support.command import TINY, call

# Starts two nodes and runs the command on them.
SCRIPT = """
import json, sys
from ray.cluster_utils import Cluster

small = {"num_cpus": 2, "object_store_memory": 80_000_000, "include_dashboard": False}
nodes = Cluster(initialize_head=True, head_node_args=small)
nodes.add_node(num_cpus=2, object_store_memory=80_000_000)
from social_jepa.cli.app import main
sys.argv = ["social-jepa", "run", "--address", nodes.address, "--json", *sys.argv[1:]]
try:
    main()
finally:
    nodes.shutdown()
"""

# Serves a request where no Ray listens, and prints its niceness.
LAUNCH = """
import contextlib, os, sys
from social_jepa.runtime.errors import AddressError
from social_jepa.runtime.launch_process import launch
from social_jepa.runtime.launcher import LaunchRequest

with contextlib.suppress(AddressError):
    launch(LaunchRequest(action=sys.argv[1], folder=sys.argv[2], address="127.0.0.1:9", private=False))
    sys.exit("a Ray answered")
print(os.getpriority(os.PRIO_PROCESS, 0))
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


def test_an_address_where_a_port_is_open_passes_on_a_machine_with_a_node(monkeypatch):
    monkeypatch.setattr(cluster.services, "find_node_ids", lambda: {"ab" * 28})
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        cluster.check_address(f"127.0.0.1:{server.getsockname()[1]}")
    cluster.check_address("auto")


def test_ray_restarts_no_agent_because_the_supervisor_does(machine):
    machine(CPU=2.0)
    parts = cluster.share(2, 0, capacity=16)

    options = cluster.agent_options(parts, 0.0)
    assert options["max_restarts"] == 0
    assert options["lifetime"] == "detached"  # the process that starts them ends
    assert parts.cpus == 2 / 16
    assert cluster.agent_options(parts, 0.5)["num_gpus"] == 0.5


def test_threads_of_agents_that_wait_give_their_cpu_back_unless_the_user_says_otherwise(monkeypatch):
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"):
        monkeypatch.delenv(name, raising=False)
    assert cluster.agent_environment().items() >= {
        "OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0", "KMP_BLOCKTIME": "0", "MALLOC_ARENA_MAX": "1",
    }.items()  # fmt: skip

    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    assert cluster.agent_environment()["OMP_WAIT_POLICY"] == "ACTIVE"


@pytest.mark.ray
def test_nodes_state_what_they_hold_and_what_is_free(ray_local):
    (node,) = cluster.read_nodes()

    assert (node.cpus, node.gpus, node.free_gpus) == (2, 0, 0)
    assert 0 <= node.free_cpus <= 2
    assert node.host


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
        with pytest.raises(NotOnClusterError, match="not through Ray Client"):
            cluster.check_address(address)
        said = call("up", "--out", tmp_path / "run", "--address", address)

    assert said.status == 2
    assert f"{address}: a simulation is started on a machine of its cluster" in said.err
    assert "give this command there" in said.err
    assert not (tmp_path / "run").exists()


def test_a_machine_that_is_no_node_is_told_so_before_ray_tries_for_minutes(monkeypatch):
    monkeypatch.setattr(cluster.services, "find_node_ids", set)
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(NotOnClusterError, match="no node of Ray runs on this machine"):
            cluster.check_address(address)


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
def test_a_supervisor_that_dies_whenever_it_starts_is_given_up_and_nothing_of_it_stays(
    ray_local, tmp_path, monkeypatch
):
    import ray

    from social_jepa.runtime import supervisor

    @ray.remote
    class Dying:
        def __init__(self, *_):
            pass

        def begin(self):
            os._exit(1)

    folder = create(load_config(overrides=TINY), tmp_path / "run")
    monkeypatch.setattr(supervisor, "Supervisor", Dying)
    monkeypatch.setattr(cluster, "RESTART_TIMEOUT", 2.0)
    request = LaunchRequest(action="start", folder=str(folder.path), address=ray_local, private=False)

    with pytest.raises(SupervisorLostError, match=r"answer \(.+\), and its agents were ended$") as lost:
        launch_process._start(request, folder)

    assert lost.value.folder == folder.path
    assert cluster.names_in(folder.namespace) == []


@pytest.mark.parametrize("action", ["start", "end"])
def test_the_process_that_starts_a_supervisor_has_the_niceness_of_the_run(action, tmp_path):
    own = os.getpriority(os.PRIO_PROCESS, 0)
    nice = min(19, own + 2)
    folder = create(load_config(overrides=[*TINY, f"agents.nice={nice}"]), tmp_path / "run")
    command = [sys.executable, "-c", LAUNCH, action, str(folder.path)]
    done = subprocess.run(command, capture_output=True, text=True, start_new_session=True)

    assert done.stdout.split() == [str(nice if action == "start" else own)], done.stderr


def test_ray_restarts_a_supervisor_that_dies_again_and_again_a_bounded_number_of_times(monkeypatch):
    asked = {}

    class Recorder:
        @classmethod
        def options(cls, **options):
            asked.update(options)
            return SimpleNamespace(remote=lambda *arguments: arguments)

    here = SimpleNamespace(get_node_id=lambda: "ab" * 28)
    monkeypatch.setattr(cluster.ray, "get_runtime_context", lambda: here)

    assert cluster.start_supervisor(Recorder, "one", 1, 2) == (1, 2)
    assert 0 < asked["max_restarts"] < 100


@pytest.mark.ray
def test_agents_spread_over_the_nodes_of_a_cluster(tmp_path):
    words = ["--out", str(tmp_path / "run"), *TINY, "training.steps=20"]
    done = subprocess.run([sys.executable, "-c", SCRIPT, *words], capture_output=True, text=True, timeout=200)

    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert len({agent["node"] for agent in document["agents"]}) == 2
    assert {edge["status"] for edge in document["edges"]} <= {"accepted", "refused"}
    assert len(document["edges"]) == 2


def ray_errors():
    """Return one error of every class of Ray's that can be built without knowing more than a text."""
    from ray import exceptions

    found = []
    for kind in vars(exceptions).values():
        if isinstance(kind, type) and issubclass(kind, exceptions.RayError):
            with contextlib.suppress(TypeError, AttributeError, AssertionError):
                found.append(kind("10.0.0.1 is gone"))
    return found


@pytest.mark.parametrize(
    "error", [*ray_errors(), ConnectionError("lost"), TimeoutError()], ids=lambda error: type(error).__name__
)
def test_every_error_of_ray_becomes_one_of_ours(monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(cluster.ray, "cluster_resources", fail)
    monkeypatch.setattr(cluster.ray, "nodes", fail)
    monkeypatch.setattr(cluster, "available_resources_per_node", fail)
    monkeypatch.setattr(cluster.ray, "get", fail)

    for function in (lambda: cluster.share(2, 0), cluster.read_nodes):
        with pytest.raises(RayUnavailableError, match=r"^Ray does not answer"):
            function()
    with pytest.raises((SupervisorUnavailableError, SupervisorFailedError)) as ours:
        cluster.call(mock.Mock(), "status")
    assert "\n" not in str(ours.value)


def test_a_supervisor_that_was_killed_for_memory_is_reported_as_that(monkeypatch):
    from ray.exceptions import OutOfMemoryError

    def fail(*_, **__):
        raise OutOfMemoryError("1 worker(s) were killed due to the node running low on memory.")

    monkeypatch.setattr(cluster.ray, "get", fail)

    with pytest.raises(SupervisorUnavailableError, match=r"\(its process was killed for memory\)$"):
        cluster.call(mock.Mock(), "status")
