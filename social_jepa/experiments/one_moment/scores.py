"""Held-out R2 of maps between the axes of two agents, from few moments and from none."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import permutations

import numpy as np

from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.one_moment.agents import FoundAxes
from social_jepa.experiments.one_moment.methods import (
    orthogonal_map,
    shrunk_orthogonal_map,
    shrunk_signs,
    signed_permutation,
    signs,
    skewness_signs,
)
from social_jepa.experiments.one_moment.settings import OneMomentStream, Settings

SIGNS, SHRUNK, PERMUTATION, ORTHOGONAL, SHRUNK_ORTHOGONAL = METHODS = (
    "signs", "shrunk signs", "permutation", "orthogonal map", "shrunk orthogonal map",
)  # fmt: skip
SKEWNESS = "skewness, 0"  # the score without a moment
Fit = Callable[[np.ndarray, np.ndarray], np.ndarray]  # pairs [n, D_i] and [n, D_j] -> map [D_i, D_j]


def null_name(score: str) -> str:
    """Return the name of the null of a score."""
    return f"{score}, null"


def pair_scores(pair: Sequence[FoundAxes], seed: int, settings: Settings) -> dict[str, Score]:
    """Return the scores of both agents and their nulls, and the share that found as many axes as factors."""
    first, second = pair
    shifted = moment_scores([first, second.shifted()], seed, settings)
    exact = [float(axes.dim == settings.factors) for axes in pair]
    return {
        **moment_scores(pair, seed, settings),
        **{null_name(name): score for name, score in shifted.items()},
        **unpaired_scores(pair, seed, settings),
        "exact cores": Score.mean(np.array(exact)),
    }


def moment_scores(pair: Sequence[FoundAxes], seed: int, settings: Settings) -> dict[str, Score]:
    """Return R2 by method and number of moments, "METHOD, COUNT": means of both directions and all draws."""
    scores: dict[str, list[Score]] = {}
    for source, target in permutations(pair, 2):
        fits = _fits(source, target)
        for draw in range(settings.draws):
            order = OneMomentStream.MOMENTS.rng(seed, draw).permutation(len(source.moments))
            for count in settings.moments:
                x, y = (np.concatenate(axes.moments[order[:count]]) for axes in (source, target))
                for name, fit in fits.items():
                    r2 = heldout_r2(fit(x, y), source, target, settings.factors)
                    scores.setdefault(f"{name}, {count}", []).append(r2)
    return {name: Score.average(found) for name, found in scores.items()}


def _fits(source: FoundAxes, target: FoundAxes) -> Mapping[str, Fit]:
    permutation = partial(
        signed_permutation, source_spectrum=source.spectrum, target_spectrum=target.spectrum
    )
    fits = signs, shrunk_signs, permutation, orthogonal_map, shrunk_orthogonal_map
    return dict(zip(METHODS, fits, strict=True))


def unpaired_scores(pair: Sequence[FoundAxes], seed: int, settings: Settings) -> dict[str, Score]:
    """Return R2 without a moment, of signs that match skewness; the null is a mean over random signs."""
    found: list[Score] = []
    random: list[Score] = []
    for direction, (source, target) in enumerate(permutations(pair, 2)):
        common = min(source.dim, target.dim, settings.factors)
        leading = (slice(common),) * 3
        flips = skewness_signs(source.skewness[leading], target.skewness[leading])
        draws = OneMomentStream.SIGNS.rng(seed, direction).choice((-1.0, 1.0), (settings.draws, common))
        for scores, choices in ((found, flips[None]), (random, draws)):
            for choice in choices:
                weight = np.zeros((source.dim, target.dim))
                weight[range(common), range(common)] = choice
                scores.append(heldout_r2(weight, source, target, settings.factors))
    return {SKEWNESS: Score.average(found), null_name(SKEWNESS): Score.average(random)}


def heldout_r2(weight: np.ndarray, source: FoundAxes, target: FoundAxes, factors: int) -> Score:
    """Return R2 of a map on the target's axes; factors that the target did not find count as unexplained.

    Args:
        weight: [D_i, D_j].
        source: D_i axes.
        target: D_j axes; those beyond the number of factors have to be explained as well.
        factors: Number of factors of the scene.
    """
    if not (source.dim and target.dim):
        ones = np.ones(len(target.heldout))
        return Score(ones, ones)
    found = Score.pooled_r2(source.heldout @ weight, target.heldout)
    return found.counting_missing(target.dim, factors)
