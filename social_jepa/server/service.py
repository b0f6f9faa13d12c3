"""What every address of the API works with, and how agents are told of, up or down."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from social_jepa.graph.records import as_dict
from social_jepa.graph.results import Results
from social_jepa.server.client import SimulationClient
from social_jepa.server.metrics import Metrics
from social_jepa.server.problems import NOT_FOUND, ProblemError
from social_jepa.server.render_thread import RenderThread
from social_jepa.server.snapshots import Snapshot, SnapshotCache
from social_jepa.server.sse import EventBroadcaster
from social_jepa.storage.run_folder import RunFolderError

T = TypeVar("T")


@dataclass(frozen=True)
class Service:
    """The parts of one server."""

    view: SnapshotCache
    living: SimulationClient
    eyes: RenderThread
    bell: EventBroadcaster
    metrics: Metrics

    async def threads(self, work: Callable[[], T]) -> T:
        """Do something that blocks on a worker thread."""
        return await run_in_threadpool(work)

    def agents(self) -> list[dict[str, Any]]:
        """Return how every agent is doing; while the simulation is down, how it was left."""
        told, _ = self.living.status()
        try:
            results: Results | None = self.view.now().results
        except RunFolderError:
            results = None  # nobody has joined yet
        return merge(told, results)

    def agent(self, name: str) -> dict[str, Any]:
        """Return how an agent is doing, or raise ProblemError."""
        found = next((agent for agent in self.agents() if agent["name"] == name), None)
        if found is None:
            raise ProblemError(NOT_FOUND, f"no agent is named {name}: /api/agents lists who is there")
        return found

    def status(self) -> dict[str, Any]:
        """Return how the whole is doing."""
        told, trouble = self.living.status()
        up = bool(told)
        try:
            snapshot: Snapshot | None = self.view.now()
        except RunFolderError as error:
            snapshot, trouble = None, trouble or str(error)
        agents = merge(told, snapshot.results if snapshot else None)
        edges = snapshot.results.document.edges if snapshot else ()
        config, path = self.view.config, self.view.folder.path
        return {
            "run": str(path), "name": path.name, "up": up, "trouble": trouble,
            "remedy": "" if up else f"social-jepa resume {path}",
            "agents": Counter(agent["phase"] for agent in agents),
            "edges": Counter(edge.status for edge in edges),
            "version": snapshot.version if snapshot else (0, 0, 0),
            "events": self.view.version()[2],
            "next_tick": max((agent["next_tick"] for agent in agents), default=0),
            "seed": config.seed, "config_hash": config.hash(), "frame_size": config.scene.frame_size,
        }  # fmt: skip

    def look(self) -> tuple[bool, list[dict[str, Any]], list[Mapping[str, Any]]]:
        """Return what metrics are made of."""
        told, _ = self.living.status()
        try:
            results: Results | None = self.view.now().results
        except ValueError:
            results = None
        edges: list[Mapping[str, Any]] = []
        if results:
            edges += [as_dict(edge) for edge in results.document.edges]
        return bool(told), merge(told, results), edges


def merge(told: list[dict[str, Any]], results: Results | None) -> list[dict[str, Any]]:
    """Return agents from what the keeper says and from what they published.

    ``joined`` is false while a newcomer is on its way: the ledger does not know it yet.
    """
    published = {agent.name: as_dict(agent) for agent in results.document.agents} if results else {}
    here = {member.name for member in results.members} if results else set()
    if told:
        found = [_entry(agent, agent["progress"] or {}, published.get(agent["name"], {})) for agent in told]
        return [{**agent, "joined": agent["name"] in here} for agent in found]
    rows = []
    for member in results.members if results else ():
        own = published.get(member.name, {})
        losses = own.get("losses") or [None]
        left = {"step": own.get("steps", 0), "loss": losses[-1], "frames_per_s": own.get("frames_per_s")}
        agent = {
            "name": member.name, "kind": member.kind, "pose": member.pose, "teacher": member.teacher,
            "incarnation": own.get("incarnation", 0), "phase": "down", "waiting_for": "", "failure": "",
            "settled": False, "checkpoint": own.get("checkpoint", ""), "node": own.get("node", ""),
            "device": own.get("device", ""), "pid": 0,
        }  # fmt: skip
        rows.append({**_entry(agent, left, own), "joined": True})
    return rows


def _entry(agent: Mapping[str, Any], progress: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return one agent, its progress and what it published side by side."""
    kept = {key: value for key, value in agent.items() if key not in ("progress", "process_died")}
    phase = "failed" if agent["failure"] else agent["phase"]
    now = {key: progress.get(key) for key in ("loss", "frames_per_s", "drift", "saved_at")}
    of_code = {key: own.get(key) for key in ("dim", "core_dim", "collapsed", "probe_r2", "effective_rank")}
    counts = {key: progress.get(key) or 0 for key in ("step", "steps", "recorded", "next_tick", "frames")}
    return {**kept, "phase": phase, **counts, **now, **of_code, "published_at": own.get("published_at")}


async def of_request(request: Request) -> Service:
    """Return the parts of the server that a request came to; async, because that costs no thread."""
    service: Service = request.app.state.service
    return service


Parts = Annotated[Service, Depends(of_request)]
