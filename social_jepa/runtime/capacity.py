"""How many agents the nodes of a cluster hold, which node the next one goes to, and what is missing.

A share of a GPU comes from one GPU, and CPUs and whole GPUs from one node: what is free in all nodes together
says little.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

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
class Reservation:
    """What one process reserves.

    Attributes:
        node: Id of its node; "" where Ray chooses and that is not known yet.
        cpus: CPUs that it reserves.
        gpus: GPUs that it reserves.
    """

    node: str
    cpus: float
    gpus: float


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


def find_shortage(
    nodes: Sequence[Node], cpus: float, gpus: float, others: Iterable[Reservation] = ()
) -> Shortage | None:
    """Return the resources that a process waits for, or None if a node has room for it.

    What it holds already, while its process starts, is not free either: a node where nothing is used but by
    other agents and by itself has room for it.

    Args:
        nodes: All nodes.
        cpus: CPUs that it reserves.
        gpus: GPUs that it reserves.
        others: What the other agents reserve.
    """
    known = _by_node(nodes, others)
    if any(room(node, cpus, gpus, free=True) or _holds(node, known[node.id], cpus, gpus) for node in nodes):
        return None
    return Shortage(cpus, gpus, tuple(nodes))


def _holds(node: Node, others: Reservation, cpus: float, gpus: float) -> bool:
    """Return whether all that is used of a node may be that of other agents and of this process."""
    left = replace(node, free_cpus=node.cpus - others.cpus, free_gpus=node.gpus - others.gpus)
    rest = left.free_cpus - node.free_cpus, left.free_gpus - node.free_gpus
    explained = rest[0] <= cpus + ROUNDING and rest[1] <= gpus + ROUNDING
    return explained and room(left, cpus, gpus, free=True) > 0


def choose_node(nodes: Sequence[Node], others: Iterable[Reservation], cpus: float, gpus: float) -> str:
    """Return the id of the node with room that holds the fewest agents; "" where none has room.

    Ray may take seconds to count what an agent reserves: of its count and ours, the larger one applies.

    Args:
        nodes: All nodes.
        others: What the other agents reserve, also those that are about to start.
        cpus: CPUs that the process reserves.
        gpus: GPUs that it reserves.
    """
    others = list(others)
    count, known = Counter(other.node for other in others), _by_node(nodes, others)
    open_nodes = [
        node for node in nodes
        if room(_without(node, known[node.id]), cpus, gpus, free=True)
        and room(node, cpus, gpus) > count[node.id]
    ]  # fmt: skip
    best = min(open_nodes, key=lambda node: (count[node.id], -node.free_cpus), default=None)
    return best.id if best else ""


def _without(node: Node, reserved: Reservation) -> Node:
    """Return a node on which at least so much is not free."""
    return replace(
        node,
        free_cpus=min(node.free_cpus, node.cpus - reserved.cpus),
        free_gpus=min(node.free_gpus, node.gpus - reserved.gpus),
    )


def _by_node(nodes: Sequence[Node], reservations: Iterable[Reservation]) -> dict[str, Reservation]:
    """Return the sum of the reservations on each node; without a node, they count where there is only one."""
    found = {node.id: Reservation(node.id, 0.0, 0.0) for node in nodes}
    for each in reservations:
        name = each.node or (nodes[0].id if len(nodes) == 1 else "")
        if name in found:
            before = found[name]
            found[name] = Reservation(name, before.cpus + each.cpus, before.gpus + each.gpus)
    return found
