"""Node loss: recovery time of the agents of one of three Ray nodes on this machine.

The time counts from when Ray detects the loss; the detection itself depends on Ray's health checks, which are
set by environment variables, so that the measurement runs in a worker process.
"""

from agents.common.ray_environment import RAY_SETTINGS

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.harness import Effort, Metric, at_most
from benchmarks.processes import Worker
from benchmarks.soak.common import TOY, agents_by_name, has_recovered, simulation_up, wait_until
from social_jepa.records import AgentStatus

MAX_SECONDS = 5.0
AGENTS, NODES = 6, 3
HEALTH_CHECKS = {
    "RAY_health_check_initial_delay_ms": "0",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "2",
}
NODE_RESOURCES: Mapping[str, Any] = {"num_cpus": 1, "object_store_memory": 80_000_000}


@contextlib.contextmanager
def nodes_up(count: int) -> Iterator[Any]:
    """Start a cluster of Ray nodes on this machine; it is shut down on exit."""
    import ray
    from ray.cluster_utils import Cluster

    nodes = Cluster(initialize_head=True, head_node_args={**NODE_RESOURCES, "include_dashboard": False})
    try:
        for _ in range(count - 1):
            nodes.add_node(**NODE_RESOURCES)
        nodes.wait_for_nodes()
        ray.init(address=nodes.address, log_to_driver=False)  # to see when Ray detects the loss
        yield nodes
    finally:
        ray.shutdown()
        nodes.shutdown()


class NodeLoss:
    """A simulation on several nodes; a call removes one of them."""

    def __init__(self, settings: Sequence[str], agents: int) -> None:
        """Store the settings of the simulation."""
        self._settings = (*TOY, f"agents.count={agents}", *settings)

    def __call__(self) -> dict[str, float]:
        """Remove a node; return the seconds until its detection, and from then until all agents recovered."""
        with nodes_up(NODES) as nodes, simulation_up(self._settings, nodes.address) as simulation:
            simulation.wait(timeout=180.0)
            agents = agents_by_name(simulation)
            node = max(nodes.worker_nodes, key=lambda each: len(_on(agents, each)))
            lost = _on(agents, node)
            began = time.perf_counter()
            nodes.remove_node(node, allow_graceful=False)
            wait_until("detection of the lost node", lambda: node.node_id not in _alive(), every=0.02)
            detected = time.perf_counter()
            incarnations = {name: agents[name].incarnation for name in lost}
            wait_until(
                f"{', '.join(lost)} recovered",
                lambda: _all_recovered(agents_by_name(simulation), incarnations),
                every=0.02,
            )
            recovered = time.perf_counter()
            return {"agents": len(lost), "detection": detected - began, "recovery": recovered - detected}


def _on(agents: Mapping[str, AgentStatus], node: Any) -> list[str]:
    return [name for name, agent in agents.items() if agent.node == node.node_id]


def _all_recovered(agents: Mapping[str, AgentStatus], incarnations: Mapping[str, int]) -> bool:
    return all(has_recovered(agents[name], incarnation) for name, incarnation in incarnations.items())


def _alive() -> set[str]:
    import ray

    return {node["NodeID"] for node in ray.nodes() if node["Alive"]}


def rows(found: Mapping[str, float]) -> list[Metric]:
    """Return the metrics of one lost node."""
    return [
        Metric(
            f"lost node with {found['agents']:g} agents: from its detection until all report",
            found["recovery"], "s", "from its loss to its detection", found["detection"],
            at_most(MAX_SECONDS),
        )
    ]  # fmt: skip


def metrics(effort: Effort) -> list[Metric]:
    """Remove one node of three."""
    name, count = "benchmarks.soak.nodes:NodeLoss", max(NODES, effort.of(AGENTS))
    with Worker(name, {**RAY_SETTINGS, **HEALTH_CHECKS}, settings=effort.settings, agents=count) as worker:
        return rows(worker())
