"""A paper's claim, what an experiment measured of it, and the verdict that follows from both.

A verdict rests on the 95 % interval of Student's t over seeds alone, whatever interval the experiment shows:
a claim is reproduced where the whole interval meets the bound, not reproduced where none of it does or a
seed has no finite score, and otherwise open. A quick run gives no verdict.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from social_jepa.experiments.framework.document import ResultsDocument
from social_jepa.experiments.framework.score import t_interval
from social_jepa.experiments.framework.threshold import Threshold

ROUNDING = 1e-9  # relative; an interval of equal seeds has no width


class Verdict(StrEnum):
    """What a measurement says about a claim."""

    REPRODUCED = "reproduced"
    NOT_REPRODUCED = "not reproduced"
    OPEN = "open"
    NOT_MEASURED = "not measured"


VERDICTS = {True: Verdict.REPRODUCED, False: Verdict.NOT_REPRODUCED, None: Verdict.OPEN}


@dataclass(frozen=True)
class Claim:
    """One claim of a paper.

    Attributes:
        paper: The paper, a key of `papers.PAPERS`.
        text: The claim, in the paper's terms.
        figure: The paper's figure; "none given" where it states the claim without one.
        source: Where the figure comes from: the part of the paper, and whether it was read off a plot or
            from a summary.
        experiment: Name of the experiment that measures ours, as accepted by `registry.load`; "" where none
            does yet.
        metric: Name of its metric; {key} stands for a setting of the experiment.
        bound: Bound of the metric, set before the full run, that the claim stands or falls with.
        conditions: Conditions of the experiment that the metric needs; none stands for all.
        recorded_metric: Name of the metric in results that an earlier version recorded, where it differs;
            to be removed when they are recorded again.
    """

    paper: str
    text: str
    figure: str
    source: str
    experiment: str
    metric: str
    bound: Threshold
    conditions: tuple[str, ...] = ()
    recorded_metric: str = ""

    def metric_name(self, settings: Mapping[str, Any]) -> str:
        """Return the name of the metric in a run with these settings; "" if it has no such setting."""
        try:
            return self.metric.format_map(settings)
        except KeyError:
            return ""


@dataclass(frozen=True)
class Finding:
    """What was measured of a claim.

    Attributes:
        value: Mean over seeds; NaN where nothing was measured.
        low: Lower end of the 95 % interval of Student's t over seeds; NaN with fewer than two.
        high: Upper end.
        seeds: Number of seeds.
        verdict: What it says about the claim.
    """

    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    seeds: int = 0
    verdict: Verdict = Verdict.NOT_MEASURED

    def contains(self, value: float) -> bool | None:
        """Return whether a value lies in the interval, up to rounding; None without an interval."""
        if not self.low <= self.high:  # NaN
            return None
        margin = ROUNDING * max(abs(self.low), abs(self.high))
        return self.low - margin <= value <= self.high + margin


def judge(bound: Threshold, by_seed: Sequence[float | None]) -> Finding:
    """Return the finding of the scores of some seeds; None or NaN stands for a score that is not finite.

    Of several seeds, one with such a score reproduces nothing.
    """
    values = [math.nan if value is None else value for value in by_seed]
    if not values:
        return Finding()
    low, high = t_interval(values)
    return Finding(sum(values) / len(values), low, high, len(values), VERDICTS[bound.decide(values)])


def find(claim: Claim, document: ResultsDocument | None) -> Finding:
    """Return the finding of a results document; without a verdict if it is quick or lacks the metric."""
    if document is None or document.quick:
        return Finding()
    names = {claim.metric_name(document.settings), claim.recorded_metric} - {""}
    found = {row.by_seed for row in document.metrics if row.name in names}  # a row may stand in two groups
    return judge(claim.bound, found.pop()) if len(found) == 1 else Finding()
