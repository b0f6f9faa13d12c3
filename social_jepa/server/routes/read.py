"""Routes that read a run: status, agents, graph, edges, events, metrics."""

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Header, Query, Request, Response

from social_jepa.graph.map_file import encode_map
from social_jepa.graph.results import full_document
from social_jepa.records import (
    EdgeRecord,
    EdgeSummary,
    FullGraphDocument,
    GraphDocument,
    as_dict,
    encode,
)
from social_jepa.runtime.run_list import describe_run
from social_jepa.server.models import (
    AsOfQuery,
    EdgeQuery,
    EmptyQuery,
    EventQuery,
    GraphQuery,
    MapQuery,
    Name,
    PageQuery,
    map_page,
    page_of,
)
from social_jepa.server.openapi import BYTES, TEXT, answers
from social_jepa.server.problems import CONFLICT, NOT_FOUND, ProblemError
from social_jepa.server.responses import (
    AgentDetail,
    AgentView,
    EventPage,
    ListPage,
    QualityMatrix,
    ServedRun,
    ServerStatus,
    edge_summary,
    json_response,
)
from social_jepa.server.served_runs import RunsDep, ServiceDep
from social_jepa.server.snapshots import find_edge
from social_jepa.storage.run_folder import RunFolder

router = APIRouter()
IfNoneMatch = Annotated[str, Header(alias="If-None-Match", max_length=2000)]


@router.get("/api/runs", **answers(ListPage[ServedRun]))
def runs(served: RunsDep, request: Request, query: Annotated[PageQuery, Query()]) -> Response:
    """List the runs of this server: state, agents, edges, mean R2, settings other than the default.

    A run's routes are those below /runs/NAME; the default run has the same without that prefix.
    """
    above = "../" if "run" in request.path_params else "runs/"

    def served_run(found: tuple[str, RunFolder]) -> ServedRun:
        name, folder = found
        address = f"{above}{quote(name, safe='')}/"
        return ServedRun.of(describe_run(folder.path), name, address, name == served.default)

    return json_response(map_page(page_of(list(served.folders().items()), query), served_run))


@router.get("/api/status", **answers(ServerStatus))
def status(service: ServiceDep, query: Annotated[EmptyQuery, Query()]) -> Response:
    """Return the state of the run: up or down, agents by phase, edges by status, the newest event."""
    return json_response(service.status())


@router.get("/api/agents", **answers(ListPage[AgentView]))
def agents(service: ServiceDep, query: Annotated[PageQuery, Query()]) -> Response:
    """List the agents by index: phase, step, loss, drift, pose, incarnation, failure."""
    return json_response(page_of(service.agents(), query))


@router.get("/api/agents/{name}", **answers(AgentDetail, NOT_FOUND, CONFLICT))
def agent(service: ServiceDep, name: Name, query: Annotated[EmptyQuery, Query()]) -> Response:
    """Return one agent with its loss curves and, once it has published, the autocorrelation of dimensions."""
    found, published = service.agent(name), service.published(name)
    autocorrelation = published.autocorrelation if published else None
    losses = service.loss_curves(name)
    return json_response(AgentDetail(**as_dict(found), autocorrelation=autocorrelation, losses=losses))


@router.get("/api/graph", **answers((GraphDocument, FullGraphDocument), CONFLICT, etag=True))
def graph(
    service: ServiceDep, query: Annotated[GraphQuery, Query()], if_none_match: IfNoneMatch = ""
) -> Response:
    """Return the graph; with cycles, which take longer, as `social-jepa graph --json` prints it.

    The response has an ETag: send it as If-None-Match, and 304 means that nothing has changed.
    """
    if query.as_of is not None:
        results = service.snapshots.at(query.as_of).results
        return json_response(full_document(results) if query.cycles else results.document)
    snapshot = service.snapshots.current()
    etag = f'{snapshot.etag[:-1]}-cycles"' if query.cycles else snapshot.etag
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    if etag in [each.strip() for each in if_none_match.split(",")] or if_none_match.strip() == "*":
        return Response(status_code=304, headers=headers)
    if query.cycles:
        body = service.snapshots.compute(lambda results: encode(full_document(results)))
    else:
        body = snapshot.cached("graph", lambda results: encode(results.document))
    return Response(body, headers=headers, media_type="application/json")


