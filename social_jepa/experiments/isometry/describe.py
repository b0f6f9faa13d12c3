"""Methods paragraph of isometry."""

from social_jepa.experiments.common.describe import describe_agents
from social_jepa.experiments.common.pairs import MAX_CHOICES
from social_jepa.experiments.isometry.settings import Settings


def describe_methods(settings: Settings) -> str:
    """Return data, splits, model, training and scores of a run with these settings."""
    return (
        f"{describe_agents(settings.setup)} {settings.agents} agents stand "
        f"{settings.setup.ring.separation:g} degrees apart on a ring; each finds its core alone, by "
        "time-lagged whitening. Maps between cores are orthogonal (Procrustes), ridge, robust or through a "
        f"universe of all, fitted on 1 to {settings.pair_counts[-1]:,} pairs; R2 is the mean over all "
        f"ordered pairs of agents and up to {MAX_CHOICES} choices of the pairs. Baselines are two agents "
        f"180 degrees apart, compared on {settings.factors} leading axes. The null shifts the rows of each "
        "agent in time."
    )
