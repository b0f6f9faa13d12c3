import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from alignment.anchors import AnchorSet, choose_spread, choose_ticks, digest_ids, shared

POOLS = st.lists(st.integers(0, 10**6), min_size=1, max_size=60, unique=True)


def anchors(ids, core_dim=2, scale=1.0):
    rows = scale * torch.tensor(ids, dtype=torch.float64)[:, None] * torch.ones(3)
    return AnchorSet(tuple(ids), rows, core_dim)


def test_shared_rows_are_of_the_same_ticks_in_one_order():
    a, b = shared(anchors([30, 10, 20, 5]), anchors([20, 7, 30, 10], scale=2.0))

    assert a[:, 0].tolist() == [10, 20, 30]
    torch.testing.assert_close(b, 2 * a)


def test_sets_without_a_common_tick_share_zero_rows():
    a, b = shared(anchors([1, 2]), anchors([3]))

    assert a.shape == b.shape == (0, 3)


def test_the_core_is_the_leading_columns():
    rows = torch.arange(6.0).reshape(2, 3)

    torch.testing.assert_close(AnchorSet((4, 9), rows, 2).core(), rows[:, :2])


@pytest.mark.parametrize(
    ("ids", "rows", "core_dim", "message"),
    [
        ((1, 2), torch.zeros(3, 4), 1, "one row per tick"),
        ((1,), torch.zeros(4), 1, "one row per tick"),
        ((1, 1), torch.zeros(2, 4), 1, "listed twice"),
        ((1, 2), torch.zeros(2, 4), 5, "core_dim must lie between"),
        ((1, 2), torch.full((2, 4), torch.nan), 1, "not finite"),
    ],
)
def test_a_set_that_contradicts_itself_is_refused(ids, rows, core_dim, message):
    with pytest.raises(ValueError, match=message):
        AnchorSet(ids, rows, core_dim)


@given(POOLS, st.integers(0, 2**64), st.data())
@settings(max_examples=50)
def test_chosen_ticks_depend_on_pool_and_seed_alone_and_larger_choices_contain_smaller(pool, seed, data):
    few, many = sorted(data.draw(st.tuples(st.integers(0, len(pool)), st.integers(0, len(pool)))))

    chosen = choose_ticks(pool, few, seed)

    assert len(chosen) == few
    assert list(chosen) == sorted(set(chosen) & set(pool))
    assert chosen == choose_ticks(pool[::-1] + pool, few, seed)
    assert set(chosen) <= set(choose_ticks(pool, many, seed))


def test_chosen_ticks_never_change_between_versions():
    """Peers that run another version of this code must choose the same ticks."""
    assert choose_ticks(range(1000), 4, seed=7) == (53, 759, 789, 923)


def test_chosen_ticks_are_uniform_over_the_pool():
    drawn = {tick for seed in range(60) for tick in choose_ticks(range(20), 5, seed)}

    assert drawn == set(range(20))


def test_more_anchors_than_ticks_is_refused():
    with pytest.raises(ValueError, match="more anchors than ticks: 4 of 3 requested"):
        choose_ticks([5, 6, 7, 7], 4, seed=0)


@given(POOLS)
@settings(max_examples=50)
def test_a_digest_names_the_model_the_ticks_and_their_order(ids):
    digest = digest_ids(ids, "c0de")

    assert len(digest) == 16
    assert digest != digest_ids(ids, "c0de2")
    assert digest != digest_ids([*ids, max(ids) + 1], "c0de")
    assert len(ids) < 2 or digest != digest_ids(ids[::-1], "c0de")


def white_rows(count, dim, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((count, dim)))


@pytest.mark.parametrize("count", [0, 1, 5, 40, 64])
def test_a_spread_choice_holds_distinct_rows_and_begins_with_those_of_a_smaller_one(count):
    rows = white_rows(128, 6)
    chosen = choose_spread(rows, count)

    assert len(set(chosen)) == len(chosen) == count
    assert choose_spread(rows, 64)[:count] == chosen


def test_a_spread_choice_determines_every_direction_better_than_a_random_one():
    rows, generator = white_rows(512, 6), torch.Generator().manual_seed(0)

    def error(chosen):
        return float(torch.linalg.inv(rows[chosen].T @ rows[chosen]).trace())

    random = [error(torch.randperm(512, generator=generator)[:8].tolist()) for _ in range(50)]
    assert error(choose_spread(rows, 8)) < min(random)


def test_a_spread_choice_leaves_out_extreme_rows_and_turns_with_the_space():
    rows = white_rows(200, 4)
    rows[17] *= 100
    turned = rows @ torch.linalg.qr(white_rows(4, 4, 1)).Q

    assert 17 not in choose_spread(rows, 100)
    assert choose_spread(rows, 12) == choose_spread(turned, 12)


def test_a_spread_choice_of_equal_or_constant_rows_still_holds_distinct_rows():
    for rows in (torch.ones(10, 3), torch.zeros(10, 3), white_rows(2, 3).repeat(5, 1)):
        assert sorted(choose_spread(rows, 10)) == list(range(10))


@pytest.mark.parametrize("count", [-1, 11])
def test_a_spread_choice_of_more_rows_than_there_are_is_refused(count):
    with pytest.raises(ValueError, match="cannot choose"):
        choose_spread(white_rows(10, 3), count)
