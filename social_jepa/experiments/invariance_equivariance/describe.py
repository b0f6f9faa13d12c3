"""Methods paragraph of invariance-equivariance."""

from social_jepa.experiments.invariance_equivariance.settings import (
    CONTEXT_VIEWS,
    TEST_LENGTHS,
    TEST_VIEWS,
    Settings,
)


def describe_methods(settings: Settings) -> str:
    """Return data, splits, model, training and scores of a run with these settings."""
    size = settings.frame_size
    return (
        f"Objects are solids with colored faces, drawn at {size} by {size} pixels under rotations of up to "
        f"{settings.max_rotation:g} degrees about each axis, sizes from {settings.min_scale:g} to 1, light "
        f"within {settings.max_light_angle:g} degrees of its mean and backgrounds within "
        f"{settings.background_range:g} of theirs. {settings.training_objects:,} objects with "
        f"{settings.views} views each train; probes are fitted on {settings.probe_objects} other objects and "
        f"scored on {settings.scoring_objects} more, with {TEST_VIEWS} views each, and on "
        f"{settings.unseen_objects} and {settings.unseen_objects} objects of classes that training never "
        f"shows. All methods have one convolutional encoder (first width {settings.width}, hidden layer "
        f"{settings.hidden}, latent {settings.dim}) with equal initial weights, {settings.views_per_step} "
        f"views a step and {settings.teraflops:g} TFLOP of training: seq-JEPA with "
        f"{max(CONTEXT_VIEWS.values())} or fewer context views, with and without actions, SimCLR, BYOL and "
        "VICReg; learning rates were searched on seed 100. Top-1 is that of logistic regression on "
        f"aggregates of {', '.join(map(str, TEST_LENGTHS))} views or on latents; R2 of rotation that of a "
        f"perceptron with hidden layers of {settings.probe_hidden:,} units ({settings.probe_steps} steps) "
        "and of ridge regression."
    )
