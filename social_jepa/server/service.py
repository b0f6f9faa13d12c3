"""The parts of a server that the routes of one run work with, and the status that they compute together."""

import contextlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from social_jepa.graph.neighborhood import MAX_SHOWN, shown_agents
from social_jepa.graph.results import Results
from social_jepa.graph.summary import GraphSummary, summarize
from social_jepa.records import AgentRecord, encode
from social_jepa.runtime.last_known import UNKNOWN
from social_jepa.runtime.remedies import Remedy, find_remedy
from social_jepa.runtime.run_list import inspect_run
from social_jepa.server.client import ClientStatus, SimulationClient
from social_jepa.server.metrics import Metrics
from social_jepa.server.problems import NOT_FOUND, NOT_JSON, ProblemError
from social_jepa.server.quality import quality_matrix
from social_jepa.server.render_thread import RunRenderer
from social_jepa.server.responses import AgentView, AgentViews, LossCurves, RunState, ServerStatus
from social_jepa.server.snapshots import Snapshot, SnapshotCache
from social_jepa.server.sse import EventBroadcaster
from social_jepa.storage.run_folder_errors import RunFolderError

T = TypeVar("T")


@dataclass(frozen=True)
class Service:
    """The parts of a server that belong to one run."""

    snapshots: SnapshotCache
    client: SimulationClient
    renderer: RunRenderer
    broadcaster: EventBroadcaster
    metrics: Metrics
    views: AgentViews = field(default_factory=AgentViews)

    async def in_thread(self, function: Callable[[], T]) -> T:
        """Run a blocking function on a worker thread."""
        return await run_in_threadpool(function)

    def agents(self) -> list[AgentView]:
        """Return all agents; while the simulation is down, as the ledger has them."""
        try:
            results: Results | None = self.snapshots.current().results
        except RunFolderError:
            results = None  # no agent has joined yet
        return self._views(self.client.status(), results)

    def _views(self, known: ClientStatus, results: Results | None) -> list[AgentView]:
        """Return all agents; their phase is unknown where a batch run or a peer is at work, and not asked."""
        at_work = not known.up and self.snapshots.folder.is_locked()
        return self.views.of(known.agents, results, UNKNOWN if at_work else "down")

    def agent(self, name: str) -> AgentView:
        """Return the agent of a name.

        Raises:
            ProblemError: There is none.
        """
        for agent in self.agents():
            if agent.name == name:
                return agent
        raise ProblemError(NOT_FOUND, f"no agent is named {name}: /api/agents lists all agents")

    def loss_curves(self, name: str) -> LossCurves:
        """Return an agent's losses: up to its newest step, or while the simulation is down as published.

        Raises:
            ProblemError: There is no such agent.
        """
        known = self.client.status()
        if not known.trouble and any(status.name == name for status in known.agents):
            progress = self.client.progress(name)
            if progress is not None:
                return LossCurves.of_progress(progress)
        self.agent(name)
        published = self.published(name)
        return LossCurves() if published is None else LossCurves.of_record(published)

    def published(self, name: str) -> AgentRecord | None:
        """Return the record of an agent's newest model; None while it has not published one of its view."""
        return self.snapshots.current().results.published(name)

    def quality(self, snapshot: Snapshot, focus: str | None = None, limit: int = MAX_SHOWN) -> bytes:
        """Return the quality matrix of some agents as JSON, which is computed once for each graph.

        Args:
            snapshot: The graph.
            focus: Where there are more agents than the limit, the one whose neighborhood is shown.
            limit: Most agents.

        Raises:
            UnknownAgentError: There is no agent of that name.
        """
        names = shown_agents(snapshot.results, focus, limit)
        key = f"quality {' '.join(names)}"
        return snapshot.cached(key, lambda results: encode(quality_matrix(results, names)))

    def read_ahead(self) -> None:
        """Read the graph and its quality if there is one, so that the first page does not wait."""
        with contextlib.suppress(ValueError):  # raised again where the graph is asked for
            self.quality(self.snapshots.current())
            self.snapshots.scene.state(0)  # the first state of a scene loads what draws random numbers

    def status(self) -> ServerStatus:
        """Return the state of the run and of its simulation."""
        known = self.client.status()
        up, trouble = known.up, known.trouble
        snapshots, folder = self.snapshots, self.snapshots.folder
        try:
            snapshot: Snapshot | None = snapshots.current()
        except RunFolderError as error:
            snapshot, trouble = None, trouble or str(error)
        agents = self._views(known, snapshot.results if snapshot else None)
        summary = snapshot.cached("summary", _summary) if snapshot else None
        found = None if up else inspect_run(folder.path)  # what it is and what helps, by one reading
        remedy = find_remedy(folder, found=found) if found else Remedy()
        config, scene = snapshots.config, snapshots.scene_here()
        return ServerStatus(
            run=str(folder.path),
            name=folder.path.name,
            up=up,
            state=found.record.state if found else "up",
            trouble=trouble,
            remedy=remedy.sentence,
            command=remedy.command,
            agents=Counter(agent.phase for agent in agents),
            edges=snapshot.cached("statuses", _statuses) if snapshot else {},
            summary=summary,
            headline=summary.headline() if summary else "No agent has joined yet",
            remark=summary.remark() if summary else "",
            version=snapshot.version if snapshot else (0, 0, 0),
            events=snapshots.version()[2],
            next_tick=max((agent.next_tick for agent in agents), default=0),
            seed=config.seed,
            config_hash=config.hash(),
            frame_size=config.scene.frame_size,
            ticks=scene.ticks if scene else None,
            views=scene.source.views if scene and scene.source else None,
        )

    def state(self) -> RunState:
        """Return the state that metrics are collected from; without edges if the ledger cannot be read."""
        known = self.client.status()
        try:
            results: Results | None = self.snapshots.current().results
        except ValueError:
            results = None
        edges = results.document.edges if results else ()
        return RunState(known.up, self._views(known, results), edges)


def _summary(results: Results) -> GraphSummary:
    return summarize(results.document)


def _statuses(results: Results) -> Counter[str]:
    return Counter(edge.status for edge in results.document.edges)


async def require_json(request: Request) -> None:
    """Refuse a body that is not declared as JSON: a form of another site cannot send that type.

    Raises:
        ProblemError: It is something else.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise ProblemError(NOT_JSON, "send the body as JSON, with the header Content-Type: application/json")


JsonBody = [Depends(require_json)]
