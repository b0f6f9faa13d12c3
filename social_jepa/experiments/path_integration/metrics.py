"""Metrics and notes of path-integration: thresholds, then R2 by condition, inputs, length and probe."""

from social_jepa.experiments.framework.experiment import Metric, Results
from social_jepa.experiments.framework.threshold import Threshold
from social_jepa.experiments.path_integration.settings import (
    ACTION_ONLY,
    BOTH,
    CONDITIONS,
    INPUTS,
    SCENE_VIEWS,
    Settings,
)

SEARCH_NOTE = (
    "Search, on scene views of seed 100 alone: learning rate, steps, number of sequences that probes are "
    "fitted on, and the share of a token that is an action, three settings in all."
)
ACTION_ONLY_NOTE = (
    "Actions with one constant frame are averaged without noise, so that a probe reads their sum almost "
    "perfectly at every length: no input can exceed it. In the paper it decreases to 0.78. Real views add "
    "noise to the average, and the scores of the untrained model show that training does not preserve the "
    "sum better."
)


def metrics(results: Results, settings: Settings) -> list[Metric]:
    """Return the metrics of the results table."""
    longest, group = settings.max_actions, "thresholds"
    both, action_only = (
        results.estimate(SCENE_VIEWS, f"{inputs}, {longest}") for inputs in (BOTH, ACTION_ONLY)
    )
    null = results.mean(SCENE_VIEWS, f"shuffled, {longest}")
    table = [
        Metric(
            f"R2: {SCENE_VIEWS}, {longest} actions", both, null, action_only.value,
            Threshold(">=", 0.85), group,
        ),
        Metric(
            f"R2: {SCENE_VIEWS}, {longest} actions, minus action only", both - action_only, 0.0,
            threshold=Threshold(">", 0.0), group=group,
        ),
    ]  # fmt: skip
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
        ACTION_ONLY_NOTE,
    ]
