"""Node loss: three nodes of a Ray cluster on this machine, one of which ends; how soon its agents are back.

Ray looks after its nodes as often as its environment says, so that this lives in a process of its own. What
counts is the time from Ray's verdict that the node is dead; how soon it gets there is a setting of Ray's.
"""

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.harness import Effort, Metric, at_most
from benchmarks.processes import Worker
from benchmarks.soak.all_parts import TOY, by_name, is_back, living, until
from social_jepa.runtime.cluster import RAY_SETTINGS

SECONDS = 5.0
AGENTS, NODES = 6, 3
LOOKS = {
    "RAY_health_check_initial_delay_ms": "0",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "2",
}
SMALL: Mapping[str, Any] = {"num_cpus": 1, "object_store_memory": 80_000_000}


@contextlib.contextmanager
def nodes_up(count: int) -> Iterator[Any]:
    """Start so many nodes on this machine; they end whatever happens."""
    from ray.cluster_utils import Cluster

    nodes = Cluster(initialize_head=True, head_node_args={**SMALL, "include_dashboard": False})
    try:
        for _ in range(count - 1):
            nodes.add_node(**SMALL)
        nodes.wait_for_nodes()
        yield nodes
    finally:
        import ray

        ray.shutdown()
        nodes.shutdown()


class NodeLoss:
    """A simulation on several nodes, one of which is lost at a call."""

    def __init__(self, settings: Sequence[str], agents: int) -> None:
        """Take what the simulation is made of."""
        self._settings = (*TOY, f"agents.count={agents}", *settings)

    def __call__(self) -> dict[str, float]:
        """Lose a node and return the seconds until Ray said so, and from then until all agents were back."""
        with nodes_up(NODES) as nodes, living(self._settings, nodes.address) as simulation:
            simulation.wait(timeout=180.0)
            agents = by_name(simulation)
            node = max(nodes.worker_nodes, key=lambda each: len(_on(agents, each)))
            there = _on(agents, node)
            began = time.perf_counter()
            nodes.remove_node(node, allow_graceful=False)
            until("the node's end known", lambda: node.node_id not in _alive(), every=0.02)
            detected = time.perf_counter()
            lives = {name: agents[name]["incarnation"] for name in there}
            until(f"{', '.join(there)} back", lambda: _back(by_name(simulation), lives), every=0.02)
            back = time.perf_counter()
            return {"agents": len(there), "detection": detected - began, "back": back - detected}


def _on(agents: Mapping[str, Mapping[str, Any]], node: Any) -> list[str]:
    return [name for name, agent in agents.items() if agent["node"] == node.node_id]


def _back(agents: Mapping[str, Mapping[str, Any]], lives: Mapping[str, int]) -> bool:
    return all(is_back(agents[name], life) for name, life in lives.items())


def _alive() -> set[str]:
    import ray

    return {node["NodeID"] for node in ray.nodes() if node["Alive"]}


def rows(found: Mapping[str, float]) -> list[Metric]:
    """Return the figures of one loss."""
    return [
        Metric(
            f"a node lost with {found['agents']:g} agents: from its detection until all report",
            found["back"], "s", "from its end to its detection", found["detection"], at_most(SECONDS),
        )
    ]  # fmt: skip


def figures(effort: Effort) -> list[Metric]:
    """Lose one node of three."""
    name, count = "benchmarks.soak.nodes:NodeLoss", max(NODES, effort.of(AGENTS))
    with Worker(name, {**RAY_SETTINGS, **LOOKS}, settings=effort.settings, agents=count) as worker:
        return rows(worker())
