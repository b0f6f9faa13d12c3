"""What isometry measures of a society: translations over pair budgets, and the shape of its maps."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from alignment.anchors import AnchorSet
from alignment.edge_score import fit_core
from alignment.fit import Fit, fit_ridge, fit_robust
from alignment.linear_map import LinearMap
from alignment.score import (
    canonical_correlations,
    isometry_deviation,
    kappa,
    linear_cka,
    mutual_knn,
    retrieval_at,
    spectrum,
)
from alignment.universe import fit_universe
from social_jepa.experiments.common.pairs import average_over_edges, heldout_pairs
from social_jepa.experiments.common.trained_agents import TrainedAgent
from social_jepa.experiments.framework.score import Score

MOST_CHOICES = 16  # of a budget's pairs; fewer where a choice takes a large share of all
CHOOSING, SHUFFLING = 51, 52  # words
FITS: Mapping[str, Fit] = {
    "procrustes": fit_core,
    "ridge": fit_ridge,
    "robust": partial(fit_robust, centred=False),
}
ScoreFn = Callable[[TrainedAgent, TrainedAgent], Score]


def leading(stranger: TrainedAgent, count: int) -> TrainedAgent:
    """Return a stranger whose core is taken to be so many leading axes, whatever it found itself."""
    anchors, heldout = (replace(known, core_dim=count) for known in (stranger.anchors, stranger.heldout))
    return replace(stranger, basis=replace(stranger.basis, core_dim=count), anchors=anchors, heldout=heldout)


def whole(stranger: TrainedAgent) -> TrainedAgent:
    """Return a stranger whose core is taken to be all dimensions."""
    return leading(stranger, stranger.heldout.vectors.shape[1])


def scored_on(stranger: TrainedAgent, count: int) -> TrainedAgent:
    """Return a stranger that is scored on the first of its held-out ticks alone."""
    held = stranger.heldout
    return replace(stranger, heldout=AnchorSet(held.ids[:count], held.vectors[:count], held.core_dim))


def shuffled(strangers: Sequence[TrainedAgent], seed: int) -> list[TrainedAgent]:
    """Return a society whose members lost which tick is which: the null."""

    def lost(known: AnchorSet, words: Sequence[int]) -> AnchorSet:
        rows = np.random.default_rng([seed, SHUFFLING, *words]).permutation(len(known.ids))
        return replace(known, vectors=known.vectors[rows.tolist()])

    return [
        replace(
            stranger, anchors=lost(stranger.anchors, (0, place)), heldout=lost(stranger.heldout, (1, place))
        )
        for place, stranger in enumerate(strangers)
    ]


def rolled(strangers: Sequence[TrainedAgent]) -> list[TrainedAgent]:
    """Return a society whose clocks differ by equal shares of the stretch; neighbours in time stay alike."""

    def late(known: AnchorSet, place: int) -> AnchorSet:
        return replace(known, vectors=known.vectors.roll(place * len(known.ids) // len(strangers), 0))

    return [
        replace(stranger, anchors=late(stranger.anchors, place), heldout=late(stranger.heldout, place))
        for place, stranger in enumerate(strangers)
    ]


def choices(stranger: TrainedAgent, pairs: int, seed: int) -> Tensor:
    """Return several choices of so many rows of the anchors, [P, pairs]; a larger budget adds rows."""
    pool = len(stranger.anchors.ids)
    drawn = min(MOST_CHOICES, max(1, pool // pairs))
    rng = np.random.default_rng([seed, CHOOSING])
    return torch.from_numpy(np.stack([rng.permutation(pool)[:pairs] for _ in range(drawn)]))


def chosen_r2(fit: Fit, rows: Tensor, source: TrainedAgent, target: TrainedAgent) -> Score:
    """Return the held-out R2 between two cores, the mean over maps from several choices of pairs, [P, K].

    Where an agent found no core there is nothing to tell: 0.
    """
    if not (source.core_dim and target.core_dim):
        nothing = np.ones(len(source.heldout.ids))
        return Score(nothing, nothing)
    return maps_r2(fit(source.anchors.core()[rows], target.anchors.core()[rows]), source, target)


def maps_r2(maps: LinearMap, source: TrainedAgent, target: TrainedAgent) -> Score:
    """Return the held-out R2 between two cores, the mean over a stack of P maps."""
    shown, seen = heldout_pairs(source, target)
    each = [Score.pooled_r2(found.numpy(), seen.numpy()) for found in maps(shown[None])]
    return Score.average(each)


def unmapped_r2(source: TrainedAgent, target: TrainedAgent) -> Score:
    """Return the held-out R2 of what needs no pair: the axes as each found them, in order."""
    shown, seen = heldout_pairs(source, target)
    weight = torch.eye(shown.shape[1], seen.shape[1], dtype=torch.float64)
    return Score.pooled_r2((shown @ weight).numpy(), seen.numpy())


def universe_score(strangers: Sequence[TrainedAgent], rows: Tensor) -> ScoreFn:
    """Return what scores edges through common spaces, one from each choice of ticks, [P, K]."""
    found = [
        fit_universe({stranger.name: stranger.anchors.core()[chosen] for stranger in strangers})
        for chosen in rows
    ]

    def score(source: TrainedAgent, target: TrainedAgent) -> Score:
        maps = [universe.between(source.name, target.name) for universe in found]
        stack = LinearMap(torch.stack([m.weight for m in maps]), torch.stack([m.bias for m in maps])[:, None])
        return maps_r2(stack, source, target)

    return score


def budget_scores(strangers: Sequence[TrainedAgent], budgets: Sequence[int], seed: int) -> dict[str, Score]:
    """Return the R2 of a society's edges by method of fitting and budget, as "METHOD, PAIRS"."""
    full = [whole(stranger) for stranger in strangers]
    found = {"unmapped, 0": average_over_edges(strangers, unmapped_r2)[0]}
    for pairs in budgets:
        rows = choices(strangers[0], pairs, seed)
        for name, fit in FITS.items():
            found[f"{name}, {pairs}"] = average_over_edges(strangers, partial(chosen_r2, fit, rows))[0]
        found[f"universe, {pairs}"] = average_over_edges(strangers, universe_score(strangers, rows))[0]
        found[f"all dimensions, {pairs}"] = average_over_edges(full, partial(chosen_r2, fit_ridge, rows))[0]
    return found


