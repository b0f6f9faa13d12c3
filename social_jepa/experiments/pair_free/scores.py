"""Held-out R2 of the maps of pair-free: with few anchors, without anchors, and on a planted control."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np

from social_jepa.experiments.common.pairs import ordered_pairs
from social_jepa.experiments.common.trained_agents import TrainedAgent
from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.pair_free.axes import leading_axes
from social_jepa.experiments.pair_free.methods import (
    match_clouds,
    moment_signs,
    procrustes,
    random_rotation,
    shrunk,
    signed_permutation,
    signs,
)
from social_jepa.experiments.pair_free.settings import PairFreeStream, Settings

METHODS = ("signs", "selected", "shrunk", "permutation", "procrustes")
Fit = Callable[[np.ndarray, np.ndarray], np.ndarray]  # anchors [n, D] and [n, D] -> map [D, D]


def anchor_scores(agents: Sequence[TrainedAgent], seed: int, settings: Settings) -> dict[str, Score]:
    """Return R2 by method and number of anchors, and of the same methods with unpaired anchors (the null)."""
    scores: dict[str, list[Score]] = {}
    for source, target in ordered_pairs(agents):
        x, y = (leading_axes(agent.anchors, settings.axes) for agent in (source, target))
        heldout, expected = (leading_axes(agent.heldout, settings.axes) for agent in (source, target))
        spectra = [agent.basis.spectrum[: settings.axes].numpy() for agent in (source, target)]
        permutation = partial(signed_permutation, source_spectrum=spectra[0], target_spectrum=spectra[1])
        fits: dict[str, Fit] = {
            "signs": signs, "selected": signs, "shrunk": shrunk, "procrustes": procrustes,
            "permutation": permutation,
        }  # fmt: skip
        for method, count, rows, unpaired in _anchor_rows(x, seed, settings):
            for suffix, target_rows in (("", rows), (", null", unpaired)):
                weight = fits[method](x[rows], y[target_rows])
                edge_scores = scores.setdefault(f"{method}, {count}{suffix}", [])
                edge_scores.append(Score.pooled_r2(heldout @ weight, expected))
    return {name: Score.average(edge_scores) for name, edge_scores in scores.items()}


def _anchor_rows(
    x: np.ndarray, seed: int, settings: Settings
) -> Iterator[tuple[str, int, np.ndarray, np.ndarray]]:
    """Yield (method, number of anchors, rows of the anchors, unpaired rows of the target)."""
    for draw in range(settings.draws):
        order = PairFreeStream.ANCHORS.rng(seed, draw).permutation(len(x))
        smallest = np.abs(x[order[: settings.candidates]]).min(1)  # over axes; from the source alone
        for count in settings.anchors:
            for method in METHODS:
                rows = order[np.argsort(-smallest)[:count]] if method == "selected" else order[:count]
                yield method, count, rows, (rows + len(x) // 2) % len(x)


def unpaired_scores(agents: Sequence[TrainedAgent], seed: int, settings: Settings) -> dict[str, Score]:
    """Return R2 without anchors, by third moments and by point clouds of unpaired ticks.

    The null is the mean over random signs, and over random rotations.
    """
    scores: dict[str, list[Score]] = {}
    for edge, (source, target) in enumerate(ordered_pairs(agents)):
        rng = PairFreeStream.CLOUDS.rng(seed, edge)
        half = len(source.anchors.ids) // 2
        x = leading_axes(source.anchors, settings.axes)[:half]
        y = leading_axes(target.anchors, settings.axes)[half:]
        heldout, expected = (leading_axes(agent.heldout, settings.axes) for agent in (source, target))
        size = (settings.draws, settings.axes)
        maps = {
            "third moments, 0": [moment_signs(x, y)],
            "point clouds, 0": [match_clouds(x, y, rng, settings.restarts)],
            "third moments, 0, null": [np.diag(flips) for flips in rng.choice((-1.0, 1.0), size)],
            "point clouds, 0, null": [random_rotation(settings.axes, rng) for _ in range(settings.draws)],
        }
        for name, weights in maps.items():
            edge_scores = (Score.pooled_r2(heldout @ weight, expected) for weight in weights)
            scores.setdefault(name, []).extend(edge_scores)
    return {name: Score.average(edge_scores) for name, edge_scores in scores.items()}


def control_score(
    axes: int, seed: int, restarts: int, rows: int = 512, noise: float = 0.2, planted: int = 12
) -> Score:
    """Return R2 of matched point clouds that have a shape: two noisy rotations of a mixture of clusters."""
    rng = PairFreeStream.CONTROL.rng(seed)
    centers, rotations = (
        rng.standard_normal((planted, axes)),
        [procrustes(*rng.standard_normal((2, 64, axes))) for _ in "xy"],
    )
    samples = centers[rng.integers(planted, size=3 * rows)] + 0.3 * rng.standard_normal((3 * rows, axes))
    samples -= samples.mean(0)
    white = samples @ np.linalg.inv(np.linalg.cholesky(np.cov(samples.T)).T)
    x, y = (white @ rotation + noise * rng.standard_normal(white.shape) for rotation in rotations)
    weight = match_clouds(x[:rows], y[rows : 2 * rows], rng, restarts)
    return Score.pooled_r2(x[2 * rows :] @ weight, y[2 * rows :])
