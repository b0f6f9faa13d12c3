"""The count read from the amount of ink alone, the number of pixels that a frame's shapes cover.

The baseline of a model that counts. A square covers 49 pixels, a circle 37, a triangle 25 and a line 7: the
amounts of different counts overlap, so that a monotone function of the amount counts badly. Exact amounts
coincide only once, however, one square and seven lines, and a table of them counts almost perfectly.
"""

import numpy as np

from env.gym.counting import BACKGROUND
from social_jepa.experiments.counting.probes import (
    Classifier,
    discriminant,
    pair_accuracies,
    pairwise_correct,
    separable_pairs,
)
from social_jepa.experiments.framework.score import Score


def ink_amounts(frames: np.ndarray) -> np.ndarray:
    """Return the number of pixels that are not background, uint8 [N, H, W, 3] -> float64 [N, 1]."""
    drawn = (frames != np.array(BACKGROUND, dtype=np.uint8)).any(-1)
    return drawn.sum((1, 2)).astype(np.float64)[:, None]


def most_frequent_label(train: np.ndarray, labels: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Return the most frequent label of each amount of test, int64 [m]; of ties, the smallest.

    No function of the amount is right more often on the frames that it is fitted on. An amount that none of
    them has is given the label of the nearest one.

    Args:
        train: [n, 1], amounts of ink.
        labels: int64 [n].
        test: [m, 1].
    """
    amounts, index = np.unique(train[:, 0], return_inverse=True)
    classes, label_index = np.unique(labels, return_inverse=True)
    table = np.zeros((len(amounts), len(classes)))
    np.add.at(table, (index, label_index), 1)
    nearest = np.abs(test - amounts).argmin(1)
    return classes[table.argmax(1)[nearest]]


def ink_scores(
    probe: tuple[np.ndarray, np.ndarray], held_out: tuple[np.ndarray, np.ndarray]
) -> dict[str, Score]:
    """Return the accuracy and the separable pairs of the table and of a linear discriminant of the ink.

    Args:
        probe: Frames uint8 [n, H, W, 3] and counts int64 [n] that both are fitted on.
        held_out: Frames uint8 [m, H, W, 3] and counts int64 [m] that both are scored on.
    """
    (train, train_counts), (test, test_counts) = ((ink_amounts(f), counts) for f, counts in (probe, held_out))
    scores = {}
    classifiers: dict[str, Classifier] = {"table": most_frequent_label, "linear": discriminant}
    for name, classify in classifiers.items():
        correct = pairwise_correct(train, train_counts, test, test_counts, classify)
        scores[f"ink, {name}: accuracy"] = Score.mean(classify(train, train_counts, test) == test_counts)
        scores[f"ink, {name}: separable pairs"] = separable_pairs(pair_accuracies(correct, test_counts))
    return scores
