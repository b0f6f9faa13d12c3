"""The newest members, publications and edges of a ledger, read again without what is known already."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from alignment.linear_map import LinearMap
from social_jepa.config.time_parsing import FOREVER
from social_jepa.graph.graph_json import unpack_maps
from social_jepa.records import AgentRecord, BodyRecord, EdgeRecord, MemberRecord
from social_jepa.storage.ledger import Ledger

Pair = tuple[str, str]


@dataclass(frozen=True, eq=False)
class StoredEdge:
    """An edge as the ledger has it.

    Attributes:
        record: Its record.
        packed: Its maps as safetensors; None where it has none.
    """

    record: EdgeRecord
    packed: bytes | None

    @cached_property
    def maps(self) -> Mapping[str, LinearMap]:
        """Its maps by part: shared, regression and full."""
        return {} if self.packed is None else unpack_maps(self.packed)


class EdgeMaps(Mapping[str, LinearMap]):
    """Maps of edges by "source/target/PART"; those of an edge are unpacked at their first use."""

    def __init__(self, edges: Mapping[Pair, StoredEdge]) -> None:
        """Take the edges by their ends."""
        self._edges = edges

    def __getitem__(self, name: str) -> LinearMap:
        """Return a map, or raise KeyError."""
        source, target, part = name.split("/")  # no name of an agent has a slash
        return self._edges[source, target].maps[part]

    def __iter__(self) -> Iterator[str]:
        """Yield the names of all maps."""
        for (source, target), edge in self._edges.items():
            yield from (f"{source}/{target}/{part}" for part in edge.maps)

    def __len__(self) -> int:
        """Return the number of maps."""
        return sum(len(edge.maps) for edge in self._edges.values())


@dataclass(frozen=True, eq=False)
class NewestRows:
    """The newest rows of a ledger at a time.

    Attributes:
        members: Agents that are present, by index.
        published: Newest publication of each agent, also of one that has left.
        edges: Newest edge of each ordered pair, in the order of their names, also of agents that have left.
        names: Every name that was ever taken.
        bodies: Every change of a body in the scene, in order.
    """

    members: tuple[MemberRecord, ...]
    published: Mapping[str, AgentRecord]
    edges: Mapping[Pair, StoredEdge]
    names: frozenset[str]
    bodies: tuple[BodyRecord, ...]


def read_rows(ledger: Ledger, as_of: float = FOREVER) -> NewestRows:
    """Return the newest rows at a time.

    Raises:
        LedgerError: The ledger is damaged, or cannot be read now.
    """
    edges = {
        (record.source, record.target): StoredEdge(record, packed) for record, packed in ledger.edges(as_of)
    }
    members, published = tuple(ledger.members(as_of)), ledger.agents(as_of)
    return NewestRows(members, published, edges, frozenset(ledger.names()), tuple(ledger.bodies()))


class RowReader:
    """Reads the newest rows of a ledger again and again: the second time only what was added since.

    What it costs then depends on how much that is, and not on how many agents and edges there are.
    """

    def __init__(self, ledger: Ledger) -> None:
        """Remember the ledger; nothing is read yet."""
        self._ledger = ledger
        self._known: NewestRows | None = None
        self._edges, self._agents, self._members = 0, 0, 0  # newest row of each table when it was read

    def read(self) -> NewestRows:
        """Return the newest rows; for the errors see `read_rows`."""
        ledger, known = self._ledger, self._known
        (edges, agents, _), members = ledger.version(), ledger.member_version()  # before the rows themselves
        if known is None:
            found = read_rows(ledger)
        else:
            found = NewestRows(
                known.members,
                known.published if agents == self._agents else self._newer_agents(known.published),
                known.edges if edges == self._edges else self._newer_edges(known.edges),
                known.names,
                known.bodies,
            )
        if members != self._members and known is not None:
            found = replace(
                found, members=tuple(ledger.members()), names=frozenset(ledger.names()),
                bodies=tuple(ledger.bodies()),
            )  # fmt: skip
        self._known, self._edges, self._agents, self._members = found, edges, agents, members
        return found

    def _newer_agents(self, known: Mapping[str, AgentRecord]) -> Mapping[str, AgentRecord]:
        return {**known, **{agent.name: agent for agent in self._ledger.agents_after(self._agents)}}

    def _newer_edges(self, known: Mapping[Pair, StoredEdge]) -> Mapping[Pair, StoredEdge]:
        newer = {
            (record.source, record.target): StoredEdge(record, packed)
            for record, packed in self._ledger.edges_after(self._edges)
        }
        found = {**known, **newer}
        return found if newer.keys() <= known.keys() else dict(sorted(found.items()))
