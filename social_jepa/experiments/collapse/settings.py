"""Settings of the experiment collapse, its conditions and its random streams."""

from dataclasses import dataclass

import numpy as np

from social_jepa.experiments.common.streams import Stream

SEARCHES = SEARCH, SEARCH_NO_HEAD = ("search", "search-without-head")
CONDITIONS = ("joint", "collapsed-start", "dynamics-only", "collapsed-dynamics", "detached", *SEARCHES)
WITHOUT_HEAD = ("dynamics-only", "collapsed-dynamics", SEARCH_NO_HEAD)  # conditions


class CollapseStream(Stream):
    """Random streams of the experiment."""

    PROCESSES = 1
    OBSERVATIONS = 2
    WEIGHTS = 3
    TRAINING = 4
    SEARCH_PAIRS = 5


@dataclass(frozen=True)
class Settings:
    """Settings of a run; the defaults are the full run."""

    random_processes: int = 16  # in addition to twelve structured ones
    dim: int = 8  # of a latent
    hidden: int = 64  # units of E, T and P
    steps: int = 4000
    learning_rate: float = 2e-2
    head_weight: float = 5.0  # c_p
    threshold: float = 1e-6  # of the worst squared errors
    search_pairs: int = 2  # of each process, each searched in its own model
    attraction: float = 1e-2  # weight of the search's attraction between the two latents of a pair

    @property
    def tolerance(self) -> float:
        """The distance below which two latents count as merged."""
        return 2 * float(np.sqrt(self.threshold))


QUICK = {"steps": 1000, "search_pairs": 1}
