"""Methods paragraph of counting."""

from social_jepa.experiments.counting.settings import COUNTS, PAIRS, Settings


def describe_methods(settings: Settings) -> str:
    """Return data, splits, model, training and scores of a run with these settings."""
    weights = ", ".join(f"{weight:g}" for weight in settings.other_head_weights)
    return (
        f"Frames show 0 to {COUNTS - 1} shapes ({settings.shape}) at random places; an action adds or "
        f"removes one. The model is an encoder (first width {settings.width}, hidden layer "
        f"{settings.hidden}, latent {settings.dim}) with a latent transition and a head that predicts the "
        f"reward of a frame, trained for {settings.steps:,} steps of {settings.batch_size} fresh transitions "
        f"with AdamW at a peak learning rate of {settings.learning_rate:g}, of which the encoder has "
        f"{settings.encoder_lr_multiplier:g}. The head weighs {settings.head_weight:g}; conditions leave out "
        f"a term, detach the head, weigh it {weights}, or replace its target by a random network of "
        f"{settings.random_target_dim} outputs; all start from the same weights on the same data. "
        f"Classifiers are fitted on {settings.frames_per_count} frames of each count and scored on as many "
        f"others. A pair of counts, of {PAIRS}, is separable if a linear discriminant is right in 99 % of "
        "its frames; clusters are leaves of a density tree."
    )
