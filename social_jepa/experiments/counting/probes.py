"""Scores of latents of counted frames: clusters, pairs of counts, probes, effective rank and spread."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import torch
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import pdist, squareform

from alignment.core import effective_rank
from social_jepa.experiments.framework.score import Score

SHRINKAGE = 1e-3  # added to the covariance within classes, relative to its mean eigenvalue
NEIGHBORS = 20  # the density at a latent is estimated from the distance to this neighbor
MIN_GAP = 1.5  # distance of two clusters, relative to the median step inside both
SEPARABLE_ACCURACY = 0.99  # on held-out frames, from which a pair of counts is separable
NOISE_SHARE = 0.01  # standard deviation of the noise, and the floor, relative to the untrained spread

# (rows [n, D], their labels int64 [n], rows [m, D]) -> labels of the latter, int64 [m]
Classifier: TypeAlias = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def discriminant(train: np.ndarray, labels: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Return the label of each row of test by linear discriminant analysis (Fisher 1936), int64 [m].

    Classes share one covariance and are equally likely. No step depends on the scale of the latents.

    Args:
        train: [n, D].
        labels: int64 [n].
        test: [m, D].
    """
    classes, index = np.unique(labels, return_inverse=True)
    means = np.stack([train[index == k].mean(0) for k in range(len(classes))])
    within = train - means[index]
    covariance = within.T @ within / len(train)
    scale = max(np.trace(covariance), np.square(means - means.mean(0)).sum() * 1e-9, 1e-300) / len(covariance)
    weight = np.linalg.solve(covariance / scale + SHRINKAGE * np.eye(len(covariance)), means.T / scale)
    bias = -0.5 * np.einsum("kd,dk->k", means, weight)
    return classes[np.argmax(test @ weight + bias, axis=1)]


