"""Methods paragraph of theory."""

from social_jepa.experiments.common.describe import describe_agents
from social_jepa.experiments.theory.settings import Settings


def describe_methods(settings: Settings) -> str:
    """Return data, splits, model, training and scores of a run with these settings."""
    encoder = settings.encoder
    rhos = ", ".join(f"{rho:g}" for rho in settings.rhos)
    return (
        f"A synthetic world has {encoder.factors} independent Gaussian factors with autocorrelation rho = "
        f"{rhos}; {settings.agents} agents observe it, each through a random injective network of "
        f"{encoder.observation_layers} layers into {encoder.observation_dim} dimensions. Encoders are "
        f"perceptrons with two hidden layers of {encoder.hidden} units, trained for {encoder.steps} steps of "
        f"{encoder.batch_pairs} freshly drawn pairs of successive states (peak learning rate "
        f"{encoder.learning_rate:g}) to minimize the distance of latents that each batch whitens exactly. "
        f"Latents are whitened and rotations fitted on {settings.fit_states:,} states and scored on "
        f"{settings.heldout_states:,} others, after {', '.join(map(str, encoder.eval_steps))} steps. Worlds "
        f"outside the theory ({', '.join(settings.outside_worlds)}) have a linear autocorrelation of "
        f"{settings.outside_rho:g} where they have such a parameter. In the condition scene, "
        f"{settings.cameras} agents of a run are scored on {settings.scene_ticks:,} consecutive ticks after "
        f"their training. {describe_agents(settings.setup)}"
    )
