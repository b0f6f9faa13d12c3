"""The claims as tables: on a terminal and in Markdown."""

import math
from collections.abc import Mapping

from rich.console import Console
from rich.markup import escape

from social_jepa.experiments.claims.claim import Claim, Finding, Verdict
from social_jepa.experiments.framework.table import escape_markdown, format_number

COLORS = {Verdict.REPRODUCED: "green", Verdict.NOT_REPRODUCED: "red"}


def format_finding(finding: Finding) -> str:
    """Return the mean, its interval and the number of seeds; "" where nothing was measured."""
    if finding.verdict is Verdict.NOT_MEASURED:
        return ""
    kind = ", geometric" if finding.geometric else ""
    interval = "" if math.isnan(finding.low) else (
        f" ({format_number(finding.low)} to {format_number(finding.high)}{kind})"
    )  # fmt: skip
    value = format_number(None if math.isnan(finding.value) else finding.value)
    return f"{value}{interval}, {finding.seeds} seed{'s' * (finding.seeds > 1)}"


def print_claims(claims: Mapping[str, Claim], findings: Mapping[str, Finding], console: Console) -> None:
    """Print for each claim what the recorded evidence says, what the paper says, and the claim."""
    width = max(map(len, claims))
    for name, claim in claims.items():
        verdict = findings[name].verdict
        color = COLORS.get(verdict)
        shown = f"[{color}]{verdict:<14}[/]" if color else f"{verdict:<14}"
        ours = format_finding(findings[name]) or "–"
        facts = f"{ours}; bound {claim.bounds}; {claim.paper}: {claim.figure}"
        console.print(f"{name:<{width}}  {shown}  {escape(facts)}", soft_wrap=True)
        console.print(f"{'':<{width}}  [dim]{escape(claim.text)}[/]", soft_wrap=True)


def markdown_claims(
    claims: Mapping[str, Claim], findings: Mapping[str, Finding], papers: Mapping[str, str], evidence: str
) -> list[str]:
    """Return the lines of a Markdown table of claims.

    Args:
        claims: Claim of each name.
        findings: Finding of the recorded evidence for each.
        papers: Address of each paper.
        evidence: Address of the folder above the experiments' pages.
    """
    lines = [
        "| paper | claim | its figure | ours, 95 % t interval | bound | verdict | evidence |",
        "|---|---|---|---|---|---|---|",
    ]
    last = ""
    for name, claim in claims.items():
        found = findings[name]
        measured = found.verdict is not Verdict.NOT_MEASURED
        paper = f"[{claim.paper}]({papers[claim.paper]})" if claim.paper != last else ""
        link = claim.experiment
        if measured:
            link = f"[{claim.experiment}]({evidence}/{claim.experiment}/README.md)"
        verdict = f"**{found.verdict}**" if found.verdict is Verdict.NOT_REPRODUCED else found.verdict
        cells = (
            paper, f"{escape_markdown(claim.text)}: `{name}`",
            f"{escape_markdown(claim.figure)}, {escape_markdown(claim.source)}", format_finding(found),
            escape_markdown(claim.bounds), verdict, link,
        )  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
        last = claim.paper
    return lines
