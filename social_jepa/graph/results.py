"""What a run found, read from its ledger: as it stands, or as it stood."""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from agents.files import write_atomically
from agents.protocol.edge import AnchorPools
from alignment.graph import TranslationGraph
from alignment.linear_map import LinearMap
from alignment.status import Status
from alignment.universe import Universe
from env.camera import Pose
from env.scene import Scene
from social_jepa.config.run_config import RunConfig
from social_jepa.config.time_parsing import FOREVER
from social_jepa.graph.graph_json import (
    budget_entry,
    cycle_entries,
    map_tensors,
    translation_graph,
    unpack_maps,
)
from social_jepa.graph.universe import build_universe, universe_entry
from social_jepa.runtime.membership import BodyRow, Member
from social_jepa.storage.ledger import Ledger, damaged_ledger
from social_jepa.storage.run_folder import RunFolder, RunFolderError, write_json

ANCHORS = "anchors.safetensors"


@dataclass(frozen=True)
class Results:
    """A graph with all that belongs to it.

    Attributes:
        document: What ``graph --json`` prints.
        graph: Its edges with their core maps; who has no edge yet is in it as well.
        maps: Every map, "source/target/core" and "source/target/full".
        members: Who was there.
        bodies: Which bodies stand in the scene when.
    """

    folder: RunFolder
    config: RunConfig
    document: Mapping[str, Any]
    graph: TranslationGraph
    maps: Mapping[str, LinearMap]
    members: tuple[Member, ...]
    bodies: tuple[BodyRow, ...]
    _pools: dict[str, AnchorPools] = field(default_factory=dict)
    _universes: list[Universe] = field(default_factory=list)

    def member(self, name: str) -> Member:
        """Return the member of a name, or raise UnknownAgentError."""
        self.graph.check(name)
        return next(member for member in self.members if member.name == name)

    def agent(self, name: str) -> Mapping[str, Any]:
        """Return an agent's row of the document.

        Raises:
            UnknownAgentError, StoreError: There is no such agent, or it has not learned its view yet.
        """
        self.graph.check(name)
        for agent in self.document["agents"]:
            if agent["name"] == name and agent["checkpoint"]:
                return agent
        raise RunFolderError(f"{name} has not learned its view yet: social-jepa status shows how far it is")

    def universe(self) -> Universe:
        """Return the common space of all agents that understand somebody; see `graph.universe`."""
        if not self._universes:
            self._universes.append(build_universe(self))
        return self._universes[0]

    def keeps(self, name: str) -> bool:
        """Whether the anchors on disk are those of the version that the graph speaks of."""
        published = {agent["name"]: agent["checkpoint"] for agent in self.document["agents"]}
        return name in published and anchors_version(self.folder, name) == published[name]

    def pools(self, name: str) -> AnchorPools:
        """Return what an agent makes of the ticks that may be compared.

        Raises:
            StoreError: It has none yet, or the file is missing, damaged or of another version.
        """
        if name not in self._pools:
            agent = self.agent(name)
            path = self.folder.agent(name) / ANCHORS
            tensors, checkpoint = _tensors(path)
            if checkpoint != agent["checkpoint"]:
                raise RunFolderError(
                    f"{name} has published another version since: ask again for the newest graph"
                )
            try:
                self._pools[name] = AnchorPools.from_tensors(tensors, agent["core_dim"])
            except (KeyError, ValueError) as error:
                raise _damaged(path, error) from error
        return self._pools[name]


def load_results(folder: RunFolder, as_of: float = FOREVER) -> Results:
    """Read a run's graph, as it stands or as it stood at a time.

    Raises:
        LedgerError, StoreError: There is no ledger, or it is damaged, or nobody has published anything yet.
    """
    ledger = Ledger(folder.ledger_file)
    try:
        return read_results(folder, folder.config(), ledger, as_of)
    except json.JSONDecodeError as error:  # SQLite does not notice that the end of a text is missing
        raise damaged_ledger(ledger.path, error) from error
    finally:
        ledger.close()


