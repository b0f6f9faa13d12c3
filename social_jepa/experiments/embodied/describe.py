"""Methods paragraph of embodied."""

from social_jepa.experiments.common.describe import describe_agents
from social_jepa.experiments.embodied.settings import MOTIONS, Settings


def describe_methods(settings: Settings) -> str:
    """Return data, splits, model, training and scores of a run with these settings."""
    setup, planning = settings.setup, settings.planning
    motions = "; ".join(
        f"{condition}: up to {motion.pan:g} and {motion.tilt:g} degrees"
        + (f", and {motion.walk:g} m forward, back, left and right" if motion.walk else "")
        for condition, motion in MOTIONS.items()
    )
    rate = next(iter(MOTIONS.values())).autocorrelation
    return (
        f"{describe_agents(setup)} Two agents without bodies stand {setup.ring.separation:g} degrees apart. "
        f"Each camera moves around its pose by Ornstein-Uhlenbeck processes of its own, with autocorrelation "
        f"{rate:g} from tick to tick ({motions}). Directions are shared, and mapped, as the receiver finds "
        f"them on {setup.negotiation.anchors} pairs and {setup.negotiation.heldout} held-out ones. Each "
        f"agent fits a predictor of its own core from core and actions by least squares on "
        f"{settings.fit_ticks:,} of its training ticks. Plans steer the first object for {planning.ticks} "
        f"ticks by the cross-entropy method ({planning.rounds} rounds of {planning.population} plans of "
        f"{planning.horizon} ticks, the best {planning.elite} kept) in {planning.episodes} episodes per "
        f"direction; an episode succeeds if the object ends within {planning.success_distance:g} of the "
        "goal, positions from -1 to 1. Linear probes read the camera's offsets and the state of the objects "
        "at the held-out ticks, fitted at the anchor ticks. The baselines, untrained encoders, principal "
        "components of pixels and linear tICA, plan by the same means, on as many leading axes as a camera's "
        "frames have factors."
    )
