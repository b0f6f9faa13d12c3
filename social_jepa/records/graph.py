"""Records of the translation graph: the content of graph.json and of the ledger.

Constraints stand beside each field. msgspec checks them whenever a record is decoded, and
``python -m social_jepa.records`` prints them as the JSON Schema of graph.json.
"""

import inspect
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from social_jepa.records.agent import AgentRecord
from social_jepa.records.base import R2, Count, Dim, Hash, MethodField, Name, NonNegative, Record, Share
from social_jepa.records.edge import EdgeRecord


class BudgetSummary(Record, frozen=True, kw_only=True):
    """Held-out R2 of all scored edges by number of anchor pairs and method."""

    pairs: Annotated[int, Meta(ge=1, description="Anchor pairs fitted.")]
    method: MethodField
    r2_mean: Annotated[R2, Meta(description="Held-out R2, mean over edges.")]
    r2_min: Annotated[R2, Meta(description="Held-out R2 of the worst edge.")]


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
        NonNegative | None,
        Meta(
            description="Squared distance of held-out latents from where they started, relative to their "
            "squared norm: 0 is consistent, about 2 unrelated; null: the agents share no direction."
        ),
    ]


class TrustRecord(Record, frozen=True, kw_only=True):
    """How far other agents confirm what an agent sent, see `social_jepa.graph.trust`."""

    agent: Annotated[Name, Meta(description="The agent.")]
    trust: Annotated[
        Share | None,
        Meta(
            description="Share of the agents with a say that confirm it, each by the share of its anchors "
            "that agree with the others; null: none has a say, 0: proved to have contradicted itself."
        ),
    ]
    confirmed: Annotated[Count, Meta(description="Agents that confirm it.")]
    contradicted: Annotated[Count, Meta(description="Agents that contradict it.")]
    flagged: Annotated[bool, Meta(description="Whether its edges are refused.")]
    reason: Annotated[str, Meta(description="Why it is flagged; else empty.")]


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
    anchor_seed: Annotated[
        Annotated[int, Meta(ge=0, lt=2**62)] | None,
        Meta(description="Seed of the public scene whose frames are anchors; null: they are the run's own."),
    ] = None
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
    topology: Annotated[str, Meta(description="Which pairs negotiate, see the setting of that name.")] = "all"
    pairs: Annotated[
        Count | None, Meta(description="Number of ordered pairs that negotiate; null: all of them.")
    ] = None
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
    trust: Annotated[
        tuple[TrustRecord, ...],
        Meta(description="How far others confirm each present agent, in natural order."),
    ] = ()


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
            "whose first agent's anchors are on disk; of more than 2,000, a random sample."
        ),
    ]
    unscored_cycles: Annotated[
        Count,
        Meta(
            description="Further cycles, which cannot be scored: the anchors of their first agent are not in "
            "the run folder, as after an import without anchors, or they are of another model, which it has "
            "published since."
        ),
    ] = 0
    unlisted_cycles: Annotated[
        Count, Meta(description="Further cycles, which were not drawn into the sample.")
    ] = 0
    universe: Annotated[
        UniverseRecord | None,
        Meta(
            description="The common space; null: no edge is accepted, or the anchors of an agent that it has "
            "are not in the run folder or are of another model."
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
