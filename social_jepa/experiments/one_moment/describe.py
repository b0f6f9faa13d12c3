"""Methods paragraph of one-moment."""

from social_jepa.experiments.common.describe import describe_agents
from social_jepa.experiments.one_moment.settings import MOMENT_TICKS, Settings


def describe_methods(settings: Settings) -> str:
    """Return data, splits, model, training and scores of a run with these settings."""
    spacings = ", ".join(f"{spacing:g}" for spacing in settings.spacings)
    return (
        f"{describe_agents(settings.setup)} In place of one autocorrelation, the {settings.factors} factors "
        f"have values {spacings} apart about {settings.mean_autocorrelation:g}, one condition each; "
        f"{settings.distinct_spacing:g} counts as distinct. After training, each of two agents finds its "
        f"core, by time-lagged whitening and independence, on {settings.axis_ticks:,} further ticks, which "
        "neither trains on and the other does not see, and sorts its axes by lag-1 autocorrelation. A moment "
        f"is {MOMENT_TICKS} consecutive ticks that both see. From "
        f"{', '.join(map(str, settings.moments))} moments, axes of equal rank get signs or shrunk signs, or "
        "all axes a signed permutation, which also compares autocorrelations; for comparison, an "
        "orthogonal map is fitted, plain or shrunk, which drops the directions that the pairs leave "
        "undetermined. Without any moment, signs match skewness (third-order cumulants). R2 on the held-out "
        f"ticks is the mean over both directions and {settings.draws} random choices of the moments; a "
        "factor that the target did not find counts as unexplained. The null shifts the moments of one agent "
        "in time by half of their range; held-out ticks stay paired."
    )
