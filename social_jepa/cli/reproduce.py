"""The command `reproduce`: list the papers' claims with their verdicts, or measure one again."""

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from social_jepa.cli.completion import complete_claim
from social_jepa.cli.options import AsJson, CommandError, print_json
from social_jepa.cli.unused_options import refuse_unused

if TYPE_CHECKING:
    from social_jepa.experiments.claims.claim import Claim, Finding
    from social_jepa.experiments.claims.reproduce import Reproduction

app = typer.Typer(pretty_exceptions_enable=False)

OUTSIDE, NOT_JUDGED = 1, 3  # exit statuses; 2 is a usage error

Name = Annotated[
    str | None,
    typer.Argument(
        metavar="CLAIM",
        autocompletion=complete_claim,
        help="Name of the claim; without one, all are listed.",
        show_default=False,
    ),
]
Quick = Annotated[bool, typer.Option("--quick", help="A small run of one seed, whose figure does not count.")]
Evidence = Annotated[Path, typer.Option(help="Folder above those of the recorded experiments.")]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Number of tasks that run at a time; by default one for each CPU.")
]
Fresh = Annotated[bool, typer.Option("--fresh", help="Run tasks again that an earlier call finished.")]


@app.command()
def reproduce(
    name: Name = None,
    quick: Quick = False,
    evidence: Evidence = Path("evidence"),
    workers: Workers = None,
    fresh: Fresh = False,
    as_json: AsJson = False,
) -> None:
    """Measure a claim of a paper again, or continue that, and compare it with the recorded interval.

    The exit status is 0 if the figure lies in the interval, 1 if it does not or its verdict contradicts the
    recorded one, and 3 if nothing can be said: the run was quick, no interval is recorded, or the evidence
    was recorded with other settings.
    """
    from social_jepa.experiments.claims.papers import CLAIMS

    if name is None:
        measuring = {"--quick": quick, "--workers": workers, "--fresh": fresh}
        refuse_unused("without a CLAIM all are listed and none is measured", measuring)
        _list(evidence, as_json)
        return
    if name not in CLAIMS:
        raise ValueError(f"there is no claim {name!r}: choose one of {', '.join(CLAIMS)}")
    from rich.console import Console

    from social_jepa.experiments.claims.reproduce import reproduce as measure

    with contextlib.redirect_stdout(sys.stderr):  # stdout is for results
        found = measure(
            CLAIMS[name], Console(stderr=True), evidence, quick=quick, workers=workers, fresh=fresh
        )
    if as_json:
        print_json({"claim": name, **_describe(CLAIMS[name]), **_outcome(found)})
    else:
        _print(name, CLAIMS[name], found)
    if found.inside is not True:
        raise typer.Exit(NOT_JUDGED if found.inside is None else OUTSIDE)


def _list(evidence: Path, as_json: bool) -> None:
    from social_jepa.cli.tables import make_console
    from social_jepa.experiments.claims.papers import CLAIMS
    from social_jepa.experiments.claims.reproduce import recorded_finding, recorded_results
    from social_jepa.experiments.claims.table import print_claims

    documents = recorded_results(evidence)
    if not documents:
        problem = "has no recorded experiments" if evidence.is_dir() else "is no folder"
        raise CommandError(
            f"--evidence {evidence} {problem}: give this command in a checkout of the project, whose "
            "evidence/ has them, or name that folder"
        )
    found = {name: recorded_finding(claim, documents) for name, claim in CLAIMS.items()}
    if as_json:
        print_json({
            name: {**_describe(claim), "recorded": found[name].__dict__} for name, claim in CLAIMS.items()
        })  # fmt: skip
    else:
        print_claims(CLAIMS, found, make_console())


def _describe(claim: "Claim") -> dict[str, Any]:
    fields = "paper", "text", "figure", "source", "experiment", "metric"
    return {field: getattr(claim, field) for field in fields} | {"bound": claim.bounds}


def _outcome(found: "Reproduction") -> dict[str, Any]:
    return {
        "quick": found.quick, "recorded": found.recorded.__dict__, "here": found.here.__dict__,
        "inside": found.inside, "remark": found.remark,
    }  # fmt: skip


def _print(name: str, claim: "Claim", found: "Reproduction") -> None:
    from social_jepa.experiments.claims.table import format_finding
    from social_jepa.experiments.framework.table import format_number

    def line(label: str, text: str) -> None:
        typer.echo(f"{label:<10} {text}")

    def judged(finding: "Finding") -> str:
        return ": ".join(filter(None, (format_finding(finding), finding.verdict)))

    line(name, claim.text)
    line("paper", f"{claim.figure} ({claim.paper}, {claim.source})")
    line("bound", claim.bounds)
    line("recorded", judged(found.recorded))
    line("here", judged(found.here) if not found.quick else format_finding(found.here))
    if found.inside is not None and not found.remark:
        low, high = format_number(found.recorded.low), format_number(found.recorded.high)
        verb = "lies" if found.inside else "does not lie"
        line("so", f"{format_number(found.here.value)} {verb} in the recorded interval, {low} to {high}")
    if found.remark:
        line("note", found.remark)
