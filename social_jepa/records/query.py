"""Records of answers: paths, translations and nearest ticks."""

from typing import Annotated

from msgspec import Meta

from social_jepa.records.base import Name, NonNegative, Record


class NearestTick(Record, frozen=True, kw_only=True):
    """A held-out tick of the target whose latent is close to a translated one."""

    tick: Annotated[int, Meta(ge=0, description="Tick of the scene.")]
    distance: Annotated[NonNegative, Meta(description="Euclidean distance in the target's core.")]


class PathQuality(Record, frozen=True, kw_only=True, rename={"source": "from", "target": "to"}):
    """A path between two agents and how well it translates."""

    source: Annotated[Name, Meta(description="First agent of the path.")]
    target: Annotated[Name, Meta(description="Last agent of the path.")]
    path: Annotated[tuple[str, ...], Meta(description="Agents on the path, both ends included; or universe.")]
    expected_r2: Annotated[
        float,
        Meta(description="R2 that the edges of the path promise together, on the directions that arrive."),
    ]
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
