import numpy as np
import pytest

from env.gym.counting import SHAPES, STAMPS, draw_many
from social_jepa.experiments.counting.ink import ink_amounts, ink_scores, most_frequent_label

COUNTS = np.repeat(np.arange(9), 40)


def drawn(seed, shapes):
    rng = np.random.default_rng(seed)
    return draw_many(COUNTS, [shapes[k] for k in rng.integers(len(shapes), size=len(COUNTS))], rng), COUNTS


def scores_of(shapes):
    return {name: score.score for name, score in ink_scores(drawn(0, shapes), drawn(1, shapes)).items()}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_ink_is_the_count_times_the_area_of_a_shape(shape):
    assert (ink_amounts(drawn(0, [shape])[0])[:, 0] == COUNTS * STAMPS[shape].sum()).all()


def test_the_ink_of_one_kind_of_shape_tells_every_count():
    assert scores_of(["square"]) == {
        "ink, table: accuracy": 1, "ink, table: separable pairs": 36,
        "ink, linear: accuracy": 1, "ink, linear: separable pairs": 36,
    }  # fmt: skip


def test_the_ink_of_four_kinds_tells_few_counts_linearly_and_all_but_one_pair_exactly():
    """One square and seven lines alone cover equally many pixels."""
    scores = scores_of(SHAPES)
    amounts = [count * stamp.sum() for stamp in STAMPS.values() for count in range(1, 9)]

    assert len(amounts) - len(set(amounts)) == 1
    assert scores["ink, linear: accuracy"] < 0.45
    assert scores["ink, linear: separable pairs"] < 5
    assert scores["ink, table: accuracy"] > 0.9
    assert scores["ink, table: separable pairs"] == 35


def test_a_table_returns_the_most_frequent_label_of_the_nearest_amount():
    train, labels = np.array([[1.0], [1], [1], [5], [5]]), np.array([2, 3, 3, 7, 2])

    found = most_frequent_label(train, labels, np.array([[1.0], [5], [2], [100]]))
    assert found.tolist() == [3, 2, 3, 2]
