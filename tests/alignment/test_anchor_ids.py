import pytest

from alignment.anchor_ids import choose_ids, to_ids
from alignment.anchors import choose_ticks
from alignment.arrays import AlignmentError


def test_ids_are_chosen_by_the_hash_that_chooses_ticks():
    assert sorted(choose_ids(range(1000), 4, seed=7)) == list(choose_ticks(range(1000), 4, seed=7))


def test_a_larger_choice_begins_with_the_smaller_one_whatever_the_order():
    names = [f"item {number}" for number in range(50)]

    assert choose_ids(names[::-1], 30, seed=2)[:10] == choose_ids(names, 10, seed=2)
    assert choose_ids(names, 10, seed=2) != choose_ids(names, 10, seed=3)


def test_bytes_become_hexadecimal_digits():
    assert to_ids([b"\x00\xff", "x"], "t") == ("00ff", "x")


@pytest.mark.parametrize("ids", [[1, 1], ["a", "a"], [1, "a"], [None], [True], [0.5]])
def test_what_names_no_rows_is_refused(ids):
    with pytest.raises(AlignmentError):
        to_ids(ids, "t")
