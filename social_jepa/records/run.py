"""Records of a run: members, bodies, status, events and messages."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal, NamedTuple

from msgspec import Meta, field

from agents.common.packages import PACKAGES
from agents.failure import Failure
from agents.spec import Progress
from env.camera import Pose
from env.scene import BodyEvent
from social_jepa.config.overrides import build_config
from social_jepa.config.run_config import RunConfig
from social_jepa.records.base import Count, Name, NonNegative, Record, Share

Curve = tuple[tuple[Count, float], ...]


class MemberRecord(Record, frozen=True, kw_only=True):
    """One agent as its simulation knows it, whether or not it has published a model."""

    name: Annotated[Name, Meta(description="Name of the agent; never given twice in a run.")]
    index: Annotated[Count, Meta(description="Its number and random stream; never given twice in a run.")]
    pose: Annotated[str, Meta(description='"x,y,z,yaw,pitch,fov" in meters and degrees, or "view=NUMBER".')]
    kind: Annotated[str, Meta(min_length=1, description="Kind of its world model.")]
    settings: Annotated[tuple[str, ...], Meta(description='Its own settings, "key.sub=value" each.')] = ()
    teacher: Annotated[str, Meta(description="Peer it distills from first; empty: it trains alone.")] = ""
    pose_version: Annotated[Count, Meta(description="How many times its camera has moved.")] = 0
    actor: Annotated[
        Count | None,
        Meta(description="Number of the actor, and so of the process, that it lives in; null: its index."),
    ] = None

    @property
    def actor_name(self) -> str:
        """Ray's name of the actor that it lives in."""
        return f"actor-{self.index if self.actor is None else self.actor}"

    def config(self, config: RunConfig) -> RunConfig:
        """Return the run's settings with this agent's own on top.

        Raises:
            ConfigError: One of its settings is unknown or out of range.
        """
        return build_config(RunConfig, config.as_dict(), self.settings) if self.settings else config


