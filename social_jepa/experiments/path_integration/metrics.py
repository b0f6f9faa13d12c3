"""Metrics and notes of path-integration: thresholds, then R2 by condition, inputs, length and probe."""

from social_jepa.experiments.framework.experiment import Metric, Results
from social_jepa.experiments.framework.threshold import Threshold
from social_jepa.experiments.path_integration.settings import (
    ACTION_ONLY,
    BOTH,
    CONDITIONS,
    INPUTS,
    SHUFFLED_VIEWS,
    Settings,
)

SEARCH_NOTE = (
    "Search, on scene views of seed 100 alone, one training run each: 600 and 1,200 steps, momentum 0.97 and "
    "0.99 of the target network, VICReg's covariance term with weight 0.02 and 0, and 3 and 7 context views. "
    "The settings with the smallest distance to action only were kept; none exceeded it."
)
WHY_NOTE = (
    "A possible reason: the aggregate is a function of a set of pairs, each a view and the action after it. "
    "Measured actions can be added within such a set. To correct their sum from views, the aggregator would "
    "have to find the view that no other pair leads to, the first one, at an accuracy beyond that of the sum."
)


def metrics(results: Results, settings: Settings) -> list[Metric]:
    """Return the metrics of the results table."""
    longest = settings.max_actions
    table = []
    for condition in CONDITIONS:
        both = results.estimate(condition, f"{BOTH}, {longest}")
        for inputs, least in ((ACTION_ONLY, 0.1), (SHUFFLED_VIEWS, 0.05)):
            other = results.estimate(condition, f"{inputs}, {longest}")
            table.append(Metric(
                f"R2: {condition}, {longest} actions, minus {inputs}", both - other, 0.0,
                threshold=Threshold(">=", least), group="thresholds",
            ))  # fmt: skip
    for condition in CONDITIONS:
        for inputs in (*INPUTS, "untrained"):
            for actions in range(1, longest + 1):
                null = results.mean(condition, f"shuffled, {actions}")
                for suffix in ("", ", linear"):
                    estimate = results.estimate(condition, f"{inputs}, {actions}{suffix}")
                    name = f"R2: {condition}, {inputs}, {actions} action{'s' * (actions > 1)}{suffix}"
                    table.append(Metric(name, estimate, null, group=condition))
    return table


def notes(results: Results, settings: Settings) -> list[str]:
    """Return training costs and the history of the settings."""
    seed = results.seeds[0]
    spent = ", ".join(
        f"{condition} {results.condition_results[condition, seed].flops / 1e12:.2f}"
        for condition in CONDITIONS
    )
    return [
        f"Counted training TFLOPs, seed {seed}: {spent}.",
        SEARCH_NOTE,
        WHY_NOTE,
    ]
