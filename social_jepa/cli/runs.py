"""Commands about several runs."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from social_jepa.cli.completion import complete_run
from social_jepa.cli.hints import hint
from social_jepa.cli.options import (
    AsJson,
    ChangedSettings,
    CommandError,
    Out,
    Run,
    print_json,
    suggest_another_out,
)

app = typer.Typer(pretty_exceptions_enable=False)

Folder = Annotated[
    Path | None,
    typer.Argument(metavar="[FOLDER]", help="Folder of runs; default: ./runs.", show_default=False),
]
RunArgument = Annotated[
    Path,
    typer.Argument(metavar="RUN", autocompletion=complete_run, help="Run folder, or its name below ./runs."),
]


class Format(StrEnum):
    """Formats of an export."""

    SAFETENSORS = "safetensors"
    NPZ = "npz"
    GRAPHML = "graphml"
    CSV = "csv"


@app.command("list")
def list_command(folder: Folder = None, as_json: AsJson = False) -> None:
    """List the runs in a folder, newest first: state, agents, edges that peers accept, mean R2, settings."""
    from social_jepa.cli.runs_table import make_runs
    from social_jepa.cli.tables import make_console
    from social_jepa.runtime.run_list import list_runs
    from social_jepa.storage.run_folder import RUNS

    root = folder or RUNS
    if folder is not None and not folder.is_dir():
        raise CommandError(f"there is no folder {folder}")
    runs = list_runs(root) if root.is_dir() else []
    if as_json:
        print_json({"folder": str(root.resolve()), "runs": runs})
    elif runs:
        make_console().print(make_runs(runs))
    else:
        typer.echo(f"no runs in {root}")


@app.command()
def compare(
    first: RunArgument,
    second: RunArgument,
    as_json: AsJson = False,
) -> None:
    """Compare two runs: settings that differ, agents, and edges with the differences of R2."""
    from social_jepa.cli.runs_table import print_comparison
    from social_jepa.graph.comparison import compare_runs
    from social_jepa.graph.results import load_results
    from social_jepa.storage.run_folder import find

    folders = [find(path) for path in (first, second)]
    if folders[0].path == folders[1].path:
        raise CommandError(f"{first} and {second} are the same run: name two")
    found = compare_runs(*(load_results(folder) for folder in folders))
    if as_json:
        print_json(found)
    else:
        print_comparison(found)


@app.command()
def fork(
    settings: ChangedSettings = None,
    run: Run = None,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Make a new run that continues from the checkpoints of another; resume starts it."""
    from social_jepa.runtime.continuation import fork_run
    from social_jepa.storage.run_folder import find

    source = find(run)
    with suggest_another_out():
        folder = fork_run(source, out, settings or ())
    if as_json:
        print_json({"run": str(folder.path), "from": str(source.path)})
    else:
        typer.echo(f"run folder  {folder.path}\ncontinue    {hint('resume', run=folder.path)}")


@app.command("export")
def export_command(
    run: Run = None,
    form: Annotated[
        Format,
        typer.Option("--format", help="safetensors, npz: maps and scores; csv, graphml: scores of edges."),
    ] = Format.SAFETENSORS,
    out: Annotated[
        Path | None,
        typer.Option(help="File to write; default: the run's name, in this folder.", show_default=False),
    ] = None,
    anchors: Annotated[
        bool, typer.Option("--anchors", help="Add the agents' embeddings of the ticks to compare.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write the graph of a run, up or not, for other programs; import makes a run folder of it again."""
    from agents.common.files import write_atomically
    from social_jepa.graph.exchange import ENCODERS
    from social_jepa.graph.results import load_results
    from social_jepa.storage.run_folder import find

    if anchors and form not in (Format.SAFETENSORS, Format.NPZ):
        raise CommandError(f"--anchors adds arrays, which --format {form} cannot hold")
    folder = find(run)
    path = out or Path(f"{folder.path.name}.{form}")
    results = load_results(folder)
    write_atomically(path, ENCODERS[form](results, anchors))
    edges = len(results.document.edges)
    if as_json:
        print_json({"export": str(path), "run": str(folder.path), "format": form.value, "edges": edges})
    else:
        typer.echo(f"{path}  {edges} edges, {path.stat().st_size:,} bytes")


@app.command()
def scalars(
    run: Run = None,
    tensorboard: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Folder for an event file, which tensorboard --logdir shows."),
    ] = None,
    jsonl: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File of JSON lines, rows of the history of W&B.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write losses, and the scores of every version of every edge, as curves for TensorBoard or W&B."""
    from social_jepa.graph.scalars import read_scalars, write_history, write_tensorboard
    from social_jepa.storage.run_folder import find

    if tensorboard is None and jsonl is None:
        raise CommandError("give --tensorboard FOLDER or --jsonl FILE, or both")
    found = read_scalars(find(run))
    if jsonl is not None:
        write_history(found, jsonl)
    if tensorboard is not None:
        try:
            write_tensorboard(found, tensorboard)
        except ImportError as error:
            raise CommandError(str(error)) from error
    written = [str(path) for path in (jsonl, tensorboard) if path is not None]
    if as_json:
        print_json({"written": written, "scalars": len(found)})
    else:
        typer.echo(f"{', '.join(written)}  {len(found)} values of {len({one.tag for one in found})} curves")


@app.command("import")
def import_command(
    file: Annotated[Path, typer.Argument(help="File of export, safetensors or npz.")],
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Make a run folder of an exported file: to read, compare and query its graph; it has no checkpoints."""
    from social_jepa.runtime.import_run import import_run

    with suggest_another_out():
        folder = import_run(file, out)
    if as_json:
        print_json({"run": str(folder.path)})
    else:
        typer.echo(f"run folder  {folder.path}\ngraph       {hint('graph', run=folder.path)}")