@router.get("/api/quality", **answers(QualityMatrix, CONFLICT))
def quality(service: ServiceDep, query: Annotated[AsOfQuery, Query()]) -> Response:
    """Return the quality of every ordered pair: rows are sources, columns targets.

    Status and held-out R2 of the direct edge, and the share of the source that the best path keeps.
    """
    return Response(service.quality(query.as_of), media_type="application/json")


@router.get("/api/edges", **answers(ListPage[EdgeSummary], NOT_FOUND, CONFLICT))
def edges(service: ServiceDep, query: Annotated[EdgeQuery, Query()]) -> Response:
    """List the newest edge of every ordered pair, by source and target."""
    results = service.snapshots.current().results
    results.graph.check(*(name for name in (query.source, query.target) if name is not None))
    found = [
        edge
        for edge in results.document.edges
        if query.source in (None, edge.source)
        and query.target in (None, edge.target)
        and query.status in (None, edge.status)
    ]
    return json_response(map_page(page_of(found, query), edge_summary))


@router.get("/api/edges/{source}/{target}", **answers(EdgeRecord, NOT_FOUND, CONFLICT))
def edge(service: ServiceDep, source: Name, target: Name, query: Annotated[AsOfQuery, Query()]) -> Response:
    """Return one edge: scores, directions and null, checkpoints, status, R2 by number of anchor pairs."""
    return json_response(find_edge(service.snapshots.at(query.as_of).results, source, target))


@router.get("/api/edges/{source}/{target}/map", **answers(BYTES, NOT_FOUND, CONFLICT))
def edge_map(
    service: ServiceDep, source: Name, target: Name, query: Annotated[MapQuery, Query()]
) -> Response:
    """Return the maps of an edge as a safetensors or npz file, with basis, versions and a recipe in numpy.

    Arrays are SOURCE/TARGET/PART/weight and bias: shared maps the shared directions from core to core,
    regression scales each by its correlation, full maps all dimensions.
    """
    snapshot = service.snapshots.at(query.as_of)
    find_edge(snapshot.results, source, target)  # of an edge that is not settled it says where others are
    body = snapshot.cached(  # safetensors writes its metadata in another order each time
        f"map {source} {target} {query.format}",
        lambda results: encode_map(results, source, target, query.format),
    )
    name = f"{source}-to-{target}.{query.format}"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(body, headers=headers, media_type=BYTES)


@router.get("/api/edges/{source}/{target}/history", **answers(ListPage[EdgeSummary], NOT_FOUND))
def history(
    service: ServiceDep, source: Name, target: Name, query: Annotated[PageQuery, Query()]
) -> Response:
    """List every edge that an ordered pair has had, oldest first, also of agents that have left."""
    with service.snapshots.ledger() as ledger:
        names, found = ledger.names(), ledger.history(source, target)
    for name in (source, target):
        if name not in names:
            raise ProblemError(
                NOT_FOUND, f"no agent has ever been named {name}: /api/agents lists all agents"
            )
    return json_response(map_page(page_of(found, query), edge_summary))


@router.get("/api/events", **answers(EventPage))
def events(service: ServiceDep, query: Annotated[EventQuery, Query()]) -> Response:
    """List the events after a number, in order; continue after ``next_after``."""
    with service.snapshots.ledger() as ledger:
        found = ledger.events(query.after, query.limit)
    page = EventPage(
        items=[event.as_dict() for event in found],
        after=query.after,
        limit=query.limit,
        next_after=found[-1].number if found else query.after,
    )
    return json_response(page)


@router.get("/metrics", **answers(TEXT))
def metrics(service: ServiceDep) -> Response:
    """Return metrics for Prometheus."""
    text, media_type = service.metrics.text()
    return Response(text, media_type=media_type)
