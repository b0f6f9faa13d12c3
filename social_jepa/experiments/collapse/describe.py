"""Methods paragraph of collapse."""

from social_jepa.experiments.collapse.settings import Settings


def describe_methods(settings: Settings) -> str:
    """Return data, splits, model, training and scores of a run with these settings."""
    return (
        f"Decision processes have 6 to 12 states: {settings.random_processes} random ones and twelve chains, "
        "rings, rooms and processes with duplicated states; the classes of bisimilar states are computed "
        f"exactly. Encoder, head and transition are networks of two layers with {settings.hidden} hidden "
        f"units and latents of {settings.dim} dimensions in float64, trained for {settings.steps:,} steps on "
        f"all states and actions at once, at a learning rate of {settings.learning_rate:g}, the head "
        f"weighing {settings.head_weight:g}. None is held out, as the theorem is about losses on all states. "
        f"A process counts if its worst squared errors are at most {settings.threshold:g}; two states count "
        f"as merged within {settings.tolerance:g}. The search pulls {settings.search_pairs} pairs of states "
        f"of each process together, each in a model of its own, with weight {settings.attraction:g}."
    )
