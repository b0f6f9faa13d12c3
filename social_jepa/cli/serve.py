"""The command `serve`: the HTTP API and the web page of one run folder or several."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from social_jepa.cli.completion import complete_run
from social_jepa.cli.options import CommandError

if TYPE_CHECKING:
    from social_jepa.server.served_runs import ServedRuns
    from social_jepa.storage.run_folder import RunFolder

app = typer.Typer(pretty_exceptions_enable=False)

Run = Annotated[
    Path | None,
    typer.Option(
        "--run",
        metavar="RUN",
        autocompletion=complete_run,
        show_default=False,
        help="Run folder, or its name below ./runs; default: the latest there that is up, or the latest.",
    ),
]
Places = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="[RUN|FOLDER]...",
        autocompletion=complete_run,
        show_default=False,
        help="Several runs, or a folder of runs, for a page with a choice between them.",
    ),
]
Token = Annotated[
    str | None,
    typer.Option(envvar="SOCIAL_JEPA_TOKEN", show_default=False, help="Token that every request must carry."),
]


@app.command()
def serve(
    places: Places = None,
    run: Run = None,
    host: Annotated[str, typer.Option(help="Address to listen at; other than loopback: needs --token.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 chooses a free one.")] = 8765,
    token: Token = None,
    root_path: Annotated[
        str, typer.Option(help="Path below which a reverse proxy serves the page, as /user/me/proxy/8765.")
    ] = "",
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="Host of a reverse proxy's address, as hub.example.org; may be repeated."),
    ] = None,
    on_ray: Annotated[
        bool, typer.Option("--on-ray", help="Serve through Ray Serve, on the simulation's cluster.")
    ] = False,
) -> None:  # fmt: skip
    """Serve the web page and the HTTP API of a run folder or of several, up or down; see /docs."""
    from social_jepa.runtime.logs import log_to_file
    from social_jepa.server.app import open_port
    from social_jepa.server.app import serve as run_server
    from social_jepa.server.auth import Access, check_access

    access = Access(token or None, root_path.rstrip("/"), tuple(allow_host or ()))
    check_access(host, access)
    if places and (run is not None or on_ray):
        raise CommandError("name one run with --run, or several without --run and --on-ray")
    if on_ray:
        from social_jepa.server.ray_serve import serve_on_ray

        folder = _find(run)
        serve_on_ray(folder, host, port, access, lambda: _print_ray_address(folder.path, host, port))
        return
    runs = _served_runs(places, run)
    bound = open_port(host, port)
    log_to_file(runs.folders()[runs.default].path, "server")
    _print_address(runs, host, bound.getsockname()[1], access.token)
    run_server(runs, bound, host, access)


def _served_runs(places: list[Path] | None, run: Path | None) -> "ServedRuns":
    from social_jepa.server.served_runs import ServedRuns

    return ServedRuns([_place(path) for path in places] if places else [_find(run).path])


def _find(run: Path | None) -> "RunFolder":
    """Return the run folder of a simulation that is up, or any."""
    from social_jepa.storage.run_folder import find, find_running
    from social_jepa.storage.run_folder_errors import RunFolderError

    try:
        return find_running(run)
    except RunFolderError:
        return find(run)


def _place(path: Path) -> Path:
    """Return a run folder, or a folder with runs in it."""
    from social_jepa.runtime.run_list import is_run
    from social_jepa.storage.run_folder import find

    if path.is_dir() and not is_run(path) and any(map(is_run, path.iterdir())):
        return path
    return find(path).path


def _print_ray_address(folder: Path, host: str, port: int) -> None:
    typer.echo(f"serving  {folder} through Ray Serve at {host}:{port}; stop it with Ctrl-C")


def _print_address(runs: "ServedRuns", host: str, port: int, token: str | None) -> None:
    from social_jepa.runtime.logs import log_path

    name = f"[{host}]" if ":" in host else host
    folders = {folder.path for folder in runs.folders().values()}
    default = runs.folders()[runs.default].path
    typer.echo(f"serving  {default}" + (f" and {len(folders) - 1} more" if len(folders) > 1 else ""))
    typer.echo(f"page     http://{name}:{port}" + ("/?token=TOKEN (once)" if token else ""))
    typer.echo(f"log      {log_path(default, 'server')}")
    typer.echo("API      /docs    stop it with Ctrl-C")
