"""Typed records of the translation graph: what the ledger stores, graph.json holds and queries return.

Constraints stand beside each field. msgspec checks them whenever a record is decoded, and
``python -m social_jepa.graph.records`` prints them as the JSON Schema of graph.json.
"""

import inspect
import json
import sys
from collections.abc import Iterable
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import msgspec
from msgspec import Meta, Struct

from agents.spec import Progress
from alignment.status import Status
from env.camera import Pose
from env.scene import BodyEvent
from social_jepa.config.overrides import build_config
from social_jepa.config.run_config import RunConfig

FORMAT: Literal[2] = 2  # of graph.json; goes up whenever a key is renamed or removed
MAX_DIM = 4096
MAX_PAIRS = 65536
ROUNDING = 1e-6  # by which a computed correlation or kernel alignment may exceed 1

Method = Literal["procrustes", "robust", "ridge"]

Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
Hash = Annotated[str, Meta(pattern=r"^[0-9a-f]{16}$")]
Count = Annotated[int, Meta(ge=0)]
Dim = Annotated[int, Meta(ge=0, le=MAX_DIM)]
PairCount = Annotated[int, Meta(ge=0, le=MAX_PAIRS)]
NonNegative = Annotated[float, Meta(ge=0)]
R2 = Annotated[float, Meta(le=1)]
Share = Annotated[float, Meta(ge=0, le=1)]
Similarity = Annotated[float, Meta(ge=0, le=1 + ROUNDING)]
ConditionNumber = Annotated[float, Meta(ge=1)]
Correlation = Annotated[float, Meta(ge=-1 - ROUNDING, le=1 + ROUNDING)]
MethodField = Annotated[
    Method,
    Meta(
        description="How a map was fitted: procrustes (orthogonal, between the cores), robust (the same "
        "without the worst pairs), ridge (linear, between all dimensions)."
    ),
]


