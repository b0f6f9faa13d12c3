"""Methods paragraph of worlds."""

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
        "correlations exceed those at up to 199 shifts in time, and R2 of the map on them. The true number "
        "is that of the factors that both cameras see. Edges between unrelated scenes join agents of "
        f"different seeds, and {settings.unrelated_pairs} pairs per seed of latents without pixels, whose "
        f"factors have autocorrelations from {settings.lowest_rate:g} to {settings.highest_rate:g}."
    )
