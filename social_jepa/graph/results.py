"""Results of a run, read from its ledger: the graph as it is, or as it was at an earlier time."""

import contextlib
import html
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import save

from agents.common.config_error import ConfigError
from agents.common.files import write_atomically
from agents.protocol.edge import AnchorPools
from agents.protocol.topology import Topology
from alignment.edge import Edge
from alignment.graph import TranslationGraph
from alignment.linear_map import LinearMap
from alignment.natural_order import natural_key
from alignment.status import Status
from alignment.universe import Universe
from env.scene import Scene
from social_jepa.config.run_config import RunConfig
from social_jepa.config.time_parsing import FOREVER
from social_jepa.graph.agent_row import Row, agent_row
from social_jepa.graph.anchor_file import ANCHORS, read_anchors
from social_jepa.graph.graph_json import (
    cycle_records,
    graph_edge,
    map_tensors,
    summarize_budget,
)
from social_jepa.graph.judged_edges import EdgeReader, JudgedEdges
from social_jepa.graph.results_errors import (
    DamagedAnchorsError,
    NoAgentsError,
    NotPublishedError,
    StaleAnchorsError,
)
from social_jepa.graph.summary import summarize
from social_jepa.graph.trust import refuse_untrusted
from social_jepa.graph.universe import build_universe, universe_record
from social_jepa.records import (
    FORMAT,
    AgentRecord,
    BodyRecord,
    EdgeRecord,
    FullGraphDocument,
    GraphDocument,
    MemberRecord,
    PhaseSeconds,
    as_dict,
    decode,
    encode,
)
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.ledger_errors import DamagedLedgerError, LedgerError
from social_jepa.storage.partners import negotiating_pairs
from social_jepa.storage.run_folder import AnyPath, RunFolder, find, write_json
from social_jepa.storage.run_folder_errors import RunFolderError

MAX_CYCLES = 2000  # that are scored, a millisecond or two each


@dataclass(frozen=True, repr=False)
class Results:
    """A graph with its maps, members and settings.

    Attributes:
        folder: Run folder that it was read from.
        config: Settings of the run.
        document: Records of agents and edges.
        graph: The edges with their core maps; agents without an edge are in it as well.
        maps: Every map, by "source/target/PART": shared, regression and full.
        members: Agents that were present.
        bodies: Every change of a body in the scene.
    """

    folder: RunFolder
    config: RunConfig
    document: GraphDocument
    graph: TranslationGraph
    maps: Mapping[str, LinearMap]
    members: tuple[MemberRecord, ...]
    bodies: tuple[BodyRecord, ...]
    _pools: dict[str, AnchorPools] = field(default_factory=dict)
    _universes: list[Universe] = field(default_factory=list)

    def __repr__(self) -> str:
        """Return the folder's name, the number of accepted maps and their mean R2."""
        found = summarize(self.document)
        accepted = f"{found.pairs - found.unmapped} of {found.pairs} maps accepted"
        mean = "" if found.mean is None else f", mean R2 {found.mean:.3f}"
        return f"{type(self).__name__}({self.folder.path.name[:80]}, {found.agents} agents, {accepted}{mean})"

    def _repr_html_(self) -> str:
        """Return the summary of R2 as a sentence, and the matrix of R2."""
        found = summarize(self.document)
        return f"<p>{html.escape(f'{found.headline()}. {found.remark()}')}</p>{self.graph._repr_html_()}"

    @cached_property
    def _members(self) -> Mapping[str, MemberRecord]:
        return {member.name: member for member in self.members}

    @cached_property
    def _agents(self) -> Mapping[str, AgentRecord]:
        return {agent.name: agent for agent in self.document.agents}

    @cached_property
    def _edges(self) -> Mapping[tuple[str, str], EdgeRecord]:
        return {(edge.source, edge.target): edge for edge in self.document.edges}

    @cached_property
    def _incident(self) -> Mapping[str, Sequence[EdgeRecord]]:
        found: dict[str, list[EdgeRecord]] = {}
        for edge in self.document.edges:
            found.setdefault(edge.source, []).append(edge)
            found.setdefault(edge.target, []).append(edge)
        return found

    def member(self, name: str) -> MemberRecord:
        """Return the member of a name, or raise UnknownAgentError."""
        self.graph.check(name)
        return self._members[name]

    def published(self, name: str) -> AgentRecord | None:
        """Return the record of an agent's published model of its view; None: it has none."""
        return self._agents.get(name)

    def edge(self, source: str, target: str) -> EdgeRecord | None:
        """Return the record of an edge; None: the two have not settled it."""
        return self._edges.get((source, target))

    def edges_of(self, name: str) -> Sequence[EdgeRecord]:
        """Return the edges from and to an agent, in natural order of their names."""
        return self._incident.get(name, ())

    def agent(self, name: str) -> AgentRecord:
        """Return the record of an agent's published model.

        Raises:
            UnknownAgentError: There is no such agent.
            NotPublishedError: It has not published a model of its current view.
        """
        self.graph.check(name)
        if name not in self._agents:
            raise NotPublishedError(name)
        return self._agents[name]

    def is_elsewhere(self, name: str) -> bool:
        """Return whether an agent's model is in another peer's folder, and an edge from it in this one."""
        return name not in self._agents and any(
            edge.source == name and edge.status is Status.ACCEPTED for edge in self.document.edges
        )

    def core_dim(self, name: str) -> int:
        """Return the core dimensions of an agent, or those that it had when it negotiated with this peer.

        Raises:
            UnknownAgentError, NotPublishedError: See `agent`.
        """
        if self.is_elsewhere(name):
            return next(edge.core_dims[0] for edge in self.document.edges if edge.source == name)
        return self.agent(name).core_dim

    def universe(self) -> Universe:
        """Return the common space of all agents that an accepted edge touches; see `build_universe`."""
        if not self._universes:
            anchors, seed = self.config.negotiation.anchors, self.config.seed
            self._universes.append(build_universe(self.graph, self.pools, anchors, seed))
        return self._universes[0]

    def has_anchors(self, name: str) -> bool:
        """Return whether the anchors on disk are those of the model in the graph, and can be read."""
        try:
            self.pools(name)
        except RunFolderError:
            return False
        return True

    def pools(self, name: str) -> AnchorPools:
        """Return an agent's embeddings of the ticks that may be compared.

        Raises:
            UnknownAgentError: There is no such agent.
            NotPublishedError: It has not published a model yet.
            StaleAnchorsError: The file belongs to another model.
            DamagedAnchorsError: The file is missing or damaged.
        """
        if name not in self._pools:
            agent = self.agent(name)
            path = self.folder.agent(name) / ANCHORS
            tensors, checkpoint = read_anchors(path)
            if checkpoint != agent.checkpoint:
                raise StaleAnchorsError(name, checkpoint, agent.checkpoint)
            try:
                self._pools[name] = AnchorPools.from_tensors(tensors, agent.core_dim)
            except (KeyError, ValueError) as error:
                raise DamagedAnchorsError(path, str(error)) from error
        return self._pools[name]


