"""Methods paragraph of isometry."""

from social_jepa.experiments.common.describe import describe_agents
from social_jepa.experiments.common.pairs import MAX_CHOICES
from social_jepa.experiments.isometry.methods import METHODS
from social_jepa.experiments.isometry.settings import Settings


def describe_methods(settings: Settings) -> str:
    """Return data, splits, model, training and scores of a run with these settings."""
    setup, long = settings.setup, settings.long_setup
    others = "; ".join(method.title for name, method in METHODS.items() if name != "jepa")
    return (
        f"{describe_agents(setup)} In the condition jepa-long {settings.agents} agents stand "
        f"{setup.ring.separation:g} degrees apart on a ring and train for {long.training.steps} steps on "
        f"{long.training.replay_ticks:,} ticks, with pools of {long.negotiation.pool_ticks:,} ticks, of "
        f"which {settings.heldout_ticks:,} held-out ones are scored. Each finds its core alone, by "
        "time-lagged whitening. Maps between cores are orthogonal (Procrustes), ridge, robust or through a "
        f"universe of all, fitted on up to {settings.max_pairs:,} pairs; R2 is the mean over all ordered "
        f"pairs of agents and up to {MAX_CHOICES} choices of the pairs. The compared methods ({others}) are "
        "trained by two agents each, 180 degrees apart, in the schedule first described, and scored on "
        f"{settings.leading_axes} leading axes by an orthogonal map from {settings.reference_pairs} pairs."
    )
