import json
import os
import socket
import subprocess
import sys
from contextlib import closing

import pytest
from social_jepa_command import TINY

from social_jepa import cluster

# Starts three nodes, runs the command against them, and prints where each agent lived.
SCRIPT = """
import json, sys
from ray.cluster_utils import Cluster

small = {"num_cpus": 1, "object_store_memory": 80_000_000, "include_dashboard": False}
nodes = Cluster(initialize_head=True, head_node_args=small)
for _ in range(2):
    nodes.add_node(num_cpus=1, object_store_memory=80_000_000)
from social_jepa.cli import main
sys.argv = ["social-jepa", "run", "--address", nodes.address, "--json", *sys.argv[1:]]
try:
    main()
finally:
    nodes.shutdown()
"""


@pytest.fixture
def machine(monkeypatch):
    """Pretend that Ray found this many cores and GPUs."""

    def set_resources(**resources):
        monkeypatch.setattr(cluster.ray, "cluster_resources", lambda: resources)

    return set_resources


@pytest.mark.parametrize("units", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("count", range(2, 18))
def test_every_agent_finds_a_place_though_no_share_may_straddle_two_cores_or_gpus(machine, units, count):
    machine(CPU=float(units), GPU=float(units))
    share = cluster.share(count, 0)

    for part in (share.cpus, share.gpus):
        assert 0 < part <= 1
        assert units * int(1e4 // round(1e4 * part)) >= count


def test_a_machine_without_gpus_shares_its_cores(machine):
    machine(CPU=2.0)

    assert cluster.share(4, 0) == cluster.Share(0.5, 0.0, 1, "no GPU; 1 thread each, sharing 2 cores")
    assert cluster.share(2, 0) == cluster.Share(1.0, 0.0, 1, "no GPU; 1 thread each")


def test_agents_get_a_fair_share_of_threads_or_what_is_asked(machine):
    machine(CPU=16.0, GPU=4.0)

    assert (cluster.share(4, 0).threads, cluster.share(4, 3).threads) == (4, 3)
    assert cluster.share(4, 0).note == "one GPU each; 4 threads each"
    assert cluster.share(6, 0).note.startswith("6 agents share 4 GPUs")


@pytest.mark.parametrize(
    "address", ["127.0.0.1:9", "ray://127.0.0.1:9", "127.0.0.1:x", "127.0.0.1:99999", "here"]
)
def test_an_address_where_nobody_listens_is_refused_before_ray_is_asked(address, monkeypatch):
    with pytest.raises(cluster.AddressError, match="written host:port"):
        cluster.check_address(address)

    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(cluster.AddressError, match=f"nobody answers at {address}"):
        cluster.check_address(None)


def test_an_address_where_somebody_listens_passes(monkeypatch):
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        cluster.check_address(f"127.0.0.1:{server.getsockname()[1]}")
    cluster.check_address("auto")


@pytest.fixture
def actor(ray_local):
    """An actor that answers, raises or dies."""
    import ray

    @ray.remote(num_cpus=0.1)
    class Actor:
        def answer(self, value):
            return value

        def fail(self):
            raise ValueError("the loss became nan")

        def die(self):
            os._exit(1)

    handle = Actor.remote()
    yield handle
    ray.kill(handle)


@pytest.mark.ray
def test_answers_come_in_the_order_of_the_agents(actor):
    calls = {name: actor.answer.remote(name) for name in ("b", "a", "c")}

    assert list(cluster.gather(calls, every=0.05).items()) == [("b", "b"), ("a", "a"), ("c", "c")]
    assert cluster.ask({"a": actor.answer.remote(3)}, 30.0) == {"a": 3}


@pytest.mark.ray
def test_an_agent_whose_work_fails_is_named_with_its_reason(actor):
    with pytest.raises(cluster.AgentLostError, match=r"^agent-1: the loss became nan$"):
        cluster.gather({"agent-1": actor.fail.remote()})

    assert cluster.ask({"agent-1": actor.fail.remote()}, 30.0) == {}


@pytest.mark.ray
def test_an_agent_whose_process_dies_is_named_in_one_line(actor):
    with pytest.raises(
        cluster.AgentLostError, match=r"^the process of agent-1 died .*social-jepa resume"
    ) as loss:
        cluster.gather({"agent-1": actor.die.remote()})

    assert "\n" not in str(loss.value)


@pytest.mark.ray
def test_agents_spread_over_the_nodes_of_a_cluster(tmp_path):
    words = ["--out", str(tmp_path / "run"), *TINY, "agents.count=3", "training.steps=20"]
    done = subprocess.run([sys.executable, "-c", SCRIPT, *words], capture_output=True, text=True, timeout=200)

    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert len({agent["node"] for agent in document["agents"]}) == 3
    assert {edge["status"] for edge in document["edges"]} <= {"accepted", "refused"}
    assert len(document["edges"]) == 6
