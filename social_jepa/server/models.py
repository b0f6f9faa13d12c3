"""What a client may say: every field, its bounds, and nothing else."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from alignment.status import Status
from env.camera import Pose
from social_jepa.graph.query import LAST_TICK

MOST_VECTORS = 10_000  # core vectors in one request
MOST_TICKS = 1_000  # ticks in one request: each may have to be drawn and embedded
MOST_NEAREST = 100_000  # neighbours in one answer
MAX_DIM = 4096
MAX_PAGE = 1_000
LARGEST = 1e9  # no coordinate of a code comes near it

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$", description="Name of an agent.")]
Number = Annotated[float, Field(ge=-LARGEST, le=LARGEST, allow_inf_nan=False)]
Vector = Annotated[list[Number], Field(min_length=1, max_length=MAX_DIM)]
Tick = Annotated[int, Field(ge=0, le=LAST_TICK)]
Vectors = Annotated[
    list[Vector], Field(min_length=1, max_length=MOST_VECTORS, description="Core vectors, [K, core_dim].")
]
Ticks = Annotated[
    list[Tick],
    Field(min_length=1, max_length=MOST_TICKS, description="Instants of the scene: what is seen then."),
]


def _pose(text: str) -> str:
    Pose.parse(text)
    return text


PoseText = Annotated[
    str,
    Field(max_length=200, description='"x,y,z,yaw,pitch[,fov]" in metres and degrees.'),
    AfterValidator(_pose),
]
Setting = Annotated[str, Field(max_length=200, pattern=r"^[a-z_.]{1,64}=[^\x00-\x1f]{0,128}$")]


class Body(BaseModel):
    """A JSON body: exact types, and no field that is not named here."""

    model_config = ConfigDict(extra="forbid", strict=True, populate_by_name=False)


class Asked(BaseModel):
    """The words behind the question mark: texts, and no field that is not named here."""

    model_config = ConfigDict(extra="forbid", populate_by_name=False)


class AddAgent(Body):
    """An agent that is to join."""

    pose: PoseText | None = Field(None, description="Left out: the next place on the ring.")
    name: Name | None = Field(None, description='Left out: "agent-" and a number that is free.')
    kind: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")] | None = Field(
        None, description="Kind of world model that is known; left out: that of the others."
    )
    teacher: Name | None = Field(None, description="Peer from whose embeddings it learns first.")
    settings: list[Setting] = Field(
        [], max_length=32, description='What it has otherwise than the others, "model.dim=8".'
    )


class MoveAgent(Body):
    """Another view for an agent's camera."""

    pose: PoseText


class Translate(Body):
    """Vectors, or what is seen at ticks, to be carried from one agent's space into another's."""

    source: Name = Field(alias="from", description="Agent that speaks.")
    target: Name = Field(alias="to", description="Agent that listens.")
    via: Annotated[list[Name], Field(max_length=64)] | Literal["best", "universe"] | None = Field(
        None,
        description='Agents to go through, "best", or "universe"; left out: the direct edge.',
    )
    vectors: Vectors | None = None
    ticks: Ticks | None = None
    nearest: int = Field(5, ge=0, le=100, description="Nearest ticks of the listener's memory for each.")

    @model_validator(mode="after")
    def _one_of(self) -> "Translate":
        if (self.vectors is None) == (self.ticks is None):
            raise ValueError("give vectors or ticks, one of the two")
        check_size(len(self.vectors or self.ticks or ()), self.nearest)
        return self


class Nearest(Body):
    """Vectors of an agent's own core, whose like it is to remember."""

    agent: Name
    vectors: Vectors
    top: int = Field(5, ge=1, le=100, description="Nearest ticks for each.")

    @model_validator(mode="after")
    def _not_too_many(self) -> "Nearest":
        check_size(len(self.vectors), self.top)
        return self


def check_size(vectors: int, nearest: int) -> None:
    """Raise ValueError when an answer would be too long to send."""
    if vectors * nearest > MOST_NEAREST:
        raise ValueError(
            f"{vectors} vectors with {nearest} nearest ticks each are more than {MOST_NEAREST:,}: "
            "ask for fewer nearest, or in several requests"
        )


class Page(Asked):
    """Which part of a list."""

    limit: int = Field(100, ge=1, le=MAX_PAGE, description="Entries in the answer.")
    offset: int = Field(0, ge=0, le=LAST_TICK, description="Entries to skip.")


class EdgePage(Page):
    """Which edges."""

    source: Name | None = None
    target: Name | None = None
    status: Status | None = None


class EventPage(Asked):
    """Which events."""

    after: int = Field(0, ge=0, le=LAST_TICK, description="Number of the event after which to begin.")
    limit: int = Field(100, ge=1, le=MAX_PAGE, description="Entries in the answer.")


class StreamStart(Asked):
    """Where the stream of events begins."""

    after: int | None = Field(None, ge=0, le=LAST_TICK, description="Left out: with what happens next.")


class GraphAsked(Asked):
    """Which graph."""

    as_of: str | None = Field(
        None, max_length=40, description="As it stood then: 2026-11-21T14:30, or '10 minutes ago'."
    )
    cycles: bool = Field(False, description="With the errors around every three agents, and the universe.")


class PathAsked(Asked):
    """Both ends of a path."""

    source: Name = Field(alias="from")
    target: Name = Field(alias="to")


class SightAsked(Asked):
    """Which instant."""

    tick: Tick = 0


class DrawingAsked(SightAsked):
    """Which drawing of the graph."""

    pictures: Literal["embedded", "linked", "none"] = Field(
        "embedded", description="What the cameras see: in the file, fetched from this server, or left out."
    )
    styled: bool = Field(True, description="With its style; without, for a page that has it.")


class Nothing(Asked):
    """No words behind the question mark."""


def page_of(items: list[Any], page: Page) -> dict[str, Any]:
    """Return a part of a list, and where the next one begins."""
    end = page.offset + page.limit
    return {
        "items": items[page.offset : end], "total": len(items), "offset": page.offset, "limit": page.limit,
        "next_offset": end if end < len(items) else None,
    }  # fmt: skip
