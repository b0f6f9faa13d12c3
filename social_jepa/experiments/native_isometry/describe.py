"""Methods paragraph of native-isometry."""

from social_jepa.experiments.common.describe import (
    describe_encoder,
    describe_scene,
    describe_splits,
    describe_training,
)
from social_jepa.experiments.common.pairs import MAX_CHOICES
from social_jepa.experiments.native_isometry.settings import OBJECTIVES, Settings


def describe_methods(settings: Settings) -> str:
    """Return data, splits, model, training and scores of a run with these settings."""
    setup = settings.setup
    objectives = ", ".join(method.title for method in OBJECTIVES.values())
    return (
        f"{describe_scene(setup.scene)} Two agents stand 180 degrees apart and share no weights, no random "
        f"stream and no order of data. {describe_encoder(setup.model)} Objectives that fix the scale of the "
        f"latents ({objectives}) are compared with whitened prediction, whose raw latents are arbitrary, "
        f"with untrained encoders and with pixel PCA. {describe_training(setup)} {describe_splits(setup)} W "
        "is the least-squares map with offset, without penalty, between raw latents, fitted on 1, 2, 4 ... "
        f"{settings.max_pairs:,} pairs (up to {MAX_CHOICES} choices of each number); beside it stands "
        "the best similarity transform, a rotation or reflection with one scale and an offset. R2 is pooled "
        "over dimensions and both directions are averaged. Strong directions are those whose held-out "
        "correlation is at least 0.5."
    )
