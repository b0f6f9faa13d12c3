"""Numbers of the random streams of an experiment."""

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """Base class of the enumeration of an experiment's random streams.

    A generator seeded with ``[seed, stream]`` is independent of all generators with another stream. Each
    experiment subclasses this once; a test checks that its numbers are unique. Members are integers and can
    stand wherever words of a seed are expected. Use it as follows:

        class CountingStream(Stream):
            WEIGHTS = 1
            TRAINING = 3

        rng = CountingStream.TRAINING.rng(seed)            # np.random.default_rng([seed, 3])
        rng = CountingStream.TRAINING.rng(seed, index)     # np.random.default_rng([seed, 3, index])
        model = seeded([seed, CountingStream.WEIGHTS], make_model)
    """

    def rng(self, seed: int, *words: int) -> np.random.Generator:
        """Return the generator of this stream for a seed and further words of the seed."""
        return np.random.default_rng([seed, self, *words])
