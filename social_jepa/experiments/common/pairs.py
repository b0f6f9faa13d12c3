"""Maps between the cores of two strangers: fitted on so many anchors, scored on ticks that fitted nothing."""

from collections.abc import Callable, Iterable, Sequence
from itertools import permutations

import numpy as np
import torch
from torch import Tensor

from alignment.anchors import choose_ticks
from alignment.edge_score import fit_core
from alignment.fit import Fit
from alignment.linear_map import LinearMap
from alignment.score import shuffle_pairs
from social_jepa.experiments.common.trained_agents import TrainedAgent
from social_jepa.experiments.framework.score import Score

Pairs = tuple[Tensor, Tensor]  # [K, d_source] and [K, d_target]: row k of both is the same tick


def anchor_pairs(source: TrainedAgent, target: TrainedAgent, count: int, seed: int) -> Pairs:
    """Return the cores of two strangers at some of the ticks that maps are fitted on, float64.

    Args:
        source: Whose core is mapped.
        target: Whose core it is mapped to.
        count: How many pairs.
        seed: Chooses the ticks; with one seed a larger count adds ticks to those of a smaller one.
    """
    rows = source.anchors.rows(choose_ticks(source.anchors.ids, count, seed))
    return source.anchors.core()[rows].double(), target.anchors.core()[rows].double()


def heldout_pairs(source: TrainedAgent, target: TrainedAgent) -> Pairs:
    """Return the cores of two strangers at the ticks that score, float64."""
    return source.heldout.core().double(), target.heldout.core().double()


def fit_edge(
    source: TrainedAgent, target: TrainedAgent, count: int, seed: int, fit: Fit = fit_core
) -> LinearMap:
    """Return the map from one core to another that so many anchors give; orthogonal by default."""
    return fit(*anchor_pairs(source, target, count, seed))


def fit_shuffled(
    source: TrainedAgent, target: TrainedAgent, count: int, seed: int, fit: Fit = fit_core
) -> LinearMap:
    """Return what the same anchors give when nobody knows which belongs to which: the null."""
    shown, seen = anchor_pairs(source, target, count, seed)
    return fit(shown, shuffle_pairs(seen, torch.Generator().manual_seed(seed)))


def edge_r2(edge: LinearMap, source: TrainedAgent, target: TrainedAgent) -> Score:
    """Return the held-out R2 of a map between two cores."""
    shown, seen = heldout_pairs(source, target)
    return Score.pooled_r2(edge(shown).numpy(), seen.numpy())


def average_over_edges(
    agents: Sequence[TrainedAgent], score: Callable[[TrainedAgent, TrainedAgent], Score]
) -> tuple[Score, np.ndarray]:
    """Return the mean of a score over all ordered pairs of strangers, and each edge's own, [N (N - 1)]."""
    found = [score(source, target) for source, target in ordered_pairs(agents)]
    return Score.average(found), np.array([measure.score for measure in found])


def ordered_pairs(strangers: Iterable[TrainedAgent]) -> list[tuple[TrainedAgent, TrainedAgent]]:
    """Return every edge of a society."""
    return list(permutations(strangers, 2))
