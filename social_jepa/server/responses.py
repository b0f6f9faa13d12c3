"""Responses of the API as typed records, and the state that metrics are collected from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import numpy as np
from fastapi import Response
from msgspec import UNSET, UnsetType

from alignment.status import Status
from social_jepa.graph.results import Results
from social_jepa.graph.summary import GraphSummary
from social_jepa.records import (
    AgentRecord,
    AgentStatus,
    EdgeRecord,
    EdgeSummary,
    FailureRecord,
    MemberRecord,
    NearestTick,
    PathQuality,
    ProgressRecord,
    Record,
    RunRecord,
    Translation,
    UnsavedRecord,
    encode,
)
from social_jepa.runtime.last_known import UNKNOWN

BINS = 150  # points of the loss curve of a published model


Item = TypeVar("Item")


class AgentView(Record, frozen=True, kw_only=True):
    """One agent as /api/agents returns it: its status, its progress and its published model.

    ``joined`` is false while a joiner starts: the ledger does not contain it yet.
    """

    name: str
    kind: str
    pose: str
    teacher: str
    incarnation: int
    phase: str
    waiting_for: str = ""
    failure: FailureRecord | None = None
    note: str = ""
    unsaved: tuple[UnsavedRecord, ...] = ()
    silent_since: float | None = None
    settled: bool = False
    paused: bool = False
    checkpoint: str = ""
    node: str = ""
    host: str = ""
    device: str = ""
    pid: int = 0
    idle_seconds: float = 0.0
    idle_place: str = ""
    cpu_wait: float | None = None
    versions: Mapping[str, str] = {}
    unanswered: Mapping[str, float] = {}
    flagged: str = ""
    joined: bool = True
    step: int = 0
    steps: int = 0
    recorded: int = 0
    next_tick: int = 0
    frames: int = 0
    loss: float | None = None
    frames_per_s: float | None = None
    seconds_left: float | None = None
    drift: float | None = None
    saved_at: float | None = None
    dim: int | None = None
    core_dim: int | None = None
    collapsed: bool | None = None
    probe_r2: float | None = None
    effective_rank: float | None = None
    published_at: float | None = None

    @classmethod
    def of_status(
        cls, status: AgentStatus, published: AgentRecord | None, joined: bool, flagged: str
    ) -> "AgentView":
        """Return the view of an agent whose simulation is up."""
        keys = (
            "name", "kind", "pose", "teacher", "incarnation", "waiting_for", "failure", "note", "unsaved",
            "silent_since", "settled", "paused", "checkpoint", "node", "host", "device", "pid",
            "idle_seconds", "idle_place", "cpu_wait", "versions", "unanswered",
        )  # fmt: skip
        fields = {key: getattr(status, key) for key in keys}
        fields["phase"] = "failed" if status.failure else status.phase
        if status.progress is None and status.phase == UNKNOWN and published is not None:
            fields |= _newest_numbers(published)
        if status.progress is not None:
            numbers = (
                "step", "steps", "recorded", "next_tick", "frames",
                "loss", "frames_per_s", "seconds_left", "drift", "saved_at",
            )  # fmt: skip
            fields |= {key: getattr(status.progress, key) for key in numbers}
        return cls(**fields, **_model_fields(published), joined=joined, flagged=flagged)

    @classmethod
    def of_member(
        cls, member: MemberRecord, published: AgentRecord | None, flagged: str, phase: str
    ) -> "AgentView":
        """Return the view of an agent without a status: its newest publication."""
        fields: dict[str, Any] = {key: getattr(member, key) for key in ("name", "kind", "pose", "teacher")}
        fields |= {"flagged": flagged, "phase": phase}
        if published is None:
            return cls(**fields, incarnation=0)
        keys = ("incarnation", "checkpoint", "node", "device", "frames_per_s")
        fields |= {key: getattr(published, key) for key in keys} | _newest_numbers(published)
        return cls(**fields, **_model_fields(published))


class LossCurves(Record, frozen=True, kw_only=True):
    """[step, mean loss since the previous point] of an agent's training and of its distillation."""

    train: tuple[tuple[int, float], ...] = ()
    distill: tuple[tuple[int, float], ...] = ()

    @classmethod
    def of_progress(cls, progress: ProgressRecord) -> "LossCurves":
        """Return the curves of an agent whose simulation is up, up to its newest step."""
        return cls(train=progress.loss_curve, distill=progress.distill_curve)

    @classmethod
    def of_record(cls, published: AgentRecord) -> "LossCurves":
        """Return the curves of an agent up to its newest publication."""
        bins = np.array_split(np.array(published.losses), max(1, min(BINS, len(published.losses))))
        steps = published.steps - len(published.losses) + np.cumsum([len(part) for part in bins])
        train = [(int(step), float(part.mean())) for step, part in zip(steps, bins, strict=True) if len(part)]
        return cls(train=tuple(train), distill=published.distill_curve)


class AgentDetail(AgentView, frozen=True, kw_only=True):
    """One agent with its loss curves and the autocorrelation of each dimension; null: nothing published."""

    autocorrelation: tuple[float, ...] | None = None
    losses: LossCurves


class ServedRun(RunRecord, frozen=True, kw_only=True):
    """A run that a server shows, under its name there.

    ``address`` is that of its page, relative to the page of the run that was asked. ``default`` is true of
    the run whose routes are also those without a run in their path.
    """

    address: str
    default: bool

    @classmethod
    def of(cls, run: RunRecord, name: str, address: str, default: bool) -> "ServedRun":
        """Return a run with its name and its address on a server."""
        fields = {key: getattr(run, key) for key in RunRecord.__struct_fields__}
        return cls(**fields | {"name": name}, address=address, default=default)


