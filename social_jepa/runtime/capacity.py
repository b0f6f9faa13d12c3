"""How many agents the nodes of a cluster hold, which node the next one goes to, and what is missing.

A share of a GPU comes from one GPU, and CPUs and whole GPUs from one node: what is free in all nodes together
says little.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

ROUNDING = 1e-6  # Ray counts in steps of 1e-4


@dataclass(frozen=True)
class Node:
    """Resources of one node.

    Attributes:
        id: Ray's id.
        host: Name of the machine.
        cpus: CPUs, and GPUs below, that Ray may assign.
        free_cpus: CPUs, and GPUs below, that no process reserves.
    """

    id: str
    host: str
    cpus: float
    gpus: float
    free_cpus: float
    free_gpus: float


@dataclass(frozen=True)
class Shortage:
    """Resources that a process waits for.

    Attributes:
        cpus: CPUs that it reserves.
        gpus: GPUs that it reserves.
        nodes: All nodes.
    """

    cpus: float
    gpus: float
    nodes: tuple[Node, ...]

    @property
    def hopeless(self) -> bool:
        """Whether no node could hold it even if it were empty."""
        return not any(room(node, self.cpus, self.gpus) for node in self.nodes)

    def __str__(self) -> str:
        """Return a clause about the missing resource, without the name of the agent."""
        of_gpus = self.gpus > 0 and not any(_gpu_room(node, self.gpus, self.hopeless) for node in self.nodes)
        wanted = _amount(self.gpus, "GPU") if of_gpus else _amount(self.cpus, "CPU")
        place = " on one node" if max(self.gpus if of_gpus else self.cpus, 1) > 1 else ""
        if self.hopeless:
            most = max((node.gpus if of_gpus else node.cpus for node in self.nodes), default=0)
            return f"{wanted}{place}: no node has more than {most:g}"
        free = [
            f"{node.host} has {node.free_gpus if of_gpus else node.free_cpus:g} of "
            f"{node.gpus if of_gpus else node.cpus:g} free"
            for node in self.nodes
        ]
        shared = ", and a share comes from one GPU" if of_gpus and self.gpus < 1 else ""
        return f"{wanted}{place}: {', '.join(free[:8])}{' …' if len(free) > 8 else ''}{shared}"


def _amount(number: float, unit: str) -> str:
    return f"{number:g} {unit}{'s' if number > 1 else ''}"


def room(node: Node, cpus: float, gpus: float, free: bool = False) -> int:
    """Return the number of processes that fit on a node.

    Args:
        node: The node.
        cpus: CPUs that each reserves.
        gpus: GPUs that each reserves; a share below 1 is of one GPU.
        free: Whether beside what runs there, instead of on the empty node.
    """
    by_cpu = math.inf if cpus == 0 else ((node.free_cpus if free else node.cpus) + ROUNDING) // cpus
    fits = min(by_cpu, _gpu_room(node, gpus, not free))
    return 10**6 if fits == math.inf else max(0, int(fits))


def _gpu_room(node: Node, gpus: float, empty: bool) -> float:
    if gpus == 0:
        return math.inf
    available = node.gpus if empty else node.free_gpus
    if gpus >= 1:
        return (available + ROUNDING) // gpus
    each = (1 + ROUNDING) // gpus  # processes on one GPU; the rest of it stays unused
    taken = math.ceil((node.gpus - available) / gpus - ROUNDING)
    return max(0.0, int(node.gpus) * each - taken)


def capacity(nodes: Iterable[Node], cpus: float, gpus: float) -> int:
    """Return the number of processes that fit on all nodes together if they are empty."""
    return sum(room(node, cpus, gpus) for node in nodes)


def find_shortage(nodes: Sequence[Node], cpus: float, gpus: float) -> Shortage | None:
    """Return the resources that a further process waits for, or None if a node has room for it."""
    if any(room(node, cpus, gpus, free=True) for node in nodes):
        return None
    return Shortage(cpus, gpus, tuple(nodes))


def choose_node(
    nodes: Iterable[Node], placed: Iterable[str], cpus: float, gpus: float, pending: Iterable[str] = ()
) -> str:
    """Return the id of the node with room that holds the fewest agents; "" where none has room.

    Args:
        nodes: All nodes.
        placed: Node of each agent, also of those that are about to start there.
        cpus: CPUs that the process reserves.
        gpus: GPUs that it reserves.
        pending: Node of each agent that was placed so recently that its resources still count as free.
    """
    count, taken = Counter(placed), Counter(pending)
    open_nodes = [
        node
        for node in nodes
        if room(node, cpus, gpus, free=True) > taken[node.id] and room(node, cpus, gpus) > count[node.id]
    ]
    best = min(open_nodes, key=lambda node: (count[node.id], -node.free_cpus), default=None)
    return best.id if best else ""
