"""A paper's claim, what an experiment measured of it, and the verdict that follows from both.

A verdict rests on the 95 % interval of Student's t over seeds alone, whatever interval the experiment shows:
a claim is reproduced where the whole interval meets the bound, not reproduced where none of it does or a
seed has no finite score, and otherwise open. A claim to exceed a baseline is open too where the baseline has
the greatest possible value, which nothing can exceed. A quick run gives no verdict.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from social_jepa.experiments.framework.document import ResultsDocument
from social_jepa.experiments.framework.score import Estimate
from social_jepa.experiments.framework.threshold import Threshold
from social_jepa.experiments.framework.verdict import estimate_of

ROUNDING = 1e-9  # relative; an interval of equal seeds has no width


class Verdict(StrEnum):
    """What a measurement says about a claim."""

    REPRODUCED = "reproduced"
    NOT_REPRODUCED = "not reproduced"
    OPEN = "open"
    NOT_MEASURED = "not measured"


STRENGTH = (Verdict.NOT_MEASURED, Verdict.NOT_REPRODUCED, Verdict.OPEN, Verdict.REPRODUCED)
VERDICTS = {True: Verdict.REPRODUCED, False: Verdict.NOT_REPRODUCED, None: Verdict.OPEN}


@dataclass(frozen=True)
class Requirement:
    """A further metric without which the metric of a claim would show nothing.

    Attributes:
        metric: Its name, as that of a claim.
        bound: Its bound.
    """

    metric: str
    bound: Threshold

    def __str__(self) -> str:
        """Return the metric and its bound, for example "own >= 0.8"."""
        return f"{self.metric} {self.bound}"


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
        also: Further metrics that have to meet their bounds, as the claim does.
        ceiling: Names of the metric of a baseline, now and in results of an earlier version, whose greatest
            possible value is 1; where it has that in every seed, the claim is not decided.
        ceiling_group: Group of that metric: others may have its name.
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
    also: tuple[Requirement, ...] = ()
    ceiling: tuple[str, ...] = ()
    ceiling_group: str = ""

    def metric_name(self, settings: Mapping[str, Any]) -> str:
        """Return the name of the metric in a run with these settings; "" if it has no such setting."""
        return _filled(self.metric, settings)

    def requirements(self, settings: Mapping[str, Any]) -> list[Requirement]:
        """Return the further metrics by their names in a run with these settings."""
        return [replace(one, metric=_filled(one.metric, settings)) for one in self.also]

    @property
    def bounds(self) -> str:
        """The bound and those of further metrics."""
        return "; ".join([str(self.bound), *map(str, self.also)])


def _filled(metric: str, settings: Mapping[str, Any]) -> str:
    try:
        return metric.format_map(settings)
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
        geometric: Whether value and interval are those of the logarithm.
    """

    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    seeds: int = 0
    verdict: Verdict = Verdict.NOT_MEASURED
    geometric: bool = False

    def contains(self, value: float) -> bool | None:
        """Return whether a value lies in the interval, up to rounding; None without an interval."""
        if not self.low <= self.high:  # NaN
            return None
        margin = ROUNDING * max(abs(self.low), abs(self.high))
        return self.low - margin <= value <= self.high + margin


def judge(bound: Threshold, estimate: Estimate) -> Finding:
    """Return the finding of an estimate; of several seeds, one without a finite score reproduces nothing."""
    if not estimate.seeds:
        return Finding()
    verdict = VERDICTS[bound.decide(estimate)]
    return Finding(estimate.value, *estimate.interval, len(estimate.seeds), verdict, estimate.geometric)


def with_requirements(found: Finding, others: Iterable[Finding]) -> Finding:
    """Return the finding with the least favorable verdict of it and of the further metrics."""
    verdicts = [found.verdict, *(other.verdict for other in others)]
    return replace(found, verdict=min(verdicts, key=STRENGTH.index))


def find(claim: Claim, document: ResultsDocument | None) -> Finding:
    """Return the finding of a results document; without a verdict if it is quick or lacks the metric."""
    if document is None or document.quick:
        return Finding()
    names = {claim.metric_name(document.settings), claim.recorded_metric} - {""}
    others = [_find_row(document, {one.metric}, one.bound) for one in claim.requirements(document.settings)]
    found = with_requirements(_find_row(document, names, claim.bound), others)
    decided = found.verdict is not Verdict.NOT_MEASURED
    return replace(found, verdict=Verdict.OPEN) if decided and _is_at_ceiling(claim, document) else found


def _is_at_ceiling(claim: Claim, document: ResultsDocument) -> bool:
    group = claim.ceiling_group
    rows = [row for row in document.metrics if row.name in claim.ceiling and row.group == group]
    return bool(rows) and all(seed == 1 for row in rows for seed in estimate_of(row).seeds)


def _find_row(document: ResultsDocument, names: set[str], bound: Threshold) -> Finding:
    rows = [row for row in document.metrics if row.name in names]
    found = {estimate_of(row) for row in rows}  # a row may stand in two groups
    return judge(bound, found.pop()) if len(found) == 1 else Finding()
