"""Methods paragraph of heterogeneous."""

from social_jepa.experiments.common.describe import describe_agents
from social_jepa.experiments.heterogeneous.settings import DIMS, VARIANTS, Settings


def describe_methods(settings: Settings) -> str:
    """Return data, splits, model, training and scores of a run with these settings."""
    setup = settings.setup
    dims = ", ".join(f"{VARIANTS[name].model(setup.model).dim}" for name in DIMS)
    return (
        f"{describe_agents(setup)} This is the default agent; {len(VARIANTS)} agents ({', '.join(VARIANTS)}) "
        f"stand {setup.ring.separation:g} degrees apart in a random order and differ from it in the "
        f"dimensions of the latent ({dims}), in the width of the encoder, in objective, architecture or kind "
        "of world model. For each ordered pair, the map of the shared directions of both cores is fitted on "
        f"{setup.negotiation.anchors} pairs of embeddings and scored on {setup.negotiation.heldout} held-out "
        "ones, as in a run. R2 is that on the core of the target, where axes that the map leaves out, and "
        f"those of the {settings.factors} factors that the target did not find, count as missed; ridge "
        "regression from all dimensions of the source stands beside it. Linear probes of the true state "
        "measure what each agent's latents contain. Nulls pair rows that are half of a pool apart in time. "
        f"Baselines are two agents each, compared on {settings.factors} leading axes."
    )
