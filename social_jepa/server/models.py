"""Requests: every query parameter and body field with its bounds; all others are refused."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from agents.common.names import NAME_PATTERN
from alignment.status import Status
from env.camera import Pose
from social_jepa.graph.neighborhood import MAX_SHOWN
from social_jepa.graph.query_errors import LAST_TICK
from social_jepa.records import EdgeRecord
from social_jepa.server.lists import sort_parameter
from social_jepa.server.responses import AgentView

MAX_VECTORS = 10_000  # core vectors in one request
MAX_TICKS = 1_000  # ticks in one request: each may have to be rendered and encoded
MAX_NEAREST = 100_000  # nearest ticks in one response
MAX_DIM = 4096
MAX_PAGE = 1_000
MAX_MATRIX = 256  # agents in one quality matrix
MAX_COORDINATE = 1e9  # far beyond any coordinate of a latent
AGENT_KEYS = (
    "name", "phase", "kind", "step", "loss", "drift", "frames_per_s", "seconds_left", "core_dim", "probe_r2",
    "incarnation", "host", "device", "idle_seconds", "saved_at", "published_at",
)  # fmt: skip
EDGE_KEYS = (
    "source", "target", "status", "r2_shared", "r2", "null_correlation", "shared_dim", "retrieval_at_1",
    "anchors", "bytes", "round", "time",
)  # fmt: skip

Name = Annotated[str, Field(pattern=f"^{NAME_PATTERN}$", description="Name of an agent.")]
Number = Annotated[float, Field(ge=-MAX_COORDINATE, le=MAX_COORDINATE, allow_inf_nan=False)]
Vector = Annotated[list[Number], Field(min_length=1, max_length=MAX_DIM)]
Tick = Annotated[int, Field(ge=0, le=LAST_TICK, description="Tick of the scene.")]
Vectors = Annotated[
    list[Vector], Field(min_length=1, max_length=MAX_VECTORS, description="Core vectors, [K, core_dim].")
]
Ticks = Annotated[
    list[Tick],
    Field(min_length=1, max_length=MAX_TICKS, description="Ticks whose views are encoded."),
]


def _check_pose(text: str) -> str:
    Pose.parse(text)
    return text


PoseText = Annotated[
    str,
    Field(max_length=200, description='"x,y,z,yaw,pitch[,fov]" in meters and degrees, or "view=NUMBER".'),
    AfterValidator(_check_pose),
]
Setting = Annotated[str, Field(max_length=200, pattern=r"^[a-z_.]{1,64}=[^\x00-\x1f]{0,128}$")]


class Body(BaseModel):
    """A JSON body: exact types, and no other fields."""

    model_config = ConfigDict(extra="forbid", strict=True, populate_by_name=False)


class QueryParameters(BaseModel):
    """The query parameters of a route: no others are accepted."""

    model_config = ConfigDict(extra="forbid", populate_by_name=False)


class AddAgent(Body):
    """A new agent."""

    pose: PoseText | None = Field(None, description="Default: the next place on the ring.")
    name: Name | None = Field(None, description='Default: "agent-" and the next free number.')
    kind: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")] | None = Field(
        None, description="Registered kind of world model; default: that of the other agents."
    )
    teacher: Name | None = Field(None, description="Peer that it distills from first; default: none.")
    settings: list[Setting] = Field(
        [], max_length=32, description='Settings of this agent alone, for example "model.dim=8".'
    )


class ChangeAgent(Body):
    """A new pose of an agent's camera, or whether its training waits, or both."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    pose: PoseText | None = None
    paused: bool | None = Field(None, description="Whether its training waits; it still replies to peers.")

    @model_validator(mode="after")
    def _changes_something(self) -> "ChangeAgent":
        if self.pose is None and self.paused is None:
            raise ValueError("give pose, paused, or both")
        return self


class Translate(Body):
    """Core vectors, or ticks to encode, and the path along which they are translated."""

    source: Name = Field(alias="from", description="First agent of the path.")
    target: Name = Field(alias="to", description="Last agent of the path.")
    via: Annotated[list[Name], Field(max_length=64)] | Literal["best", "universe"] | None = Field(
        None,
        description='Agents to go through, "best" or "universe"; default: the direct edge.',
    )
    vectors: Vectors | None = None
    ticks: Ticks | None = None
    nearest: int = Field(5, ge=0, le=100, description="Nearest held-out ticks of the target for each.")

    @model_validator(mode="after")
    def _check(self) -> "Translate":
        if (self.vectors is None) == (self.ticks is None):
            raise ValueError("give either vectors or ticks")
        check_size(len(self.vectors or self.ticks or ()), self.nearest)
        return self


class Nearest(Body):
    """Core vectors of an agent, whose nearest held-out ticks are searched."""

    agent: Name
    vectors: Vectors
    top: int = Field(5, ge=1, le=100, description="Nearest ticks for each vector.")

    @model_validator(mode="after")
    def _check(self) -> "Nearest":
        check_size(len(self.vectors), self.top)
        return self


