"""Record of two tables of embeddings that were aligned: what `social-jepa align --json` prints."""

from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta

from alignment.status import Status
from social_jepa.records.base import R2, Correlation, Count, Record, Share

if TYPE_CHECKING:
    from alignment.embeddings.alignment import Alignment
    from alignment.embeddings.baselines import MethodScore
    from alignment.embeddings.edge import Dimensions, EmbeddingEdge

NullKind = Literal["permutation", "time shift"]


class DimensionsRecord(Record, frozen=True, kw_only=True):
    """Where the dimensions of one table are; they add up to all of them."""

    shared: Annotated[Count, Meta(description="Directions that agree with the other table.")]
    private: Annotated[Count, Meta(description="Directions that were compared and do not.")]
    undetermined: Annotated[Count, Meta(description="Directions that the rows are too few to compare.")]
    constant: Annotated[Count, Meta(description="Directions in which its rows do not vary.")]

    @classmethod
    def of(cls, dims: "Dimensions") -> "DimensionsRecord":
        """Return the record of a table's dimensions."""
        return cls(**dims._asdict())


class EmbeddingEdgeRecord(Record, frozen=True, kw_only=True):
    """One direction: a map from one table's space into the other's, scored on held-out anchors."""

    source: Annotated[str, Meta(description="Table that is translated.")]
    target: Annotated[str, Meta(description="Table whose space it is translated into.")]
    status: Annotated[Status, Meta(description="accepted or refused.")]
    reason: Annotated[str, Meta(description="What is shared and private, or why nothing is translated.")]
    null: Annotated[NullKind, Meta(description="What the null changes: the order of rows, or their time.")]
    null_correlation: Annotated[
        Correlation, Meta(description="Correlation that a direction must exceed to be shared.")
    ]
    shared_dim: Annotated[Count, Meta(description="Number of shared directions.")]
    correlations: Annotated[
        tuple[Correlation, ...],
        Meta(description="Held-out canonical correlations, descending; shared_dim of them are shared."),
    ]
    r2_shared: Annotated[R2, Meta(description="R2 of the map on the target's shared directions.")]
    r2: Annotated[R2, Meta(description="R2 of the full regression on all of the target, in its units.")]
    retrieval_at_1: Annotated[
        Share, Meta(description="Share of anchors whose translation is nearest to the right one.")
    ]
    fit_anchors: Annotated[Count, Meta(description="Anchors that the map is fitted on.")]
    outliers: Annotated[Count, Meta(description="Further anchors, left out: they contradict all others.")] = 0
    heldout_anchors: Annotated[Count, Meta(description="Anchors that it is scored on.")]
    source_dims: Annotated[DimensionsRecord, Meta(description="Dimensions of the source.")]
    target_dims: Annotated[DimensionsRecord, Meta(description="Dimensions of the target.")]

    @classmethod
    def of(cls, edge: "EmbeddingEdge") -> "EmbeddingEdgeRecord":
        """Return the record of an edge."""
        fields = (
            "source", "target", "status", "reason", "null", "null_correlation", "shared_dim", "correlations",
            "r2_shared", "r2", "retrieval_at_1", "fit_anchors", "outliers", "heldout_anchors",
        )  # fmt: skip
        return cls(
            **{field: getattr(edge, field) for field in fields},
            source_dims=DimensionsRecord.of(edge.source_dims),
            target_dims=DimensionsRecord.of(edge.target_dims),
        )


class MethodRecord(Record, frozen=True, kw_only=True):
    """One method on the anchors of one direction."""

    source: Annotated[str, Meta(description="Table that is translated.")]
    target: Annotated[str, Meta(description="Table whose space it is translated into.")]
    method: Annotated[str, Meta(description="Name of the method.")]
    r2: Annotated[R2, Meta(description="R2 on all dimensions of the target, in its own units.")]
    r2_white: Annotated[R2, Meta(description="R2 on all dimensions of the white target.")]
    r2_shared: Annotated[R2, Meta(description="R2 on its shared directions.")]
    retrieval_at_1: Annotated[Share, Meta(description="Share of anchors that are found.")]


class AlignmentRecord(Record, frozen=True, kw_only=True):
    """Two tables of embeddings, compared in both directions."""

    matched_by: Annotated[Literal["id", "position"], Meta(description="How rows were paired.")]
    shared_anchors: Annotated[Count, Meta(description="Anchors that both tables have.")]
    repeated: Annotated[
        Count, Meta(description="Held-out anchors left out, since their rows repeat others in both tables.")
    ]
    memory: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="Rows after which embeddings no longer resemble themselves; null: no time order."),
    ]
    seed: Annotated[int, Meta(description="Seed of the choice of anchors.")]
    edges: Annotated[tuple[EmbeddingEdgeRecord, ...], Meta(description="Both directions.")]
    methods: Annotated[
        tuple[MethodRecord, ...], Meta(description="Other methods on the same anchors, where asked for.")
    ] = ()

    @classmethod
    def of(cls, alignment: "Alignment", scores: "list[MethodScore] | None" = None) -> "AlignmentRecord":
        """Return the record of an alignment, with scores of other methods if there are any."""
        return cls(
            matched_by="id" if alignment.by_id else "position",
            shared_anchors=alignment.shared_anchors,
            repeated=alignment.repeated,
            memory=alignment.memory,
            seed=alignment.settings.seed,
            edges=tuple(EmbeddingEdgeRecord.of(edge) for edge in (alignment.forward, alignment.backward)),
            methods=tuple(MethodRecord(**score._asdict()) for score in scores or ()),
        )
