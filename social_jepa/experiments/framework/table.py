"""Metrics of a results document as tables: on a terminal and in Markdown."""

import re
from collections.abc import Iterable
from itertools import groupby

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from social_jepa.experiments.framework.document import MetricRow, ResultsDocument

COLUMNS = ("metric", "value", "95 % interval", "null", "baseline", "threshold", "met")
MET = {True: "yes", False: "no", None: "open"}
Group = tuple[str, list[MetricRow]]  # name, and the metrics in it


def format_number(value: float | None) -> str:
    """Return a number with about three digits, integers in full, and a dash for a missing value."""
    if value is None:
        return "–"
    if float(value).is_integer() and abs(value) < 1e5:
        return f"{int(value):,}"
    if 1e-3 <= abs(value) < 1e5:
        digits = 0 if abs(value) >= 1000 else 1 if abs(value) >= 10 else 3
        return f"{value:,.{digits}f}"
    return f"{value:.2e}"


def format_interval(metric: MetricRow) -> str:
    """Return a metric's interval, or "" without one."""
    if metric.low is None or metric.high is None:
        return ""
    return f"{format_number(metric.low)} to {format_number(metric.high)}"


def format_met(metric: MetricRow) -> str:
    """Return whether a metric meets its threshold: yes, no, or open; "" without a threshold."""
    return "" if metric.threshold is None else MET[metric.met]


def format_cells(metric: MetricRow) -> tuple[str, ...]:
    """Return a metric's cells, in the order of COLUMNS."""
    null, baseline = (
        "" if value is None else format_number(value) for value in (metric.null, metric.baseline)
    )
    return (
        metric.name, format_number(metric.value), format_interval(metric), null, baseline,
        metric.threshold or "", format_met(metric),
    )  # fmt: skip


def group_metrics(metrics: Iterable[MetricRow]) -> list[Group]:
    """Return metrics by group; groups and metrics keep the order of their first occurrence."""
    metrics = list(metrics)
    order = {name: index for index, name in reversed(list(enumerate(metric.group for metric in metrics)))}
    ordered = sorted(metrics, key=lambda metric: order[metric.group])
    return [(name, list(found)) for name, found in groupby(ordered, key=lambda metric: metric.group)]


def split_groups(metrics: Iterable[MetricRow]) -> tuple[list[Group], list[Group]]:
    """Return the groups with thresholds, shown above the plots, and the others, shown below them.

    Without any threshold, all groups are in the first list.
    """
    groups = group_metrics(metrics)
    first = [group for group in groups if any(metric.threshold is not None for metric in group[1])]
    return (first, [group for group in groups if group not in first]) if first else (groups, [])


def count_met(document: ResultsDocument) -> tuple[int, int]:
    """Return the number of thresholds of a results document that are met, and of all."""
    met = [metric.met is True for metric in document.metrics if metric.threshold is not None]
    return sum(met), len(met)


def print_results(document: ResultsDocument, console: Console) -> None:
    """Print metrics and notes."""
    met, thresholds = count_met(document)
    title = f"{document.name}: {met} of {thresholds} thresholds met, {_seeds(document)}"
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for index, heading in enumerate(COLUMNS):
        table.add_column(heading, justify="right" if index else "left", no_wrap=index > 0)
    for index, (name, metrics) in enumerate(group_metrics(document.metrics)):
        if name:
            table.add_row(f"[dim]{escape(name)}[/]")
        elif index:
            table.add_row()
        for metric in metrics:
            row = [escape(cell) for cell in format_cells(metric)]
            if metric.met is not None:
                row[-1] = f"[{'green' if metric.met else 'red'}]{row[-1]}[/]"
            table.add_row(*row)
    console.print(table)
    for note in document.notes:
        console.print(f"- {escape(note)}", soft_wrap=True)


def markdown_row(cells: Iterable[str]) -> str:
    """Return a row of a Markdown table."""
    return f"| {' | '.join(escape_markdown(cell) for cell in cells)} |"


def escape_markdown(text: str) -> str:
    """Return text in one line that Markdown shows literally."""
    return re.sub(r"([\\`*_<>|\[\]#])", r"\\\1", " ".join(text.split()))


def result_row(cells: Iterable[str]) -> str:
    """Return a row of a Markdown table; a last cell "no" is bold."""
    text = markdown_row(cells)
    return text.removesuffix("| no |") + "| **no** |" if text.endswith("| no |") else text


def markdown_page(document: ResultsDocument) -> str:
    """Return the README.md of a results document."""
    met, thresholds = count_met(document)
    kind = "quick run" if document.quick else "run"
    lines = [f"# {escape_markdown(document.name)}", "", escape_markdown(document.question), ""]
    lines += [f"{met} of {thresholds} thresholds met; {kind} of {_seeds(document)}. Generated by:", ""]
    lines += ["```sh", document.command, "```", ""]
    first, others = split_groups(document.metrics)
    lines += _markdown_tables(first)
    for plot in document.plots:
        lines += [f"![{plot}]({plot}.png)", ""]
    lines += _markdown_tables(others)
    for note in document.notes:
        lines.append(f"- {escape_markdown(note)}")
    lines += [""] if document.notes else []
    lines += ["Protocol, settings, versions and costs are in `results.json`; add `--page FILE.html` to the"]
    lines += ["command to read them as a page.", ""]
    return "\n".join(lines)


def _markdown_tables(groups: Iterable[Group]) -> list[str]:
    lines = []
    for name, metrics in groups:
        lines += [f"## {escape_markdown(name)}", ""] if name else []
        lines += [markdown_row(COLUMNS), "|---" + "|---:" * (len(COLUMNS) - 1) + "|"]
        lines += [result_row(format_cells(metric)) for metric in metrics]
        lines.append("")
    return lines


def _seeds(document: ResultsDocument) -> str:
    count = len(document.seeds)
    return f"{count} seeds" if count > 1 else "one seed"
