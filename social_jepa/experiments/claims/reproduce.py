"""Reproduction of a claim: its conditions run again, and the figure beside the recorded interval."""

from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from social_jepa.experiments.claims.claim import Claim, Finding, find, judge
from social_jepa.experiments.framework.artifacts import find_documents
from social_jepa.experiments.framework.document import ResultsDocument
from social_jepa.experiments.framework.registry import load
from social_jepa.experiments.framework.runner import ExperimentError, run_conditions
from social_jepa.experiments.framework.runs import plan_run
from social_jepa.experiments.framework.tasks import plain_settings

REPRODUCED = Path("runs/reproduced")
QUICK_REPRODUCED = Path("runs/quick-reproduced")


@dataclass(frozen=True)
class Reproduction:
    """A claim measured again on this machine.

    Attributes:
        recorded: What the recorded evidence says.
        here: What this machine measured.
        quick: Whether it was a quick run, whose figures do not count.
        inside: Whether the figure lies in the recorded interval; None in a quick run, and where no interval
            is recorded.
        remark: Why the two cannot be compared, or differ in more than the machine; "" if they do not.
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
    metrics = run_conditions(run, claim.conditions, console, workers, fresh)
    name = claim.metric_name(plain_settings(run.settings))
    found = {metric.estimate.seeds for metric in metrics if metric.name == name}
    if len(found) != 1:
        raise ExperimentError(f"{claim.experiment} has no metric {name!r}")
    here = judge(claim.bound, found.pop())
    document = recorded_results(evidence).get(run.experiment.name)
    recorded = find(claim, document)
    inside = None if quick else recorded.contains(here.value)
    return Reproduction(recorded, here, quick, inside, _remark(quick, recorded, document, run.settings))


def recorded_results(evidence: Path) -> dict[str, ResultsDocument]:
    """Return the results documents below a folder by the name of their experiment."""
    return {document.name: document for document in find_documents(evidence)}


def recorded_finding(claim: Claim, documents: dict[str, ResultsDocument]) -> Finding:
    """Return the finding of recorded results, given by the name of their experiment."""
    return find(claim, documents.get(load(claim.experiment).name) if claim.experiment else None)


def _remark(quick: bool, recorded: Finding, document: ResultsDocument | None, settings: object) -> str:
    if quick:
        return "a quick run: its figure does not count"
    if not recorded.low <= recorded.high:
        return "no interval is recorded to compare with"
    if document is not None and document.settings != plain_settings(settings):
        return "the evidence was recorded with other settings, by an earlier version"
    return ""
