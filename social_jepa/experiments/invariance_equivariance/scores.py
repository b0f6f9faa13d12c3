"""Scores of class and rotation from frozen latents and aggregates, on objects that nothing was fitted on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from agents.models.seq_jepa import SeqJepa
from env.objects.dataset import ObjectViews
from env.objects.rotation import relative_quaternions
from social_jepa.experiments.common.probes import (
    apply_in_chunks,
    grouped_accuracy,
    grouped_r2,
    linear_classifier,
    linear_probe,
    mlp_probe,
)
from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.invariance_equivariance.data import (
    circular_windows,
    consecutive_rotations,
    ordered_view_pairs,
    shuffle_rows,
)
from social_jepa.experiments.invariance_equivariance.settings import TEST_LENGTHS, InvarianceStream
from social_jepa.experiments.invariance_equivariance.training import Model

Encode = Callable[[np.ndarray], np.ndarray]  # uint8 [n, H, W, 3] -> float64 [n, D]


@dataclass(frozen=True)
class ProbeData:
    """Objects that probes are fitted on, and others that they are scored on, of the same classes."""

    probe: ObjectViews
    scoring: ObjectViews


def frozen_encoder(model: Model) -> Encode:
    """Return the function from views to the latents of a model."""
    network = model.encode_views if isinstance(model, SeqJepa) else model.encode
    return lambda frames: apply_in_chunks(network, frames)


def pixel_pca(frames: np.ndarray, dim: int, max_frames: int = 1024) -> Encode:
    """Return the projection onto the leading principal components of pixels.

    Args:
        frames: uint8 [N, H, W, 3].
        dim: Number of components.
        max_frames: Number of frames, the first ones, that the components are computed from.
    """
    flat = frames[:max_frames].reshape(min(max_frames, len(frames)), -1).astype(np.float64)
    mean = flat.mean(0)
    _, rows = np.linalg.eigh((flat - mean) @ (flat - mean).T)  # [N, N]: fewer frames than pixels
    basis = (flat - mean).T @ rows[:, -dim:]
    basis /= np.maximum(np.linalg.norm(basis, axis=0), 1e-12)
    return lambda views: (views.reshape(len(views), -1) - mean) @ basis


def latent_scores(
    encode: Encode, data: ProbeData, seed: tuple[int, ...], steps: int, hidden: int
) -> dict[str, Score]:
    """Score the latents of single views: class, relative rotation and individual rotation.

    Args:
        encode: Frozen encoder.
        data: Objects of one split.
        seed: Seed of the initial weights, the batches and the shuffles of the probes.
        steps: Optimizer steps of an MLP probe.
        hidden: Units of its hidden layers.
    """
    probe, scoring = (_latents(encode, views.frames) for views in (data.probe, data.scoring))  # [N, M, D]
    labels, expected_labels = data.probe.classes, data.scoring.classes
    means = (probe.mean(1, keepdims=True), scoring.mean(1, keepdims=True))
    shuffled_labels = shuffle_rows(_shuffle_rng(seed), labels)
    scores = {
        "top-1, single latent": _top1(probe, scoring, labels, expected_labels),
        "top-1, mean latent": _top1(*means, labels, expected_labels),
        "top-1, shuffled": _top1(probe, scoring, shuffled_labels, expected_labels),
    }
    for name, (samples, seed_word) in ROTATIONS.items():
        x, y = samples(probe, data.probe.rotations)
        inputs, expected = samples(scoring, data.scoring.rotations)
        probe_seed = [*seed, InvarianceStream.MLP_PROBE, seed_word]
        probes = {
            "linear": linear_probe(x, y),
            "shuffled": linear_probe(x, shuffle_rows(_shuffle_rng(seed), y)),
            "MLP": mlp_probe(x, y, probe_seed, steps, hidden=hidden),
        }
        for kind, predict in probes.items():
            scores[f"{name}, {kind}"] = grouped_r2(predict(inputs), expected, len(scoring))
    return scores


def aggregate_scores(model: SeqJepa, data: ProbeData) -> dict[str, Score]:
    """Score the class from the aggregate of 1, 3 and 5 views, with a separate classifier for each length."""
    scores = {}
    for length in TEST_LENGTHS:
        probe, scoring = (_aggregates(model, views, length) for views in (data.probe, data.scoring))
        name = f"top-1, aggregate of {length}"
        scores[name] = _top1(probe, scoring, data.probe.classes, data.scoring.classes)
    return scores


def nearest_views(encode: Encode, views: ObjectViews, queries: int, nearest: int) -> np.ndarray:
    """Return views of objects and the nearest views of other objects, by cosine similarity of the latents.

    Args:
        encode: Frozen encoder.
        views: Objects; only the first view of each is used.
        queries: Number of queries, the first objects.
        nearest: Number of neighbors of each.

    Returns:
        uint8 [queries, 1 + nearest, H, W, 3], the query first.
    """
    latents = encode(views.frames[:, 0])
    latents = latents - latents.mean(0)
    latents /= np.maximum(np.linalg.norm(latents, axis=1, keepdims=True), 1e-12)
    similarity = latents[:queries] @ latents.T
    return views.frames[np.argsort(-similarity, axis=1, kind="stable")[:, : 1 + nearest], 0]


def prefix_names(prefix: str, scores: Mapping[str, Score]) -> dict[str, Score]:
    """Return scores with a prefix before each name."""
    return {prefix + name: score for name, score in scores.items()}


def _shuffle_rng(seed: tuple[int, ...]) -> np.random.Generator:
    return np.random.default_rng([*seed, InvarianceStream.SHUFFLED])


def _latents(encode: Encode, frames: np.ndarray) -> np.ndarray:
    """Return the latents of all views, [N, M, H, W, 3] -> [N, M, D]."""
    return encode(frames.reshape(-1, *frames.shape[2:])).reshape(*frames.shape[:2], -1)


def _aggregates(model: SeqJepa, views: ObjectViews, length: int) -> np.ndarray:
    """Return the aggregate of each circular window of each object's views, [N, M, D_agg]."""
    count, per_object = views.frames.shape[:2]
    aggregates = [
        apply_in_chunks(
            model.aggregate, views.frames[:, window], consecutive_rotations(views.rotations[:, window]),
            rows=256,
        )
        for window in circular_windows(per_object, length)
    ]  # fmt: skip
    return np.stack(aggregates, axis=1).reshape(count, per_object, -1)


