"""Scores of isometry: the R2 of maps over numbers of pairs, and other measures of agreement."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from alignment.edge_score import fit_core
from alignment.fit import Fit, fit_ridge, fit_robust
from alignment.linear_map import LinearMap
from alignment.score import (
    canonical_correlations,
    linear_cka,
    mutual_knn,
    retrieval_at,
)
from alignment.universe import fit_universe
from social_jepa.experiments.common.pairs import average_over_edges, choose_rows, heldout_pairs, shift_agents
from social_jepa.experiments.common.similarity_baselines import with_core_dim
from social_jepa.experiments.common.trained_agents import TrainedAgent
from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.isometry.settings import IsometryStream

FITS: Mapping[str, Fit] = {
    "procrustes": fit_core,
    "ridge": fit_ridge,
    "robust": partial(fit_robust, centered=False),
}
EdgeScore = Callable[[TrainedAgent, TrainedAgent], Score]


def with_full_core(agent: TrainedAgent) -> TrainedAgent:
    """Return the agent with all dimensions as the core."""
    return with_core_dim(agent, agent.heldout.vectors.shape[1])


def roll_agents(agents: Sequence[TrainedAgent]) -> list[TrainedAgent]:
    """Return the agents with rows rolled by equal shares of the ticks, so that neighbors stay adjacent."""
    ticks, count = len(agents[0].anchors.ids), len(agents)
    return shift_agents(agents, [index * ticks // count for index in range(count)])


def choose_pairs(agent: TrainedAgent, pairs: int, seed: int) -> Tensor:
    """Return several random choices of anchor rows, [P, pairs]; a larger number of pairs adds rows."""
    return choose_rows(len(agent.anchors.ids), pairs, IsometryStream.PAIR_CHOICE.rng(seed))


def fitted_r2(fit: Fit, rows: Tensor, source: TrainedAgent, target: TrainedAgent) -> Score:
    """Return the held-out R2 between two cores, averaged over maps fitted on the choices of rows, [P, K].

    It is 0 where an agent found no core.
    """
    if not (source.core_dim and target.core_dim):
        ones = np.ones(len(source.heldout.ids))
        return Score(ones, ones)
    return maps_r2(fit(source.anchors.core()[rows], target.anchors.core()[rows]), source, target)


def maps_r2(maps: LinearMap, source: TrainedAgent, target: TrainedAgent) -> Score:
    """Return the held-out R2 between two cores, averaged over a stack of P maps."""
    x, y = heldout_pairs(source, target)
    return Score.average([Score.pooled_r2(predicted.numpy(), y.numpy()) for predicted in maps(x[None])])


def unmapped_r2(source: TrainedAgent, target: TrainedAgent) -> Score:
    """Return the held-out R2 without a map: the axes in the order in which each agent found them."""
    x, y = heldout_pairs(source, target)
    weight = torch.eye(x.shape[1], y.shape[1], dtype=torch.float64)
    return Score.pooled_r2((x @ weight).numpy(), y.numpy())


def universe_score(agents: Sequence[TrainedAgent], rows: Tensor) -> EdgeScore:
    """Return a function that scores edges through universes, one fitted on each choice of rows, [P, K]."""
    universes = [
        fit_universe({agent.name: agent.anchors.core()[chosen] for agent in agents}) for chosen in rows
    ]

    def score(source: TrainedAgent, target: TrainedAgent) -> Score:
        maps = [universe.between(source.name, target.name) for universe in universes]
        stack = LinearMap(torch.stack([m.weight for m in maps]), torch.stack([m.bias for m in maps])[:, None])
        return maps_r2(stack, source, target)

    return score


def pair_scores(agents: Sequence[TrainedAgent], pair_counts: Sequence[int], seed: int) -> dict[str, Score]:
    """Return the R2, averaged over all edges, by fit and number of pairs, as "FIT, PAIRS"."""
    full = [with_full_core(agent) for agent in agents]
    scores = {"no map, 0": average_over_edges(agents, unmapped_r2)[0]}
    for pairs in pair_counts:
        rows = choose_pairs(agents[0], pairs, seed)
        for name, fit in FITS.items():
            scores[f"{name}, {pairs}"] = average_over_edges(agents, partial(fitted_r2, fit, rows))[0]
        scores[f"universe, {pairs}"] = average_over_edges(agents, universe_score(agents, rows))[0]
        scores[f"all dimensions, {pairs}"] = average_over_edges(full, partial(fitted_r2, fit_ridge, rows))[0]
    return scores


def agreement_scores(agents: Sequence[TrainedAgent], pairs: int, seed: int) -> dict[str, Score]:
    """Return measures of agreement besides R2; retrieval uses one orthogonal map fitted on `pairs` pairs."""
    rows = choose_pairs(agents[0], pairs, seed)[0]

    def retrieval(k: int, source: TrainedAgent, target: TrainedAgent) -> Score:
        x, y = heldout_pairs(source, target)
        edge = fit_core(source.anchors.core()[rows], target.anchors.core()[rows])
        return Score.single(retrieval_at(edge(x), y, k))

    def unmapped(of: Callable[[Tensor, Tensor], float], source: TrainedAgent, target: TrainedAgent) -> Score:
        return Score.single(of(*heldout_pairs(source, target)))

    edge_scores: dict[str, EdgeScore] = {
        "linear CKA": partial(unmapped, linear_cka),
        "mutual 10 nearest neighbors": partial(unmapped, mutual_knn),
        "retrieval at 1": partial(retrieval, 1),
        "retrieval at 5": partial(retrieval, 5),
    }
    scores = {name: average_over_edges(agents, score)[0] for name, score in edge_scores.items()}
    r2 = average_over_edges(agents, partial(fitted_r2, fit_core, rows[None]))[1]
    return scores | {"R2 of the worst edge": Score.single(r2.min())}


def mean_correlations(agents: Sequence[TrainedAgent]) -> np.ndarray:
    """Return the canonical correlations of all dimensions on held-out ticks, averaged over edges, [D]."""
    latents = [agent.heldout.vectors for agent in agents]
    correlations = [
        canonical_correlations(first, second).numpy()
        for index, first in enumerate(latents)
        for second in latents[index + 1 :]
    ]
    return np.mean(correlations, axis=0)