def check_size(vectors: int, nearest: int) -> None:
    """Raise ValueError if a response would have too many nearest ticks."""
    if vectors * nearest > MAX_NEAREST:
        raise ValueError(
            f"{vectors} vectors with {nearest} nearest ticks each exceed {MAX_NEAREST:,}: request fewer "
            "nearest ticks, or send several requests"
        )


class PageQuery(QueryParameters):
    """A part of a list."""

    limit: int = Field(100, ge=1, le=MAX_PAGE, description="Entries in the response.")
    offset: int = Field(0, ge=0, le=LAST_TICK, description="Entries to skip.")


class AgentListQuery(PageQuery):
    """A part of the agents, of those that meet all conditions, in an order."""

    sort: sort_parameter(AGENT_KEYS) | None = None  # type: ignore[valid-type]
    phase: str | None = Field(None, max_length=40, description="Only agents in this phase.")
    kind: str | None = Field(None, max_length=200, description="Only this kind of world model.")
    name_contains: str | None = Field(
        None, pattern=f"^{NAME_PATTERN}$", description="Only agents whose name has this in it."
    )

    def matches(self, agent: AgentView) -> bool:
        """Return whether an agent meets all conditions."""
        return (
            self.phase in (None, agent.phase)
            and self.kind in (None, agent.kind)
            and (self.name_contains is None or self.name_contains in agent.name)
        )


class AsOfQuery(QueryParameters):
    """A time at which the graph is read."""

    as_of: str | None = Field(
        None, max_length=40, description="Earlier time: 2026-11-21T14:30+01:00, or '10 minutes ago'."
    )


class EdgeQuery(PageQuery, AsOfQuery):
    """A part of the edges, of those that meet all conditions, in an order."""

    sort: sort_parameter(EDGE_KEYS) | None = None  # type: ignore[valid-type]
    source: Name | None = None
    target: Name | None = None
    agent: Name | None = Field(None, description="Only edges from or to this agent.")
    status: Status | None = None
    min_r2: float | None = Field(None, ge=0, le=1, description="Only accepted edges with at least this R2.")
    max_r2: float | None = Field(None, ge=0, le=1, description="Only accepted edges with at most this R2.")

    @property
    def names(self) -> list[str]:
        """Agents that the conditions name."""
        return [name for name in (self.source, self.target, self.agent) if name is not None]

    def matches(self, edge: EdgeRecord) -> bool:
        """Return whether an edge meets all conditions."""
        r2 = edge.accepted_r2
        return (
            self.source in (None, edge.source)
            and self.target in (None, edge.target)
            and self.agent in (None, edge.source, edge.target)
            and self.status in (None, edge.status)
            and (self.min_r2 is None or edge.reaches(self.min_r2))
            and (self.max_r2 is None or (r2 is not None and r2 <= self.max_r2))
        )


class EventQuery(QueryParameters):
    """A part of the events."""

    after: int = Field(0, ge=0, le=LAST_TICK, description="Number of the event to start after.")
    limit: int = Field(100, ge=1, le=MAX_PAGE, description="Entries in the response.")


class StreamQuery(QueryParameters):
    """The start of an event stream."""

    after: str | None = Field(
        None,
        pattern=r"^([0-9a-f]{12}-)?[0-9]{1,15}$",
        description="Id or number of the event to start after; default: the newest.",
    )


class QualityQuery(AsOfQuery):
    """The agents of the quality matrix."""

    focus: Name | None = Field(
        None, description="Of more agents than `limit`, show this one and those that it has edges with."
    )
    limit: int = Field(MAX_SHOWN, ge=2, le=MAX_MATRIX, description="Most agents in the matrix.")


class MapQuery(AsOfQuery):
    """A version of a map, and a form of its file."""

    format: Literal["safetensors", "npz"] = Field("safetensors", description="Kind of the file.")


class GraphQuery(AsOfQuery):
    """A version of the graph."""

    cycles: bool = Field(
        False, description="Include the error of every cycle of three agents, and the universe."
    )


class PathQuery(QueryParameters):
    """Both ends of a path."""

    source: Name = Field(alias="from")
    target: Name = Field(alias="to")


class LossQuery(QueryParameters):
    """A version of a plot."""

    version: int | None = Field(
        None, ge=0, le=LAST_TICK, description="Ignored: another value makes a browser read the plot again."
    )


class ViewQuery(QueryParameters):
    """A tick."""

    tick: Tick = 0


class DrawingQuery(ViewQuery, AsOfQuery):
    """The appearance of the graph."""

    pictures: Literal["embedded", "linked", "none"] = Field(
        "embedded", description="Camera views: in the file, linked to this server, or left out."
    )
    styled: bool = Field(True, description="Include the style sheet.")
    focus: Name | None = Field(
        None,
        description="Draw only the edges from and to this agent; of more than 64 agents only those that it "
        "has edges with.",
    )
    min_r2: float | None = Field(
        None, ge=0, le=1, description="Draw only accepted edges with at least this R2 on what is shared."
    )


class EmptyQuery(QueryParameters):
    """No query parameters."""
