"""The translation graph: agents are nodes, and an edge is the target's verdict on a map into its space.

Quality multiplies along a path. If each hop lost an independent share of the variance, a path would keep
about the product of its held-out R2s, so the best path maximizes that product: the shortest path under the
lengths ``-log R2``.
"""

import difflib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import pairwise
from types import MappingProxyType
from typing import Final

import networkx as nx
from torch import Tensor

from alignment import score
from alignment.linear_map import LinearMap
from alignment.status import Status

Pair = tuple[str, str]

# An accepted edge with R2 at or below 0 stays usable, but any other path is better.
MIN_R2: Final = 1e-6


def natural_key(name: str) -> tuple[tuple[str | int, ...], str]:
    """Return a sort key that compares numbers within a name by value: agent-2 comes before agent-10."""
    parts = re.split(r"([0-9]+)", name)
    return tuple(int(part) if index % 2 else part for index, part in enumerate(parts)), name


class NoPathError(ValueError):
    """No chain of accepted edges leads from one agent to another."""


class UnknownAgentError(KeyError):
    """The graph has no agent of this name."""

    def __str__(self) -> str:
        """Return the message; KeyError would return its quoted repr."""
        return str(self.args[0])


@dataclass(frozen=True, eq=False)
class Edge:
    """The result of negotiating a map from one agent's space into another's.

    Attributes:
        source: Agent whose embeddings the map takes.
        target: Agent whose space it maps into; the one that fitted it and gave the verdict.
        status: Status; its value as a string is converted, so that an edge can be read from JSON.
        reason: Why it was not accepted; required unless accepted.
        r2: Held-out R2 of the full map.
        r2_core: Held-out R2 of the core map; the quality of paths is the product of these.
        map: The core map; required when accepted.
        details: Further values: spectrum, null, bytes, versions, time.
    """

    source: str
    target: str
    status: Status
    reason: str = ""
    r2: float = 0.0
    r2_core: float = 0.0
    map: LinearMap | None = None
    details: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise ValueError for an edge that contradicts itself, and freeze the details."""
        name = f"edge {self.source} -> {self.target}"
        if self.source == self.target:
            raise ValueError(f"{name}: an agent needs no map to itself")
        if self.status not in tuple(Status):
            raise ValueError(f"{name}: status must be one of {', '.join(Status)}; got {self.status!r}")
        object.__setattr__(self, "status", Status(self.status))
        if self.status is Status.ACCEPTED and self.map is None:
            raise ValueError(f"{name}: an accepted edge carries its map")
        if self.status is not Status.ACCEPTED and not self.reason:
            raise ValueError(f"{name}: say why it was {self.status}")
        object.__setattr__(self, "details", MappingProxyType(dict(self.details)))


class TranslationGraph:
    """All maps between agents: paths, their quality, cycles, and why there is no path. Immutable.

    Args:
        agents: Names of agents; those of the edges are added.
        edges: Edges; a later one replaces an earlier one between the same two agents.
        absent: Names of agents that left, or joined later: `check` says so, and suggests no similar name.
    """

    def __init__(
        self, agents: Iterable[str] = (), edges: Iterable[Edge] = (), absent: Iterable[str] = ()
    ) -> None:
        self._edges: dict[Pair, Edge] = {(edge.source, edge.target): edge for edge in edges}
        self._absent = frozenset(absent)
        self._agents: frozenset[str] = frozenset(agents).union(*self._edges)

    @property
    def agents(self) -> tuple[str, ...]:
        """Names of all agents, in natural order."""
        return tuple(sorted(self._agents, key=natural_key))

    @property
    def edges(self) -> tuple[Edge, ...]:
        """All edges, of any status."""
        return tuple(self._edges.values())

    def edge(self, source: str, target: str) -> Edge:
        """Return the edge between two agents.

        Raises:
            UnknownAgentError: The graph has no such agent.
            NoPathError: The two never negotiated.
        """
        self.check(source, target)
        found = self._edges.get((source, target))
        if found is None:
            raise NoPathError(f"no edge from {source} to {target} was negotiated; let the two negotiate")
        return found

    def best_path(self, source: str, target: str) -> list[str]:
        """Return the agents on the path with the largest product of held-out core R2, both ends included.

        Raises:
            UnknownAgentError: The graph has no such agent.
            NoPathError: There is no path; the message is that of `explain`.
        """
        self.check(source, target)
        try:
            return nx.dijkstra_path(self._network(), source, target, weight="length")
        except nx.NetworkXNoPath:
            raise NoPathError(self.explain(source, target)) from None

    def quality(self, path: Sequence[str]) -> float:
        """Return the product of the held-out core R2 along a path, each clipped to (0, 1]."""
        return math.prod(_clipped(edge.r2_core) for edge in self._along(path))

    def compose(self, path: Sequence[str]) -> LinearMap:
        """Return the composition of the maps along a path.

        Raises:
            ValueError: The path names fewer than two agents.
            NoPathError: One of its edges was not accepted, or never negotiated.
        """
        if len(path) < 2:
            raise ValueError(f"a path to compose names at least two agents, got {list(path)}")
        return reduce(LinearMap.then, self._maps(path))

    def explain(self, source: str, target: str) -> str:
        """Return a sentence: the best path and its quality, or every edge that blocks a path.

        An edge that was not accepted blocks a path if accepting it could help: it leads to an agent that
        source does not reach, from one that does not reach target, on a walk from source to target.
        """
        self.check(source, target)
        network = self._network()
        reached = nx.descendants(network, source) | {source}
        if target in reached:
            path = nx.dijkstra_path(network, source, target, weight="length")
            names, quality = " -> ".join(path), self.quality(path)
            return f"{source} reaches {target} by {names}; product of held-out R2 {quality:.3f}"
        reaching = nx.ancestors(network, target) | {target}
        unaccepted = [edge for edge in self.edges if edge.status is not Status.ACCEPTED]
        helpful = [edge for edge in unaccepted if edge.target not in reached and edge.source not in reaching]
        network.add_edges_from((edge.source, edge.target) for edge in helpful)
        starts, ends = nx.descendants(network, source) | {source}, nx.ancestors(network, target) | {target}
        blocking = [edge for edge in helpful if edge.source in starts and edge.target in ends]
        reasons = [f"{edge.source} -> {edge.target} {_is(edge)}: {edge.reason}" for edge in blocking]
        missing = "no chain of edges between them was negotiated"
        return f"no path from {source} to {target}: {'; '.join(reasons) or missing}"

    def cycles(self, length: int = 3) -> list[tuple[str, ...]]:
        """Return the cycles of accepted edges through ``length`` agents, each from its first name on."""
        found = nx.simple_cycles(self._network(), length_bound=length)
        cycles = [_from_first(cycle) for cycle in found if len(cycle) == length]
        return sorted(cycles, key=lambda cycle: [natural_key(name) for name in cycle])

    def cycle_error(self, cycle: Sequence[str], points: Tensor) -> float:
        """Return the error of points [K, D] of the first agent's space after mapping them around a cycle.

        See `alignment.score.cycle_error`: 0 for consistent maps, about 2 for unrelated ones.
        """
        return score.cycle_error(self._maps([*cycle, cycle[0]]), points)

    def to_networkx(self) -> nx.DiGraph:
        """Return all agents and edges with their scalar attributes, for ``networkx.write_graphml``."""
        network = nx.DiGraph()
        network.add_nodes_from(self.agents)
        for edge in self.edges:
            scalars = {
                key: value
                for key, value in edge.details.items()
                if isinstance(value, bool | int | float | str)
            }
            own = {"status": edge.status.value, "reason": edge.reason, "r2": edge.r2, "r2_core": edge.r2_core}
            network.add_edge(edge.source, edge.target, **(scalars | own))
        return network

    def to_graphml(self) -> bytes:
        """Return the graph as GraphML, which Gephi, Cytoscape and yEd read."""
        return "\n".join(nx.generate_graphml(self.to_networkx())).encode()

    def _network(self) -> nx.DiGraph:
        """Return the agents and the accepted edges, with their lengths."""
        network = nx.DiGraph()
        network.add_nodes_from(self.agents)
        for edge in self.edges:
            if edge.status is Status.ACCEPTED:
                network.add_edge(edge.source, edge.target, length=-math.log(_clipped(edge.r2_core)))
        return network

    def _along(self, path: Sequence[str]) -> list[Edge]:
        """Return the accepted edges along a path."""
        edges = [self.edge(a, b) for a, b in pairwise(path)]
        for edge in edges:
            if edge.status is not Status.ACCEPTED:
                raise NoPathError(f"{edge.source} -> {edge.target} {_is(edge)}: {edge.reason}")
        return edges

    def _maps(self, path: Sequence[str]) -> list[LinearMap]:
        """Return the maps along a path."""
        return [edge.map for edge in self._along(path) if edge.map is not None]

    def check(self, *names: str) -> None:
        """Raise UnknownAgentError, with the nearest name, for a name that is not in the graph."""
        for name in names:
            if name in self._absent:
                raise UnknownAgentError(
                    f"{name} has left, or had not joined then; the graph has {', '.join(self.agents)}"
                )
            if name not in self._agents:
                near = difflib.get_close_matches(name, self.agents, n=1)
                known = (
                    f"the graph has {', '.join(self.agents)}"
                    if self.agents
                    else "the graph has no agents yet"
                )
                hint = f"did you mean {near[0]!r}?" if near else known
                raise UnknownAgentError(f"no agent is named {name!r}; {hint}")


def _is(edge: Edge) -> str:
    return f"{'is' if edge.status is Status.STALE else 'was'} {edge.status}"


def _clipped(quality: float) -> float:
    """Return a held-out R2 as a factor in (0, 1]."""
    return min(max(quality, MIN_R2), 1.0)


def _from_first(cycle: Sequence[str]) -> tuple[str, ...]:
    """Return a cycle turned to start at the first of its agents in natural order."""
    start = cycle.index(min(cycle, key=natural_key))
    return (*cycle[start:], *cycle[:start])
