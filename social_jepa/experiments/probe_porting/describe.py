"""Methods paragraph of probe-porting."""

from social_jepa.experiments.common.describe import describe_agents
from social_jepa.experiments.probe_porting.settings import Settings


def describe_methods(settings: Settings) -> str:
    """Return data, splits, model, training and scores of a run with these settings."""
    return (
        f"{describe_agents(settings.setup)} {settings.agents} agents stand "
        f"{settings.setup.ring.separation:g} degrees apart on a ring. A probe of each detected core is "
        "fitted on the anchor ticks: ridge regression of the objects' positions. Another agent uses it after "
        f"an orthogonal map of its core, fitted on {min(settings.anchor_counts)} to "
        f"{max(settings.anchor_counts):,} anchors; the threshold refers to {settings.threshold_anchors}. "
        "Scores are R2 on the held-out ticks, mean over all ordered pairs of agents. The true "
        "state labels and scores; no agent has access to it."
    )