def load_results(folder: AnyPath, as_of: float = FOREVER) -> Results:
    """Read a run's graph as it is, or as it was at a time. Nothing is written.

    Args:
        folder: Run folder.
        as_of: Time in seconds since the epoch; default: now.

    Raises:
        NotARunFolderError: It is no run folder.
        ConfigError: Its settings are damaged, or of another version.
        LedgerError: The ledger is missing, damaged or of another format.
        NoAgentsError: There were no agents at that time.
    """
    found = find(folder)
    with contextlib.closing(Ledger(found.ledger_file, read_only=True)) as ledger:
        return read_results(found, found.recorded_config(), ledger, as_of)


def read_results(folder: RunFolder, config: RunConfig, ledger: Ledger, as_of: float = FOREVER) -> Results:
    """Read a run's graph from an open ledger; see `load_results`."""
    return ResultsReader(folder, config, ledger).read(as_of)


class ResultsReader:
    """Reads a run's graph from an open ledger again and again; what has not changed is kept."""

    def __init__(self, folder: RunFolder, config: RunConfig, ledger: Ledger) -> None:
        """Take what it reads from; nothing is read yet."""
        self._folder, self._config, self._ledger = folder, config, ledger
        self._reader = EdgeReader(ledger)
        self._fingerprint = ""  # of the scene, once it is known
        self._rows: dict[str, tuple[MemberRecord, AgentRecord | None, Row]] = {}
        self._edges: dict[tuple[str, str], tuple[EdgeRecord, Edge]] = {}
        self._last: Results | None = None

    def read(self, as_of: float = FOREVER) -> Results:
        """Return the graph at a time; for the errors see `load_results`."""
        ledger, last = self._ledger, self._last
        try:
            judged = self._reader.read(as_of)
            if not judged.rows.members:
                raise NoAgentsError(self._folder.path, joined=bool(ledger.names()))
            edges = refuse_untrusted(judged.edges, judged.trust)
            graph = self._graph(judged, edges)
        except (LedgerError, NoAgentsError):
            raise
        except (SafetensorError, KeyError, ValueError) as error:
            raise DamagedLedgerError(ledger.path, str(error)) from error
        document = self._document(judged, edges, as_of)
        pools = {} if last is None else _same_pools(last, document)
        rows = judged.rows
        self._last = Results(
            self._folder, self._config, document, graph, judged.maps, rows.members, rows.bodies, pools
        )
        return self._last

    def _graph(self, judged: JudgedEdges, edges: Sequence[EdgeRecord]) -> TranslationGraph:
        """Return the graph of edges; rows of agents and edges that are those of the last one are kept."""
        self._rows = {member.name: self._row(member, judged.current) for member in judged.rows.members}
        self._edges = {(edge.source, edge.target): self._edge(edge, judged.maps) for edge in edges}
        absent = judged.rows.names - self._rows.keys()
        details = {name: row for name, (_, _, row) in self._rows.items()}
        return TranslationGraph(
            sorted(self._rows), [found for _, found in self._edges.values()], absent, details
        )

    def _row(
        self, member: MemberRecord, current: Mapping[str, AgentRecord]
    ) -> tuple[MemberRecord, AgentRecord | None, Row]:
        published = current.get(member.name)
        known = self._rows.get(member.name)
        if known is not None and known[0] == member and known[1] is published:
            return known
        return member, published, agent_row(member, published)

    def _edge(self, record: EdgeRecord, maps: Mapping[str, LinearMap]) -> tuple[EdgeRecord, Edge]:
        known = self._edges.get((record.source, record.target))
        return known if known is not None and known[0] is record else (record, graph_edge(record, maps))

    def _scene_fingerprint(self) -> str:
        """Return the fingerprint that the run recorded: here its frames or its classes may be missing."""
        if not self._fingerprint:
            starts = self._ledger.events_of("started", "resumed")
            known = [event.details["scene"] for event in starts if "scene" in event.details]
            self._fingerprint = known[-1] if known else self._present_fingerprint()
        return self._fingerprint

    def _present_fingerprint(self) -> str:
        """Return that of the scene as it can be built here, for a run of an earlier version.

        Raises:
            ConfigError: Its frames, or its classes, are missing here.
        """
        try:
            return Scene(self._config.scene, self._config.seed).fingerprint
        except ValueError as error:
            raise ConfigError(f"{error} (an earlier version made {self._folder.path})") from error

    def _document(self, judged: JudgedEdges, edges: Sequence[EdgeRecord], as_of: float) -> GraphDocument:
        config, ledger, members = self._config, self._ledger, judged.rows.members
        topology = ledger.topology(config.negotiation.topology, as_of)
        names = [member.name for member in members]
        return GraphDocument(
            format=FORMAT,
            seed=config.seed,
            config_hash=config.hash(),
            scene_fingerprint=self._scene_fingerprint(),
            anchor_seed=config.negotiation.public_seed,
            agents=tuple(judged.current[name] for name in names if name in judged.current),
            training=tuple(name for name in names if name not in judged.current),
            edges=tuple(sorted(edges, key=_by_names)),
            topology=str(topology),
            pairs=None if topology == Topology() else len(negotiating_pairs(topology, members)),
            budget=summarize_budget(edges),
            as_of=as_of if as_of < FOREVER else time.time(),
            seconds=_seconds(ledger, as_of),
            refused_messages=_refused_messages(ledger, as_of),
            trust=judged.trust,
        )


