"""Methods paragraph of plan-transfer."""

from social_jepa.experiments.common.describe import describe_agents
from social_jepa.experiments.plan_transfer.settings import THRESHOLD_HORIZON, Settings


def describe_methods(settings: Settings) -> str:
    """Return data, splits, model, training and scores of a run with these settings."""
    planning = settings.planning
    angles = " or ".join(f"{degrees:g}" for degrees in settings.separations)
    return (
        f"{describe_agents(settings.setup)} Two agents stand {angles} degrees apart; one orthogonal map "
        f"between their detected cores is fitted on {settings.setup.negotiation.anchors} anchors. Each fits "
        f"predictors of its own core on {settings.fit_ticks:,} of its training ticks: by least squares from "
        f"core and actions, by a perceptron of {settings.hidden} units ({settings.steps} steps), and by "
        f"least squares without actions. Errors are compared 1 to {settings.max_horizon} ticks ahead, "
        f"{THRESHOLD_HORIZON} in the thresholds; R2 is that of all {settings.action_dim} factors, of which a "
        f"core explains none beyond its own axes. Plans steer the first object for {planning.ticks} ticks by "
        f"the cross-entropy method ({planning.rounds} rounds of {planning.population} plans of "
        f"{planning.horizon} ticks, the best {planning.elite} kept) in {planning.episodes} episodes per "
        f"direction; an episode succeeds if the object ends within {planning.success_distance:g} of the "
        "goal, positions from -1 to 1. The null is a map fitted on anchors of which one side is shifted in "
        "time by half of the pool. Baselines are pairs of untrained encoders, pixel PCAs and linear tICAs, "
        f"on {settings.action_dim} leading axes."
    )
