"""Routes that translate and search latents, and routes that render."""

import contextlib
import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Annotated

import torch
from fastapi import APIRouter, Query, Response

from social_jepa.graph.neighborhood import shown_agents
from social_jepa.graph.query import encode_ticks, find_path, measure_path, nearest_ticks, translate
from social_jepa.graph.query_errors import VectorSizeError
from social_jepa.graph.results import Results
from social_jepa.records import EdgeRecord, PathQuality, Translation, encode, replace
from social_jepa.server.conditional import IfNoneMatch, conditional, is_known
from social_jepa.server.models import (
    AsOfQuery,
    DrawingQuery,
    LossQuery,
    Name,
    Nearest,
    PathQuery,
    Translate,
    Vectors,
    ViewQuery,
)
from social_jepa.server.openapi import PNG, SVG, WRITE, answers
from social_jepa.server.problems import BUSY, CONFLICT, INVALID, NO_PATH, NOT_FOUND, ProblemError
from social_jepa.server.render_thread import directions, loss_plot
from social_jepa.server.responses import Hop, NearestResponse, PathResponse, TranslateResponse, json_response
from social_jepa.server.served_runs import ServiceDep
from social_jepa.server.service import JsonBody, Service
from social_jepa.server.snapshots import Snapshot, find_edge
from social_jepa.storage.run_folder_errors import RunFolderError

router = APIRouter()
MAX_INLINE = 64  # vectors that are translated faster than they are handed to a thread
SVG_HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:"
}


@router.post(
    "/api/translate", dependencies=JsonBody, **answers(TranslateResponse, *WRITE, NOT_FOUND, NO_PATH, BUSY)
)
async def translate_vectors(service: ServiceDep, body: Translate) -> Response:
    """Translate core vectors, or the latents of ticks, into another agent's space; find the nearest ticks.

    Up to 10,000 vectors in one request. Ticks that are not among the source's held-out ticks are rendered and
    encoded by its published model.
    """

    def compute(results: Results) -> bytes:
        path = find_path(results, body.source, body.target, body.via)
        if body.vectors is not None:
            cores = to_tensor(body.vectors)
        else:
            cores = encode_ticks(results, body.source, body.ticks or [])
        found = translate(results, path, cores, body.nearest)
        response = TranslateResponse(**{key: getattr(found, key) for key in Translation.__struct_fields__})
        if body.ticks is not None:
            response = replace(response, ticks=body.ticks, vectors=cores.tolist())
        return encode(response)

    recent = service.snapshots.recent()
    # the universe is fitted at its first use, which takes too long for the event loop
    if recent and body.via != "universe" and 1 <= len(body.vectors or ()) <= MAX_INLINE:
        with contextlib.suppress(RunFolderError):  # an agent is just publishing: read the graph again
            return Response(compute(recent.results), media_type="application/json")
    run = service.renderer.run if body.vectors is None else service.in_thread
    found = await run(functools.partial(service.snapshots.compute, compute))
    return Response(found, media_type="application/json")


@router.post("/api/nearest", dependencies=JsonBody, **answers(NearestResponse, *WRITE, NOT_FOUND, CONFLICT))
def nearest(service: ServiceDep, body: Nearest) -> Response:
    """Find the held-out ticks of an agent whose latents are nearest to vectors of its core."""

    def compute(results: Results) -> NearestResponse:
        cores, core_dim = to_tensor(body.vectors), results.agent(body.agent).core_dim
        if cores.shape[1] != core_dim:
            raise VectorSizeError(body.agent, core_dim)
        found = nearest_ticks(results.pools(body.agent).heldout, cores, body.top)
        return NearestResponse(agent=body.agent, nearest=found)

    return json_response(service.snapshots.compute(compute))


@router.get("/api/path", **answers(PathResponse, NOT_FOUND, NO_PATH))
def path(service: ServiceDep, query: Annotated[PathQuery, Query()]) -> Response:
    """Find the path with the largest expected R2, and measure its R2 on held-out anchors."""

    def compute(results: Results) -> PathResponse:
        names = find_path(results, query.source, query.target, "best")
        quality = measure_path(results, names)
        edges = [find_edge(results, a, b) for a, b in itertools.pairwise(names)]
        return PathResponse(
            **{key: getattr(quality, key) for key in PathQuality.__struct_fields__},
            hops=[Hop(**{key: getattr(edge, key) for key in Hop.__struct_fields__}) for edge in edges],
        )

    return json_response(service.snapshots.compute(compute))


