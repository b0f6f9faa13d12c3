"""Methods paragraph of an experiment: data, model and training from its settings, and the statistics."""

from collections.abc import Sequence
from typing import Any

from social_jepa.experiments.framework.experiment import Experiment


def methods_paragraph(experiment: Experiment, settings: Any, seeds: Sequence[int]) -> str:
    """Return the methods paragraph of a run; "" of an experiment that describes none.

    Args:
        experiment: The experiment.
        settings: Settings of the run.
        seeds: Consecutive seeds of the run.
    """
    described = experiment.methods(settings)
    return f"{described} {describe_statistics(seeds)}" if described else ""


def describe_statistics(seeds: Sequence[int]) -> str:
    """Return how values of seeds are summarized, and how they decide on thresholds."""
    if len(seeds) == 1:
        return f"Values are those of seed {seeds[0]} alone, which leaves every threshold open."
    return (
        f"Values are means over {len(seeds)} seeds, {seeds[0]} to {seeds[-1]}, each of which draws the data, "
        "the initial weights and the order of training anew; intervals are 95 % intervals of Student's t "
        "over seeds. A threshold, set before the full run, is met if the whole interval meets it, missed if "
        "none of it does, and otherwise open."
    )