class Record(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all records: immutable, built by keyword, without unknown fields."""


class PoseRecord(Record, frozen=True, kw_only=True):
    """Position and direction of a camera."""

    x: Annotated[float, Meta(description="Meters from the center of the room.")]
    y: Annotated[float, Meta(gt=0, description="Meters above the floor.")]
    z: Annotated[float, Meta(description="Meters from the center of the room.")]
    yaw: Annotated[float, Meta(description="Degrees: 0 looks along +x, 90 along -z.")]
    pitch: Annotated[float, Meta(ge=-89, le=89, description="Degrees: negative looks down.")]
    fov: Annotated[float, Meta(ge=1, le=150, description="Vertical field of view in degrees.")]

    @classmethod
    def of(cls, pose: Pose) -> "PoseRecord":
        """Return the record of a pose."""
        return cls(x=pose.x, y=pose.y, z=pose.z, yaw=pose.yaw, pitch=pose.pitch, fov=pose.fov)


class AgentRecord(Record, frozen=True, kw_only=True):
    """One agent at the time when it published the model that its peers know."""

    name: Annotated[Name, Meta(description="Name of the agent.")]
    kind: Annotated[str, Meta(min_length=1, description="Kind of its world model.")]
    pose: Annotated[PoseRecord, Meta(description="Pose of its camera.")]
    device: Annotated[str, Meta(min_length=1, description="torch device that it trained on: cpu or cuda:0.")]
    node: Annotated[str, Meta(description="Node of the Ray cluster that it ran on.")]
    dim: Annotated[int, Meta(ge=1, le=MAX_DIM, description="Dimensions of its latent space.")]
    core_dim: Annotated[
        Dim, Meta(description="Number of leading dimensions that are its predictable core; 0: none found.")
    ]
    probe_r2: Annotated[
        R2,
        Meta(
            description="Held-out R2 of a linear probe of the scene's true state, which is hidden from "
            "agents; 1 is perfect, 0 what the mean achieves."
        ),
    ]
    frames_per_s: Annotated[NonNegative, Meta(description="Frames read per second of training time.")]
    checkpoint: Annotated[Hash, Meta(description="Hash of its published model.")]
    collapsed: Annotated[bool, Meta(description="Whether it found its own encoder collapsed.")]
    effective_rank: Annotated[
        NonNegative,
        Meta(
            description="Exponential of the entropy of its latents' covariance spectrum; at most dim, 0 "
            "when nothing varies."
        ),
    ]
    autocorrelation: Annotated[
        tuple[Correlation, ...],
        Meta(
            description="Lag-1 autocorrelation of each dimension on ticks that neither training nor the "
            "choice of axes saw. The first core_dim are the core."
        ),
    ]
    steps: Annotated[Count, Meta(description="Training steps taken.")]
    frames: Annotated[Count, Meta(description="Frames read by training, repeated reads counted.")]
    losses: Annotated[
        tuple[float, ...],
        Meta(description="Training loss after each step; only the newest ones of a long training run."),
    ]
    record_seconds: Annotated[NonNegative, Meta(description="Rendering and encoding, in seconds.")]
    train_seconds: Annotated[NonNegative, Meta(description="Training, in seconds.")]
    distill_frames: Annotated[
        Count, Meta(description="Frames read by distillation from a teacher; 0 when it trained alone.")
    ]
    pose_version: Annotated[Count, Meta(description="How many times its camera had moved.")]
    incarnation: Annotated[
        int, Meta(ge=1, description="Which of its processes published the model, counted from 1.")
    ]
    published_at: Annotated[
        NonNegative, Meta(description="When the model was published, in seconds since 1970-01-01 00:00 UTC.")
    ]


class BudgetRow(Record, frozen=True, kw_only=True):
    """Held-out R2 of one edge, fitted on some number of anchor pairs by one method."""

    pairs: Annotated[int, Meta(ge=1, description="Anchor pairs fitted.")]
    method: MethodField
    r2: Annotated[R2, Meta(description="Held-out R2.")]


class BudgetSummary(Record, frozen=True, kw_only=True):
    """Held-out R2 of all scored edges by number of anchor pairs and method."""

    pairs: Annotated[int, Meta(ge=1, description="Anchor pairs fitted.")]
    method: MethodField
    r2_mean: Annotated[R2, Meta(description="Held-out R2, mean over edges.")]
    r2_min: Annotated[R2, Meta(description="Held-out R2 of the worst edge.")]


class EdgeRecord(Record, frozen=True, kw_only=True):
    """The result of one negotiation: the map from a source's space into a target's, judged by the target."""

    source: Annotated[Name, Meta(description="Agent whose embeddings the map reads.")]
    target: Annotated[Name, Meta(description="Agent into whose space the map leads, and that fitted it.")]
    status: Annotated[
        Status,
        Meta(
            description="accepted; refused: the scores or the offer were not good enough; failed: the "
            "negotiation did not finish; stale: source or target has moved its camera or "
            "published another model since; ended: source or target has left (only in the "
            "ledger)."
        ),
    ]
    reason: Annotated[
        str, Meta(max_length=500, description="A sentence; empty only for an accepted edge without a remark.")
    ]
    r2: Annotated[
        R2 | None,
        Meta(description="Held-out R2 of the ridge map between all dimensions; null: not measured."),
    ]
    r2_core: Annotated[
        R2 | None,
        Meta(description="Held-out R2 of the orthogonal map between the cores; null: not measured."),
    ]
    null_r2: Annotated[
        R2 | None, Meta(description="Best R2 of either map fitted on shuffled pairs; null: not measured.")
    ]
    singular_values: Annotated[
        tuple[NonNegative, ...],
        Meta(
            description="Singular values of the least-squares map between the whitened cores, descending; "
            "all 1 is an isometry. Empty: not measured."
        ),
    ]
    null_singular_values: Annotated[
        tuple[NonNegative, ...],
        Meta(description="The same of shuffled pairs: the largest of several shuffles at each rank."),
    ]
    kappa: Annotated[
        ConditionNumber | None,
        Meta(
            description="Condition number: largest over smallest singular value; null: infinite or not "
            "measured."
        ),
    ]
    isometry_deviation: Annotated[
        NonNegative | None,
        Meta(
            description="sqrt(mean (1 - c^2)^2) over the singular values c: 0 is an isometry, 1 is nothing "
            "in common; null: not measured."
        ),
    ]
    retrieval_at_1: Annotated[
        Share | None,
        Meta(
            description="Share of held-out ticks whose translated latent is nearest to the target's own "
            "latent of that tick; chance is 1 / heldout. null: not measured."
        ),
    ]
    cka: Annotated[
        Similarity | None,
        Meta(
            description="Linear centered kernel alignment of all dimensions, 0 to 1 within rounding; null: "
            "not measured."
        ),
    ]
    mutual_knn: Annotated[
        Similarity | None,
        Meta(
            description="Share of each tick's 10 nearest ticks that both spaces agree on; null: not measured."
        ),
    ]
    anchors: Annotated[PairCount, Meta(description="Pairs that the map was fitted on; 0: none.")]
    heldout: Annotated[
        PairCount,
        Meta(description="Pairs that every score comes from, none of them fitted; 0: not measured."),
    ]
    bytes: Annotated[Count, Meta(description="Bytes that both peers sent for this round of this edge.")]
    method: MethodField
    round: Annotated[
        Count, Meta(description="Number of the negotiation; a later one replaces an earlier one.")
    ]
    core_dims: Annotated[tuple[Dim, Dim], Meta(description="Core dimensions of source and target.")]
    source_checkpoint: Annotated[Hash, Meta(description="Model of the source that was compared.")]
    target_checkpoint: Annotated[Hash, Meta(description="Model of the target that was compared.")]
    source_incarnation: Annotated[
        Count,
        Meta(
            description="Process of the source that negotiated, counted from 1; 0: the negotiation did not "
            "finish."
        ),
    ]
    target_incarnation: Annotated[
        Count,
        Meta(
            description="Process of the target that negotiated, counted from 1; 0: the negotiation did not "
            "finish."
        ),
    ]
    time: Annotated[
        NonNegative, Meta(description="When the ledger recorded it, in seconds since 1970-01-01 00:00 UTC.")
    ]
    budget: Annotated[
        tuple[BudgetRow, ...], Meta(description="Held-out R2 by number of anchor pairs and method.")
    ]


class CycleRecord(Record, frozen=True, kw_only=True):
    """A closed walk along accepted edges."""

    agents: Annotated[
        tuple[Name, ...],
        Meta(min_length=3, description="Agents on the walk, in order; it ends at the first."),
    ]
    error: Annotated[
        NonNegative,
        Meta(
            description="Squared distance of held-out latents from where they started, relative to their "
            "squared norm: 0 is consistent, about 2 unrelated."
        ),
    ]


class UniverseRecord(Record, frozen=True, kw_only=True):
    """The common space into which each agent has one map (arXiv:2602.06205), scored on held-out anchors."""

    agents: Annotated[tuple[Name, ...], Meta(description="Agents that have a map into it.")]
    dim: Annotated[int, Meta(ge=1, description="Its dimensions: those of the largest core.")]
    r2: Annotated[
        R2,
        Meta(
            description="Held-out R2 of translating through it: mean over pairs with an accepted direct edge."
        ),
    ]
    direct_r2: Annotated[R2, Meta(description="The same mean along the direct edges.")]


class PhaseSeconds(Record, frozen=True, kw_only=True):
    """Wall time of a finished run by phase, in seconds."""

    record: Annotated[NonNegative, Meta(description="Rendering and encoding, slowest agent; seconds.")]
    train: Annotated[NonNegative, Meta(description="Training, slowest agent; seconds.")]
    negotiate: Annotated[NonNegative, Meta(description="From the first offer to the last verdict; seconds.")]
    total: Annotated[NonNegative, Meta(description="Everything; seconds.")]


_EDGE_RULES: dict[str, Any] = {
    "properties": {"status": {"enum": ["accepted", "refused", "failed", "stale"]}},
    "if": {"properties": {"status": {"const": "accepted"}}},
    "then": {
        "properties": {
            "r2": {"type": "number"},
            "r2_core": {"type": "number"},
            "null_r2": {"type": "number"},
            "singular_values": {"minItems": 1},
            "anchors": {"minimum": 1},
            "heldout": {"minimum": 1},
        }
    },
    "else": {"properties": {"reason": {"minLength": 1}}},
}  # relations between fields, which types cannot state


class GraphDocument(Record, frozen=True, kw_only=True):
    """The translation graph of a run, or of a simulation at one moment, without cycles and universe.

    Every score of an edge is held-out: no tick that scores was fitted, and no tick that was fitted or scores
    was trained on.
    """

    format: Annotated[
        Literal[2], Meta(description="Version of this format; goes up when a key is renamed or removed.")
    ]
    seed: Annotated[int, Meta(ge=0, lt=2**62, description="Seed of the scene and of every agent.")]
    config_hash: Annotated[Hash, Meta(description="Hash of the settings; equal for equal settings.")]
    scene_fingerprint: Annotated[
        Hash, Meta(description="Fingerprint of the scene; equal when two peers replay the same objects.")
    ]
    agents: Annotated[
        tuple[AgentRecord, ...],
        Meta(description="Agents that have published a model of their current view, by index."),
    ]
    training: Annotated[
        tuple[Name, ...],
        Meta(
            description="Agents that have not published a model of their current view yet, by index.",
            extra_json_schema={"uniqueItems": True},
        ),
    ]
    edges: Annotated[
        tuple[Annotated[EdgeRecord, Meta(extra_json_schema=_EDGE_RULES)], ...],
        Meta(description="Newest edge of every ordered pair of present agents that has negotiated."),
    ]
    budget: Annotated[
        tuple[BudgetSummary, ...],
        Meta(description="Held-out R2 by number of anchor pairs and method, over all scored edges."),
    ]
    as_of: Annotated[
        NonNegative, Meta(description="Time of this state, in seconds since 1970-01-01 00:00 UTC.")
    ]
    seconds: Annotated[
        PhaseSeconds | None, Meta(description="Wall time by phase; null: not finished, as a live simulation.")
    ]
    refused_messages: Annotated[
        tuple[str, ...], Meta(description="Messages that an agent refused to read, one sentence each.")
    ]


class FullGraphDocument(GraphDocument, frozen=True, kw_only=True):
    """The translation graph of a run, or of a simulation at one moment: the content of graph.json.

    Every score of an edge is held-out: no tick that scores was fitted, and no tick that was fitted or scores
    was trained on.
    """

    cycles: Annotated[
        tuple[CycleRecord, ...],
        Meta(description="Every closed walk along accepted edges through three agents, in both directions."),
    ]
    universe: Annotated[
        UniverseRecord | None,
        Meta(
            description="The common space; null: no edge is accepted, or the anchors of an earlier graph "
            "are gone."
        ),
    ]


class MemberRecord(Record, frozen=True, kw_only=True):
    """One agent as its simulation knows it, whether or not it has published a model."""

    name: Annotated[Name, Meta(description="Name of the agent; never given twice in a run.")]
    index: Annotated[Count, Meta(description="Its number and random stream; never given twice in a run.")]
    pose: Annotated[str, Meta(description='"x,y,z,yaw,pitch,fov" in meters and degrees.')]
    kind: Annotated[str, Meta(min_length=1, description="Kind of its world model.")]
    settings: Annotated[tuple[str, ...], Meta(description='Its own settings, "key.sub=value" each.')] = ()
    teacher: Annotated[str, Meta(description="Peer it distills from first; empty: it trains alone.")] = ""
    pose_version: Annotated[Count, Meta(description="How many times its camera has moved.")] = 0

    def config(self, config: RunConfig) -> RunConfig:
        """Return the run's settings with this agent's own on top.

        Raises:
            ConfigError: One of its settings is unknown or out of range.
        """
        return build_config(RunConfig, config.as_dict(), self.settings) if self.settings else config


class ProgressRecord(Record, frozen=True, kw_only=True):
    """Progress of an agent's training; null where `agents.spec.Progress` has NaN."""

    phase: Annotated[
        str, Meta(description="waiting, recording, distilling, training, encoding, ready, stopped.")
    ]
    step: Annotated[Count, Meta(description="Training steps taken.")]
    steps: Annotated[Count, Meta(description="Training steps planned.")]
    recorded: Annotated[Count, Meta(description="Ticks in its replay buffer.")]
    next_tick: Annotated[Count, Meta(description="First tick that it has not recorded.")]
    frames: Annotated[Count, Meta(description="Frames read by training, repeated reads counted.")]
    loss: Annotated[float | None, Meta(description="Loss of the newest step; null: before the first.")]
    frames_per_s: Annotated[NonNegative | None, Meta(description="Frames read per second of training time.")]
    seconds_left: Annotated[float | None, Meta(description="Estimated seconds left; null: unknown.")]
    record_seconds: Annotated[NonNegative, Meta(description="Rendering and encoding, in seconds.")]
    train_seconds: Annotated[NonNegative, Meta(description="Training, in seconds.")]
    device: Annotated[str, Meta(description="torch device that it trains on.")]
    drift: Annotated[
        float | None, Meta(description="Share of variance lost since the published model; null: unknown.")
    ]
    saved_at: Annotated[
        NonNegative, Meta(description="Time of its newest checkpoint, in seconds since 1970; 0: none.")
    ]
    distill_frames: Annotated[Count, Meta(description="Frames read by distillation from a teacher.")]

    @classmethod
    def of(cls, progress: Progress) -> "ProgressRecord":
        """Return the record of an agent's progress."""
        return cls(**{key: value for key, value in progress.as_plain().items() if key != "name"})


class AgentStatus(Record, frozen=True, kw_only=True):
    """Current state of one agent of a simulation, from its supervisor."""

    name: Annotated[Name, Meta(description="Name of the agent.")]
    kind: Annotated[str, Meta(description="Kind of its world model.")]
    pose: Annotated[str, Meta(description='"x,y,z,yaw,pitch,fov" in meters and degrees.')]
    teacher: Annotated[str, Meta(description="Peer it distills from first; empty: it trains alone.")]
    incarnation: Annotated[Count, Meta(description="Number of its process; 0: none was started yet.")]
    phase: Annotated[
        str, Meta(description="Phase of its progress, or waiting, starting, returning, failed, down.")
    ]
    waiting_for: Annotated[str, Meta(description="Resource that its process waits for; empty: none.")]
    failure: Annotated[str, Meta(description="Error that ended it; empty while it runs.")]
    process_died: Annotated[bool, Meta(description="Whether the failure is that its process died.")]
    note: Annotated[str, Meta(description="A remark for the observer; may be empty.")]
    progress: Annotated[
        ProgressRecord | None, Meta(description="Its progress; null before its first report.")
    ]
    settled: Annotated[bool, Meta(description="Whether both edges with every known peer are settled.")]
    checkpoint: Annotated[str, Meta(description="Hash of its published model; empty: none.")]
    node: Annotated[str, Meta(description="Node of the Ray cluster that it runs on.")]
    device: Annotated[str, Meta(description="torch device that it runs on.")]
    pid: Annotated[Count, Meta(description="Process id on its node; 0: no process.")]


class EventRecord(Record, frozen=True, kw_only=True):
    """One event of a run. Which details it has depends on its type."""

    number: Annotated[Count, Meta(description="Position in the ledger; goes up by one.")]
    time: Annotated[NonNegative, Meta(description="Seconds since 1970-01-01 00:00 UTC.")]
    type: Annotated[
        str,
        Meta(
            description="started, resumed, joined, returned, moved, left, published, edge, message_refused,"
            " stopped, finished."
        ),
    ]
    details: Annotated[dict[str, Any], Meta(description="What the type of event adds.")]

    def as_dict(self) -> dict[str, Any]:
        """Return the event as one flat dict, its details beside number, time and type."""
        return {**self.details, "number": self.number, "time": self.time, "type": self.type}


class MessageRecord(Record, frozen=True, kw_only=True):
    """One message that was sent between two agents."""

    time: Annotated[NonNegative, Meta(description="When the ledger recorded it, in seconds since 1970.")]
    sender: Annotated[str, Meta(description="Agent that sent it.")]
    receiver: Annotated[str, Meta(description="Agent that it was sent to.")]
    edge_source: Annotated[str, Meta(description="Source of the edge that it is about.")]
    edge_target: Annotated[str, Meta(description="Target of the edge that it is about.")]
    type: Annotated[str, Meta(description="Class of the message.")]
    bytes: Annotated[Count, Meta(description="Size on the wire.")]


class BodyRecord(NamedTuple):
    """A change of one agent's body in the scene: it appears, moves, or leaves (pose None) at a tick."""

    tick: int
    name: str
    pose: str | None

    def event(self) -> BodyEvent:
        """Return the event that the scene replays.

        Raises:
            ValueError: The pose cannot be parsed.
        """
        return BodyEvent(self.tick, self.name, Pose.parse(self.pose) if self.pose else None)


def body_events(bodies: Iterable[BodyRecord]) -> tuple[BodyEvent, ...]:
    """Return the events that the scene replays."""
    return tuple(body.event() for body in bodies)


class NearestTick(Record, frozen=True, kw_only=True):
    """A held-out tick of the target whose latent is close to a translated one."""

    tick: Annotated[int, Meta(ge=0, description="Tick of the scene.")]
    distance: Annotated[NonNegative, Meta(description="Euclidean distance in the target's core.")]


class PathQuality(Record, frozen=True, kw_only=True, rename={"source": "from", "target": "to"}):
    """A path between two agents and how well it translates."""

    source: Annotated[Name, Meta(description="First agent of the path.")]
    target: Annotated[Name, Meta(description="Last agent of the path.")]
    path: Annotated[tuple[str, ...], Meta(description="Agents on the path, both ends included; or universe.")]
    expected_r2: Annotated[float, Meta(description="Product of the held-out core R2 along the path.")]
    measured_r2: Annotated[float, Meta(description="R2 of the composed map on held-out anchors.")]


class Translation(
    PathQuality,
    frozen=True,
    kw_only=True,
    rename={"source": "from", "target": "to"},
):
    """Core vectors translated along a path, and the nearest ticks of each."""

    translated: Annotated[list[list[float]], Meta(description="[K, core_dim of the target].")]
    nearest: Annotated[
        list[list[NearestTick]], Meta(description="For each vector, nearest first; empty: not requested.")
    ]


class QueryAnswer(
    PathQuality,
    frozen=True,
    kw_only=True,
    rename={"source": "from", "target": "to"},
):
    """One core vector translated along a path, and its nearest ticks."""

    tick: Annotated[int | None, Meta(description="Tick that was encoded; null: a vector was given.")]
    vector: Annotated[list[float], Meta(description="Core vector of the source, [core_dim].")]
    translated: Annotated[list[float], Meta(description="The same in the target's core, [core_dim].")]
    nearest: Annotated[list[NearestTick], Meta(description="Nearest held-out ticks of the target.")]
    picture: Annotated[str | None, Meta(description="PNG that was written; null: none was requested.")] = None


R = TypeVar("R", bound=Struct)
T = TypeVar("T")


def encode(value: Any) -> bytes:
    """Return records, or containers of records, as JSON; NaN and infinity become null."""
    return msgspec.json.encode(value)


def decode(data: bytes | str, kind: type[T]) -> T:
    """Return the value that `encode` turned into bytes.

    Raises:
        ValueError: It is not JSON, or a field is missing, unknown or out of range.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from error


def as_dict(record: Struct) -> dict[str, Any]:
    """Return a record as a dict of plain values under the names that its JSON has."""
    found: dict[str, Any] = msgspec.to_builtins(record)
    return found


def replace(record: R, **changes: Any) -> R:
    """Return a copy of a record with some fields changed."""
    return msgspec.structs.replace(record, **changes)


def graph_schema() -> dict[str, Any]:
    """Return the JSON Schema of graph.json."""
    schema = msgspec.json.schema(FullGraphDocument)
    for definition in schema["$defs"].values():
        definition["description"] = inspect.cleandoc(definition["description"])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "graph.json of a Social-JEPA run",
        **schema,
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(graph_schema(), indent=2) + "\n")
