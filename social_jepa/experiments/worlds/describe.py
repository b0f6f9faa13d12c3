"""Methods paragraph of worlds."""

from alignment.held_out import SHIFTS
from social_jepa.experiments.common.describe import describe_agents
from social_jepa.experiments.worlds.settings import WORLDS, Settings


def describe_methods(settings: Settings) -> str:
    """Return data, splits, model, training and scores of a run with these settings."""
    setup = settings.setup
    worlds = "; ".join(f"{name}, {world.title}" for name, world in WORLDS.items())
    return (
        f"{describe_agents(setup)} Conditions change the scene: {worlds}. Two agents stand 180 degrees apart "
        f"and find their cores alone. Edges are fitted on {setup.negotiation.anchors} pairs and scored on "
        f"{setup.negotiation.heldout}, in both directions: the number of shared directions, whose "
        f"correlations exceed those at up to {SHIFTS} shifts in time, and R2 of the map on them. The "
        "true number is that of the factors that both cameras see. Edges between unrelated scenes join "
        f"agents of different seeds, and {settings.unrelated_pairs} pairs per seed of latents without "
        f"pixels, whose factors have autocorrelations from {settings.lowest_rate:g} to "
        f"{settings.highest_rate:g}."
    )
