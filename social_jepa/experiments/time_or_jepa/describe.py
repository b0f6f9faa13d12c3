"""Methods paragraph of time-or-jepa."""

from social_jepa.experiments.common.describe import (
    describe_encoder,
    describe_scene,
    describe_splits,
    describe_training,
)
from social_jepa.experiments.time_or_jepa.settings import FLAT, JEPAS, SCHEDULED, Settings


def describe_methods(settings: Settings) -> str:
    """Return data, splits, model, training and scores of a run with these settings."""
    setup, flat = settings.setup, settings.flat
    jepas, scheduled, long = (
        "; ".join(method.title for method in methods.values()) for methods in (JEPAS, SCHEDULED, FLAT)
    )
    steps = ", ".join(map(str, settings.checkpoints))
    return (
        f"{describe_scene(setup.scene)} Two agents stand 180 degrees apart and share no weights, no random "
        f"stream and no order of data. {describe_encoder(setup.model)} {describe_training(setup)} This holds "
        f"for: {jepas}; {scheduled}. Two methods ({long}) train at the peak rate until {flat.block} steps "
        f"lower the mean loss by less than {flat.tolerance:.0%} of its whole fall, at most {flat.max_steps} "
        f"steps, then {flat.decay} steps in which the rate falls to 0. Linear tICA takes {setup.model.dim} "
        f"functions of {settings.components} principal components of the pixels. {describe_splits(setup)} "
        f"All {setup.model.dim} dimensions are whitened by their owner on {settings.own_ticks:,} ticks of "
        f"its own training and scored after {steps} steps: R2 of a ridge map and of a rotation between "
        "agents, R2 of a linear probe of the true state, and R2 of a ridge map between what the best linear "
        "function of the state leaves. Two methods are compared where their state R2 is equal, by "
        f"interpolation between checkpoints, within {settings.tolerance:g}."
    )
