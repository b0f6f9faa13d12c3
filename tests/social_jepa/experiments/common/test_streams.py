from enum import unique

import numpy as np
import pytest

from social_jepa.experiments.common.streams import Stream
from social_jepa.experiments.framework.registry import EXPERIMENTS, load


class ExampleStream(Stream):
    WEIGHTS = 11
    ORDER = 12


def test_a_stream_seeds_like_its_number():
    expected = np.random.default_rng([7, 12]).random(3), np.random.default_rng([7, 12, 5]).random(3)

    assert np.array_equal(ExampleStream.ORDER.rng(7).random(3), expected[0])
    assert np.array_equal(ExampleStream.ORDER.rng(7, 5).random(3), expected[1])
    assert np.array_equal(np.random.default_rng([7, ExampleStream.ORDER]).random(3), expected[0])


def test_each_experiment_has_at_most_one_enumeration_of_streams_and_its_numbers_are_unique():
    for name in EXPERIMENTS:
        load(name)
    found = [streams for streams in Stream.__subclasses__() if streams.__module__.startswith("social_jepa.")]
    packages = [streams.__module__.rsplit(".", 1)[0] for streams in found]

    assert len(set(packages)) == len(packages)
    for streams in found:
        unique(streams)


def test_two_streams_with_one_number_are_detected():
    class Twice(Stream):
        FIRST = 1
        SECOND = 1

    with pytest.raises(ValueError, match="SECOND"):
        unique(Twice)
