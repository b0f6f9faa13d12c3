"""Records of an agent that runs without Ray: its state and what it knows of its peers."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta

from alignment.status import Status
from social_jepa.records.alignment import EmbeddingEdgeRecord
from social_jepa.records.base import R2, Count, Hash, Name, NonNegative, Record
from social_jepa.records.run import UnsavedRecord
from social_jepa.system.process_identity import ProcessIdentity

if TYPE_CHECKING:
    from agents.protocol.embedding_negotiation import EmbeddingResult


class PeerRecord(Record, frozen=True, kw_only=True):
    """What an agent knows of one peer."""

    name: Annotated[Name, Meta(description="Name of the peer.")]
    fingerprint: Annotated[str, Meta(description="Of its trusted key; empty: none is known yet.")]
    addresses: Annotated[
        tuple[str, ...], Meta(description="Where it says that it is reached; empty: it dials others itself.")
    ]
    connected: Annotated[bool, Meta(description="Whether there is a connection to it.")]
    unreachable_since: Annotated[
        NonNegative | None, Meta(description="Since when there is none, in seconds since 1970; null: it is.")
    ]
    unanswered_since: Annotated[
        NonNegative | None,
        Meta(description="Since when it has not answered, in seconds since 1970; null: nothing is open."),
    ]
    refused: Annotated[Count, Meta(description="Envelopes in its name that were refused.")]
    edge: Annotated[str, Meta(description="Verdict on the edge from it; empty: not settled yet.")] = ""
    flagged: Annotated[str, Meta(description="Why its edges are refused; empty: it is not flagged.")] = ""


class PeerStatus(Record, frozen=True, kw_only=True):
    """State of one agent that runs without Ray: the content of status.json in its folder."""

    name: Annotated[Name, Meta(description="Name of the agent.")]
    kind: Annotated[Literal["agent", "embeddings"], Meta(description="Whether it trains, or has a table.")]
    fingerprint: Annotated[str, Meta(description="Of its own key.")]
    incarnation: Annotated[Count, Meta(description="Number of its process, from 1.")]
    process: Annotated[ProcessIdentity, Meta(description="Its process.")]
    listens: Annotated[tuple[str, ...], Meta(description="Where it listens.")]
    phase: Annotated[str, Meta(description="What it does: training, negotiating, settled, down and so on.")]
    note: Annotated[str, Meta(description="A remark; may be empty.")]
    checkpoint: Annotated[str, Meta(description="Version of its model or table; empty: none yet.")]
    anchor_seed: Annotated[
        Count | None,
        Meta(description="Seed of the public scene whose frames are its anchors; null: they are its own."),
    ] = None
    unsaved: Annotated[
        tuple[UnsavedRecord, ...],
        Meta(description="What of it could not be written yet; it is tried again. Empty: all is written."),
    ] = ()
    idle_seconds: Annotated[
        NonNegative, Meta(description="Whole seconds without a step; 0 while its steps take as long.")
    ] = 0.0
    idle_place: Annotated[str, Meta(description="File and line that it is in meanwhile; may be empty.")] = ""
    peers: Annotated[tuple[PeerRecord, ...], Meta(description="What it knows of each of its peers.")]
    refused_addresses: Annotated[
        dict[str, Count], Meta(description="Signed addresses that were refused, by reason.")
    ]
    updated_at: Annotated[NonNegative, Meta(description="Time of this state, in seconds since 1970.")]


class TableRecord(Record, frozen=True, kw_only=True):
    """What a peer with embeddings states of its table: the content of embeddings.json in its folder."""

    name: Annotated[Name, Meta(description="Name of the peer.")]
    anchor_set: Annotated[str, Meta(description="Kind, number and hash of its anchor ids.")]
    anchors: Annotated[Count, Meta(description="Number of its anchors.")]
    dim: Annotated[Count, Meta(description="Dimensions of its embeddings.")]
    checkpoint: Annotated[Hash, Meta(description="Hash of the table.")]


class PeerEdgeRecord(Record, frozen=True, kw_only=True):
    """The edge from a peer with embeddings into another one, which negotiated it over the network."""

    source: Annotated[Name, Meta(description="Peer whose embeddings the map reads.")]
    target: Annotated[Name, Meta(description="Peer into whose space it leads, and that fitted it.")]
    status: Annotated[Status, Meta(description="accepted or refused.")]
    reason: Annotated[str, Meta(description="What is shared, or why nothing is translated.")]
    alignment: Annotated[
        EmbeddingEdgeRecord | None,
        Meta(description="What was found; null: refused before anything was fitted."),
    ]
    seed: Annotated[int, Meta(description="Of both peers; social-jepa align --seed finds the same edge.")]
    round: Annotated[Count, Meta(description="Number of the negotiation.")]
    bytes: Annotated[Count, Meta(description="Bytes that both peers sent for it.")]
    source_checkpoint: Annotated[str, Meta(description="Version of the source's table.")]
    target_checkpoint: Annotated[Hash, Meta(description="Version of the target's table.")]
    incarnations: Annotated[tuple[Count, Count], Meta(description="Processes of source and target.")]
    time: Annotated[NonNegative, Meta(description="When it was recorded, in seconds since 1970.")]

    @classmethod
    def of(cls, found: "EmbeddingResult", when: float) -> "PeerEdgeRecord":
        """Return the record of an edge."""
        same: dict[str, Any] = {
            name: getattr(found, name)
            for name in (
                "source", "target", "status", "reason", "seed", "round", "bytes", "source_checkpoint",
                "target_checkpoint", "incarnations",
            )
        }  # fmt: skip
        alignment = EmbeddingEdgeRecord.of(found.alignment) if found.alignment else None
        return cls(**same, alignment=alignment, time=when)


class PeerGraph(Record, frozen=True, kw_only=True):
    """The edges into a peer with embeddings."""

    table: Annotated[TableRecord, Meta(description="The peer.")]
    edges: Annotated[tuple[PeerEdgeRecord, ...], Meta(description="Newest edge from every other peer.")]
    as_of: Annotated[NonNegative, Meta(description="Time of this state, in seconds since 1970.")]


class NearestAnchor(Record, frozen=True, kw_only=True):
    """An anchor of the target whose embedding is close to a translated one."""

    id: Annotated[str | int, Meta(description="Id of the anchor.")]
    distance: Annotated[NonNegative, Meta(description="In standard errors of the translation.")]


class PeerQueryAnswer(Record, frozen=True, kw_only=True, rename={"source": "from", "target": "to"}):
    """One embedding of another peer, translated into this peer's space."""

    source: Annotated[Name, Meta(description="Peer whose embedding is translated.")]
    target: Annotated[Name, Meta(description="This peer.")]
    id: Annotated[str | int | None, Meta(description="Anchor that it embeds; null: a vector was given.")]
    vector: Annotated[list[float], Meta(description="The embedding, [D of the source].")]
    translated: Annotated[list[float], Meta(description="The same in the target's space, [D of the target].")]
    r2_shared: Annotated[R2, Meta(description="Held-out R2 of the edge on the shared directions.")]
    nearest: Annotated[list[NearestAnchor], Meta(description="Nearest anchors of the target.")]
