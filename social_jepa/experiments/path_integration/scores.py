"""R2 of the total action, read by probes from aggregates of complete and of ablated sequences."""

from collections.abc import Sequence

import numpy as np

from agents.models.seq_jepa import SeqJepa
from social_jepa.experiments.common.probes import apply_in_chunks, linear_probe, mlp_probe
from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.invariance_equivariance.data import shuffle_rows
from social_jepa.experiments.path_integration.data import DataSets, ViewSequences
from social_jepa.experiments.path_integration.settings import (
    ACTION_ONLY,
    BOTH,
    INPUTS,
    SHUFFLED_VIEWS,
    VISION_ONLY,
    PathStream,
    Settings,
)


def path_scores(
    model: SeqJepa, untrained: SeqJepa, data: DataSets, actions: int, seed: int, settings: Settings
) -> dict[str, Score]:
    """Return R2 of the total action of paths of one length, by inputs and probe.

    Args:
        model: Trained and frozen.
        untrained: The same model with its initial weights.
        data: Training, probe and scoring sequences.
        actions: Length of the paths.
        seed: Seed of the run.
        settings: Settings of the probes.
    """
    training, probe, scoring = data
    mean_frame = training.frames.reshape(-1, *training.frames.shape[2:]).mean(0).round().astype(np.uint8)
    mean_action = training.actions.mean((0, 1))
    targets = [sequences.total_action(actions) for sequences in (probe, scoring)]
    probe_seed = [seed, PathStream.MLP_PROBE, actions]
    scores: dict[str, Score] = {}
    for inputs in INPUTS:
        features = [
            aggregates(model, ablate(sequences.first(actions + 1), inputs, mean_frame, mean_action))
            for sequences in (probe, scoring)
        ]
        scores |= _probe_scores(f"{inputs}, {actions}", features, targets, probe_seed, settings)
        if inputs == BOTH:
            shuffled = shuffle_rows(PathStream.SHUFFLED.rng(seed, actions), targets[0])
            predicted = linear_probe(features[0], shuffled)(features[1])
            scores[f"shuffled, {actions}"] = Score.r2(predicted, targets[1])
    features = [aggregates(untrained, sequences.first(actions + 1)) for sequences in (probe, scoring)]
    return scores | _probe_scores(f"untrained, {actions}", features, targets, probe_seed, settings)


def ablate(
    sequences: ViewSequences, inputs: str, mean_frame: np.ndarray, mean_action: np.ndarray
) -> ViewSequences:
    """Return sequences whose views or actions are replaced by the training mean, or views by other views.

    Args:
        sequences: Complete sequences.
        inputs: One of INPUTS.
        mean_frame: uint8 [H, W, 3].
        mean_action: [A].
    """
    frames, actions = sequences.frames, sequences.actions
    if inputs == ACTION_ONLY:
        frames = np.broadcast_to(mean_frame, frames.shape)
    if inputs == SHUFFLED_VIEWS:
        frames = np.roll(frames, 1, axis=0)
    if inputs == VISION_ONLY:
        actions = np.broadcast_to(mean_action, actions.shape)
    return ViewSequences(frames, actions, sequences.orientations)


def aggregates(model: SeqJepa, sequences: ViewSequences) -> np.ndarray:
    """Return the aggregates of whole sequences, [N, D_agg]."""
    return apply_in_chunks(model.aggregate, sequences.frames, sequences.actions, rows=128)


def _probe_scores(
    name: str, features: Sequence[np.ndarray], targets: Sequence[np.ndarray], seed: Sequence[int],
    settings: Settings,
) -> dict[str, Score]:  # fmt: skip
    """Return R2 of an MLP and of ridge regression, fitted on the first features and scored on the second."""
    mlp = mlp_probe(features[0], targets[0], seed, settings.probe_steps, hidden=settings.probe_hidden)
    linear = linear_probe(features[0], targets[0])
    return {
        name: Score.r2(mlp(features[1]), targets[1]),
        f"{name}, linear": Score.r2(linear(features[1]), targets[1]),
    }
