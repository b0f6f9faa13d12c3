"""Methods paragraph of scant-overlap."""

from alignment.held_out import SHIFTS
from social_jepa.experiments.common.describe import describe_agents
from social_jepa.experiments.scant_overlap.layout import LEVELS, SEEN_FACTORS, SHARED, SHARED_FACTORS
from social_jepa.experiments.scant_overlap.settings import Settings


def describe_methods(settings: Settings) -> str:
    """Return data, splits, model, training and scores of a run with these settings."""
    layout, levels = settings.layout, list(LEVELS.values())
    setup = settings.setup_of(levels[0])
    overlaps = ", ".join(
        f"{level.overlap:g} (cameras {layout.high_height if level.high else layout.low_height:g} m high, "
        f"turned by {level.turn:g} degrees)"
        for level in levels
    )
    return (
        f"{describe_agents(setup)} Two cameras stand 180 degrees apart, {layout.radius:g} m from the center, "
        f"with a field of view of {layout.fov:g} degrees. Both see {len(SHARED)} of the boxes; each sees one "
        "more, which an interior wall and the field of view keep from the other, and no agent has a body. Of "
        "the surfaces of the shared boxes that any of the two sees, both see a share of "
        f"{overlaps}, by ray casting to {5 * settings.points_per_edge**2} points of equal area on each box "
        f"at {settings.overlap_ticks} held-out ticks. Edges are fitted on {setup.negotiation.anchors} pairs "
        f"and scored on {setup.negotiation.heldout}, in both directions; directions are shared where their "
        f"correlations exceed those at up to {SHIFTS} shifts in time. {len(SHARED_FACTORS)} factors are "
        f"shared in truth, of {SEEN_FACTORS} that each camera sees."
    )
