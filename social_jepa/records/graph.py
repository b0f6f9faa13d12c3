"""Records of the translation graph: the content of graph.json and of the ledger.

Constraints stand beside each field. msgspec checks them whenever a record is decoded, and
``python -m social_jepa.records`` prints them as the JSON Schema of graph.json.
"""

import inspect
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from alignment.status import Status
from env.camera import Pose
from social_jepa.records.base import (
    MAX_DIM,
    R2,
    ConditionNumber,
    Correlation,
    Count,
    Dim,
    Hash,
    MethodField,
    Name,
    NonNegative,
    PairCount,
    Record,
    Share,
    Similarity,
)


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


class TickRange(Record, frozen=True, kw_only=True):
    """Ticks of the scene at equal distances, from the first up to a limit that is not among them."""

    start: Annotated[Count, Meta(description="First tick.")]
    stop: Annotated[Count, Meta(description="Limit; the last tick is below it.")]
    step: Annotated[int, Meta(ge=1, description="Ticks from one to the next.")]

    @classmethod
    def of(cls, ticks: Sequence[int]) -> "TickRange":
        """Return the record of ticks.

        Raises:
            ValueError: There are none, or they are not at equal distances.
        """
        step = ticks[1] - ticks[0] if len(ticks) > 1 else 1
        if not ticks or step < 1 or tuple(range(ticks[0], ticks[-1] + 1, step)) != tuple(ticks):
            raise ValueError("the ticks are not at equal distances")
        return cls(start=ticks[0], stop=ticks[-1] + 1, step=step)


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
            "axes saw; the core was chosen on them. The first core_dim are the core."
        ),
    ]
    explained: Annotated[
        tuple[Share, ...],
        Meta(
            description="Share of each dimension's variance that a nonlinear regression on the core "
            "dimensions before it explains: below a half for the core, near 1 for functions of it."
        ),
    ]
    noise: Annotated[
        Correlation, Meta(description="Autocorrelation at or below which a dimension counts as noise.")
    ]
    steps: Annotated[Count, Meta(description="Training steps taken.")]
    frames: Annotated[Count, Meta(description="Frames read by training, repeated reads counted.")]
    losses: Annotated[
        tuple[float, ...],
        Meta(description="Training loss after each step; only the newest ones of a long training run."),
    ]
    distill_curve: Annotated[
        tuple[tuple[Count, float], ...],
        Meta(
            description="[step, mean loss since the previous point] of its distillation; empty: it "
            "trained alone."
        ),
    ] = ()
    record_seconds: Annotated[NonNegative, Meta(description="Rendering and encoding, in seconds.")]
    train_seconds: Annotated[NonNegative, Meta(description="Training, in seconds.")]
    distill_frames: Annotated[
        Count, Meta(description="Frames read by distillation from a teacher; 0 when it trained alone.")
    ]
    trained_ticks: Annotated[
        TickRange,
        Meta(description="Ticks that training of its current view may have read, from the first on."),
    ]
    fitted_ticks: Annotated[
        TickRange,
        Meta(description="Ticks that maps are fitted on: every negotiation draws its anchors here."),
    ]
    scored_ticks: Annotated[
        TickRange,
        Meta(
            description="Held-out ticks that maps are scored on; none of them is among the trained or "
            "fitted ones."
        ),
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


class RawMapRecord(Record, frozen=True, kw_only=True):
    """Held-out scores of maps between the raw latents of two agents, before any whitening."""

    directions: Annotated[Dim, Meta(description="Number of directions that are mapped.")]
    r2: Annotated[R2, Meta(description="Held-out R2 of the least-squares map W.")]
    r2_similarity: Annotated[
        R2, Meta(description="Held-out R2 of the best rotation with one scale and an offset; near r2 where "
                             "two agents agree in lengths and angles too."),
    ]  # fmt: skip
    kappa: Annotated[
        ConditionNumber | None,
        Meta(description="Largest over smallest singular value of W; null: infinite."),
    ]
    largest: Annotated[NonNegative, Meta(description="Largest singular value of W.")]
    smallest: Annotated[NonNegative, Meta(description="Smallest singular value of W.")]


class EdgeSummary(Record, frozen=True, kw_only=True):
    """An edge without its R2 by number of anchor pairs."""

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
    r2_shared: Annotated[
        R2 | None,
        Meta(
            description="Held-out R2 of the map of the shared directions, on these alone; null: not measured."
        ),
    ]
    shared_dim: Annotated[
        Dim,
        Meta(
            description="Number of directions that the two cores share: those whose held-out correlation "
            "exceeds null_correlation, and at most as many as canonical correlations of the held-out pairs "
            "exceed theirs. The rest of either core is private."
        ),
    ]
    correlations: Annotated[
        tuple[Correlation, ...],
        Meta(
            description="Held-out correlation of each pair of directions of the two cores, descending; the "
            "first shared_dim are shared. Empty: not measured."
        ),
    ]
    null_correlation: Annotated[
        Correlation | None,
        Meta(
            description="Largest such correlation of any pair of directions at any of up to 199 shifts in "
            "time; null: not measured."
        ),
    ]
    latent_shared_dim: Annotated[
        Dim,
        Meta(
            description="Number of directions that the two latents share, functions of factors included: the "
            "first of latent_correlations."
        ),
    ]
    latent_correlations: Annotated[
        tuple[Correlation, ...],
        Meta(description="As correlations, for directions of all dimensions. Empty: not measured."),
    ]
    latent_null_correlation: Annotated[
        Correlation | None, Meta(description="As null_correlation, for directions of all dimensions.")
    ]
    kappa: Annotated[
        ConditionNumber | None,
        Meta(
            description="Largest over smallest correlation of the shared directions; null: infinite or not "
            "measured."
        ),
    ]
    isometry_deviation: Annotated[
        NonNegative | None,
        Meta(
            description="sqrt(mean (1 - c^2)^2) over the correlations c of the shared directions: 0 is an "
            "isometry, 1 is nothing in common; null: not measured."
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
    raw: Annotated[
        RawMapRecord | None,
        Meta(
            description="Maps between the raw latents, all compared dimensions. null: not measured, because "
            "a raw metric has no meaning for the objective of source or target (any invertible linear map of "
            "the latents has the same loss), or nothing was fitted."
        ),
    ] = None
    raw_strong: Annotated[
        RawMapRecord | None,
        Meta(description="As raw, between the directions of latent_correlations that are at least 0.5."),
    ] = None
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


class EdgeRecord(EdgeSummary, frozen=True, kw_only=True):
    """The result of one negotiation: the map from a source's space into a target's, judged by the target."""

    budget: Annotated[
        tuple[BudgetRow, ...], Meta(description="Held-out R2 by number of anchor pairs and method.")
    ]


class CycleRecord(Record, frozen=True, kw_only=True):
    """A closed walk along accepted edges."""

    agents: Annotated[
        tuple[Name, ...],
        Meta(min_length=3, description="Agents on the walk, in order; it ends at the first."),
    ]
    dim: Annotated[
        Dim,
        Meta(description="Number of directions that all agents on the walk share; the error is of these."),
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
    dim: Annotated[int, Meta(ge=1, description="Its dimensions: directions that at least two agents share.")]
    common_dim: Annotated[Dim, Meta(description="How many of them every agent has.")]
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
            "r2_shared": {"type": "number"},
            "null_correlation": {"type": "number"},
            "correlations": {"minItems": 1},
            "shared_dim": {"minimum": 1},
            "anchors": {"minimum": 1},
            "heldout": {"minimum": 1},
        }
    },
    "else": {"properties": {"reason": {"minLength": 1}}},
}  # relations between fields, which types cannot state


class GraphDocument(Record, frozen=True, kw_only=True):
    """The translation graph of a run, or of a simulation at one moment, without cycles and universe.

    Scores of an edge are computed on held-out ticks, which no map was fitted on; no agent trained on these or
    on the ticks that maps were fitted on. R2, correlations and retrieval score what was fitted.
    CKA and mutual neighbors describe the held-out pairs themselves.
    """

    format: Annotated[
        Literal[3], Meta(description="Version of this format; goes up when a key is renamed or removed.")
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

    Scores of an edge are computed on held-out ticks, which no map was fitted on; no agent trained on these or
    on the ticks that maps were fitted on. R2, correlations and retrieval score what was fitted.
    CKA and mutual neighbors describe the held-out pairs themselves.
    """

    cycles: Annotated[
        tuple[CycleRecord, ...],
        Meta(
            description="Closed walks along accepted edges through three agents, in both directions: all "
            "whose first agent's anchors are on disk."
        ),
    ]
    unscored_cycles: Annotated[
        Count,
        Meta(
            description="Further cycles, which cannot be scored: the anchors of their first agent are gone, "
            "because it has published another model since."
        ),
    ] = 0
    universe: Annotated[
        UniverseRecord | None,
        Meta(
            description="The common space; null: no edge is accepted, or the anchors of an earlier graph "
            "are gone."
        ),
    ]


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
