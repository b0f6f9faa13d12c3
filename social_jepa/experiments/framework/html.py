"""HTML page of an experiment, and of all experiments of a folder; neither needs a network or scripts."""

import base64
import json
import os
import re
from functools import cache
from pathlib import Path

from jinja2 import Environment
from markupsafe import Markup, escape

from social_jepa.experiments.framework import table
from social_jepa.experiments.framework.artifacts import find_documents
from social_jepa.experiments.framework.document import ResultsDocument
from social_jepa.experiments.framework.progress import duration
from social_jepa.experiments.framework.verdict import headline, self_tests, tally
from social_jepa.report.templating import make_environment, read_static, report_style

PACKAGE = "social_jepa.experiments.framework"


def experiment_page(folder: Path, document: ResultsDocument) -> str:
    """Return the page of an experiment.

    Args:
        folder: Folder of the experiment's PNG files, which become part of the page.
        document: Its results document.
    """
    first, others = table.split_groups(document.metrics)
    seconds = sum(costs.seconds for costs in document.conditions.values()) * len(document.seeds)
    images = {
        name: base64.b64encode((folder / f"{name}.png").read_bytes()).decode() for name in document.plots
    }
    return _environment().get_template("experiment.html.jinja").render(
        document=document, headline=headline(document, document.question), tally=tally(document),
        verdicts=table.verdict_sentences(document), time=duration(seconds), first=first, others=others,
        tests=self_tests(document.metrics), notes=table.page_notes(document),
        columns=table.columns(document), images=images, blocks=protocol_blocks(document.protocol),
        style=_style(),
    )  # fmt: skip


def index_page(folder: Path, page_folder: Path) -> str:
    """Return the page that lists all experiments of a folder, with links to their README.md.

    Args:
        folder: Folder above the experiments' folders.
        page_folder: Folder of the page.
    """
    rows = [
        (
            document,
            tally(document),
            os.path.relpath(folder / document.name / "README.md", page_folder),
        )
        for document in find_documents(folder)
    ]
    return _environment().get_template("index.html.jinja").render(rows=rows, style=_style())


def protocol_blocks(text: str) -> list[tuple[str, list[str]]]:
    """Return the paragraphs of a docstring, each with the items of the list that follows it.

    Lines that begin with a hyphen are items.
    """
    blocks = []
    for block in re.split(r"\n\s*\n", text.strip()):
        lead, *items = re.split(r"(?:^|\n)- ", block)
        blocks.append((lead.strip(), items))
    return blocks


@cache
def _environment() -> Environment:
    environment = make_environment(PACKAGE)
    environment.trim_blocks = environment.lstrip_blocks = True
    environment.filters |= {
        "cells": table.format_cells,
        "test_cells": table.format_self_test,
        "json": json.dumps,
        "prose": _prose,
    }
    environment.globals |= {"test_columns": table.SELF_TEST_COLUMNS, "tests_lead": table.SELF_TESTS_LEAD}
    return environment


def _prose(text: str) -> Markup:
    """Return text in one line with `code` in backticks as HTML."""
    return Markup(re.sub(r"(`+)([^`]+)\1", r"<code>\2</code>", str(escape(" ".join(text.split())))))


@cache
def _style() -> Markup:
    return report_style() + Markup(read_static(PACKAGE, ["experiment.css"]))
