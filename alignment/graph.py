"""The social translation graph: agents are nodes, and an edge is one agent's verdict on a map into its space.

Quality multiplies along a path. Were each hop to lose an independent share of the variance, a path would keep
about the product of its held-out R2s, so the best path maximises that product: the shortest path under the
lengths ``-log R2``.
"""

import difflib
import math
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

# An accepted edge of no measured worth stays usable, but any other way is better.
WORST_R2: Final = 1e-6


class NoPathError(ValueError):
    """No accepted edge, or chain of them, leads from one agent to another."""


class UnknownAgentError(KeyError):
    """A name that no agent of the graph has."""

    def __str__(self) -> str:
        """Return the sentence; KeyError would print its quoted repr."""
        return str(self.args[0])


@dataclass(frozen=True, eq=False)
class Edge:
    """What became of the attempt to map one agent's space into another's.

    Attributes:
        source: Agent whose embeddings the map reads.
        target: Agent whose space it writes; the one that fitted it and gave the verdict.
        status: Status; its value as a string is taken as well, so that an edge can be read from JSON.
        reason: Sentence; needed unless accepted.
        r2: Held-out R2 of the full map.
        r2_core: Held-out R2 of the core map, which paths are weighed by.
        map: The core map; needed when accepted.
        details: Anything else worth telling: spectrum, null, bytes, versions, time.
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
        """Refuse an edge that contradicts itself, and freeze the details."""
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
    """Who can be translated into whom, by which way, and how well.

    One writer, any number of readers: an edge is frozen and replaced as a whole, and each change swaps in a
    new dictionary, so that a reader never sees half an edge nor a graph that changes under it.
    """

    def __init__(self, agents: Iterable[str] = (), edges: Iterable[Edge] = ()) -> None:
        self._agents: frozenset[str] = frozenset(agents)
        self._edges: dict[Pair, Edge] = {}
        self.put(*edges)

    @property
    def agents(self) -> tuple[str, ...]:
        """Names of all agents, sorted."""
        return tuple(sorted(self._agents))

    @property
    def edges(self) -> tuple[Edge, ...]:
        """All edges as they stand now, whatever their status."""
        return tuple(self._edges.values())

    def add_agent(self, name: str) -> None:
        """Add an agent that nobody has an edge with yet; one already here stays as it is."""
        self._agents = self._agents | {name}

    def remove_agent(self, name: str) -> None:
        """Remove an agent and every edge that touches it."""
        self.check(name)
        self._edges = {pair: edge for pair, edge in self._edges.items() if name not in pair}
        self._agents = self._agents - {name}

    def put(self, *edges: Edge) -> None:
        """Add edges, each in place of what stood between the same two agents; new agents come with them."""
        new = {(edge.source, edge.target): edge for edge in edges}
        self._agents = self._agents.union(*new)
        self._edges = {**self._edges, **new}

    def edge(self, source: str, target: str) -> Edge:
        """Return the edge between two agents, or raise NoPathError if it was never tried."""
        self.check(source, target)
        found = self._edges.get((source, target))
        if found is None:
            raise NoPathError(f"no edge from {source} to {target} was ever tried; let the two negotiate")
        return found

    def best_path(self, source: str, target: str) -> list[str]:
        """Return the agents on the way with the largest product of held-out core R2, both ends included."""
        self.check(source, target)
        try:
            return nx.dijkstra_path(self._network(), source, target, weight="length")
        except nx.NetworkXNoPath:
            raise NoPathError(self.explain(source, target)) from None

    def quality(self, path: Sequence[str]) -> float:
        """Return the product of the held-out core R2 along a path, each clipped to (0, 1]."""
        return math.prod(_clipped(edge.r2_core) for edge in self._along(path))

    def compose(self, path: Sequence[str]) -> LinearMap:
        """Return the one map that does what the maps along a path do in turn."""
        if len(path) < 2:
            raise ValueError(f"a path to compose names two agents or more, got {list(path)}")
        return reduce(LinearMap.then, self._maps(path))

    def explain(self, source: str, target: str) -> str:
        """Return a sentence: the best way and its quality, or each edge whose refusal stands in the way.

        An edge that was not accepted stands in the way if a route could use it to get on: it leads to where
        source cannot get yet, from where target cannot be reached yet, on a walk from the one to the other.
        """
        self.check(source, target)
        network = self._network()
        reached = nx.descendants(network, source) | {source}
        if target in reached:
            path = nx.dijkstra_path(network, source, target, weight="length")
            way, worth = " -> ".join(path), self.quality(path)
            return f"{source} reaches {target} by {way}; product of held-out R2 {worth:.3f}"
        arriving = nx.ancestors(network, target) | {target}
        tried = [edge for edge in self.edges if edge.status is not Status.ACCEPTED]
        helpful = [edge for edge in tried if edge.target not in reached and edge.source not in arriving]
        network.add_edges_from((edge.source, edge.target) for edge in helpful)
        starts, ends = nx.descendants(network, source) | {source}, nx.ancestors(network, target) | {target}
        blocking = [edge for edge in helpful if edge.source in starts and edge.target in ends]
        reasons = [f"{edge.source} -> {edge.target} {_is(edge)}: {edge.reason}" for edge in blocking]
        untried = "no chain of edges between them was ever tried"
        return f"no way from {source} to {target}: {'; '.join(reasons) or untried}"

    def cycles(self, length: int = 3) -> list[tuple[str, ...]]:
        """Return the closed walks of accepted edges through ``length`` agents, first name first."""
        found = nx.simple_cycles(self._network(), length_bound=length)
        return sorted(_from_first(cycle) for cycle in found if len(cycle) == length)

    def cycle_error(self, cycle: Sequence[str], points: Tensor) -> float:
        """Return how far points [K, D] of the first agent's space come back from where they left.

        See ``score.cycle_error``: 0 when the maps agree with each other, about 2 when they are unrelated.
        """
        return score.cycle_error(self._maps([*cycle, cycle[0]]), points)

    def to_networkx(self) -> nx.DiGraph:
        """Return all agents and edges with their scalar attributes, ready for ``networkx.write_graphml``."""
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
        """Return the network as GraphML, which Gephi, Cytoscape and yEd read."""
        return "\n".join(nx.generate_graphml(self.to_networkx())).encode()

    def _network(self) -> nx.DiGraph:
        """Return the agents and the accepted edges, with lengths."""
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
        """Raise UnknownAgentError, with the nearest name, for a name that no agent has."""
        for name in names:
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
    return min(max(quality, WORST_R2), 1.0)


def _from_first(cycle: Sequence[str]) -> tuple[str, ...]:
    """Return a cycle turned to start at its alphabetically first agent."""
    start = cycle.index(min(cycle))
    return (*cycle[start:], *cycle[:start])
