"""What codes of counted frames tell: clusters, pairs of counts, probes, and how much the codes still vary."""

import numpy as np
import torch
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import pdist, squareform

from alignment.core import effective_rank
from social_jepa.experiments.framework.score import Score

SHRINKAGE = 1e-3  # added to the covariance within classes, relative to its mean eigenvalue
NEIGHBOURS = 20  # a code's density is read off the distance to its twentieth neighbour
GAP = 1.5  # a split is real where it is so many times wider than the typical step inside both halves
SEPARABLE = 0.99  # accuracy on unseen frames from which a pair of counts counts as told apart
RESOLUTION = 0.01  # of the untrained spread: what is smaller counts as nothing in the floored figures


def discriminant(train: np.ndarray, labels: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Return the label of each row of test by linear discriminant analysis (Fisher 1936), int64 [m].

    Classes share one covariance and are equally likely. No step depends on the scale of the codes.

    Args:
        train: [n, D].
        labels: int64 [n].
        test: [m, D].
    """
    names, index = np.unique(labels, return_inverse=True)
    means = np.stack([train[index == k].mean(0) for k in range(len(names))])
    within = train - means[index]
    covariance = within.T @ within / len(train)
    size = max(np.trace(covariance), np.square(means - means.mean(0)).sum() * 1e-9, 1e-300) / len(covariance)
    weight = np.linalg.solve(covariance / size + SHRINKAGE * np.eye(len(covariance)), means.T / size)
    bias = -0.5 * np.einsum("kd,dk->k", means, weight)
    return names[np.argmax(test @ weight + bias, axis=1)]


def regression(train: np.ndarray, target: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Return what least squares with a ridge of 1e-6 of the variance predicts for test, [m]."""
    centre, size = train.mean(0), max(float(train.std()), 1e-300)
    x, y = (train - centre) / size, target - target.mean()
    weight = np.linalg.solve(x.T @ x + 1e-6 * len(x) * np.eye(x.shape[1]), x.T @ y)
    return (test - centre) / size @ weight + target.mean()


def pair_hits(
    train: np.ndarray, train_counts: np.ndarray, test: np.ndarray, test_counts: np.ndarray
) -> np.ndarray:
    """Return how often each frame of test is told from each other count, float64 [m, C].

    Column k holds, for a frame of count c, whether the discriminant of the pair (c, k) names c; a frame's own
    column is NaN.
    """
    names = np.unique(train_counts)
    hits = np.full((len(test), len(names)), np.nan)
    for i, first in enumerate(names):
        for j, second in enumerate(names[:i]):
            known = np.isin(train_counts, (first, second))
            asked = np.flatnonzero(np.isin(test_counts, (first, second)))
            right = discriminant(train[known], train_counts[known], test[asked]) == test_counts[asked]
            hits[asked, np.where(test_counts[asked] == first, j, i)] = right
    return hits


def pair_matrix(hits: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the accuracy of each pair, symmetric float64 [C, C] with a diagonal of NaN."""
    names = np.unique(counts)
    one_way = np.stack([hits[counts == name].mean(0) for name in names])  # equally many frames of each count
    return (one_way + one_way.T) / 2


def clusters(codes: np.ndarray, smallest: int) -> np.ndarray:
    """Return which cluster each code belongs to, -1 for none, int64 [n].

    The tree of single linkage over mutual reachability (the larger of a distance and of both ends' distances
    to their twentieth neighbours, as in HDBSCAN, Campello et al. 2013) is cut from its root: a split is real
    where both halves hold ``smallest`` codes and the step between them is GAP times the median step
    inside each; a half with fewer codes is dropped as scattered. Neither the number of clusters nor a scale
    is given.

    Args:
        codes: [n, D].
        smallest: Codes that make a cluster.
    """
    distance = squareform(pdist(codes))
    near = min(NEIGHBOURS, len(codes) - 1)
    core = np.partition(distance, near, axis=1)[:, near]
    reach = np.maximum(distance, np.maximum(core[:, None], core[None, :]))
    np.fill_diagonal(reach, 0)
    tree = linkage(squareform(reach, checks=False), "single")
    members = [[k] for k in range(len(codes))]
    steps: list[list[float]] = [[] for _ in codes]
    for left, right, height, _ in tree:
        members.append(members[int(left)] + members[int(right)])
        steps.append([*steps[int(left)], *steps[int(right)], height])
    labels, found = np.full(len(codes), -1), 0
    waiting = [(len(members) - 1, len(members) - 1)]  # a branch at its birth, and what is left of it
    while waiting:
        birth, node = waiting.pop()
        ends = [int(end) for end in tree[node - len(codes), :2]] if node >= len(codes) else []
        large = [end for end in ends if len(members[end]) >= smallest]
        inside = max((float(np.median(steps[end])) for end in large), default=0.0)
        if len(large) == 1:
            waiting.append((birth, large[0]))
        elif len(large) == 2 and tree[node - len(codes), 2] > GAP * inside:
            waiting += [(end, end) for end in large]
        else:
            labels[members[birth]] = found
            found += 1
    return labels


def own_cluster(labels: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return whether each frame lies in a cluster most of which has its count, bool [n]."""
    right = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels[labels >= 0]):
        inside = labels == label
        right |= inside & (counts == np.bincount(counts[inside]).argmax())
    return right


def floored_rank(codes: np.ndarray, floor: float) -> float:
    """Return the effective rank over the directions whose variance reaches a floor; 0 where none does."""
    variance = np.square(np.linalg.svd(codes - codes.mean(0), compute_uv=False)) / len(codes)
    share = variance[variance >= floor]
    if not len(share):
        return 0.0
    share = share / share.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


def scores(
    probe: tuple[np.ndarray, np.ndarray], held_out: tuple[np.ndarray, np.ndarray], untrained: float,
    rng: np.random.Generator,
) -> tuple[dict[str, Score], dict[str, np.ndarray]]:  # fmt: skip
    """Return measures and arrays of codes, each given with its counts, equally many frames of each count.

    Args:
        probe: Codes [n, D] and counts [n] that classifiers are fitted to.
        held_out: Codes [m, D] and counts [m] that everything is scored on.
        untrained: Variance of the untrained encoder's codes, summed over dimensions: the floor's unit.
        rng: Shuffles labels and draws the floor's noise.
    """
    (train, train_counts), (test, test_counts) = probe, held_out
    noise = RESOLUTION * np.sqrt(untrained / train.shape[1])
    rough = [codes + noise * rng.normal(size=codes.shape) for codes in (train, test)]
    mixed = rng.permutation(train_counts)
    measures = _probes(train, train_counts, test, test_counts)
    null = _probes(train, mixed, test, test_counts)
    floored = _probes(rough[0], train_counts, rough[1], test_counts)
    measures |= {f"{name}, shuffled": null[name] for name in ("accuracy", "r2", "pair mean", "pairs")}
    measures |= {f"{name}, floored": floored[name] for name in ("accuracy", "pair mean", "pairs")}
    labels = clusters(test, len(test) // (2 * len(np.unique(test_counts))))
    variance = float(test.var(0).sum())
    measures |= {
        "clusters": Score.single(labels.max() + 1),
        "own cluster": Score.mean(own_cluster(labels, test_counts)),
        "rank": Score.single(effective_rank(torch.from_numpy(test))),
        "rank, floored": Score.single(floored_rank(test, RESOLUTION**2 * untrained)),
        "spread": Score.single(np.sqrt(variance / max(untrained, 1e-300))),
        "varying share": Score.single(variance / max(float(np.square(test).sum(1).mean()), 1e-300)),
    }
    hits = pair_hits(train, train_counts, test, test_counts)
    return measures, {
        "pairs": pair_matrix(hits, test_counts), "codes": _plane(test), "counts": test_counts,
        "clusters": labels,
    }  # fmt: skip


def _probes(
    train: np.ndarray, train_counts: np.ndarray, test: np.ndarray, test_counts: np.ndarray
) -> dict[str, Score]:
    hits = pair_hits(train, train_counts, test, test_counts)
    pairs = pair_matrix(hits, test_counts)
    upper = pairs[np.triu_indices(len(pairs), 1)]
    return {
        "accuracy": Score.mean(discriminant(train, train_counts, test) == test_counts),
        "r2": Score.r2(regression(train, train_counts.astype(np.float64), test), test_counts),
        "pair mean": Score.mean(np.nanmean(hits, axis=1)),
        "pair minimum": Score.single(upper.min()),
        "pairs": Score.single((upper >= SEPARABLE).sum()),
    }


def _plane(codes: np.ndarray) -> np.ndarray:
    """Return codes in their two principal directions, float32 [n, 2]."""
    centred = codes - codes.mean(0)
    axes = np.linalg.svd(centred, full_matrices=False)[2][:2]
    return (centred @ axes.T).astype(np.float32)
