"""The command `serve`: the HTTP API and the web page of a run folder."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from social_jepa.cli.completion import complete_run

if TYPE_CHECKING:
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
Token = Annotated[
    str | None,
    typer.Option(envvar="SOCIAL_JEPA_TOKEN", show_default=False, help="Token that every request must carry."),
]


@app.command()
def serve(
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
    """Serve the web page and the HTTP API of a run folder, its simulation up or down; see /docs."""
    from social_jepa.runtime.logs import log_to_file
    from social_jepa.server.app import open_port
    from social_jepa.server.app import serve as run_server
    from social_jepa.server.auth import Access, check_access

    access = Access(token or None, root_path.rstrip("/"), tuple(allow_host or ()))
    check_access(host, access)
    folder = _find(run)
    if on_ray:
        from social_jepa.server.ray_serve import serve_on_ray

        serve_on_ray(folder, host, port, access, lambda: _print_ray_address(folder.path, host, port))
        return
    bound = open_port(host, port)
    log_to_file(folder.path, "server")
    _print_address(folder.path, host, bound.getsockname()[1], access.token)
    run_server(folder, bound, host, access)


def _find(run: Path | None) -> "RunFolder":
    """Return the run folder of a simulation that is up, or any."""
    from social_jepa.storage.run_folder import RunFolderError, find, find_running

    try:
        return find_running(run)
    except RunFolderError:
        return find(run)


def _print_ray_address(folder: Path, host: str, port: int) -> None:
    typer.echo(f"serving  {folder} through Ray Serve at {host}:{port}; stop it with Ctrl-C")


def _print_address(folder: Path, host: str, port: int, token: str | None) -> None:
    name = f"[{host}]" if ":" in host else host
    typer.echo(f"serving  {folder}")
    typer.echo(f"page     http://{name}:{port}" + ("/?token=TOKEN (once)" if token else ""))
    typer.echo("API      /docs    stop it with Ctrl-C")