def _same_pools(last: Results, document: GraphDocument) -> dict[str, AnchorPools]:
    """Return the anchors that were read already, of agents whose model is still the same."""
    checkpoints = {agent.name: agent.checkpoint for agent in document.agents}
    known = dict(last._pools)  # another thread may read more meanwhile
    return {
        name: pools for name, pools in known.items() if last.agent(name).checkpoint == checkpoints.get(name)
    }


def _by_names(edge: EdgeRecord) -> tuple[Any, ...]:
    return natural_key(edge.source), natural_key(edge.target)


def _refused_messages(ledger: Ledger, as_of: float) -> tuple[str, ...]:
    return tuple(event.details["reason"] for event in ledger.events_of("message_refused", as_of=as_of))


def _seconds(ledger: Ledger, as_of: float) -> PhaseSeconds | None:
    """Return the wall time of the newest finished run, or None while none has finished."""
    finished = ledger.events_of("finished", as_of=as_of)
    return decode(encode(finished[-1].details["seconds"]), PhaseSeconds) if finished else None


def full_document(results: Results) -> FullGraphDocument:
    """Return the document with its cycles and universe, which take time when there are many agents.

    A cycle is scored on the anchors of its first agent. Where these are not on disk, as after an import
    without anchors, or are of a model that the agent has published since, the cycle is counted instead; the
    universe is null if the anchors of any of its agents are gone. Of more than MAX_CYCLES, as many are drawn
    at random.
    """
    usable = {name for name in results.graph.agents if results.has_anchors(name)}
    cycles, total = results.graph.sample_cycles(MAX_CYCLES)
    scored = [cycle for cycle in cycles if cycle[0] in usable]
    document = results.document
    return FullGraphDocument(
        **{key: getattr(document, key) for key in GraphDocument.__struct_fields__},
        cycles=cycle_records(results.graph, scored, lambda name: results.pools(name).heldout.core()),
        unscored_cycles=len(cycles) - len(scored),
        unlisted_cycles=total - len(cycles),
        universe=universe_record(results.graph, results.pools, results.universe, usable),
    )


def export(results: Results) -> FullGraphDocument:
    """Write the graph for other programs and return its document.

    GraphML, safetensors, and JSON last: a folder that has it has everything.
    """
    document = full_document(results)
    write_atomically(results.folder.path / "graph.graphml", results.graph.to_graphml())
    write_atomically(results.folder.maps_file, save(map_tensors(results.maps)))
    write_json(results.folder.graph_file, as_dict(document))
    return document
