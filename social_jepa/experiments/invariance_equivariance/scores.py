"""What frozen codes and aggregates tell of class and rotation, on objects that nothing was fitted on."""

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
from social_jepa.experiments.invariance_equivariance.data import moves, ordered_pairs, shuffled, starts
from social_jepa.experiments.invariance_equivariance.training import Model

PROBING, SHUFFLING = 21, 22  # words
TEST_LENGTHS = (1, 3, 5)  # views that an aggregate gathers

Encode = Callable[[np.ndarray], np.ndarray]  # uint8 [n, H, W, 3] -> float64 [n, D]


@dataclass(frozen=True)
class Sets:
    """Objects that probes learn from, and others that they are scored on; both of the same classes."""

    probe: ObjectViews
    scoring: ObjectViews


def encoder_of(model: Model) -> Encode:
    """Return what maps views to a model's codes."""
    network = model.codes if isinstance(model, SeqJepa) else model.encode
    return lambda frames: apply_in_chunks(network, frames)


def pixel_pca(frames: np.ndarray, dim: int, most: int = 1024) -> Encode:
    """Return the projection on the first principal components of pixels.

    Args:
        frames: uint8 [N, H, W, 3].
        dim: Components.
        most: The components come from the first ones of the frames, this many.
    """
    flat = frames[:most].reshape(min(most, len(frames)), -1).astype(np.float64)
    mean = flat.mean(0)
    _, rows = np.linalg.eigh((flat - mean) @ (flat - mean).T)  # fewer frames than pixels: the smaller side
    basis = (flat - mean).T @ rows[:, -dim:]
    basis /= np.maximum(np.linalg.norm(basis, axis=0), 1e-12)
    return lambda seen: (seen.reshape(len(seen), -1) - mean) @ basis


def code_scores(encode: Encode, sets: Sets, words: tuple[int, ...], steps: int, hidden: int
                ) -> dict[str, Score]:  # fmt: skip
    """Score the codes of single views: class, relative rotation and individual rotation.

    Args:
        encode: Frozen.
        sets: Of one split.
        words: The probes' first weights and batches follow from them.
        steps: Of a perceptron.
        hidden: Its units.
    """
    probe, scoring = (_codes(encode, views.frames) for views in (sets.probe, sets.scoring))  # [N, M, D]
    labels = (sets.probe.classes, sets.scoring.classes)
    single = _top1(probe, scoring, *labels)
    scores = {
        "top-1, one code": single,
        "top-1, mean code": _top1(probe.mean(1, keepdims=True), scoring.mean(1, keepdims=True), *labels),
        "top-1, shuffled": _top1(
            probe, scoring, shuffled(np.random.default_rng([*words, SHUFFLING]), labels[0]), labels[1]
        ),
    }
    for name, reader in (("relative", _pairs), ("individual", _singles)):
        x, y = reader(probe, sets.probe.rotations)
        seen, true = reader(scoring, sets.scoring.rotations)
        groups = len(scoring)
        wrong = shuffled(np.random.default_rng([*words, SHUFFLING]), y)
        fitted = {
            "linear": linear_probe(x, y),
            "shuffled": linear_probe(x, wrong),
            "perceptron": mlp_probe(x, y, [*words, PROBING, len(name)], steps, hidden=hidden),
        }
        scores |= {f"{name}, {kind}": grouped_r2(fit(seen), true, groups) for kind, fit in fitted.items()}
    return scores


def aggregate_scores(model: SeqJepa, sets: Sets) -> dict[str, Score]:
    """Score the class by what 1, 3 and 5 views give together; each length has a classifier of its own."""
    scores = {}
    for length in TEST_LENGTHS:
        probe, scoring = (_aggregates(model, views, length) for views in (sets.probe, sets.scoring))
        name = f"top-1, aggregate of {length}"
        scores[name] = _top1(probe, scoring, sets.probe.classes, sets.scoring.classes)
    return scores


def neighbours(encode: Encode, views: ObjectViews, queries: int, nearest: int) -> np.ndarray:
    """Return views and those of other objects whose codes are most like theirs (cosine).

    Args:
        encode: Frozen.
        views: Objects; the first view of each takes part.
        queries: How many objects are asked for, the first ones.
        nearest: How many are shown of each.

    Returns:
        uint8 [queries, 1 + nearest, H, W, 3], the query first.
    """
    codes = encode(views.frames[:, 0])
    codes = codes - codes.mean(0)
    codes /= np.maximum(np.linalg.norm(codes, axis=1, keepdims=True), 1e-12)
    alike = codes[:queries] @ codes.T
    return views.frames[np.argsort(-alike, axis=1, kind="stable")[:, : 1 + nearest], 0]


def prefixed(prefix: str, scores: Mapping[str, Score]) -> dict[str, Score]:
    """Return scores under names that begin with a word of their own."""
    return {prefix + name: score for name, score in scores.items()}


def _codes(encode: Encode, frames: np.ndarray) -> np.ndarray:
    """[N, M, H, W, 3] -> [N, M, D]."""
    return encode(frames.reshape(-1, *frames.shape[2:])).reshape(*frames.shape[:2], -1)


def _aggregates(model: SeqJepa, views: ObjectViews, length: int) -> np.ndarray:
    """Return what each start of each object gathers, [N, M, D_agg]."""
    count, held = views.frames.shape[:2]
    gathered = [
        apply_in_chunks(model.aggregate, views.frames[:, row], moves(views.rotations[:, row]), rows=256)
        for row in starts(held, length)
    ]
    return np.stack(gathered, axis=1).reshape(count, held, -1)


def _top1(probe: np.ndarray, scoring: np.ndarray, learnt: np.ndarray, true: np.ndarray) -> Score:
    """[N, P, D], [n, Q, D] and the labels of their objects -> accuracy over objects."""
    labels = np.repeat(learnt, probe.shape[1])
    predict = linear_classifier(probe.reshape(-1, probe.shape[2]), labels)
    predicted = predict(scoring.reshape(-1, scoring.shape[2]))
    return grouped_accuracy(predicted, np.repeat(true, scoring.shape[1]), len(scoring))


def _pairs(codes: np.ndarray, rotations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return two codes side by side, [N * P, 2 D], and the rotation between them, [N * P, 4]."""
    first, last = ordered_pairs(codes.shape[1]).T
    inputs = np.concatenate([codes[:, first], codes[:, last]], axis=2)
    turns = relative_quaternions(rotations[:, first], rotations[:, last])
    return inputs.reshape(-1, inputs.shape[2]), turns.reshape(-1, 4)


def _singles(codes: np.ndarray, rotations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return codes.reshape(-1, codes.shape[2]), rotations.reshape(-1, 4)