def _top1(probe: np.ndarray, scoring: np.ndarray, labels: np.ndarray, expected: np.ndarray) -> Score:
    """Return the accuracy over objects, from latents [N, P, D] and [n, Q, D] and the objects' labels."""
    predict = linear_classifier(probe.reshape(-1, probe.shape[2]), np.repeat(labels, probe.shape[1]))
    predicted = predict(scoring.reshape(-1, scoring.shape[2]))
    return grouped_accuracy(predicted, np.repeat(expected, scoring.shape[1]), len(scoring))


def _view_pairs(latents: np.ndarray, rotations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return concatenated latents of two views, [N * P, 2 D], and the relative rotation, [N * P, 4]."""
    first, last = ordered_view_pairs(latents.shape[1]).T
    inputs = np.concatenate([latents[:, first], latents[:, last]], axis=2)
    targets = relative_quaternions(rotations[:, first], rotations[:, last])
    return inputs.reshape(-1, inputs.shape[2]), targets.reshape(-1, 4)


def _single_views(latents: np.ndarray, rotations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the latents of single views, [N * M, D], and their rotations, [N * M, 4]."""
    return latents.reshape(-1, latents.shape[2]), rotations.reshape(-1, 4)


# By score: the samples of its probes, and a word of the seed of its MLP probe.
ROTATIONS: Mapping[str, tuple[Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]], int]] = {
    "relative rotation": (_view_pairs, 8),
    "individual rotation": (_single_views, 10),
}
