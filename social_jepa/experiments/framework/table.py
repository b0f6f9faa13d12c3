"""Metrics of a results document as tables: on a terminal and in Markdown."""

import math
import re
from collections.abc import Iterable
from itertools import groupby

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from social_jepa.experiments.framework.document import MetricRow, ResultsDocument
from social_jepa.experiments.framework.verdict import (
    NOT_REPRODUCED,
    failures,
    headline,
    holds,
    interval,
    missed,
    own_notes,
    self_tests,
    tally,
    verdict,
    with_threshold,
)

COLUMNS = ("metric", "value", "95 % interval", "null", "baseline", "threshold", "met")
SIMILARITY_COLUMNS = {  # title: field; after the baseline, where a metric of the document has them
    "untrained": "untrained", "pixel PCA": "pixel_pca", "linear tICA": "tica",
}  # fmt: skip
SIMILARITIES = (
    "isometry",
    "native-isometry",
    "time-or-jepa",
    "viewpoint",
    "scant-overlap",
    "classifier-porting",
    "probe-porting",
    "plan-transfer",
    "embodied",
    "one-moment",
    "universe",
    "heterogeneous",
    "worlds",
)  # experiments that measure similarities of latents
PROTOCOL_ALONE = (
    "Recorded before runs described their methods: the `protocol` in `results.json` is what was run, and "
    "[experiments](../../docs/experiments.md) describes the methods of the present version."
)
NOT_RECORDED = "The untrained encoder and pixel PCA beside each similarity: not recorded in this run."
SELF_TEST_COLUMNS = ("self-test", "value", "bound", "holds", "why it cannot fail")
SELF_TESTS = "Self-tests"
SELF_TESTS_LEAD = "Identities and theorems, which test the code; they are not counted as thresholds."
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
    """Return a metric's interval over seeds, or "" without one."""
    low, high = interval(metric)
    kind = ", geometric" if metric.geometric else f", {metric.trials} trials" if metric.trials else ""
    return "" if math.isnan(low) else f"{format_number(low)} to {format_number(high)}{kind}"


def format_met(metric: MetricRow) -> str:
    """Return whether a metric meets its threshold: yes, no, or open; "" without a threshold."""
    return "" if metric.threshold is None else MET[verdict(metric)]


def has_similarities(document: ResultsDocument) -> bool:
    """Return whether a document has a similarity of latents with its baselines."""
    return bool(_similarity_columns(document))


def _similarity_columns(document: ResultsDocument) -> dict[str, str]:
    """Return the baselines of similarities that a document has, fields by title."""
    return {
        title: name
        for title, name in SIMILARITY_COLUMNS.items()
        if any(getattr(row, name) is not None for row in document.metrics)
    }


def columns(document: ResultsDocument) -> tuple[str, ...]:
    """Return the columns of a document's tables."""
    place = COLUMNS.index("threshold")
    return (*COLUMNS[:place], *_similarity_columns(document), *COLUMNS[place:])


def format_cells(metric: MetricRow, document: ResultsDocument) -> tuple[str, ...]:
    """Return the cells of a document's metric, in the order of its columns."""
    values = [metric.null, metric.baseline]
    values += [getattr(metric, name) for name in _similarity_columns(document).values()]
    compared = ("" if value is None else format_number(value) for value in values)
    return (
        metric.name, format_number(metric.value), format_interval(metric), *compared,
        metric.threshold or "", format_met(metric),
    )  # fmt: skip


def page_notes(document: ResultsDocument) -> list[str]:
    """Return the notes of a page: what was not recorded, and the document's own."""
    missing = document.name in SIMILARITIES and not has_similarities(document)
    return [*([NOT_RECORDED] if missing else []), *own_notes(document)]


def format_self_test(metric: MetricRow) -> tuple[str, ...]:
    """Return a self-test's cells, in the order of SELF_TEST_COLUMNS."""
    return (
        metric.name, format_number(metric.value), metric.threshold or "", MET[holds(metric)],
        metric.self_test,
    )  # fmt: skip


