import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from social_jepa.runtime.pace import Pace

GAPS = st.lists(st.floats(0, 2), min_size=1, max_size=300)


@given(gaps=GAPS)
def test_in_no_time_does_more_happen_than_the_rate_and_one_burst_allow(gaps):
    pace, now, happened = Pace(10.0, 0.5), 0.0, []
    for gap in gaps:
        now += gap
        happened.append(now + pace.take(now))

    assert happened == sorted(happened)
    for first, begun in enumerate(happened):
        for last in range(first, len(happened)):
            allowed = 1 + 10.0 * (happened[last] - begun + 0.5)
            assert last - first + 1 <= allowed + 1 + 1e-6


@pytest.mark.parametrize("per_second", [1.0, 200.0])
def test_what_happens_seldom_never_waits(per_second):
    pace = Pace(per_second)
    assert [pace.take(number / per_second) for number in range(500)] == [0.0] * 500


def test_what_comes_at_once_is_spaced_evenly_after_the_burst():
    pace = Pace(10.0, 1.0)
    waits = [pace.take(5.0) for _ in range(40)]

    assert waits[:10] == [0.0] * 10
    gaps = [later - earlier for earlier, later in itertools.pairwise(waits[10:])]
    assert gaps == pytest.approx([0.1] * 29)
