"""How far codes of decision processes are apart, against what the theorem allows."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from social_jepa.experiments.collapse.mdp_models import Seen, Worlds, distances, lower_bound
from social_jepa.experiments.framework.score import Score

ROUNDING = 1e-12  # of the codes' first spread, which is one; what is closer is equal


def score_all(
    worlds: Worlds, seen: Seen, below: np.ndarray, tolerance: float
) -> tuple[dict[str, Score], dict[str, np.ndarray]]:
    """Score every pair of states of every world.

    Args:
        worlds: M processes.
        seen: What their models make of them.
        below: bool [M], whose errors are below the threshold.
        tolerance: Distance below which codes count as merged.

    Returns:
        (measures, arrays); of the arrays, "pairs" has a row for each pair: distance, bound, worst squared
        errors of T and of P in its world, and whether the pair is bisimilar and its world below.
    """
    pairs = _pairs(worlds, seen, below)
    counted = pairs[:, 5] == 1
    different, same = (pairs[counted & (pairs[:, 4] == kind), :2] for kind in (0, 1))
    dynamics, head = (error.numpy() for error in seen.worst)
    measures = {
        "below": Score.single(below.sum()),
        "pairs": Score.single(len(different)),
        "counter-examples": Score.single(broken(*different.T)),
        "merged pairs": Score.single((different[:, 0] < tolerance).sum()),
        "merged": _mean(different[:, 0] < tolerance),
        "closest": _smallest(different[:, 0]),
        "median distance": _median(different[:, 0]),
        "farthest": Score.single(pairs[:, 0].max()),
        "informative": _mean(different[:, 1] > 0),
        "tightness": _median(different[:, 1] / np.maximum(different[:, 0], ROUNDING)),
        "bisimilar merged": _mean(same[:, 0] < tolerance),
        "worst dynamics": Score.single(dynamics.max()),
        "worst head": Score.single(head.max()),
    }  # fmt: skip
    return measures, {"pairs": pairs, **_example(worlds, seen)}


def score_search(
    worlds: Worlds, at: Sequence[Tensor], pairs: np.ndarray, closest: np.ndarray, tolerance: float
) -> tuple[dict[str, Score], dict[str, np.ndarray]]:
    """Score the pulled pairs where each came closest with errors below the threshold.

    Args:
        worlds: M processes, one for each pair.
        at: Codes, codes predicted and values told at that moment, as `Seen` has them.
        pairs: int64 [M, 2].
        closest: float64 [M], infinite where errors never were below.
        tolerance: Distance below which codes count as merged.
    """
    bounds = np.zeros(len(pairs))
    for k, (mdp, (x, y)) in enumerate(zip(worlds.mdps, pairs, strict=True)):
        size, actions = mdp.successors.shape
        codes, ahead, told = (field[k, :size].numpy() for field in at)
        bounds[k] = lower_bound(mdp, codes, ahead[:, :actions], told)[x, y]
    reached = np.isfinite(closest)
    distance, bound = closest[reached], bounds[reached]
    return {
        "searched": Score.single(len(pairs)),
        "reached": Score.single(reached.sum()),
        "found counter-examples": Score.single(broken(distance, bound)),
        "found merged": _mean(distance < tolerance),
        "found closest": _smallest(distance),
        "found median": _median(distance),
    }, {"closest": closest, "bounds": bounds}


def _pairs(worlds: Worlds, seen: Seen, below: np.ndarray) -> np.ndarray:
    rows = []
    for k, mdp in enumerate(worlds.mdps):
        size, actions = mdp.successors.shape
        codes = seen.codes[k, :size].numpy()
        bound = lower_bound(mdp, codes, seen.ahead[k, :size, :actions].numpy(), seen.told[k, :size].numpy())
        x, y = np.triu_indices(size, 1)
        errors = [float(error[k]) for error in seen.worst]
        same = worlds.classes[k, x] == worlds.classes[k, y]
        columns = [distances(codes)[x, y], bound[x, y], *(np.full(len(x), error) for error in errors)]
        rows.append(np.column_stack([*columns, same, np.full(len(x), below[k])]))
    return np.concatenate(rows)


def broken(distance: np.ndarray, bound: np.ndarray) -> int:
    """Return how many pairs are closer than their bound lets them be."""
    return int((distance < bound - ROUNDING).sum())


def _smallest(values: np.ndarray) -> Score:
    return Score.single(values.min() if len(values) else np.nan)


def _median(values: np.ndarray) -> Score:
    return Score.single(np.median(values) if len(values) else np.nan)


def _mean(hits: np.ndarray) -> Score:
    return Score.mean(hits) if len(hits) else Score.single(np.nan)


def _example(worlds: Worlds, seen: Seen) -> dict[str, np.ndarray]:
    """Return classes and distances of the process with the fewest classes for its states, sorted by class."""
    merged = [
        (len(mdp.values) - len(np.unique(worlds.classes[k, : len(mdp.values)])), -k)
        for k, mdp in enumerate(worlds.mdps)
    ]
    k = -max(merged)[1]
    size = len(worlds.mdps[k].values)
    order = np.argsort(worlds.classes[k, :size], kind="stable")
    return {
        "example classes": worlds.classes[k, order],
        "example distances": distances(seen.codes[k, :size].numpy()[order]),
    }
