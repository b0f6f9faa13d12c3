"""Records of an edge: the map from one latent space into another, and how well it translates."""

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from alignment.plots import draw_edge, new_axes
from alignment.status import Status
from social_jepa.records.base import (
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

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class BudgetRow(Record, frozen=True, kw_only=True):
    """Held-out R2 of one edge, fitted on some number of anchor pairs by one method."""

    pairs: Annotated[int, Meta(ge=1, description="Anchor pairs fitted.")]
    method: MethodField
    r2: Annotated[R2, Meta(description="Held-out R2.")]


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
    outliers: Annotated[
        PairCount,
        Meta(description="Further pairs, left out because what the source sent contradicts all others."),
    ] = 0
    noise: Annotated[
        NonNegative,
        Meta(description="Standard deviations of noise that the source has added, as it says."),
    ] = 0.0
    heldout: Annotated[
        PairCount,
        Meta(description="Pairs that every score comes from, none of them fitted; 0: not measured."),
    ]
    bytes: Annotated[Count, Meta(description="Bytes that both peers sent for this round of this edge.")]
    method: MethodField
    round: Annotated[
        Count,
        Meta(
            description="Number of the negotiation; a later one replaces an earlier one. An edge that holds "
            "again once its parted pair is paired again has the next number, without a negotiation."
        ),
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

    @property
    def accepted_r2(self) -> float | None:
        """Held-out R2 on the shared directions of an accepted edge; None: not accepted, or not measured."""
        return self.r2_shared if self.status is Status.ACCEPTED else None

    def reaches(self, r2: float) -> bool:
        """Return whether the edge is accepted with at least this held-out R2 on the shared directions."""
        return self.accepted_r2 is not None and self.accepted_r2 >= r2


class EdgeRecord(EdgeSummary, frozen=True, kw_only=True):
    """The result of one negotiation: the map from a source's space into a target's, judged by the target."""

    budget: Annotated[
        tuple[BudgetRow, ...], Meta(description="Held-out R2 by number of anchor pairs and method.")
    ]

    def plot(self, axes: "Axes | None" = None) -> "Axes":
        """Draw the held-out correlation of each pair of directions and the null; return the axes.

        Args:
            axes: Where to draw; default: a new figure.
        """
        return draw_edge(axes if axes is not None else new_axes(5.0, 3.2), self, "null (time shift)")
