"""The commands `graph` and `query`, of a run, a simulation, or a peer without Ray."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from social_jepa.cli.completion import complete_agent
from social_jepa.cli.graph_options import (
    EdgeRows,
    Order,
    check_options,
    matrix_rows,
    matrix_text,
    shown_edges,
)
from social_jepa.cli.options import AsJson, CommandError, Run, print_json

if TYPE_CHECKING:
    from social_jepa.storage.embedding_folder import EmbeddingFolder

app = typer.Typer(pretty_exceptions_enable=False)

Source = Annotated[
    str,
    typer.Option(
        "--from",
        autocompletion=complete_agent,
        show_default=False,
        help="Agent whose latent is translated; default: the source of the first accepted edge.",
    ),
]
Target = Annotated[
    str,
    typer.Option(
        "--to",
        autocompletion=complete_agent,
        show_default=False,
        help="Agent whose nearest ticks are found; default: the target of the first accepted edge.",
    ),
]
OfAgent = Annotated[
    str | None,
    typer.Option(
        "--agent", autocompletion=complete_agent, help="Show the edges from and to this agent only."
    ),
]


@app.command()
def graph(
    run: Run = None,
    as_of: Annotated[
        str | None, typer.Option(help="State at a time: 2026-11-21T14:30, 14:30, now, or '10 minutes ago'.")
    ] = None,
    matrix: Annotated[
        bool, typer.Option("--matrix", help="R2 of all ordered pairs, from the row's agent to the column's.")
    ] = False,
    sort: Annotated[
        Order, typer.Option(help="Order of the edges: by name, or r2, the largest first.")
    ] = Order.NAME,
    min_r2: Annotated[
        float | None, typer.Option("--min-r2", help="Show accepted edges of at least this R2 only.")
    ] = None,
    agent: OfAgent = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Show so many edges at most.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show the agents, edges and cycles of a run, of a simulation that is up, or of a peer without Ray."""
    from social_jepa.config.time_parsing import parse_time
    from social_jepa.graph.results import full_document, load_results
    from social_jepa.storage.run_folder import find

    rows = EdgeRows(sort, agent, limit)
    check_options(matrix, rows, min_r2, as_json)
    if run is not None and (peer_folder := _embedding_folder(run)):
        if matrix or rows != EdgeRows() or min_r2 is not None:
            raise CommandError(
                f"{run} is of one peer, which knows its own edges alone: "
                "leave out --matrix, --sort, --agent, --limit and --min-r2"
            )
        _print_peer(peer_folder.graph(parse_time(as_of)), as_json)
        return
    results = load_results(find(run), parse_time(as_of))
    if as_json:
        print_json(full_document(results))
    elif matrix:
        _print_matrix(results.document, min_r2)
    else:
        _print_rows(results, rows, min_r2)


def _print_peer(found: Any, as_json: bool) -> None:
    from social_jepa.cli.peer_tables import print_peer_graph

    print_json(found) if as_json else print_peer_graph(found)


def _print_rows(results: Any, rows: EdgeRows, min_r2: float | None) -> None:
    from social_jepa.cli.tables import print_graph
    from social_jepa.graph.results import full_document

    if rows.agent is not None:
        results.graph.check(rows.agent)
    document = full_document(results)
    print_graph(document, edges=shown_edges(document.edges, rows.sort, min_r2, rows.agent, rows.limit))


def _print_matrix(document: Any, min_r2: float | None) -> None:
    from social_jepa.cli.tables import make_console, print_summary

    console = make_console()
    print_summary(document, console)
    width = console.width if console.is_terminal else None
    typer.echo(matrix_text(matrix_rows(document, min_r2), width))


@app.command()
def query(
    run: Run = None,
    source: Source = "",
    target: Target = "",
    tick: Annotated[int | None, typer.Option(help="Tick whose view is encoded; by default 0.")] = None,
    vector: Annotated[
        str | None, typer.Option(help="Core vector instead of a tick: numbers separated by commas.")
    ] = None,
    via: Annotated[
        str | None, typer.Option(help="Agents to go through, separated by commas; or best, or universe.")
    ] = None,
    anchor: Annotated[
        str, typer.Option("--id", help="Anchor of a peer with embeddings; the start of its id is enough.")
    ] = "",
    top: Annotated[int, typer.Option(min=1, max=100, help="Number of nearest ticks to show.")] = 5,
    picture: Annotated[
        Path | None, typer.Option(help="PNG to write with what the cameras see; by default none.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Translate the latent of a tick, or a vector, into another agent's space, and find the nearest ticks."""
    from social_jepa.cli.query_options import parse_vector

    numbers = parse_vector(vector)
    if run is not None and (peer_folder := _embedding_folder(run)):
        given = {"--to": target, "--tick": tick is not None, "--via": via, "--picture": picture}
        _query_peer(peer_folder, source, anchor, numbers, top, given, as_json)
        return
    if anchor:
        raise CommandError("--id names an anchor of a peer with embeddings: give its folder, or --tick")
    _query_run(run, (source, target), tick, numbers, via, top, picture, as_json)


def _query_run(
    run: Path | None, ends: tuple[str, str], tick: int | None, vector: list[float] | None, via: str | None,
    top: int, picture: Path | None, as_json: bool,
) -> None:  # fmt: skip
    from social_jepa.cli.query_options import check_edge, choose_ends, parse_via, query_flags, write_picture
    from social_jepa.cli.tables import print_answer
    from social_jepa.graph.query import query
    from social_jepa.graph.results import load_results
    from social_jepa.records import replace
    from social_jepa.storage.run_folder import find

    results, between = load_results(find(run)), parse_via(via)
    source, target, chosen = choose_ends(results, *ends, between)
    if between is None:
        check_edge(results, source, target)
    with query_flags():
        answer = query(results, source, target, tick=tick, vector=vector, via=between, top=top)
    if picture is not None:
        answer = replace(answer, picture=str(write_picture(results, answer, picture)))
    if as_json:
        print_json(answer)
        return
    if chosen:
        typer.echo(chosen)
    print_answer(answer)


def _embedding_folder(path: Path) -> "EmbeddingFolder | None":
    """Return the folder of a peer with embeddings at a path, or of that name below ./runs; else None."""
    from social_jepa.storage.embedding_folder import EmbeddingFolder
    from social_jepa.storage.peer_status import find_peer

    place = find_peer(path)
    return EmbeddingFolder(place) if place is not None and EmbeddingFolder.holds(place) else None


def _query_peer(
    folder: "EmbeddingFolder", source: str, anchor: str, vector: list[float] | None, top: int,
    given: dict[str, object], as_json: bool,
) -> None:  # fmt: skip
    from social_jepa.cli.peer_tables import print_peer_answer
    from social_jepa.storage.embedding_query import query_embeddings

    name = folder.table().name
    for option, value in given.items():
        if value and (option, value) != ("--to", name):
            raise CommandError(
                f"{option}: {folder.path} answers into the space of {name} alone, from --id or --vector"
            )
    if anchor and vector is not None:
        raise CommandError("give --id or --vector, not both")
    answer = query_embeddings(folder, source, anchor=anchor, vector=vector, top=top)
    print_json(answer) if as_json else print_peer_answer(answer)


def print_document(document: Any, as_json: bool) -> None:
    """Print a graph as tables, or as JSON."""
    if as_json:
        print_json(document)
        return
    from social_jepa.cli.tables import print_graph

    print_graph(document)
