"""Data behind plots, kept in the results document."""

import json
import math

import numpy as np
import pytest

from social_jepa.experiments.framework.experiment import ConditionResult, Experiment, Results
from social_jepa.experiments.framework.plot_data import PlotData, record
from social_jepa.experiments.framework.score import Score

RNG = np.random.default_rng(0)
FRAMES = RNG.integers(256, size=(2, 3, 8, 8, 3), dtype=np.uint8)
ARRAYS = {
    "floats": RNG.standard_normal((50, 3)) * 1e-20, "columns": np.asfortranarray(RNG.random((4, 5))),
    "integers": np.arange(-3, 3), "booleans": np.array([[True], [False]]), "words": np.array(["a", "bcd"]),
    "scalar": np.array(2.5), "empty": np.zeros((2, 0, 3)),
    "not finite": np.array([np.nan, np.inf, -np.inf, 1]),
    "frames": FRAMES, "mask": FRAMES[..., 0],
}  # fmt: skip


def stored(read, results):
    """Return the plot data of plots that read results by a function, after a round trip through JSON."""
    experiment = Experiment("x", "?", dict, {}, None, None, None, lambda results, settings: read(results))
    text = json.dumps(record(experiment, results, None), allow_nan=False)
    return PlotData(json.loads(text), results.conditions, results.seeds)


def make_results(*scores, seeds=(4, 2)):
    def result(seed):
        rng = np.random.default_rng(seed)
        values = {"a": Score.mean(rng.random(200)), "b": Score.mean(rng.random(200))}
        return ConditionResult(
            values | {"nan": Score.single(math.nan), "inf": Score.single(math.inf), "one": Score.single(1.0)},
            ARRAYS,
        )

    return Results({("first", seed): result(seed) for seed in seeds}, seeds)


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_keep_shape_and_values(name):
    results = make_results()

    data = stored(lambda results: results.array("first", name, 2), results)

    found, expected = data.array("first", name, 2), ARRAYS[name]
    assert found.shape == expected.shape
    if expected.dtype.kind == "f":
        np.testing.assert_allclose(found, expected, rtol=2**-11, atol=0)
    else:
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


def test_estimates_and_their_differences_keep_values_and_intervals():
    results = make_results()
    a, b = (results.estimate("first", name) for name in "ab")

    data = stored(lambda results: [results.estimate("first", name) for name in "ab"], results)

    kept_a, kept_b = (data.estimate("first", name) for name in "ab")
    for found, expected in ((kept_a, a), (kept_b, b), (kept_a - kept_b, a - b)):
        assert found == expected
        assert found.interval == expected.interval
    assert data.mean("first", "a") == a.value == results.mean("first", "a")


def test_an_estimate_without_interval_or_value_is_kept():
    results = make_results(seeds=(7,))

    data = stored(
        lambda results: [results.estimate("first", name) for name in ("one", "nan", "inf")], results
    )

    assert all(math.isnan(end) for end in data.estimate("first", "one").interval)
    assert all(math.isnan(data.estimate("first", name).value) for name in ("nan", "inf"))


def test_only_what_plots_read_is_kept():
    def read(results):
        assert results.conditions == ["first"]
        assert results.has_score("first", "a")
        assert results.has_array("first", "mask")
        assert not results.has_score("first", "c")
        assert not results.has_array("first", "c")

    data = stored(read, make_results())

    assert data.conditions == ["first"]
    assert data.seeds == (4, 2)
    assert data.has_score("first", "a")
    assert data.has_array("first", "mask")
    assert not data.has_score("first", "b")
    assert not data.has_array("first", "frames")
    with pytest.raises(KeyError):
        data.estimate("first", "b")


def test_a_derived_array_is_kept_in_place_of_what_it_was_computed_from():
    results = make_results()

    def read(results):
        return results.derived("sum", lambda: results.array("first", "mask").sum((2, 3)))

    data = stored(read, results)

    assert np.array_equal(read(data), read(results))
    assert not data.has_array("first", "mask")


def test_plot_data_is_small():
    frames = np.repeat(np.arange(64, dtype=np.uint8), 64 * 64 * 3).reshape(64, 64, 64, 3)
    results = Results(
        {
            ("c", 0): ConditionResult(
                {"m": Score.mean(RNG.random(5000))}, {"f": frames, "x": RNG.random(1000)}
            )
        },
        [0],
    )

    def size(read):
        document = stored_document(read, results)
        return len(json.dumps(document))

    assert size(lambda results: results.estimate("c", "m")) < 120
    assert size(lambda results: results.array("c", "f")) < 10_000
    assert size(lambda results: results.array("c", "x")) < 4200


def stored_document(read, results):
    experiment = Experiment("x", "?", dict, {}, None, None, None, lambda results, settings: read(results))
    return record(experiment, results, None)
