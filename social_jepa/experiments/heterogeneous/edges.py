"""Edges between the agents of a seed: the shared map as a run fits it, ridge regression, and the null."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations

import numpy as np
from torch import Tensor, from_numpy

from alignment.fit import fit_ridge
from alignment.held_out import HeldOut
from alignment.shared_subspace import SharedSubspace
from social_jepa.experiments.common.edges import Embeddings, Pairing, find_edge, judge
from social_jepa.experiments.framework.experiment import Results
from social_jepa.experiments.framework.score import Estimate, Score
from social_jepa.experiments.heterogeneous.settings import VARIANTS, Settings

Pair = tuple[str, str]  # names of source and target


@dataclass(frozen=True)
class Edge:
    """What one ordered pair of agents gives; NaN where an agent did not run.

    Attributes:
        accepted: 1 if the target accepts the edge as in a run, 0 if it refuses it.
        shared_dim: Number of shared directions of the two cores.
        r2: Held-out R2 of the map of the shared directions on the factors of the target, see `factor_r2`.
        ridge: The same of ridge regression from all dimensions of the source to the core of the target.
        null: `r2` of the same procedure with the target read at other times than the source.
    """

    accepted: float
    shared_dim: float
    r2: float
    ridge: float
    null: float


def score_edge(source: Embeddings, target: Embeddings, pairing: Pairing, factors: int) -> Edge:
    """Return the edge from one agent to another, of agents and of baselines alike.

    An agent without a core, because none of its latents can be predicted or because it has detected its own
    collapse, shares nothing: the edge is refused, and R2 is 0.

    Args:
        source: Embeddings that are mapped, D_i dimensions.
        target: Embeddings that are mapped to, D_j dimensions, at the same ticks.
        pairing: Which rows are fitted on, and which are scored.
        factors: Number of factors of the scene.

    Raises:
        AlignmentError: A pool is too short to be shifted by more than the scene's memory, or not finite.
    """
    found, null = find_edge(source, target, pairing), find_edge(*at_other_times(source, target), pairing)
    ridge = 0.0
    if j := target.core_dim:
        x, y = pairing.fit_pairs(source, target)
        held = pairing.held_out(source, target)
        ridge = factor_r2(fit_ridge(x, y[:, :j])(held.source.double()), held.target[:, :j], factors)
    shared_dim = 0 if found is None else found[0].dim
    return Edge(
        float(judge(found).accepts), shared_dim, shared_r2(found, factors), ridge, shared_r2(null, factors)
    )


def shared_r2(found: tuple[SharedSubspace, HeldOut] | None, factors: int) -> float:
    """Return the R2 of the map of what two cores share, see `factor_r2`; 0 where an agent has no core.

    Args:
        found: What `find_edge` returns.
        factors: Number of factors of the scene.
    """
    if found is None:
        return 0.0
    shared, held = found
    return factor_r2(shared.map(held.source.double()), held.target, factors)


def factor_r2(predicted: Tensor, target: Tensor, factors: int) -> float:
    """Return R2 of predictions of a target's core, where all that the map leaves out counts as missed.

    A factor of the scene that the target did not find is unexplained, and so is an axis of its core that the
    map does not reach: with a core of d axes of which k are mapped exactly, R2 is k / max(d, factors).

    Args:
        predicted: [K, d].
        target: [K, d], white.
        factors: Number of factors of the scene.
    """
    rows = Score.pooled_r2(predicted.double().numpy(), target.double().numpy())
    return rows.counting_missing(target.shape[1], factors).score


def at_other_times(source: Embeddings, target: Embeddings) -> tuple[Embeddings, Embeddings]:
    """Return the first half of a source's rows and the second half of a target's: the null.

    Row k of both is then half of a pool apart, for fitting and for scoring. Rolled rows would not do: a
    shared map has a null of its own, which rolls the target by every distance and would undo the shift.
    """

    def half(rows: Embeddings, second: bool) -> Embeddings:
        middles = (len(rows.anchors) // 2, len(rows.heldout) // 2)
        parts = (slice(m, 2 * m) if second else slice(m) for m in middles)
        anchors, heldout = (
            all_rows[part] for all_rows, part in zip((rows.anchors, rows.heldout), parts, strict=True)
        )
        return Embeddings(anchors, heldout, rows.core_dim)

    return half(source, False), half(target, True)


@lru_cache(maxsize=32)  # metrics, plots and notes need the same edges
def all_edges(results: Results, seed: int, settings: Settings) -> Mapping[Pair, Edge]:
    """Return the edge of every ordered pair (source, target) of the agents of a seed."""
    pairing = Pairing.of(settings.setup)
    agents = {name: embeddings(results, name, seed) for name in VARIANTS}
    edges = {}
    for pair in permutations(VARIANTS, 2):
        source, target = (agents[name] for name in pair)
        if source is None or target is None:
            edges[pair] = Edge(*[math.nan] * 5)
        else:
            edges[pair] = score_edge(source, target, pairing, settings.factors)
    return edges


def embeddings(results: Results, name: str, seed: int) -> Embeddings | None:
    """Return the embeddings of an agent; None if it did not run."""
    anchors, heldout = (results.array(name, pool, seed) for pool in ("anchors", "heldout"))
    if not anchors.ndim:
        return None
    core_dim = results.condition_results[name, seed].scores["compared axes"].score
    return Embeddings(from_numpy(anchors), from_numpy(heldout), int(core_dim))


class EdgeResults:
    """The edges of all seeds."""

    def __init__(self, results: Results, settings: Settings) -> None:
        """Score the edges of every seed."""
        self.by_seed = [all_edges(results, seed, settings) for seed in results.seeds]

    def estimate(
        self, pairs: Iterable[Pair], value: str = "r2", reduce: Callable[..., float] = np.mean
    ) -> Estimate:
        """Return a value of the edges, over the pairs of each seed.

        Args:
            pairs: Names of sources and targets.
            value: An attribute of `Edge`.
            reduce: np.min for the worst pair of each seed, np.max for the best one, np.mean for the mean.
        """
        chosen = list(pairs)
        return Estimate(
            tuple(float(reduce([getattr(edges[pair], value) for pair in chosen])) for edges in self.by_seed)
        )