class ServerStatus(Record, frozen=True, kw_only=True):
    """The state of a run and of its simulation.

    ``state`` is that of `RunRecord`. ``remedy`` says what helps where the simulation is not up, and
    ``command`` is the command in it; both are empty where it is up, ``command`` also where none helps.
    ``trouble`` says why the status of a simulation that is up is unknown; its agents have the phase unknown.
    ``headline`` and ``remark`` are the counts of ``summary`` in words; it is null before an agent joins.
    """

    run: str
    name: str
    up: bool
    state: Literal["up", "training", "finished", "stopped", "down", "damaged"]
    trouble: str
    remedy: str
    command: str
    agents: Mapping[str, int]
    edges: Mapping[str, int]
    summary: GraphSummary | None
    headline: str
    remark: str
    version: tuple[int, int, int]
    events: int
    next_tick: int
    seed: int
    config_hash: str
    frame_size: int
    ticks: int | None  # of the source of frames; null: a rendered scene never ends
    views: int | None  # of the source of frames; null: cameras in a room


class ListPage(Record, Generic[Item], frozen=True, kw_only=True):
    """A part of a list, and the offset of the next part; null at the end."""

    items: list[Item]
    total: int
    offset: int
    limit: int
    next_offset: int | None


class EventPage(Record, frozen=True, kw_only=True):
    """Events after a number, and the number to continue after."""

    items: list[dict[str, Any]]
    after: int
    limit: int
    next_after: int


class QualityMatrix(Record, frozen=True, kw_only=True):
    """Quality of every ordered pair of some agents: rows are sources, columns targets.

    ``total`` is the number of agents of the graph: where it is more than that of ``agents``, these are the
    first and those that it has edges with.
    """

    agents: list[str]
    total: int
    status: list[list[Status | None]]
    r2_shared: list[list[float | None]]
    best: list[list[float]]


class TranslateResponse(Translation, frozen=True, kw_only=True, rename={"source": "from", "target": "to"}):
    """A translation; if ticks were given, with these ticks and the core vectors that encode them."""

    ticks: list[int] | UnsetType = UNSET
    vectors: list[list[float]] | UnsetType = UNSET


class NearestResponse(Record, frozen=True, kw_only=True):
    """Nearest held-out ticks of each vector."""

    agent: str
    nearest: list[list[NearestTick]]


class Hop(Record, frozen=True, kw_only=True):
    """One edge of a path."""

    source: str
    target: str
    r2_shared: float | None
    null_correlation: float | None


class PathResponse(PathQuality, frozen=True, kw_only=True, rename={"source": "from", "target": "to"}):
    """A path with its edges."""

    hops: list[Hop]


class Health(Record, frozen=True, kw_only=True):
    """The server answers and can read the ledger."""

    status: Literal["ok"] = "ok"


class Problem(Record, frozen=True, kw_only=True):
    """A problem document (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str


@dataclass(frozen=True)
class RunState:
    """What metrics are collected from: whether the simulation is up, its agents and its edges."""

    up: bool
    agents: Sequence[AgentView]
    edges: Sequence[EdgeRecord]


class AgentViews:
    """The views of all agents, made once for each status and graph."""

    def __init__(self) -> None:
        """Start without any."""
        self._made: tuple[Sequence[AgentStatus], Results | None, str, list[AgentView]] | None = None

    def of(
        self, statuses: Sequence[AgentStatus], results: Results | None, phase: str = "down"
    ) -> list[AgentView]:
        """Return all agents: from their statuses while the simulation is up, else from the ledger.

        Args:
            statuses: Their statuses; none while the simulation is not up.
            results: The graph; None: no agent has joined, or the ledger cannot be read.
            phase: Phase of agents without a status.
        """
        made = self._made
        if made is None or made[0] is not statuses or made[1] is not results or made[2] != phase:
            made = self._made = statuses, results, phase, _views(statuses, results, phase)
        return made[3]


def _views(statuses: Sequence[AgentStatus], results: Results | None, phase: str) -> list[AgentView]:
    published = {agent.name: agent for agent in results.document.agents} if results else {}
    members = {member.name: member for member in results.members} if results else {}
    flagged = {each.agent: each.reason for each in results.document.trust if each.flagged} if results else {}
    if statuses:
        return [
            AgentView.of_status(
                status, published.get(status.name), status.name in members, flagged.get(status.name, "")
            )
            for status in statuses
        ]
    return [
        AgentView.of_member(member, published.get(name), flagged.get(name, ""), phase)
        for name, member in members.items()
    ]


def edge_summary(edge: EdgeRecord) -> EdgeSummary:
    """Return an edge without its scores by number of anchor pairs."""
    return EdgeSummary(**{key: getattr(edge, key) for key in EdgeSummary.__struct_fields__})


def json_response(document: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a JSON response of records or plain values; NaN and infinity become null."""
    return Response(encode(document), status, headers, "application/json")


def _newest_numbers(published: AgentRecord) -> dict[str, Any]:
    """Return step and loss of an agent whose progress is not known: those of its newest publication."""
    return {"step": published.steps, "loss": published.losses[-1] if published.losses else None}


def _model_fields(published: AgentRecord | None) -> dict[str, Any]:
    if published is None:
        return {}
    keys = ("dim", "core_dim", "collapsed", "probe_r2", "effective_rank", "published_at")
    return {key: getattr(published, key) for key in keys}
