"""The command `experiment`: the papers' experiments, or one of a user's own, with their tables and pages."""

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from social_jepa.cli.options import print_json

app = typer.Typer(pretty_exceptions_enable=False)

Name = Annotated[
    str | None,
    typer.Argument(
        metavar="NAME", help="Its name, all, or package.module:NAME of your own.", show_default=False
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]...", help="Settings of the experiment.", show_default=False),
]


Seeds = Annotated[
    int | None, typer.Option(min=1, help="How many; by default 3, or 1 with --quick.", show_default=False)
]
Quick = Annotated[bool, typer.Option("--quick", help="A small run of a few minutes, below ./runs.")]
Out = Annotated[
    Path | None,
    typer.Option(
        help="Folder above the experiment's; by default ./evidence for the full run as it is defined.",
        show_default=False,
    ),
]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Parts that run at a time; by default one for each core.")
]
Fresh = Annotated[bool, typer.Option("--fresh", help="Forget the parts that earlier runs finished.")]
Listing = Annotated[bool, typer.Option("--list", help="Say which experiments there are.")]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print the results as one JSON document instead of a table.")
]


@app.command()
def experiment(
    name: Name = None,
    settings: Settings = None,
    seeds: Seeds = None,
    quick: Quick = False,
    out: Out = None,
    workers: Workers = None,
    fresh: Fresh = False,
    listing: Listing = False,
    as_json: AsJson = False,
) -> None:
    """Run an experiment of the papers, or go on with it; write its table, pictures and page."""
    from social_jepa.experiments.framework.registry import EXPERIMENTS

    if listing:
        _list(as_json)
        return
    if name is None:
        raise ValueError(f"which experiment? There are {', '.join(EXPERIMENTS)}, and all")
    from social_jepa.experiments.framework.runs import plan_run

    names = list(EXPERIMENTS) if name == "all" else [name]
    orders = [plan_run(one, settings or [], quick=quick, seeds=seeds, out=out) for one in names]
    documents = _run(orders, workers, fresh, as_json)
    if as_json:
        print_json(documents[0] if name != "all" else {"experiments": documents})


def _run(orders: Sequence[Any], workers: int | None, fresh: bool, as_json: bool) -> list[dict[str, Any]]:
    """Run one after the other; one that fails is told at the end, and does not stop the others."""
    from rich.console import Console

    from social_jepa.cli.tables import make_console
    from social_jepa.experiments.framework.runner import ExperimentError, run
    from social_jepa.experiments.framework.table import print_results

    told, failures, documents = Console(stderr=True), [], []
    for wanted in orders:
        try:
            with contextlib.redirect_stdout(sys.stderr):  # results stay alone
                document = run(wanted, told, workers, fresh)
        except ExperimentError as error:
            failures.append(str(error))
            continue
        documents.append(document)
        if not as_json:
            print_results(document, make_console())
            typer.echo(f"page  {wanted.folder / 'index.html'}\n")
    if failures:
        raise ExperimentError("\n".join(failures))
    return documents


def _list(as_json: bool) -> None:
    from social_jepa.experiments.framework.registry import EXPERIMENTS, load

    questions = {name: load(name).question for name in EXPERIMENTS}
    if as_json:
        print_json(questions)
        return
    for name, question in questions.items():
        typer.echo(f"{name:<24} {question}")
