"""Commands about several runs."""

from pathlib import Path
from typing import Annotated

import typer

from social_jepa.cli.options import AsJson, CommandError, print_json

app = typer.Typer(pretty_exceptions_enable=False)

Folder = Annotated[
    Path | None,
    typer.Argument(metavar="[FOLDER]", help="Folder of runs; default: ./runs.", show_default=False),
]


@app.command("list")
def list_command(folder: Folder = None, as_json: AsJson = False) -> None:
    """List the runs in a folder, newest first: state, agents, accepted edges, mean R2, settings."""
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
