"""Two runs side by side: settings that differ, agents, and edges with the differences of their scores."""

from dataclasses import dataclass
from statistics import fmean
from typing import Any

from alignment.natural_order import list_names, natural_key
from alignment.status import Status
from social_jepa.config.overrides import differing
from social_jepa.graph.results import Results
from social_jepa.graph.summary import summarize
from social_jepa.records import AgentRecord, EdgeRecord, PoseRecord, Record
from social_jepa.storage.run_folder_errors import RunFolderError


@dataclass(eq=False, repr=False)
class NothingInCommonError(RunFolderError):
    """Two runs that have no agent of the same name.

    Attributes:
        first: Agents of the first run.
        second: Agents of the second run.
    """

    first: tuple[str, ...]
    second: tuple[str, ...]

    def __str__(self) -> str:
        """Return the sentence."""
        names = " and ".join(list_names(each) or "no agent" for each in (self.first, self.second))
        return f"the runs have no agent of the same name, so there is nothing to compare: {names}"


class AgentSide(Record, frozen=True, kw_only=True):
    """What a run says about an agent.

    Attributes:
        kind: Kind of its world model.
        pose: Pose of its camera; null: it has not published a model of its view.
        core_dim: Dimensions of its core; null as above.
        probe_r2: R2 of a linear probe of the scene's state; null as above.
        checkpoint: Hash of its model; empty as above.
    """

    kind: str
    pose: PoseRecord | None = None
    core_dim: int | None = None
    probe_r2: float | None = None
    checkpoint: str = ""


class EdgeSide(Record, frozen=True, kw_only=True):
    """What a run says about an edge.

    Attributes:
        status: Its verdict.
        r2_shared: Held-out R2 on the shared directions; null: not measured.
        shared_dim: Number of shared directions.
    """

    status: str
    r2_shared: float | None
    shared_dim: int


class AgentComparison(Record, frozen=True, kw_only=True):
    """An agent in both runs; null where a run has none of that name."""

    name: str
    first: AgentSide | None
    second: AgentSide | None


class EdgeComparison(Record, frozen=True, kw_only=True):
    """An edge in both runs; null where a run has none.

    Attributes:
        source: Its source.
        target: Its target.
        first: In the first run.
        second: In the second run.
        r2_difference: R2 of the second minus that of the first; null unless both are measured.
        shared_difference: The same of the number of shared directions; null unless both have the edge.
    """

    source: str
    target: str
    first: EdgeSide | None
    second: EdgeSide | None
    r2_difference: float | None
    shared_difference: int | None


class RunComparison(Record, frozen=True, kw_only=True):
    """Two runs side by side.

    Attributes:
        runs: Their folders.
        settings: Settings that differ: by name, the value of each run.
        same_scene: Whether both have the same scene, so that their R2 are of the same world.
        agents: All agents of either, in natural order.
        edges: All edges of either, in natural order.
        mean_r2: Mean R2 of the accepted edges of each; null: it has none.
        mean_difference: Mean of `r2_difference` over the edges that are accepted in both; null: none is.
    """

    runs: tuple[str, str]
    settings: dict[str, tuple[Any, Any]]
    same_scene: bool
    agents: tuple[AgentComparison, ...]
    edges: tuple[EdgeComparison, ...]
    mean_r2: tuple[float | None, float | None]
    mean_difference: float | None


def compare_runs(first: Results, second: Results) -> RunComparison:
    """Return two runs side by side.

    Raises:
        NothingInCommonError: They have no agent of the same name.
    """
    sides = (first, second)
    if not set(first.graph.agents) & set(second.graph.agents):
        raise NothingInCommonError(first.graph.agents, second.graph.agents)
    agents, edges = [_agents(side) for side in sides], [_edges(side) for side in sides]
    pairs = sorted({*edges[0], *edges[1]}, key=lambda pair: [natural_key(name) for name in pair])
    compared = tuple(_compare_edge(pair, edges[0].get(pair), edges[1].get(pair)) for pair in pairs)
    return RunComparison(
        runs=(str(first.folder.path), str(second.folder.path)),
        settings=differing(first.config.as_dict(), second.config.as_dict()),
        same_scene=first.document.scene_fingerprint == second.document.scene_fingerprint,
        agents=tuple(
            AgentComparison(name=name, first=agents[0].get(name), second=agents[1].get(name))
            for name in sorted({*agents[0], *agents[1]}, key=natural_key)
        ),
        edges=compared,
        mean_r2=(summarize(first.document).mean, summarize(second.document).mean),
        mean_difference=_mean_difference(compared),
    )


def _agents(results: Results) -> dict[str, AgentSide]:
    published = {agent.name: agent for agent in results.document.agents}
    return {member.name: _agent_side(member.kind, published.get(member.name)) for member in results.members}


def _agent_side(kind: str, agent: AgentRecord | None) -> AgentSide:
    if agent is None:
        return AgentSide(kind=kind)
    return AgentSide(
        kind=kind, pose=agent.pose, core_dim=agent.core_dim, probe_r2=agent.probe_r2,
        checkpoint=agent.checkpoint,
    )  # fmt: skip


def _edges(results: Results) -> dict[tuple[str, str], EdgeRecord]:
    return {(edge.source, edge.target): edge for edge in results.document.edges}


def _compare_edge(
    pair: tuple[str, str], first: EdgeRecord | None, second: EdgeRecord | None
) -> EdgeComparison:
    difference = shared = None
    if first is not None and second is not None:
        shared = second.shared_dim - first.shared_dim
        if first.r2_shared is not None and second.r2_shared is not None:
            difference = second.r2_shared - first.r2_shared
    return EdgeComparison(
        source=pair[0], target=pair[1], first=_edge_side(first), second=_edge_side(second),
        r2_difference=difference, shared_difference=shared,
    )  # fmt: skip


def _edge_side(edge: EdgeRecord | None) -> EdgeSide | None:
    if edge is None:
        return None
    return EdgeSide(status=edge.status.value, r2_shared=edge.r2_shared, shared_dim=edge.shared_dim)


def _mean_difference(edges: tuple[EdgeComparison, ...]) -> float | None:
    found = [
        edge.r2_difference
        for edge in edges
        if edge.r2_difference is not None
        and edge.first is not None
        and edge.second is not None
        and edge.first.status == edge.second.status == Status.ACCEPTED
    ]
    return fmean(found) if found else None
