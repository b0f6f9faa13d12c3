"""Maps between the cores of two trained agents: fitted on anchors, scored on held-out ticks."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import permutations

import numpy as np
import torch
from torch import Tensor

from alignment.anchors import AnchorSet, choose_ticks
from alignment.edge_score import fit_core
from alignment.fit import Fit
from alignment.linear_map import LinearMap
from alignment.score import shuffle_pairs
from social_jepa.experiments.common.trained_agents import TrainedAgent
from social_jepa.experiments.framework.score import Score

MAX_CHOICES = 16  # random choices of so many pairs; fewer where one choice is a large share of the pool
Pairs = tuple[Tensor, Tensor]  # [K, d_source] and [K, d_target]: row k of both is the same tick


def anchor_pairs(source: TrainedAgent, target: TrainedAgent, count: int, seed: int) -> Pairs:
    """Return core latents of two agents at some of the ticks that maps are fitted on, float64.

    Args:
        source: Agent whose core is mapped.
        target: Agent whose core it is mapped to.
        count: Number of pairs.
        seed: Seed of the choice of ticks; with one seed, a larger count adds ticks to those of a smaller one.
    """
    rows = source.anchors.rows(choose_ticks(source.anchors.ids, count, seed))
    return source.anchors.core()[rows].double(), target.anchors.core()[rows].double()


def choose_rows(pool: int, pairs: int, rng: np.random.Generator) -> Tensor:
    """Return several random choices of rows of a pool, int64 [P, pairs].

    With one state of the generator, a larger number of pairs adds rows to those of a smaller one.
    """
    count = min(MAX_CHOICES, max(1, pool // pairs))
    return torch.from_numpy(np.stack([rng.permutation(pool)[:pairs] for _ in range(count)]))


def heldout_pairs(source: TrainedAgent, target: TrainedAgent) -> Pairs:
    """Return core latents of two agents at the held-out ticks, float64."""
    return source.heldout.core().double(), target.heldout.core().double()


def fit_edge(
    source: TrainedAgent, target: TrainedAgent, count: int, seed: int, fit: Fit = fit_core
) -> LinearMap:
    """Return the map from one core to another, fitted on `count` anchors; orthogonal by default."""
    return fit(*anchor_pairs(source, target, count, seed))


def fit_shuffled(
    source: TrainedAgent, target: TrainedAgent, count: int, seed: int, fit: Fit = fit_core
) -> LinearMap:
    """Return the map fitted on the same anchors with shuffled pairs: the null."""
    x, y = anchor_pairs(source, target, count, seed)
    return fit(x, shuffle_pairs(y, torch.Generator().manual_seed(seed)))


def fit_shifted(
    source: TrainedAgent, target: TrainedAgent, count: int, seed: int, fit: Fit = fit_core
) -> LinearMap:
    """Return the map fitted on the same anchors, the target's rows rolled by half of the pool: the null."""
    shifted = shift_agents([target], [len(target.anchors.ids) // 2])[0]
    return fit_edge(source, shifted, count, seed, fit)


def shift_agents(agents: Sequence[TrainedAgent], shifts: Sequence[int]) -> list[TrainedAgent]:
    """Return the agents with the rows of each rolled in time, for fitting and for scoring: the null.

    Args:
        agents: The agents.
        shifts: Rows by which those of each are rolled; neighbors stay adjacent.
    """

    def roll(rows: AnchorSet, shift: int) -> AnchorSet:
        return replace(rows, vectors=rows.vectors.roll(shift, 0))

    return [
        replace(agent, anchors=roll(agent.anchors, shift), heldout=roll(agent.heldout, shift))
        for agent, shift in zip(agents, shifts, strict=True)
    ]


def edge_r2(edge: LinearMap, source: TrainedAgent, target: TrainedAgent) -> Score:
    """Return the held-out R2 of a map between two cores."""
    x, y = heldout_pairs(source, target)
    return Score.pooled_r2(edge(x).numpy(), y.numpy())


def average_over_edges(
    agents: Sequence[TrainedAgent], score: Callable[[TrainedAgent, TrainedAgent], Score]
) -> tuple[Score, np.ndarray]:
    """Return the mean of a score over all ordered pairs of agents, and the score of each, [N (N - 1)]."""
    scores = [score(source, target) for source, target in ordered_pairs(agents)]
    return Score.average(scores), np.array([one.score for one in scores])


def ordered_pairs(agents: Iterable[TrainedAgent]) -> list[tuple[TrainedAgent, TrainedAgent]]:
    """Return all ordered pairs of different agents."""
    return list(permutations(agents, 2))
