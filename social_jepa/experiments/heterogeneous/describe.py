"""Methods paragraph of heterogeneous."""

from social_jepa.experiments.common.describe import describe_agents
from social_jepa.experiments.heterogeneous.settings import VARIANTS, Settings


def describe_methods(settings: Settings) -> str:
    """Return data, splits, model, training and scores of a run with these settings."""
    setup = settings.setup
    return (
        f"{describe_agents(setup)} This is the default agent; {len(VARIANTS)} agents ({', '.join(VARIANTS)}) "
        f"stand {setup.ring.separation:g} degrees apart in a random order and differ from it in sizes, "
        "objective, architecture or kind of world model. All pairs negotiate as in a run: "
        f"{setup.negotiation.anchors} anchors, scored on {setup.negotiation.heldout} held-out ticks. R2 is "
        "that of the map of the shared directions on the whole core of the target, where what is not shared "
        "counts as missed; ridge regression from all dimensions of the source stands beside it. Linear "
        "probes of the true state measure what each agent's latents contain."
    )