@router.get("/api/agents/{name}/view.png", **answers(PNG, NOT_FOUND, CONFLICT, BUSY, etag=True))
async def view(
    service: ServiceDep, name: Name, query: Annotated[ViewQuery, Query()], if_none_match: IfNoneMatch = ""
) -> Response:
    """Render the view of an agent's camera at a tick."""
    snapshot = await service.in_thread(service.snapshots.current)
    member = snapshot.results.member(name)
    etag = f'W/"{member.pose_version}-{query.tick}-{len(snapshot.results.bodies)}-{snapshot.etag[3:15]}"'
    if is_known(etag, if_none_match):
        return conditional(etag, if_none_match, bytes)
    renderer = service.renderer
    picture = await renderer.run(lambda: renderer.render_view(snapshot, name, query.tick))
    return conditional(etag, "", lambda: picture, "image/png")


@router.get("/api/agents/{name}/loss.svg", **answers(SVG, NOT_FOUND, CONFLICT, BUSY))
async def loss(service: ServiceDep, name: Name, query: Annotated[LossQuery, Query()]) -> Response:
    """Plot an agent's loss by step, up to its newest step; as published while the simulation is down."""
    snapshot = await service.in_thread(service.snapshots.current)
    curves = await service.in_thread(lambda: service.loss_curves(name))
    return await _drawing(service, snapshot, "", lambda results: loss_plot(results, name, curves))


@router.get("/api/edges/{source}/{target}/directions.svg", **answers(SVG, NOT_FOUND, CONFLICT, BUSY))
async def edge_directions(
    service: ServiceDep, source: Name, target: Name, query: Annotated[AsOfQuery, Query()]
) -> Response:
    """Plot the directions that an edge shares, those that are private, and the null."""
    snapshot = await service.in_thread(lambda: service.snapshots.at(query.as_of))
    edge = find_edge(snapshot.results, source, target)
    key = f"directions {source} {target}"
    return await _drawing(service, snapshot, key, lambda results: directions(results, edge))


@router.get("/api/graph.svg", **answers(SVG, NOT_FOUND, CONFLICT, BUSY))
async def graph_drawing(service: ServiceDep, query: Annotated[DrawingQuery, Query()]) -> Response:
    """Draw the graph over the room as seen from above: all of its edges, those of one agent, or the best.

    Of more than 64 agents it draws those of the focus, by default of the first one.
    """
    snapshot = await service.in_thread(lambda: service.snapshots.at(query.as_of))
    renderer = service.renderer
    agents = shown_agents(snapshot.results, query.focus)
    edges = drawn_edges(snapshot.results, query, agents)
    key = f"graph {query.pictures} {query.styled} {query.focus} {query.min_r2}" if query.tick == 0 else ""
    return await _drawing(
        service, snapshot, key,
        lambda _: renderer.render_graph(snapshot, agents, edges, query.tick, query.pictures, query.styled),
    )  # fmt: skip


def drawn_edges(results: Results, query: DrawingQuery, agents: Sequence[str]) -> list[EdgeRecord]:
    """Return the edges that a drawing of some agents shows."""
    edges = results.document.edges if query.focus is None else results.edges_of(query.focus)
    least, drawn = query.min_r2, set(agents)
    return [
        edge
        for edge in edges
        if drawn.issuperset((edge.source, edge.target)) and (least is None or edge.reaches(least))
    ]


async def _drawing(
    service: Service, snapshot: Snapshot, key: str, draw: Callable[[Results], bytes]
) -> Response:
    """Return a drawing, made on the render thread; one with a key is made once for each snapshot."""
    found = snapshot.cache.get(key)
    if found is None:
        run = (
            functools.partial(snapshot.cached, key, draw)
            if key
            else functools.partial(draw, snapshot.results)
        )
        found = await service.renderer.run(run)
    return Response(found, headers=SVG_HEADERS, media_type=SVG)


def to_tensor(vectors: Vectors) -> torch.Tensor:
    """Return vectors as one tensor, [K, D].

    Raises:
        ProblemError: They have different lengths.
    """
    if len({len(vector) for vector in vectors}) > 1:
        raise ProblemError(
            INVALID, "the vectors are not equally long: each holds one number per core dimension"
        )
    return torch.tensor(vectors, dtype=torch.float64)