def shape_scores(strangers: Sequence[TrainedAgent], pairs: int, seed: int) -> dict[str, Score]:
    """Return the shape of the maps between cores; retrieval is by one orthogonal map from so many pairs."""
    rows = choices(strangers[0], pairs, seed)[0]

    def retrieved(k: int, source: TrainedAgent, target: TrainedAgent) -> Score:
        shown, seen = heldout_pairs(source, target)
        found = fit_core(source.anchors.core()[rows], target.anchors.core()[rows])
        return Score.single(retrieval_at(found(shown), seen, k))

    def shape(of: Callable[[Tensor, Tensor], float], source: TrainedAgent, target: TrainedAgent) -> Score:
        return Score.single(of(*heldout_pairs(source, target)))

    scores: dict[str, ScoreFn] = {
        "condition number": partial(shape, lambda x, y: kappa(spectrum(x, y))),
        "isometry deviation": partial(shape, lambda x, y: isometry_deviation(spectrum(x, y))),
        "linear CKA": partial(shape, linear_cka),
        "mutual 10 nearest neighbours": partial(shape, mutual_knn),
        "retrieval at 1": partial(retrieved, 1),
        "retrieval at 5": partial(retrieved, 5),
    }
    found = {name: average_over_edges(strangers, score)[0] for name, score in scores.items()}
    largest = average_over_edges(strangers, partial(shape, lambda x, y: float(spectrum(x, y).max())))[1]
    smallest = average_over_edges(strangers, partial(shape, lambda x, y: float(spectrum(x, y).min())))[1]
    each = average_over_edges(strangers, partial(chosen_r2, fit_core, rows[None]))[1]
    return found | {
        "largest singular value": Score.single(largest.max()),
        "smallest singular value": Score.single(smallest.min()),
        "R2 of the worst edge": Score.single(each.min()),
    }


def correlations(strangers: Sequence[TrainedAgent]) -> np.ndarray:
    """Return the canonical correlations of all dimensions on held-out ticks, mean over edges, [D]."""
    full = [stranger.heldout.vectors for stranger in strangers]
    found = [
        canonical_correlations(one, two).numpy()
        for place, one in enumerate(full)
        for two in full[place + 1 :]
    ]
    return np.mean(found, axis=0)


def state_r2(stranger: TrainedAgent) -> Score:
    """Return how well the true state reads linearly from all dimensions; for evaluation only."""
    reading = fit_ridge(stranger.anchors.vectors, stranger.states(stranger.anchors))
    return Score.r2(reading(stranger.heldout.vectors).numpy(), stranger.states(stranger.heldout).numpy())
