"""Methods paragraph of path-integration."""

from social_jepa.experiments.path_integration.settings import Settings


def describe_methods(settings: Settings) -> str:
    """Return data, splits, model, training and scores of a run with these settings."""
    size = settings.frame_size
    return (
        f"Sequences have up to {settings.max_actions} actions. In one condition a camera turns in a static "
        f"scene by up to {settings.max_view_angle:g} degrees of pan and tilt, in the other an object is seen "
        f"under rotations of up to {settings.max_rotation:g} degrees about each axis; frames have {size} by "
        f"{size} pixels. The error of an action, as measured, is {settings.odometry_noise:g} of its root "
        f"mean square. {settings.training_sequences:,} sequences train, {settings.probe_sequences:,} "
        f"others fit probes and {settings.scoring_sequences} more score them. seq-JEPA (latent "
        f"{settings.dim}, first width {settings.width}, hidden layer {settings.hidden}) trains for "
        f"{settings.steps} steps of {settings.views_per_step} views at a peak learning rate of "
        f"{settings.learning_rate:g}, from {settings.context_views} context views, with actions of "
        f"{settings.action_dim} dimensions beside the latent, a target network of momentum "
        f"{settings.momentum:g} rising to 1 and VICReg's covariance term of weight {settings.covariance:g}; "
        "then it is frozen. The total action of a path is read from the aggregate by a perceptron of hidden "
        f"width {settings.probe_hidden} ({settings.probe_steps} steps) and by ridge regression; ablations "
        "replace all views, or all actions, by their training mean, or all views by another sequence's."
    )