def regression(train: np.ndarray, target: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Return the prediction for test of least squares with a ridge of 1e-6 of the variance, [m]."""
    center, scale = train.mean(0), max(float(train.std()), 1e-300)
    x, y = (train - center) / scale, target - target.mean()
    weight = np.linalg.solve(x.T @ x + 1e-6 * len(x) * np.eye(x.shape[1]), x.T @ y)
    return (test - center) / scale @ weight + target.mean()


def pairwise_correct(
    train: np.ndarray, train_counts: np.ndarray, test: np.ndarray, test_counts: np.ndarray,
    classify: Classifier = discriminant,
) -> np.ndarray:  # fmt: skip
    """Return whether each frame of test is distinguished from each other count, float64 [m, C].

    Column k holds, for a frame of count c, whether the classifier of the pair (c, k) predicts c; the column
    of the frame's own count is NaN.
    """
    counts = np.unique(train_counts)
    correct = np.full((len(test), len(counts)), np.nan)
    for i, first in enumerate(counts):
        for j, second in enumerate(counts[:i]):
            fitted = np.isin(train_counts, (first, second))
            rows = np.flatnonzero(np.isin(test_counts, (first, second)))
            predicted = classify(train[fitted], train_counts[fitted], test[rows])
            correct[rows, np.where(test_counts[rows] == first, j, i)] = predicted == test_counts[rows]
    return correct


def pair_accuracy(correct: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the accuracy of each pair of counts, symmetric float64 [C, C] with a diagonal of NaN."""
    one_way = np.stack([correct[counts == count].mean(0) for count in np.unique(counts)])
    return (one_way + one_way.T) / 2  # equally many frames of each count


def separable_pairs(pairs: np.ndarray) -> Score:
    """Return the number of pairs of counts with an accuracy of at least `SEPARABLE_ACCURACY`.

    Args:
        pairs: [P], the accuracies of `pair_accuracies`.
    """
    return Score.single((pairs >= SEPARABLE_ACCURACY).sum())


def pair_accuracies(correct: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the accuracy of each pair of counts once, float64 [C (C - 1) / 2]; see `pair_accuracy`."""
    pairs = pair_accuracy(correct, counts)
    return pairs[np.triu_indices(len(pairs), 1)]


def clusters(latents: np.ndarray, min_size: int) -> np.ndarray:
    """Return the cluster of each latent, -1 for none, int64 [n].

    The tree of single linkage over mutual reachability (the larger of a distance and of both ends' distances
    to their twentieth neighbors, as in HDBSCAN, Campello et al. 2013) is cut from its root: a branch is split
    if both parts have ``min_size`` latents and the step between them is MIN_GAP times the median step inside
    each; a part with fewer latents is dropped as noise. Neither the number of clusters nor a scale is given.

    Args:
        latents: [n, D].
        min_size: Smallest number of latents of a cluster.
    """
    distance = squareform(pdist(latents))
    near = min(NEIGHBORS, len(latents) - 1)
    core = np.partition(distance, near, axis=1)[:, near]
    reach = np.maximum(distance, np.maximum(core[:, None], core[None, :]))
    np.fill_diagonal(reach, 0)
    tree = linkage(squareform(reach, checks=False), "single")
    members = [[k] for k in range(len(latents))]
    steps: list[list[float]] = [[] for _ in latents]
    for left, right, height, _ in tree:
        members.append(members[int(left)] + members[int(right)])
        steps.append([*steps[int(left)], *steps[int(right)], height])
    labels, found = np.full(len(latents), -1), 0
    waiting = [(len(members) - 1, len(members) - 1)]  # (root of a branch, the node it has shrunk to)
    while waiting:
        root, node = waiting.pop()
        ends = [int(end) for end in tree[node - len(latents), :2]] if node >= len(latents) else []
        large = [end for end in ends if len(members[end]) >= min_size]
        inside = max((float(np.median(steps[end])) for end in large), default=0.0)
        if len(large) == 1:
            waiting.append((root, large[0]))
        elif len(large) == 2 and tree[node - len(latents), 2] > MIN_GAP * inside:
            waiting += [(end, end) for end in large]
        else:
            labels[members[root]] = found
            found += 1
    return labels


def in_own_cluster(labels: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return whether each frame is in a cluster whose most frequent count is its count, bool [n]."""
    correct = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels[labels >= 0]):
        inside = labels == label
        correct |= inside & (counts == np.bincount(counts[inside]).argmax())
    return correct


def effective_rank_above(latents: np.ndarray, floor: float) -> float:
    """Return the effective rank over the directions with at least a floor of variance; 0 without any."""
    variance = np.square(np.linalg.svd(latents - latents.mean(0), compute_uv=False)) / len(latents)
    share = variance[variance >= floor]
    if not len(share):
        return 0.0
    share = share / share.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


def probe_scores(
    probe: tuple[np.ndarray, np.ndarray], held_out: tuple[np.ndarray, np.ndarray], untrained: float,
    rng: np.random.Generator,
) -> tuple[dict[str, Score], dict[str, np.ndarray]]:  # fmt: skip
    """Return scores and arrays of latents, from frames with equally many of each count.

    Args:
        probe: Latents [n, D] and counts [n] that classifiers are fitted on.
        held_out: Latents [m, D] and counts [m] that everything is scored on.
        untrained: Variance of the untrained encoder's latents, summed over dimensions.
        rng: Shuffles labels and draws noise.
    """
    (train, train_counts), (test, test_counts) = probe, held_out
    noise = NOISE_SHARE * np.sqrt(untrained / train.shape[1])
    noisy = [latents + noise * rng.normal(size=latents.shape) for latents in (train, test)]
    shuffled_counts = rng.permutation(train_counts)
    scores = _classifier_scores(train, train_counts, test, test_counts)
    null = _classifier_scores(train, shuffled_counts, test, test_counts)
    with_noise = _classifier_scores(noisy[0], train_counts, noisy[1], test_counts)
    names = ("accuracy", "mean pair accuracy", "separable pairs")
    scores |= {f"{name}, shuffled": null[name] for name in ("accuracy", "R2", *names[1:])}
    scores |= {f"{name}, with noise": with_noise[name] for name in names}
    labels = clusters(test, len(test) // (2 * len(np.unique(test_counts))))
    variance = float(test.var(0).sum())
    scores |= {
        "clusters": Score.single(labels.max() + 1),
        "cluster accuracy": Score.mean(in_own_cluster(labels, test_counts)),
        "effective rank": Score.single(effective_rank(torch.from_numpy(test))),
        "effective rank above the floor": Score.single(
            effective_rank_above(test, NOISE_SHARE**2 * untrained)
        ),
        "relative spread": Score.single(np.sqrt(variance / max(untrained, 1e-300))),
        "variance share": Score.single(variance / max(float(np.square(test).sum(1).mean()), 1e-300)),
    }
    correct = pairwise_correct(train, train_counts, test, test_counts)
    return scores, {
        "pair accuracy": pair_accuracy(correct, test_counts), "plane": _principal_plane(test),
        "counts": test_counts, "clusters": labels,
    }  # fmt: skip


def _classifier_scores(
    train: np.ndarray, train_counts: np.ndarray, test: np.ndarray, test_counts: np.ndarray
) -> dict[str, Score]:
    correct = pairwise_correct(train, train_counts, test, test_counts)
    pairs = pair_accuracies(correct, test_counts)
    return {
        "accuracy": Score.mean(discriminant(train, train_counts, test) == test_counts),
        "R2": Score.r2(regression(train, train_counts.astype(np.float64), test), test_counts),
        "mean pair accuracy": Score.mean(np.nanmean(correct, axis=1)),
        "minimum pair accuracy": Score.single(pairs.min()),
        "separable pairs": separable_pairs(pairs),
    }


def _principal_plane(latents: np.ndarray) -> np.ndarray:
    """Return latents in their two principal directions, float32 [n, 2]."""
    centered = latents - latents.mean(0)
    axes = np.linalg.svd(centered, full_matrices=False)[2][:2]
    return (centered @ axes.T).astype(np.float32)
