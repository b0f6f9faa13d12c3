"""The command `experiment`: run experiments of the papers or custom ones, redraw their plots, write pages."""

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from social_jepa.cli.completion import complete_experiment
from social_jepa.cli.options import print_json
from social_jepa.cli.unused_options import refuse_unused

if TYPE_CHECKING:
    from social_jepa.experiments.framework.budget import Budget
    from social_jepa.experiments.framework.document import ResultsDocument
    from social_jepa.experiments.framework.runs import ExperimentRun

app = typer.Typer(pretty_exceptions_enable=False)

Name = Annotated[
    str | None,
    typer.Argument(
        metavar="NAME",
        autocompletion=complete_experiment,
        help="Name of the experiment, all, or package.module:NAME of a custom one.",
        show_default=False,
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]...", help="Settings of the experiment.", show_default=False),
]
Seeds = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Number of seeds; by default those of the experiment, 3 or more, or 1 with --quick.",
        show_default=False,
    ),
]
Quick = Annotated[bool, typer.Option("--quick", help="A small run of a few minutes, below ./runs.")]
Out = Annotated[
    Path | None,
    typer.Option(
        help="Folder above the experiment's; by default ./evidence for the full run with default settings.",
        show_default=False,
    ),
]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Number of tasks that run at a time; by default one for each CPU.")
]
Fresh = Annotated[bool, typer.Option("--fresh", help="Run tasks again that an earlier run finished.")]
Redraw = Annotated[
    bool, typer.Option("--redraw", help="Draw the plots again from recorded results; run nothing.")
]
Page = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.html",
        help="Write recorded results as an HTML page, or an index for all; run nothing.",
        show_default=False,
    ),
]
Listing = Annotated[
    bool,
    typer.Option("--list", help="List the experiments, what they are expected to cost, and their questions."),
]
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
    redraw: Redraw = False,
    page: Page = None,
    listing: Listing = False,
    as_json: AsJson = False,
) -> None:
    """Run an experiment of the papers, or continue it; write its metrics and plots."""
    from social_jepa.experiments.framework.registry import EXPERIMENTS

    running = {"--workers": workers, "--fresh": fresh}
    if listing:
        plan = {"NAME": name, "settings": settings, "--seeds": seeds, "--quick": quick, "--out": out}
        refuse_unused("--list lists all experiments", {**plan, **running, "--redraw": redraw, "--page": page})
        _list(as_json)
        return
    if name is None:
        raise ValueError(f"name an experiment: one of {', '.join(EXPERIMENTS)}, or all")
    if redraw or page is not None:
        shown = "--redraw and --page show recorded results and run nothing"
        refuse_unused(shown, {**running, "--json": as_json})
    from social_jepa.experiments.framework.runs import plan_run

    names = list(EXPERIMENTS) if name == "all" else [name]
    runs = [plan_run(one, settings or [], quick=quick, seeds=seeds, out=out) for one in names]
    if redraw or page is not None:
        _show_recorded(runs, redraw, page, index=name == "all")
        return
    documents = _run(runs, workers, fresh, as_json)
    if as_json:
        print_json(documents[0] if name != "all" else {"experiments": documents})


def _run(
    runs: Sequence["ExperimentRun"], workers: int | None, fresh: bool, as_json: bool
) -> list["ResultsDocument"]:
    """Run experiments one after the other; failures are reported at the end."""
    from rich.console import Console

    from social_jepa.cli.tables import make_console
    from social_jepa.experiments.framework.budget import total
    from social_jepa.experiments.framework.runner import ExperimentError, expect_missing, run_experiment
    from social_jepa.experiments.framework.table import print_results
    from social_jepa.system.machine import usable_cpus

    progress, failures, documents = Console(stderr=True), [], []
    if len(runs) > 1 and (budget := total(expect_missing(run, fresh) for run in runs)):
        spent = budget.describe(workers or usable_cpus())
        progress.print(f"{len(runs)} experiments: expect {spent}", soft_wrap=True, markup=False)
    for run in runs:
        try:
            with contextlib.redirect_stdout(sys.stderr):  # stdout is for results
                document = run_experiment(run, progress, workers, fresh)
        except ExperimentError as error:
            failures.append(str(error))
            continue
        documents.append(document)
        if not as_json:
            print_results(document, make_console())
            typer.echo(f"results  {run.folder / 'README.md'}\n")
    if failures:
        raise ExperimentError("\n".join(failures))
    return documents


def _show_recorded(runs: Sequence["ExperimentRun"], redraw: bool, page: Path | None, index: bool) -> None:
    from agents.common.files import write_atomically
    from social_jepa.experiments.framework import artifacts, html

    if redraw:
        for run in runs:
            artifacts.redraw(run)
            typer.echo(f"results  {run.folder / 'README.md'}")
    if page is not None:
        if index:
            text = html.index_page(runs[0].folder.parent, page.parent)
        else:
            text = html.experiment_page(runs[0].folder, artifacts.read_document(runs[0]))
        write_atomically(page, text.encode())
        typer.echo(f"page  {page}")


def _list(as_json: bool) -> None:
    from social_jepa.experiments.framework.budget import expect, total
    from social_jepa.experiments.framework.registry import EXPERIMENTS, load
    from social_jepa.experiments.framework.runs import plan_run

    def row(name: str, full: "Budget | None", quick: "Budget | None", question: str) -> None:
        minutes = (f"{budget.cpu_minutes:.1f}" if budget else "?" for budget in (full, quick))
        typer.echo("{:<24} {:>8} {:>8}  {}".format(name, *minutes, question))

    questions = {name: load(name).question for name in EXPERIMENTS}
    full, quick = (
        {name: expect(plan_run(name, quick=kind)) for name in EXPERIMENTS} for kind in (False, True)
    )
    if as_json:
        print_json({
            name: {"question": question, "full": _costs(full[name]), "quick": _costs(quick[name])}
            for name, question in questions.items()
        })  # fmt: skip
        return
    typer.echo("{:<24} {:>8} {:>8}  {}".format("", "full", "--quick", "(CPU-minutes)"))
    for name, question in questions.items():
        row(name, full[name], quick[name], question)
    everything = total(full.values())
    known = all(budget is not None for budget in quick.values())
    row("all", everything, total(quick.values()) if known else None, _total_text(everything))


def _costs(budget: "Budget | None") -> dict[str, Any] | None:
    if budget is None:
        return None
    return {"cpu_minutes": round(budget.cpu_minutes, 2), "source": "; ".join(budget.sources)}


def _total_text(budget: "Budget | None") -> str:
    from social_jepa.system.machine import usable_cpus

    return "" if budget is None else f"in full {budget.describe(usable_cpus())}"
