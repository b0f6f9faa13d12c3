"""Reproduction of a claim: its conditions run again, and the figure beside the recorded interval."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from social_jepa.experiments.claims.claim import Claim, Finding, Verdict, find, judge, with_requirements
from social_jepa.experiments.framework.artifacts import find_documents
from social_jepa.experiments.framework.document import ResultsDocument
from social_jepa.experiments.framework.experiment import Metric
from social_jepa.experiments.framework.registry import load
from social_jepa.experiments.framework.runner import ExperimentError, run_conditions
from social_jepa.experiments.framework.runs import plan_run
from social_jepa.experiments.framework.tasks import plain_settings
from social_jepa.experiments.framework.threshold import Threshold

REPRODUCED = Path("runs/reproduced")
QUICK_REPRODUCED = Path("runs/quick-reproduced")


@dataclass(frozen=True)
class Reproduction:
    """A claim measured again on this machine.

    Attributes:
        recorded: What the recorded evidence says.
        here: What this machine measured.
        quick: Whether it was a quick run, whose figures do not count.
        inside: Whether the figure lies in the recorded interval, and no verdict contradicts the other; None
            in a quick run, where no interval is recorded, and where settings differ.
        remark: Why the two cannot be compared, or contradict each other; "" if they do not.
    """

    recorded: Finding
    here: Finding
    quick: bool
    inside: bool | None
    remark: str


def reproduce(
    claim: Claim, console: Console, evidence: Path, *, quick: bool = False, workers: int | None = None,
    fresh: bool = False,
) -> Reproduction:  # fmt: skip
    """Run the conditions that a claim needs, or continue them, and compare the figure with the evidence.

    Tasks that an earlier version of the source code finished run again.

    Args:
        claim: The claim.
        console: Console of stderr, for progress.
        evidence: Folder above those of recorded experiments.
        quick: Run the quick settings with one seed.
        workers: Number of tasks that run at a time; by default one for each CPU.
        fresh: Delete the results of earlier tasks of these conditions first.

    Raises:
        ExperimentError: A task failed, or the experiment has no such metric.
        ValueError: No experiment measures the claim.
    """
    if not claim.experiment:
        raise ValueError(f"no experiment measures this claim yet: {claim.text}")
    run = plan_run(claim.experiment, quick=quick, out=QUICK_REPRODUCED if quick else REPRODUCED)
    metrics = run_conditions(run, claim.conditions, console, workers, fresh, of_these_sources=True)
    here = _measured(claim, metrics, plain_settings(run.settings))
    document = recorded_results(evidence).get(run.experiment.name)
    recorded = find(claim, document)
    remark = _obstacle(quick, recorded, document, plain_settings(run.settings))
    inside = None if remark else recorded.contains(here.value)
    if inside and {recorded.verdict, here.verdict} == {Verdict.REPRODUCED, Verdict.NOT_REPRODUCED}:
        inside, remark = False, "the figure lies in the interval, but the verdicts contradict each other"
    return Reproduction(recorded, here, quick, inside, remark)


def _measured(claim: Claim, metrics: Sequence[Metric], settings: Mapping[str, Any]) -> Finding:
    def found(name: str, bound: Threshold) -> Finding:
        estimates = {metric.estimate for metric in metrics if metric.name == name}
        if len(estimates) != 1:
            raise ExperimentError(f"{claim.experiment} has no metric {name!r}")
        return judge(bound, estimates.pop())

    others = [found(one.metric, one.bound) for one in claim.requirements(settings)]
    return with_requirements(found(claim.metric_name(settings), claim.bound), others)


def recorded_results(evidence: Path) -> dict[str, ResultsDocument]:
    """Return the results documents below a folder by the name of their experiment."""
    return {document.name: document for document in find_documents(evidence)}


def recorded_finding(claim: Claim, documents: dict[str, ResultsDocument]) -> Finding:
    """Return the finding of recorded results, given by the name of their experiment."""
    return find(claim, documents.get(load(claim.experiment).name) if claim.experiment else None)


def _obstacle(
    quick: bool, recorded: Finding, document: ResultsDocument | None, settings: Mapping[str, Any]
) -> str:
    """Return why a figure cannot be compared with the evidence; "" if it can."""
    if quick:
        return "a quick run: its figure does not count"
    if not recorded.low <= recorded.high:
        return "no interval is recorded to compare with"
    if changed := changed_settings(document.settings, settings) if document else []:
        return f"the evidence was recorded with other settings, by an earlier version: {', '.join(changed)}"
    return ""


def changed_settings(recorded: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Return the names of the settings that both have with other values; what one of them lacks is none."""
    names = []
    for key in recorded.keys() & now.keys():
        one, other = recorded[key], now[key]
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            names += changed_settings(one, other, f"{prefix}{key}.")
        elif one != other:
            names.append(f"{prefix}{key}")
    return sorted(names)
