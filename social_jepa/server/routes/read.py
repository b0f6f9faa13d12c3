"""Addresses that read: status, agents, graph, edges, events, metrics."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Response

from social_jepa.config.time_parsing import TimeFormatError, parse_time
from social_jepa.graph.records import EdgeRecord, as_dict
from social_jepa.graph.results import Results, full_document
from social_jepa.server.models import EdgePage, EventPage, GraphAsked, Name, Nothing, Page, page_of
from social_jepa.server.problems import INVALID, NOT_FOUND, ProblemError
from social_jepa.server.service import Parts
from social_jepa.server.snapshots import as_json, quality_matrix

router = APIRouter()
Match = Annotated[str, Header(alias="If-None-Match", max_length=2000)]


@router.get("/api/status")
def status(parts: Parts, asked: Annotated[Nothing, Query()]) -> Response:
    """Say how the whole is doing: up or down, how many agents and edges, the newest event."""
    return answer(parts.status())


@router.get("/api/agents")
def agents(parts: Parts, page: Annotated[Page, Query()]) -> Response:
    """List the agents in the order of their numbers: phase, step, loss, pose, life, trouble."""
    return answer(page_of(parts.agents(), page))


@router.get("/api/agents/{name}")
def agent(parts: Parts, name: Name, asked: Annotated[Nothing, Query()]) -> Response:
    """Show one agent, with the autocorrelation of its dimensions once it has published."""
    found = parts.agent(name)
    agents = parts.view.now().results.document.agents
    published = next((agent for agent in agents if agent.name == name), None)
    return answer({**found, "autocorrelation": published.autocorrelation if published else None})


@router.get("/api/graph")
def graph(parts: Parts, asked: Annotated[GraphAsked, Query()], if_none_match: Match = "") -> Response:
    """Return the graph; with cycles, which take longer, as `social-jepa graph --json` prints it.

    It has an ETag: send it back as If-None-Match and 304 says that nothing has changed.
    """
    if asked.as_of is not None:
        try:
            when = parse_time(asked.as_of)
        except TimeFormatError as error:
            raise ProblemError(INVALID, f"as_of {error}") from error
        results = parts.view.then(when)
        return answer(full_document(results) if asked.cycles else results.document)
    snapshot = parts.view.now()
    etag = f'{snapshot.etag[:-1]}-cycles"' if asked.cycles else snapshot.etag
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    if etag in [each.strip() for each in if_none_match.split(",")] or if_none_match.strip() == "*":
        return Response(status_code=304, headers=headers)
    if asked.cycles:
        body = parts.view.ask(lambda results: as_json(full_document(results)))
    else:
        body = snapshot.make("graph", lambda results: as_json(results.document))
    return Response(body, headers=headers, media_type="application/json")


@router.get("/api/quality")
def quality(parts: Parts, asked: Annotated[Nothing, Query()]) -> Response:
    """Return the quality of every ordered pair: rows are sources, columns targets.

    Status and held-out core R2 of the direct edge, and the product of R2 along the best path.
    """
    made = parts.view.now().make("quality_matrix", lambda results: as_json(quality_matrix(results)))
    return Response(made, media_type="application/json")


@router.get("/api/edges")
def edges(parts: Parts, page: Annotated[EdgePage, Query()]) -> Response:
    """List the newest edge of every ordered pair, by source and target."""
    wanted = {
        key: value
        for key, value in (("source", page.source), ("target", page.target), ("status", page.status))
        if value is not None
    }
    results = parts.view.now().results
    results.graph.check(*(value for key, value in wanted.items() if key != "status"))
    found = [edge for edge in results.document.edges if wanted.items() <= _scalars(edge).items()]
    part = page_of(found, page)
    items = [_without_budget(edge) for edge in part["items"]]
    return answer({**part, "items": items})


@router.get("/api/edges/{source}/{target}")
def edge(parts: Parts, source: Name, target: Name, asked: Annotated[Nothing, Query()]) -> Response:
    """Show one edge: figures, spectrum and null, versions, verdict, R2 by anchor pairs."""
    return answer(find_edge(parts.view.now().results, source, target))


@router.get("/api/edges/{source}/{target}/history")
def history(parts: Parts, source: Name, target: Name, page: Annotated[Page, Query()]) -> Response:
    """List every edge that an ordered pair ever had, oldest first; those who left are remembered."""
    with parts.view.ledger() as ledger:
        known, found = ledger.names(), ledger.history(source, target)
    for name in (source, target):
        if name not in known:
            raise ProblemError(NOT_FOUND, f"nobody was ever named {name}; /api/agents lists who is there")
    part = page_of(found, page)
    items = [_without_budget(edge) for edge in part["items"]]
    return answer({**part, "items": items})


@router.get("/api/events")
def events(parts: Parts, page: Annotated[EventPage, Query()]) -> Response:
    """List what happened after the event of a number, in order; ``next_after`` is where to go on."""
    with parts.view.ledger() as ledger:
        found = ledger.events(page.after, page.limit)
    last = found[-1].number if found else page.after
    return answer(
        {
            "items": [event.as_dict() for event in found],
            "after": page.after,
            "limit": page.limit,
            "next_after": last,
        }
    )


@router.get("/metrics")
def metrics(parts: Parts) -> Response:
    """Return figures for Prometheus."""
    text, media_type = parts.metrics.text()
    return Response(text, media_type=media_type)


def find_edge(results: Results, source: str, target: str) -> EdgeRecord:
    """Return an edge's row of the document.

    Raises:
        UnknownAgentError, ProblemError: No such agent, or the two never negotiated.
    """
    results.graph.check(source, target)
    for row in results.document.edges:
        if (row.source, row.target) == (source, target):
            return row
    raise ProblemError(
        NOT_FOUND, f"{source} and {target} have not settled that edge yet: /api/edges lists who has"
    )


def answer(document: Any, status: int = 200) -> Response:
    """Return a JSON answer."""
    return Response(as_json(document), status, media_type="application/json")


def _without_budget(edge: EdgeRecord) -> dict[str, Any]:
    return {key: value for key, value in as_dict(edge).items() if key != "budget"}


def _scalars(edge: EdgeRecord) -> dict[str, Any]:
    return {key: getattr(edge, key) for key in ("source", "target", "status")}