def read_results(folder: RunFolder, config: RunConfig, ledger: Ledger, as_of: float = FOREVER) -> Results:
    """Read a run's graph from an open ledger; see `load_results`."""
    members = tuple(Member.from_row(row) for row in ledger.members(as_of))
    if not members:
        raise RunFolderError(f"{folder.path} had no agents at that time: it holds no graph of then")
    published = ledger.agents(as_of)
    current = {m.name: published[m.name] for m in members if _is_current(m, published.get(m.name))}
    edges, maps, there = [], dict[str, LinearMap](), {member.name for member in members}
    try:
        for entry, packed in ledger.edges(as_of):
            if not {entry["source"], entry["target"]} <= there:
                continue
            edges.append(_with_staleness(entry, current))
            if packed is not None:
                maps |= unpack_maps(entry["source"], entry["target"], packed)
        graph = translation_graph([member.name for member in members], edges, maps)
    except (SafetensorError, KeyError, ValueError) as error:
        raise damaged_ledger(ledger.path, error) from error
    scene = Scene(config.scene, config.seed)
    document = {
        "seed": config.seed, "config_hash": config.hash(), "scene": scene.fingerprint,
        "agents": [current[member.name] for member in members if member.name in current],
        "learning": [member.name for member in members if member.name not in current],
        "edges": edges, "budget": budget_entry(edges),
        "as_of": as_of if as_of < FOREVER else time.time(), **_event_summaries(ledger, as_of),
    }  # fmt: skip
    return Results(folder, config, document, graph, maps, members, tuple(ledger.bodies()))


def _is_current(member: Member, agent: Mapping[str, Any] | None) -> bool:
    return agent is not None and agent.get("pose_version", 0) == member.pose_version


def _with_staleness(entry: dict[str, Any], current: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return an edge as it stands now that its two agents may have moved on."""
    if entry["status"] not in (Status.ACCEPTED, Status.REFUSED):
        return entry
    for end in ("source", "target"):
        name = entry[end]
        if name not in current:
            reason = f"{name} has moved its camera and learns its new view"
        elif current[name]["checkpoint"] != entry[f"{end}_checkpoint"]:
            reason = f"{name} has published another model since; the two are negotiating anew"
        else:
            continue
        return {**entry, "status": Status.STALE.value, "reason": reason}
    return entry


def _event_summaries(ledger: Ledger, as_of: float) -> dict[str, Any]:
    """Return what the events say of the whole: what it took, and what agents refused to read."""
    finished, refused = (ledger.events_of(what, as_of=as_of) for what in ("finished", "refused"))
    return {
        "seconds": finished[-1]["seconds"] if finished else {},
        "refused_frames": [event["sentence"] for event in refused],
    }


def full_document(results: Results) -> dict[str, Any]:
    """Return the document with its cycles and its universe, which take time when agents are many.

    Of an earlier graph those cycles are left out whose agents have published other anchors since, and the
    universe is, if one has.
    """
    kept = {name for name in results.graph.agents if results.keeps(name)}
    edges = [edge for edge in results.graph.edges if {edge.source, edge.target} <= kept]
    graph = TranslationGraph(kept, edges)
    cycles = cycle_entries(graph, lambda name: results.pools(name).heldout.core())
    return {**results.document, "cycles": cycles, "universe": universe_entry(results, kept)}


def export(results: Results) -> dict[str, Any]:
    """Write the graph for other programs and return its document.

    GraphML, safetensors, and JSON last: a folder that has it has everything.
    """
    document = full_document(results)
    write_atomically(results.folder.path / "graph.graphml", results.graph.to_graphml())
    write_atomically(results.folder.maps_file, save(map_tensors(results.maps)))
    write_json(results.folder.graph_file, document)
    return document


def anchors_version(folder: RunFolder, name: str) -> str:
    """Return the hash of the model that made the anchors that are kept of an agent.

    Raises:
        StoreError: They are missing or damaged.
    """
    path = folder.agent(name) / ANCHORS
    try:
        with safe_open(path, framework="pt") as file:
            return (file.metadata() or {}).get("checkpoint", "")
    except (OSError, SafetensorError) as error:
        raise _damaged(path, error) from error


def _tensors(path: Path) -> tuple[dict[str, torch.Tensor], str]:
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
            return tensors, (file.metadata() or {}).get("checkpoint", "")
    except (OSError, SafetensorError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> RunFolderError:
    return RunFolderError(f"{path} is missing or damaged ({error}): resume the run to write it again")


def all_agents(results: Results) -> list[dict[str, Any]]:
    """Return the document's agents, and those that are still learning, as far as a drawing needs them."""
    ready = {agent["name"]: agent for agent in results.document["agents"]}
    learning = {"collapsed": False, "core_dim": "none", "dim": "its"}
    return [
        {**ready.get(member.name, learning), "name": member.name, "pose": asdict(Pose.parse(member.pose))}
        for member in results.members
    ]
