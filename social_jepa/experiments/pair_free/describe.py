"""Methods paragraph of pair-free."""

from social_jepa.experiments.common.describe import describe_agents
from social_jepa.experiments.pair_free.settings import Settings


def describe_methods(settings: Settings) -> str:
    """Return data, splits, model, training and scores of a run with these settings."""
    spacings = ", ".join(f"{spacing:g}" for spacing in settings.spacings)
    return (
        f"{describe_agents(settings.setup)} In place of one autocorrelation, the {settings.axes} factors "
        f"have values {spacings} apart about {settings.mean_autocorrelation:g}, one condition each; "
        f"{settings.distinct_spacing:g} counts as distinct. Two agents whiten their latents and sort the "
        f"axes by lag-1 autocorrelation; the leading {settings.axes} axes are compared by rank, with signs, "
        "shrunk signs, a signed permutation or an orthogonal map from "
        f"{', '.join(map(str, settings.anchors))} anchors, random or selected by the source among "
        f"{settings.candidates} ticks. R2 on the held-out ticks is the mean over both directions and "
        f"{settings.draws} random choices. Without anchors, signs are matched by third moments, and point "
        f"clouds by cluster centers with {settings.restarts} restarts."
    )
