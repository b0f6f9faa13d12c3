"""What the scores of seeds say about thresholds, for a run of now and for one that was recorded earlier.

A threshold is *met* where the whole 95 % interval of Student's t over seeds meets it, *missed* where none of
it does, and otherwise *open*. It is also missed where one of several seeds has no finite score, as where it
never reaches a goal; with one seed alone every threshold is open. An equality is met where every seed has it,
and otherwise missed. The interval follows from a row's scores by seed, never from the interval that is
recorded beside them: an earlier version may have computed that in another way.

A *self-test* is a metric that an identity or a theorem determines. It cannot fail unless the code is wrong,
so that it is no threshold: it is listed apart, is never counted, and holds if every seed meets its bound.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from social_jepa.experiments.framework.document import MetricRow, ResultsDocument
from social_jepa.experiments.framework.score import Estimate
from social_jepa.experiments.framework.threshold import Threshold

NOT_REPRODUCED = "Not reproduced"
EARLIER_VERDICTS = ("Missed: ", "Open: ")  # notes that earlier versions recorded


@dataclass(frozen=True)
class Tally:
    """Numbers of thresholds by verdict; self-tests are not among them."""

    met: int
    missed: int
    open: int

    @property
    def thresholds(self) -> int:
        """Number of all thresholds."""
        return self.met + self.missed + self.open

    def __str__(self) -> str:
        """Return it as words, for example "2 of 4 thresholds met, 1 open"."""
        if not self.thresholds:
            return "no thresholds"
        rest = f", {self.open} open" if self.open else ""
        return f"{self.met} of {self.thresholds} thresholds met{rest}"


def interval(row: MetricRow) -> tuple[float, float]:
    """Return the 95 % interval of a row, of Student's t over its seeds or of its rate; NaN without one."""
    return estimate_of(row).interval


def estimate_of(row: MetricRow) -> Estimate:
    """Return the estimate of a row; a score that is not finite is NaN."""
    seeds = tuple(math.nan if value is None else value for value in row.by_seed)
    return Estimate(seeds, row.geometric, row.trials)


def verdict(row: MetricRow) -> bool | None:
    """Return whether the threshold of a row is met; None if it is open, or the row has none."""
    if row.threshold is None or row.self_test:
        return None
    return Threshold.parse(row.threshold).decide(estimate_of(row))


def failures(row: MetricRow) -> int:
    """Return the number of seeds in which a self-test fails.

    Raises:
        ValueError: The row is not a self-test.
    """
    if row.threshold is None or not row.self_test:
        raise ValueError(f"{row.name} is not a self-test")
    bound = Threshold.parse(row.threshold)
    return sum(not bound.met(value) for value in estimate_of(row).seeds)


def holds(row: MetricRow) -> bool:
    """Return whether a self-test holds in every seed.

    Raises:
        ValueError: The row is not a self-test.
    """
    return not failures(row)


def with_threshold(rows: Iterable[MetricRow]) -> list[MetricRow]:
    """Return the rows that have thresholds and are no self-tests."""
    return [row for row in rows if row.threshold is not None and not row.self_test]


def self_tests(rows: Iterable[MetricRow]) -> list[MetricRow]:
    """Return the rows that are self-tests."""
    return [row for row in rows if row.self_test]


def tally(document: ResultsDocument) -> Tally:
    """Return the numbers of thresholds of a results document by verdict."""
    found = [verdict(row) for row in with_threshold(document.metrics)]
    return Tally(found.count(True), found.count(False), found.count(None))


def missed(document: ResultsDocument) -> list[MetricRow]:
    """Return the rows whose thresholds are missed; none of a quick run, whose results do not count."""
    rows = [] if document.quick else with_threshold(document.metrics)
    return [row for row in rows if verdict(row) is False]


def headline(document: ResultsDocument, title: str) -> str:
    """Return the heading of a page: a title, preceded by "Not reproduced" if a threshold is missed."""
    return f"{NOT_REPRODUCED}: {title}" if missed(document) else title


def own_notes(document: ResultsDocument) -> Sequence[str]:
    """Return the notes of a document without the verdicts that an earlier version reached by another rule."""
    return [note for note in document.notes if not note.startswith(EARLIER_VERDICTS)]
