"""Edges between two agents of an experiment, of one world or of two, scored as a negotiation scores them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from alignment.edge_score import EdgeScore, score_edge
from alignment.held_out import HeldOut
from alignment.score import shuffle_pairs
from alignment.shared_subspace import SharedSubspace, find_shared
from social_jepa.experiments.common.probes import state_probe
from social_jepa.experiments.common.trained_agents import AgentSetup, TrainedAgent
from social_jepa.experiments.framework.score import Score


@dataclass(frozen=True, eq=False)
class Embeddings:
    """What an agent sends and scores with: embeddings of two pools of ticks, as a negotiation has them.

    Attributes:
        anchors: [P, D], the pool to fit on, the core first.
        heldout: [P, D], the pool to score on.
        core_dim: Number of leading dimensions that are the core.
    """

    anchors: Tensor
    heldout: Tensor
    core_dim: int

    @classmethod
    def of(cls, agent: TrainedAgent) -> "Embeddings":
        """Return those of a trained agent."""
        return cls(agent.anchors.vectors, agent.heldout.vectors, agent.core_dim)


@dataclass(frozen=True)
class Pairing:
    """Which rows of two pools are paired: as many as a negotiation asks for, evenly spread.

    Attributes:
        anchors: Number of pairs that maps are fitted on.
        heldout: Number of pairs that they are scored on.
        memory_rows: Rows of a pool after which the scene no longer resembles itself.
    """

    anchors: int
    heldout: int
    memory_rows: int

    @classmethod
    def of(cls, setup: AgentSetup) -> "Pairing":
        """Return how agents with these settings pair their rows."""
        config = setup.negotiation
        return cls(config.anchors, config.heldout, config.memory_rows(setup.scene.decorrelation_ticks))

    def fit_pairs(self, source: Embeddings, target: Embeddings) -> tuple[Tensor, Tensor]:
        """Return the pairs to fit on, [K, D_i] and [K, D_j]."""
        rows = spread_rows(len(source.anchors), self.anchors)
        return source.anchors[rows], target.anchors[rows]

    def held_out(self, source: Embeddings, target: Embeddings) -> HeldOut:
        """Return the pairs to score on."""
        rows = spread_rows(len(source.heldout), self.heldout)
        return HeldOut(source.heldout[rows], target.heldout, rows, self.memory_rows)


def spread_rows(pool: int, count: int) -> Tensor:
    """Return `count` rows of a pool at equal distances, int64."""
    return torch.arange(0, pool, pool // count)[:count]


def edge_score(source: Embeddings, target: Embeddings, pairing: Pairing) -> EdgeScore:
    """Return the scores of the edge from one agent to another."""
    cores = (source.core_dim, target.core_dim)
    return score_edge(pairing.fit_pairs(source, target), pairing.held_out(source, target), cores)[2]


class Judged(NamedTuple):
    """What a target says of an edge.

    Attributes:
        shares: Whether a direction of the cores exceeds what shifts in time reach.
        accepts: Whether it also translates: what is accepted.
    """

    shares: bool
    accepts: bool


def find_edge(
    source: Embeddings, target: Embeddings, pairing: Pairing
) -> tuple[SharedSubspace, HeldOut] | None:
    """Return what two cores share, and the held-out pairs of both; None where an agent has no core.

    Args:
        source: Embeddings that are mapped.
        target: Embeddings that are mapped to; row k of both is paired.
        pairing: Which rows are fitted on, and which are scored.

    Raises:
        AlignmentError: A pool is too short to be shifted by more than the scene's memory, or not finite.
    """
    i, j = source.core_dim, target.core_dim
    if not (i and j):
        return None
    x, y = pairing.fit_pairs(source, target)
    held = pairing.held_out(source, target).leading(i, j)
    return find_shared(x[:, :i], y[:, :j], held), held


def judge(found: tuple[SharedSubspace, HeldOut] | None) -> Judged:
    """Return what a target says of an edge, given what `find_edge` returns of it."""
    if found is None:
        return Judged(False, False)
    shared, held = found
    shares = shared.dim > 0
    return Judged(shares, shares and shared.r2(held.source, held.target) > 0)


def judge_edge(source: Embeddings, target: Embeddings, pairing: Pairing) -> Judged:
    """Return whether the target finds a shared direction, and whether it accepts the edge."""
    return judge(find_edge(source, target, pairing))


def accepts(source: Embeddings, target: Embeddings, pairing: Pairing) -> bool:
    """Return whether the target accepts the edge: a direction of the cores is shared, and translates."""
    return judge_edge(source, target, pairing).accepts


def edges_between(agents: Sequence[Embeddings], pairing: Pairing) -> list[EdgeScore]:
    """Return the scores of both edges between two agents; first the one from the first agent."""
    first, second = agents
    return [edge_score(first, second, pairing), edge_score(second, first, pairing)]


def edge_scores(edges: Sequence[EdgeScore], expected: int) -> dict[str, Score]:
    """Return the mean scores of both edges between two agents.

    *R2 of all* counts a factor as unexplained where the edge does not find it: it is the R2 on the shared
    directions, times their number over the expected one. Of more directions the expected number of best ones
    counts, each with R2 2c - 1 for its correlation c, or 0: what else is shared takes nothing away.

    Args:
        edges: Both edges.
        expected: Number of factors that both agents see.
    """
    dims = np.array([edge.shared_dim for edge in edges], dtype=np.float64)
    r2 = np.array([edge.r2_shared for edge in edges])
    weakest = [weakest_correlation(edge) for edge in edges]
    scores = {
        "shared dim": dims.mean(),
        "exact": float((dims == expected).all()),
        "R2 shared": r2.mean(),
        "R2 of all": np.mean([_r2_of_all(edge, expected) for edge in edges]),
        "weakest shared correlation": np.mean(weakest),
        "null correlation": np.mean([edge.null_correlation for edge in edges]),
    }
    return {name: Score.single(float(value)) for name, value in scores.items()}


def weakest_correlation(edge: EdgeScore) -> float:
    """Return the correlation of the weakest shared direction; 0 without any."""
    return edge.correlations[edge.shared_dim - 1] if edge.shared_dim else 0.0


def _r2_of_all(edge: EdgeScore, expected: int) -> float:
    if edge.shared_dim <= expected:
        return edge.r2_shared * edge.shared_dim / expected
    return float(np.maximum(2 * np.array(edge.correlations[:expected]) - 1, 0).mean())


def direction_arrays(edge: EdgeScore) -> dict[str, np.ndarray]:
    """Return the held-out correlation of each pair of core directions, [m], and the null's level, []."""
    return {
        "correlations": np.array(edge.correlations, dtype=np.float64),
        "null": np.array(edge.null_correlation),
    }


def probe_scores(agent: TrainedAgent, columns: Sequence[int], rng: np.random.Generator) -> dict[str, Score]:
    """Return R2 of a linear probe of the true state from the core, and its null; for evaluation only.

    Args:
        agent: The agent.
        columns: Columns of the state that its camera sees.
        rng: Shuffles the states of the null.
    """
    state, expected = agent.states(agent.anchors)[:, columns], agent.states(agent.heldout)[:, columns]
    if not agent.core_dim:
        return {"state R2": Score.single(0.0), "state R2, shuffled": Score.single(0.0)}
    shuffled = shuffle_pairs(state, torch.Generator().manual_seed(int(rng.integers(2**62))))
    core, heldout = agent.anchors.core(), agent.heldout.core()
    return {
        "state R2": state_probe(core, state, heldout, expected),
        "state R2, shuffled": state_probe(core, shuffled, heldout, expected),
    }
