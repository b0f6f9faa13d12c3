"""Methods paragraph of counting."""

from social_jepa.experiments.counting.settings import COUNTS, PAIRS, Settings


def describe_methods(settings: Settings) -> str:
    """Return data, splits, model, training and scores of a run with these settings."""
    shape = "one random kind of shape" if settings.shape == "any" else f"the shape {settings.shape}"
    return (
        f"Frames show 0 to {COUNTS - 1} shapes at random places, each frame {shape}; an action adds or "
        f"removes one. The model is an encoder (first width {settings.width}, hidden layer "
        f"{settings.hidden}, latent {settings.dim}) with a latent transition and a head, trained for "
        f"{settings.steps:,} steps of {settings.batch_size} fresh transitions with AdamW at a peak learning "
        f"rate of {settings.learning_rate:g} after a linear warmup over {settings.warmup:.0%} of the steps, "
        f"of which the encoder has {settings.encoder_lr_multiplier:g}. The dynamics weigh "
        f"{settings.dynamics_weight:g} and the reward of a frame {settings.reward_weight:g}. Conditions "
        "leave out a term, detach the head, add heads of termination (weight "
        f"{settings.termination_weight:g}) and of the value under random actions "
        f"(weight {settings.value_weight:g}, discount {settings.discount:g}), or replace the reward by a "
        f"random network of {settings.random_target_dim} outputs; all start from the same encoder on the "
        "same data. "
        f"Classifiers are fitted on {settings.frames_per_count} frames of each count and scored on as many "
        f"others. A pair of counts, of {PAIRS}, is separable if a linear discriminant is right in 99 % of "
        "its frames; clusters are leaves of a density tree. The baseline reads the count from the number of "
        "drawn pixels, by the same discriminant and by a table of exact numbers."
    )
