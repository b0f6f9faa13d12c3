"""The translation graph: agents are nodes, and an edge is the target's verdict on a map into its space.

An edge maps the directions that two agents share and drops the others, so that a path keeps what all its
agents have. Between white cores an edge of correlations c has the least-squares map ``G = U diag(c) V^T``.
If each agent tells all that its neighbors on the path have in common, the cross-covariance of the two ends is
the product of these, and the composed map W has on its image, of s directions, the expected

    R2 = (2 tr(W^T G) - |W|_F^2) / s

The best path keeps most of the source: the shortest under the lengths ``-log(sum c / D_source)``.
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from itertools import pairwise
from types import MappingProxyType
from typing import TYPE_CHECKING

import networkx as nx
import numpy as np
import torch

from alignment import score
from alignment.arrays import AnyArray, to_tensor
from alignment.edge import Edge, scalars
from alignment.linear_map import LinearMap
from alignment.matrix_html import matrix_html
from alignment.natural_order import list_names, natural_key
from alignment.plots import draw_matrix, new_axes
from alignment.status import Status
from alignment.three_cycles import three_cycles

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Pair = tuple[str, str]
MAX_INCHES = 20.0  # of a drawn matrix: at 100 dots an inch, 1,000 agents are two pixels each


class NoPathError(ValueError):
    """No chain of accepted edges leads from one agent to another."""


class UnknownAgentError(KeyError):
    """The graph has no agent of this name."""

    def __str__(self) -> str:
        """Return the message; KeyError would return its quoted repr."""
        return str(self.args[0])


class TranslationGraph:
    """All maps between agents: paths, their quality, cycles, and why there is no path. Immutable.

    Args:
        agents: Names of agents; those of the edges are added.
        edges: Edges; a later one replaces an earlier one between the same two agents.
        absent: Names of agents that left, or joined later: `check` says so, and suggests no similar name.
        details: What is known about agents, by name: pose, kind, dimensions, versions. Other names are left
            out.
    """

    def __init__(
        self,
        agents: Iterable[str] = (),
        edges: Iterable[Edge] = (),
        absent: Iterable[str] = (),
        details: Mapping[str, Mapping[str, object]] = MappingProxyType({}),
    ) -> None:
        self._edges: dict[Pair, Edge] = {(edge.source, edge.target): edge for edge in edges}
        self._absent = frozenset(absent)
        self._agents: frozenset[str] = frozenset(agents).union(*self._edges)
        self._details = {name: MappingProxyType(dict(details.get(name, {}))) for name in self._agents}

    def __repr__(self) -> str:
        """Return the numbers of agents and of accepted edges."""
        accepted = sum(edge.status is Status.ACCEPTED for edge in self.edges)
        edges = f"{accepted} of {len(self._edges)} edges accepted"
        return f"{type(self).__name__}({len(self._agents)} agents, {edges})"

    def _repr_html_(self) -> str:
        """Return the matrix of R2 of every ordered pair."""

        def cell(source: str, target: str) -> tuple[float | None, str]:
            edge = self._edges.get((source, target))
            if edge is None:
                return None, "not negotiated"
            r2 = edge.r2_shared if edge.status is Status.ACCEPTED else None
            return r2, ": ".join(filter(None, (edge.status, edge.reason)))

        return matrix_html(self.agents, cell)

    def r2_matrix(self) -> np.ndarray:
        """Return the held-out R2 on what two agents share, [N, N], sources down, in the order of `agents`.

        NaN where there is no accepted map.
        """
        place = {name: index for index, name in enumerate(self.agents)}
        values = np.full((len(place), len(place)), np.nan)
        for edge in self.edges:
            if edge.status is Status.ACCEPTED:
                values[place[edge.source], place[edge.target]] = edge.r2_shared
        return values

    def plot(self, axes: "Axes | None" = None) -> "Axes":
        """Draw `r2_matrix` and return the axes.

        Args:
            axes: Where to draw; default: a new figure.
        """
        size = min(2.5 + 0.45 * len(self._agents), MAX_INCHES)
        found = axes if axes is not None else new_axes(size + 1.0, size)
        return draw_matrix(found, self.agents, self.r2_matrix())

    @property
    def agents(self) -> tuple[str, ...]:
        """Names of all agents, in natural order."""
        return tuple(sorted(self._agents, key=natural_key))

    @property
    def edges(self) -> tuple[Edge, ...]:
        """All edges, of any status."""
        return tuple(self._edges.values())

    def details(self, name: str) -> Mapping[str, object]:
        """Return the known fields of an agent; empty where the graph was given nothing.

        Raises:
            UnknownAgentError: The graph has no such agent.
        """
        self.check(name)
        return self._details[name]

    def edge(self, source: str, target: str) -> Edge:
        """Return the edge between two agents.

        Raises:
            UnknownAgentError: The graph has no such agent.
            NoPathError: The two never negotiated.
        """
        self.check(source, target)
        found = self._edges.get((source, target))
        if found is None:
            raise NoPathError(
                f"no edge from {source} to {target} was negotiated: a path may lead there, with via 'best'"
            )
        return found

    def best_path(self, source: str, target: str) -> list[str]:
        """Return the agents on a path that keeps much of its source, both ends included.

        The path with the largest product of `Edge.kept_share`, unless the direct edge keeps more: a product
        does not see that two edges may keep different directions.

        Raises:
            UnknownAgentError: The graph has no such agent.
            NoPathError: There is no path; the message is that of `explain`.
        """
        self.check(source, target)
        try:
            found: list[str] = nx.dijkstra_path(self._network(), source, target, weight="length")
        except nx.NetworkXNoPath:
            raise NoPathError(self.explain(source, target)) from None
        direct = self._edges.get((source, target))
        if len(found) < 3 or direct is None or direct.status is not Status.ACCEPTED:
            return found
        return max([source, target], found, key=self._kept)

    def _kept(self, path: Sequence[str]) -> float:
        """Return the correlations that arrive along a path, summed over directions."""
        expected = reduce(LinearMap.then, [edge.least_squares_map() for edge in self._along(path)])
        return float(torch.linalg.matrix_norm(expected.weight.double(), "nuc"))

    def quality(self, path: Sequence[str]) -> float:
        """Return the R2 that the edges of a path promise together on the directions that arrive (see above).

        0 where no direction arrives.
        """
        edges = self._along(path)
        if not edges:
            return 1.0
        mapped = reduce(LinearMap.then, [edge.accepted_map() for edge in edges])
        axes = score.image(mapped)
        weight = mapped.weight.double() @ axes
        expected = reduce(LinearMap.then, [edge.least_squares_map() for edge in edges]).weight.double() @ axes
        size, arrived = float(weight.square().sum()), axes.shape[1]
        return min(1.0, (2 * float((weight * expected).sum()) - size) / max(1, arrived))

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
            path = self.best_path(source, target)
            names, quality = " -> ".join(path), self.quality(path)
            return f"{source} reaches {target} by {names}; expected R2 {quality:.3f}"
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

    def sample_cycles(self, most: int) -> tuple[list[tuple[str, ...]], int]:
        """Return cycles of accepted edges through three agents, as `cycles` does, and the number of all.

        N agents that all understand each other have ``N (N - 1) (N - 2) / 3``: of more than `most`, as many
        are drawn at random, the same ones from equal graphs.
        """
        names = self.agents
        place = {name: index for index, name in enumerate(names)}
        adjacency = np.zeros((len(names), len(names)), dtype=bool)
        for edge in self.edges:
            adjacency[place[edge.source], place[edge.target]] = edge.status is Status.ACCEPTED
        found, total = three_cycles(adjacency, most)
        return [tuple(names[place] for place in cycle) for cycle in found.tolist()], total

    def cycle_error(self, cycle: Sequence[str], points: AnyArray) -> float:
        """Return the error of points [K, D] of the first agent's space after mapping them around a cycle.

        Only the directions that all agents of the cycle share are compared, `cycle_dim` of them. See
        `alignment.score.cycle_error`: 0 for consistent maps, about 2 for unrelated ones.
        """
        path = [*cycle, cycle[0]]
        kept = score.image(self.compose(path).transposed())
        rows = to_tensor(points, "the points of a cycle").double()
        return score.cycle_error(self._maps(path), rows @ kept @ kept.T)

    def cycle_dim(self, cycle: Sequence[str]) -> int:
        """Return the number of directions that come back from a cycle."""
        return score.image(self.compose([*cycle, cycle[0]])).shape[1]

    def to_networkx(self, maps: bool = False) -> nx.DiGraph:
        """Return all agents and edges with their attributes.

        Nodes have the fields of `details`, edges status, reason, r2, r2_shared and the fields of their
        details, as far as they are a number or text: what GraphML can hold. Accepted edges also have length,
        ``-log(kept_share)``: a shortest path by it is `best_path`.

        Args:
            maps: Whether accepted edges also have their map and regression, each a `LinearMap`.
        """
        network = nx.DiGraph()
        for name in self.agents:
            network.add_node(name, **scalars(self._details[name]))
        for edge in self.edges:
            network.add_edge(edge.source, edge.target, **edge.attributes(maps))
        return network

    @classmethod
    def from_networkx(cls, network: nx.DiGraph) -> "TranslationGraph":
        """Return the graph of what `to_networkx` returned with maps; other attributes become details.

        Raises:
            AlignmentError: An edge contradicts itself or names no status, or an accepted one has no map.
        """
        edges = [
            Edge.from_attributes(source, target, data) for source, target, data in network.edges(data=True)
        ]
        return cls(network.nodes, edges, details=dict(network.nodes(data=True)))

    def to_graphml(self) -> bytes:
        """Return the graph as GraphML, which Gephi, Cytoscape and yEd read."""
        return "\n".join(nx.generate_graphml(self.to_networkx())).encode()

    def _network(self) -> nx.DiGraph:
        """Return the agents and the accepted edges, with their lengths."""
        network = nx.DiGraph()
        network.add_nodes_from(self.agents)
        for edge in self.edges:
            if edge.status is Status.ACCEPTED:
                network.add_edge(edge.source, edge.target, length=edge.length)
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
        return [edge.accepted_map() for edge in self._along(path)]

    def check(self, *names: str) -> None:
        """Raise UnknownAgentError, with the nearest name, for a name that is not in the graph."""
        for name in names:
            if name in self._absent:
                raise UnknownAgentError(
                    f"{name} has left, or had not joined then; the graph has {list_names(self.agents)}"
                )
            if name not in self._agents:
                near = difflib.get_close_matches(name, self.agents, n=1)
                known = (
                    f"the graph has {list_names(self.agents)}"
                    if self.agents
                    else "the graph has no agents yet"
                )
                hint = f"did you mean {near[0]!r}?" if near else known
                raise UnknownAgentError(f"no agent is named {name!r}; {hint}")


def _is(edge: Edge) -> str:
    return f"{'is' if edge.status is Status.STALE else 'was'} {edge.status}"


def _from_first(cycle: Sequence[str]) -> tuple[str, ...]:
    """Return a cycle turned to start at the first of its agents in natural order."""
    start = cycle.index(min(cycle, key=natural_key))
    return (*cycle[start:], *cycle[:start])
