"""Distances of latents of decision processes, compared with the theorem's lower bound."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from social_jepa.experiments.collapse.models import Outputs, ProcessBatch, distances, lower_bound
from social_jepa.experiments.framework.score import Score

ROUNDING = 1e-12  # relative to the initial spread, which is one


def pair_scores(
    batch: ProcessBatch, outputs: Outputs, below: np.ndarray, tolerance: float
) -> tuple[dict[str, Score], dict[str, np.ndarray]]:
    """Score every pair of states of every process.

    Args:
        batch: M processes.
        outputs: Outputs of their models.
        below: bool [M], whether the errors of a model are below the threshold.
        tolerance: Distance below which latents count as merged.

    Returns:
        (scores, arrays); the array "pairs" has a row for each pair: distance, bound, worst squared errors of
        T and of P in its process, whether the pair is bisimilar, and whether the process is below.
    """
    pairs = _pair_rows(batch, outputs, below)
    is_below = pairs[:, 5] == 1
    different, same = (pairs[is_below & (pairs[:, 4] == bisimilar), :2] for bisimilar in (0, 1))
    dynamics, head = (error.numpy() for error in outputs.worst)
    scores = {
        "processes below": Score.single(below.sum()),
        "pairs": Score.single(len(different)),
        "counterexamples": Score.single(count_violations(*different.T)),
        "merged pairs": Score.single((different[:, 0] < tolerance).sum()),
        "merged share": _mean(different[:, 0] < tolerance),
        "minimum distance": _minimum(different[:, 0]),
        "median distance": _median(different[:, 0]),
        "maximum distance": Score.single(pairs[:, 0].max()),
        "positive bounds": _mean(different[:, 1] > 0),
        "tightness": _median(different[:, 1] / np.maximum(different[:, 0], ROUNDING)),
        "bisimilar merged share": _mean(same[:, 0] < tolerance),
        "worst dynamics error": Score.single(dynamics.max()),
        "worst head error": Score.single(head.max()),
    }  # fmt: skip
    return scores, {"pairs": pairs, **_example(batch, outputs)}


def search_scores(
    batch: ProcessBatch, at: Sequence[Tensor], pairs: np.ndarray, closest: np.ndarray, tolerance: float
) -> tuple[dict[str, Score], dict[str, np.ndarray]]:
    """Score each searched pair at its smallest distance with errors below the threshold.

    Args:
        batch: M processes, one for each pair.
        at: Latents, predicted latents and values of `Outputs` at that step.
        pairs: int64 [M, 2], states.
        closest: float64 [M], the smallest distance; infinite if errors were never below the threshold.
        tolerance: Distance below which latents count as merged.
    """
    bounds = np.zeros(len(pairs))
    for k, (mdp, (x, y)) in enumerate(zip(batch.mdps, pairs, strict=True)):
        size, actions = mdp.successors.shape
        latents, predicted, values = (field[k, :size].numpy() for field in at)
        bounds[k] = lower_bound(mdp, latents, predicted[:, :actions], values)[x, y]
    reached = np.isfinite(closest)
    distance, bound = closest[reached], bounds[reached]
    return {
        "searched pairs": Score.single(len(pairs)),
        "pairs below": Score.single(reached.sum()),
        "search counterexamples": Score.single(count_violations(distance, bound)),
        "search merged share": _mean(distance < tolerance),
        "search minimum distance": _minimum(distance),
        "search median distance": _median(distance),
    }, {"closest": closest, "bounds": bounds}


def _pair_rows(batch: ProcessBatch, outputs: Outputs, below: np.ndarray) -> np.ndarray:
    rows = []
    for k, mdp in enumerate(batch.mdps):
        size, actions = mdp.successors.shape
        latents, values = outputs.latents[k, :size].numpy(), outputs.values[k, :size].numpy()
        bound = lower_bound(mdp, latents, outputs.predicted[k, :size, :actions].numpy(), values)
        x, y = np.triu_indices(size, 1)
        errors = [float(error[k]) for error in outputs.worst]
        bisimilar = batch.classes[k, x] == batch.classes[k, y]
        columns = [distances(latents)[x, y], bound[x, y], *(np.full(len(x), error) for error in errors)]
        rows.append(np.column_stack([*columns, bisimilar, np.full(len(x), below[k])]))
    return np.concatenate(rows)


def count_violations(distance: np.ndarray, bound: np.ndarray) -> int:
    """Return the number of pairs whose distance is below their lower bound."""
    return int((distance < bound - ROUNDING).sum())


def _minimum(values: np.ndarray) -> Score:
    return Score.single(values.min() if len(values) else np.nan)


def _median(values: np.ndarray) -> Score:
    return Score.single(np.median(values) if len(values) else np.nan)


def _mean(values: np.ndarray) -> Score:
    return Score.mean(values) if len(values) else Score.single(np.nan)


def _example(batch: ProcessBatch, outputs: Outputs) -> dict[str, np.ndarray]:
    """Return classes and distances of the process with the most redundant states, sorted by class."""
    redundant = [
        (len(mdp.values) - len(np.unique(batch.classes[k, : len(mdp.values)])), -k)
        for k, mdp in enumerate(batch.mdps)
    ]
    k = -max(redundant)[1]
    size = len(batch.mdps[k].values)
    order = np.argsort(batch.classes[k, :size], kind="stable")
    return {
        "example classes": batch.classes[k, order],
        "example distances": distances(outputs.latents[k, :size].numpy()[order]),
    }