def verdict_sentences(document: ResultsDocument) -> list[str]:
    """Return a sentence for each self-test that fails, then each threshold that is missed, or open."""

    def sentence(word: str, row: MetricRow) -> str:
        spread = f" ({text})" if (text := format_interval(row)) else ""
        unreached = len(row.by_seed) > 1 and any(value is None for value in row.by_seed)
        reason = ", as a seed has no finite score" if unreached else ""
        measured = f"{format_number(row.value)}{spread}"
        return f"{word}: {row.name} is {measured}, the threshold {row.threshold}{reason}."

    def failure(row: MetricRow) -> str:
        return (
            f"Self-test failed in {failures(row)} of {seeds(document)}: {row.name} is "
            f"{format_number(row.value)}, the bound {row.threshold}. It cannot fail unless the code is wrong."
        )

    undecided = [row for row in with_threshold(document.metrics) if verdict(row) is None]
    return [
        *(failure(row) for row in self_tests(document.metrics) if not holds(row)),
        *(sentence(NOT_REPRODUCED, row) for row in missed(document)),
        *(sentence("Open", row) for row in undecided if len(document.seeds) > 1),
    ]


def group_metrics(metrics: Iterable[MetricRow]) -> list[Group]:
    """Return metrics by group, without self-tests; groups and metrics keep the order of their first one."""
    metrics = [metric for metric in metrics if not metric.self_test]
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


def print_results(document: ResultsDocument, console: Console) -> None:
    """Print metrics, self-tests, verdicts that are not met, and notes."""
    table = _make_table(
        f"{headline(document, document.name)}: {tally(document)}, {seeds(document)}", columns(document)
    )
    for index, (name, metrics) in enumerate(group_metrics(document.metrics)):
        if name:
            table.add_row(f"[dim]{escape(name)}[/]")
        elif index:
            table.add_row()
        for metric in metrics:
            table.add_row(*_colored(format_cells(metric, document), -1))
    console.print(table)
    if tests := self_tests(document.metrics):
        table = _make_table(SELF_TESTS, SELF_TEST_COLUMNS[:-1])
        for metric in tests:
            table.add_row(*_colored(format_self_test(metric)[:-1], -1))
        console.print(table)
    for note in (*verdict_sentences(document), *page_notes(document)):
        console.print(f"- {escape(note)}", soft_wrap=True)


def _make_table(title: str, columns: Iterable[str]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for index, heading in enumerate(columns):
        table.add_column(heading, justify="right" if index else "left", no_wrap=index > 0)
    return table


def _colored(cells: Iterable[str], place: int) -> list[str]:
    """Return escaped cells, the one at a place green for "yes" and red for "no"."""
    row = [escape(cell) for cell in cells]
    color = {MET[True]: "green", MET[False]: "red"}.get(row[place])
    if color:
        row[place] = f"[{color}]{row[place]}[/]"
    return row


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
    kind = "quick run" if document.quick else "run"
    lines = [f"# {escape_markdown(headline(document, document.name))}", ""]
    lines += [escape_markdown(document.question), ""]
    lines += [f"{str(tally(document)).capitalize()}; {kind} of {seeds(document)}. Generated by:", ""]
    lines += ["```sh", document.command, "```", ""]
    lines += _bullets(verdict_sentences(document))
    lines += ["## Methods", "", escape_markdown(document.methods) or PROTOCOL_ALONE, ""]
    first, others = split_groups(document.metrics)
    lines += _markdown_tables(first, document)
    for plot in document.plots:
        lines += [f"![{plot}]({plot}.png)", ""]
    lines += _markdown_tables(others, document)
    lines += markdown_self_tests(document)
    lines += _bullets(page_notes(document))
    lines += ["Protocol, settings, versions and costs are in `results.json`; add `--page FILE.html` to the"]
    lines += ["command to read them as a page.", ""]
    return "\n".join(lines)


def markdown_self_tests(document: ResultsDocument) -> list[str]:
    """Return the lines of a section with a document's self-tests; none without any."""
    tests = self_tests(document.metrics)
    if not tests:
        return []
    return [
        f"## {SELF_TESTS}", "", SELF_TESTS_LEAD, "",
        markdown_row(SELF_TEST_COLUMNS), "|---|---:|---:|---:|---|",
        *(markdown_row(format_self_test(metric)) for metric in tests), "",
    ]  # fmt: skip


def _bullets(sentences: Iterable[str]) -> list[str]:
    lines = [f"- {escape_markdown(sentence)}" for sentence in sentences]
    return [*lines, ""] if lines else []


def _markdown_tables(groups: Iterable[Group], document: ResultsDocument) -> list[str]:
    lines, headings = [], columns(document)
    for name, metrics in groups:
        lines += [f"## {escape_markdown(name)}", ""] if name else []
        lines += [markdown_row(headings), "|---" + "|---:" * (len(headings) - 1) + "|"]
        lines += [result_row(format_cells(metric, document)) for metric in metrics]
        lines.append("")
    return lines


def seeds(document: ResultsDocument) -> str:
    """Return the number of seeds in words."""
    count = len(document.seeds)
    return f"{count} seeds" if count > 1 else "one seed"
