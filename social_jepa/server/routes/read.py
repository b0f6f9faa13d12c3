"""Routes that read a run: status, agents, graph, edges, events, metrics."""

import functools
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response

from social_jepa.config.time_parsing import FOREVER
from social_jepa.graph.edge_lookup import edge_history
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
from social_jepa.server.conditional import IfNoneMatch, conditional
from social_jepa.server.lists import map_page, page_of, sorted_by
from social_jepa.server.models import (
    AgentListQuery,
    AsOfQuery,
    EdgeQuery,
    EmptyQuery,
    EventQuery,
    GraphQuery,
    MapQuery,
    Name,
    PageQuery,
    QualityQuery,
)
from social_jepa.server.openapi import BYTES, TEXT, answers
from social_jepa.server.problems import CONFLICT, NOT_FOUND
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
def agents(service: ServiceDep, query: Annotated[AgentListQuery, Query()]) -> Response:
    """List the agents that meet all conditions: phase, step, loss, drift, pose, incarnation, failure.

    By index, or in the order of fields; between equal values the index decides.
    """
    found = sorted_by(filter(query.matches, service.agents()), query.sort)
    return json_response(page_of(found, query))


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
    snapshot = service.snapshots.at(query.as_of)
    if snapshot.as_of < FOREVER:
        results = snapshot.results
        return json_response(full_document(results) if query.cycles else results.document)
    if query.cycles:
        etag = f'{snapshot.etag[:-1]}-cycles"'
        return conditional(
            etag, if_none_match,
            lambda: service.snapshots.compute(lambda results: encode(full_document(results))),
        )  # fmt: skip
    return conditional(
        snapshot.etag, if_none_match,
        lambda: snapshot.cached("graph", lambda results: encode(results.document)),
    )  # fmt: skip


@router.get("/api/quality", **answers(QualityMatrix, NOT_FOUND, CONFLICT, etag=True))
def quality(
    service: ServiceDep, query: Annotated[QualityQuery, Query()], if_none_match: IfNoneMatch = ""
) -> Response:
    """Return the quality of every ordered pair: rows are sources, columns targets.

    Status and held-out R2 of the direct edge, and the share of the source that the best path keeps. Of more
    agents than `limit` it has the focus, by default the first agent, and those that it has edges with. The
    newest one has an ETag, as `GET /api/graph` has.
    """
    snapshot = service.snapshots.at(query.as_of)
    body = functools.partial(service.quality, snapshot, query.focus, query.limit)
    if snapshot.as_of < FOREVER:
        return Response(body(), media_type="application/json")
    return conditional(snapshot.etag, if_none_match, body)


@router.get("/api/edges", **answers(ListPage[EdgeSummary], NOT_FOUND, CONFLICT, etag=True))
def edges(
    service: ServiceDep, query: Annotated[EdgeQuery, Query()], if_none_match: IfNoneMatch = ""
) -> Response:
    """List the newest edges of ordered pairs that meet all conditions.

    By source and target, or in the order of fields; between equal values source and target decide. The list
    has an ETag, as `GET /api/graph` has.
    """
    snapshot = service.snapshots.at(query.as_of)
    results = snapshot.results
    results.graph.check(*query.names)

    def page() -> bytes:
        edges = results.edges_of(query.names[0]) if query.names else results.document.edges
        found = sorted_by(filter(query.matches, edges), query.sort)
        return encode(map_page(page_of(found, query), edge_summary))

    if snapshot.as_of < FOREVER:
        return Response(page(), media_type="application/json")
    return conditional(snapshot.etag, if_none_match, page)


@router.get("/api/edges/{source}/{target}", **answers(EdgeRecord, NOT_FOUND, CONFLICT))
def edge(service: ServiceDep, source: Name, target: Name, query: Annotated[AsOfQuery, Query()]) -> Response:
    """Return one edge: scores, directions and null, checkpoints, status, R2 by number of anchor pairs."""
    snapshot = service.snapshots.at(query.as_of)
    return json_response(find_edge(snapshot.results, source, target, snapshot.as_of))


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
        found = edge_history(ledger, source, target)
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