class ProgressRecord(Record, frozen=True, kw_only=True):
    """Progress of an agent's training; null where `agents.spec.Progress` has NaN."""

    phase: Annotated[
        str,
        Meta(
            description="waiting, recording, distilling, training, training stages, embedding, ready,"
            " resting, paused, stopped."
        ),
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
    loss_curve: Annotated[
        Curve, Meta(description="[step, mean loss since the previous point] of its training, in few points.")
    ] = ()
    distill_curve: Annotated[Curve, Meta(description="The same of its distillation; empty: none.")] = ()

    @classmethod
    def of(cls, progress: Progress) -> "ProgressRecord":
        """Return the record of an agent's progress."""
        return cls(**_numbers(progress), loss_curve=progress.loss_curve, distill_curve=progress.distill_curve)

    @classmethod
    def without_curves(cls, progress: Progress) -> "ProgressRecord":
        """Return the record of an agent's progress with empty loss curves."""
        return cls(**_numbers(progress))


def _numbers(progress: Progress) -> dict[str, Any]:
    """Return the fields of a progress that are no curves; of 1,000 agents, `asdict` took half a second."""
    left_out = ("name", "loss_curve", "distill_curve")
    found = {key: value for key, value in vars(progress).items() if key not in left_out}
    return {key: None if value != value else value for key, value in found.items()}


class FailureRecord(Record, frozen=True, kw_only=True):
    """Why an agent ended for good."""

    agent: Annotated[Name, Meta(description="Name of the agent.")]
    cause: Annotated[
        Literal["error", "process_died", "hung", "report"],
        Meta(
            description="error: its thread raised one; process_died: its process kept dying; hung: it made "
            "no step for far longer than any step had taken; report: what it reported cannot be recorded."
        ),
    ]
    phase: Annotated[str, Meta(description="What it was doing: starting, checking, or a phase of progress.")]
    step: Annotated[Count, Meta(description="Training steps that it had done.")]
    type: Annotated[
        str,
        Meta(
            description="Class of the error; of a process that died: out_of_memory, exit, crash, node_lost, "
            "killed, could_not_start."
        ),
    ]
    message: Annotated[str, Meta(description="Text of the error, or how its process died; may be empty.")]
    file: Annotated[str, Meta(description="File of the code that raised the error; empty: unknown.")]
    line: Annotated[Count, Meta(description="Line in that file; 0: unknown.")]
    traceback_file: Annotated[str, Meta(description="File with the traceback; empty: none.")]

    @classmethod
    def of(
        cls, failure: Failure, cause: Literal["error", "hung", "report"] = "error", traceback_file: str = ""
    ) -> "FailureRecord":
        """Return the record of an agent's error."""
        return cls(
            agent=failure.agent, cause=cause, phase=failure.phase, step=failure.step, type=failure.type,
            message=failure.message, file=failure.file, line=failure.line, traceback_file=traceback_file,
        )  # fmt: skip

    @property
    def summary(self) -> str:
        """What happened, when and where, in one line without the agent's name."""
        message = " ".join(self.message.split())
        if message and (self.cause == "process_died" or self.type.split(".")[0] in PACKAGES):
            text = message  # a sentence of this project
        else:
            text = ": ".join(filter(None, (self.type, message))) or "no reason is known"
        if self.file:
            text += f", {self.file} line {self.line}"
        text += f" ({self.phase}, after {self.step:,} steps)"
        return f"{text}; traceback: {self.traceback_file}" if self.traceback_file else text


class UnsavedRecord(Record, frozen=True, kw_only=True):
    """A file that could not be written; its writer goes on and tries again."""

    path: Annotated[str, Meta(description="The file.")]
    reason: Annotated[str, Meta(description="What the operating system or SQLite says.")]
    since: Annotated[NonNegative, Meta(description="When it failed first, in seconds since 1970.")]

    def __str__(self) -> str:
        """Return the end of a sentence about an agent: the file that could not be written, and why."""
        return f"cannot write {self.path} ({self.reason})"


class AgentStatus(Record, frozen=True, kw_only=True):
    """Current state of one agent of a simulation, from its supervisor."""

    name: Annotated[Name, Meta(description="Name of the agent.")]
    kind: Annotated[str, Meta(description="Kind of its world model.")]
    pose: Annotated[str, Meta(description='"x,y,z,yaw,pitch,fov" in meters and degrees, or "view=NUMBER".')]
    teacher: Annotated[str, Meta(description="Peer it distills from first; empty: it trains alone.")]
    incarnation: Annotated[Count, Meta(description="Number of its process; 0: none was started yet.")]
    phase: Annotated[
        str, Meta(description="Phase of its progress, or waiting, starting, returning, failed, down.")
    ]
    waiting_for: Annotated[str, Meta(description="Resource that its process waits for; empty: none.")]
    failure: Annotated[FailureRecord | None, Meta(description="Why it ended; null while it runs.")]
    note: Annotated[str, Meta(description="A remark for the observer; may be empty.")]
    progress: Annotated[
        ProgressRecord | None, Meta(description="Its progress; null before its first report.")
    ]
    settled: Annotated[bool, Meta(description="Whether both edges with every known peer are settled.")]
    paused: Annotated[
        bool, Meta(description="Whether its training waits until it is resumed; it still replies to peers.")
    ] = False
    checkpoint: Annotated[str, Meta(description="Hash of its published model; empty: none.")]
    node: Annotated[str, Meta(description="Node of the Ray cluster that it runs on.")]
    host: Annotated[str, Meta(description="Host name of that node; empty before its first report.")] = ""
    device: Annotated[str, Meta(description="torch device that it runs on.")]
    pid: Annotated[Count, Meta(description="Process id on its node; 0: no process.")]
    silent_since: Annotated[
        float | None,
        Meta(description="Since when its supervisor gets no report, in seconds since 1970; null: it does."),
    ] = None
    unsaved: Annotated[
        tuple[UnsavedRecord, ...],
        Meta(description="What of it could not be written yet; it is tried again. Empty: all is written."),
    ] = ()
    idle_seconds: Annotated[
        NonNegative, Meta(description="Seconds without a training step; 0 while its steps take as long.")
    ] = 0.0
    idle_place: Annotated[str, Meta(description="File and line that it is in meanwhile; may be empty.")] = ""
    cpu_wait: Annotated[
        Share | None,
        Meta(description="Share of the time for which its thread waited for a CPU; null: unknown."),
    ] = None
    versions: Annotated[
        dict[str, str], Meta(description="Versions of Python, this project, torch and Ray that it runs.")
    ] = field(default_factory=dict)
    unanswered: Annotated[
        dict[str, float],
        Meta(description="Peers that have not answered it, and since when, in seconds since 1970."),
    ] = field(default_factory=dict)
    flagged: Annotated[
        str,
        Meta(description="Why its edges are refused (`social_jepa.graph.trust`); empty: it is not flagged."),
    ] = ""


class EventRecord(Record, frozen=True, kw_only=True):
    """One event of a run. Which details it has depends on its type."""

    number: Annotated[Count, Meta(description="Position in the ledger; goes up by one.")]
    time: Annotated[NonNegative, Meta(description="Seconds since 1970-01-01 00:00 UTC.")]
    type: Annotated[
        str,
        Meta(
            description="started, resumed, joined, returned, moved, paused, continued, left, published, edge,"
            " message_refused, equivocation, failed, stopped, finished."
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


class RunRecord(Record, frozen=True, kw_only=True):
    """A run folder in a list of runs; of a damaged one only name, path, state, reason and time are known."""

    name: Annotated[str, Meta(description="Name of the folder.")]
    path: Annotated[str, Meta(description="The folder.")]
    state: Annotated[
        Literal["up", "training", "finished", "stopped", "down", "damaged"],
        Meta(
            description="up: a simulation that can be reached; training: a batch run or a peer at work, or a "
            "command that starts or ends a simulation; finished, stopped: a batch run that has its graph, or "
            "was interrupted; down: a simulation that resume brings back; damaged: see reason."
        ),
    ]
    reason: Annotated[str, Meta(description="Why it is damaged, or why it was stopped; may be empty.")] = ""
    time: Annotated[NonNegative, Meta(description="When it started, in seconds since 1970.")]
    agents: Annotated[Count | None, Meta(description="Present agents; null: not known.")] = None
    edges: Annotated[Count | None, Meta(description="Newest edges between them; null: not known.")] = None
    accepted: Annotated[
        Count | None,
        Meta(
            description="How many their peers accept; the graph refuses those of agents that a majority "
            "contradicts. Null: not known."
        ),
    ] = None
    r2_shared: Annotated[
        float | None, Meta(description="Mean held-out R2 of the accepted edges; null: there is none.")
    ] = None
    settings: Annotated[
        dict[str, Any], Meta(description="Settings other than the default; by dotted name.")
    ] = field(default_factory=dict)


def proof_reason(proof: EventRecord) -> str:
    """Return what an event of the type ``equivocation`` says of its agent, as a clause."""
    details = proof.details
    return f"it embedded tick {details['tick']} in two ways, which {details['file']} proves"
