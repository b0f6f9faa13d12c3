"""Methods paragraph of classifier-porting."""

from social_jepa.experiments.classifier_porting.settings import PLACES, Settings
from social_jepa.experiments.common.describe import describe_agents


def describe_methods(settings: Settings) -> str:
    """Return data, splits, model, training and scores of a run with these settings."""
    setup, counts = settings.setup, settings.pair_counts
    nuisance = setup.scene.nuisance
    angles = ", ".join(f"{degrees:g}" for degrees in settings.separations)
    return (
        f"{describe_agents(setup)} The shape of the object is its class, one of {len(setup.scene.shapes)}, "
        "all equally likely; a draw is an instance, and no two ticks of a pool show the same one. Colors of "
        f"each camera drift in brightness by exp({nuisance.brightness:g} b), with autocorrelation "
        f"{nuisance.brightness_autocorrelation:g}, and in hue by {nuisance.hue:g} degrees, with "
        f"{nuisance.hue_autocorrelation:g}; pixels have noise of {nuisance.noise:g} of 255 gray levels. "
        f"{len(PLACES)} agents stand {angles} degrees apart. Multinomial logistic regression on all latents "
        "of an agent, fitted on the anchor ticks, is used by another agent after the ridge map of all its "
        f"latents, fitted on {min(counts)} to {max(counts):,} pairs; the thresholds refer to "
        f"{settings.threshold_pairs}. Scores are top-1 on the held-out ticks, mean over all ordered pairs of "
        "agents. The true class labels and scores; no agent has access to it."
    )
