"""Addresses that answer questions, and those that draw."""

import contextlib
import functools
import itertools
from typing import Annotated, Any

import torch
from fastapi import APIRouter, Header, Query, Response

from social_jepa.graph.query import encode_ticks, find_path, measure_path, nearest_ticks, translate
from social_jepa.graph.records import as_dict
from social_jepa.graph.results import Results
from social_jepa.server.models import (
    DrawingAsked,
    Name,
    Nearest,
    Nothing,
    PathAsked,
    SightAsked,
    Translate,
    Vectors,
)
from social_jepa.server.problems import INVALID, ProblemError
from social_jepa.server.render_thread import loss_curve, spectrum
from social_jepa.server.routes.read import answer, find_edge
from social_jepa.server.service import Parts
from social_jepa.server.snapshots import Snapshot, as_json
from social_jepa.storage.run_folder import RunFolderError

router = APIRouter()
Match = Annotated[str, Header(alias="If-None-Match", max_length=2000)]
SMALL = range(1, 65)  # vectors that take less time than handing them to a thread
SVG = "image/svg+xml"
OF_DRAWINGS = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:"
}


@router.post("/api/translate")
async def translate_vectors(parts: Parts, asked: Translate) -> Response:
    """Carry vectors, or what is seen at ticks, into another agent's space, and find the nearest there.

    Up to ten thousand vectors in one request. Ticks that the speaker's memory does not hold are drawn and
    embedded by the model that it published.
    """

    def work(results: Results) -> bytes:
        way = find_path(results, asked.source, asked.target, asked.via)
        if asked.vectors is not None:
            codes = tensor(asked.vectors)
        else:
            codes = encode_ticks(results, asked.source, asked.ticks or [])
        found = translate(results, way, codes, asked.nearest)
        given = {} if asked.ticks is None else {"ticks": asked.ticks, "vectors": codes.tolist()}
        return as_json({**as_dict(found), **given})

    held = parts.view.glance()
    # the universe is fitted when it is first asked for, which takes too long to do between two answers
    if held and asked.via != "universe" and len(asked.vectors or ()) in SMALL:
        with contextlib.suppress(RunFolderError):  # an agent is just publishing: look again
            return Response(work(held.results), media_type="application/json")
    question = functools.partial(parts.view.ask, work)
    run = parts.eyes.run if asked.vectors is None else parts.threads
    return Response(await run(question), media_type="application/json")


@router.post("/api/nearest")
def nearest(parts: Parts, asked: Nearest) -> Response:
    """Find the instants in an agent's memory that are nearest to vectors of its own core."""

    def work(results: Results) -> bytes:
        codes, core = tensor(asked.vectors), results.agent(asked.agent).core_dim
        if codes.shape[1] != core:
            raise ProblemError(
                INVALID, f"the core of {asked.agent} has {core} dimensions: every vector needs {core} numbers"
            )
        found = nearest_ticks(results.pools(asked.agent).heldout, codes, asked.top)
        return as_json({"agent": asked.agent, "nearest": found})

    return Response(parts.view.ask(work), media_type="application/json")


@router.get("/api/path")
def path(parts: Parts, asked: Annotated[PathAsked, Query()]) -> Response:
    """Find the way that promises the smallest error, and say what held-out anchors make of it."""

    def work(results: Results) -> dict[str, Any]:
        way = find_path(results, asked.source, asked.target, "best")
        hops = [find_edge(results, a, b) for a, b in itertools.pairwise(way)]
        brief = [
            {key: getattr(hop, key) for key in ("source", "target", "r2_core", "null_r2")} for hop in hops
        ]
        return {**as_dict(measure_path(results, way)), "hops": brief}

    return answer(parts.view.ask(work))


@router.get("/api/agents/{name}/view.png")
async def view(
    parts: Parts, name: Name, asked: Annotated[SightAsked, Query()], if_none_match: Match = ""
) -> Response:
    """Draw what an agent's camera sees at a tick."""
    snapshot = await parts.threads(parts.view.now)
    member = snapshot.results.member(name)
    etag = f'W/"{member.pose_version}-{asked.tick}-{len(snapshot.results.bodies)}-{snapshot.etag[3:15]}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    if etag == if_none_match:
        return Response(status_code=304, headers=headers)
    picture = await parts.eyes.run(lambda: parts.eyes.see(snapshot, name, asked.tick))
    return Response(picture, headers=headers, media_type="image/png")


@router.get("/api/agents/{name}/loss.svg")
async def loss(parts: Parts, name: Name, asked: Annotated[Nothing, Query()]) -> Response:
    """Draw an agent's loss by training step, up to its newest publication."""
    snapshot = await parts.threads(parts.view.now)
    return await _drawing(parts, snapshot, f"loss {name}", lambda results: loss_curve(results, name))


@router.get("/api/edges/{source}/{target}/spectrum.svg")
async def edge_spectrum(
    parts: Parts, source: Name, target: Name, asked: Annotated[Nothing, Query()]
) -> Response:
    """Draw an edge's singular values against those of shuffled pairs."""
    snapshot = await parts.threads(parts.view.now)
    find_edge(snapshot.results, source, target)
    name = f"spectrum {source} {target}"
    return await _drawing(parts, snapshot, name, lambda results: spectrum(results, source, target))


@router.get("/api/graph.svg")
async def graph_drawing(parts: Parts, asked: Annotated[DrawingAsked, Query()]) -> Response:
    """Draw the graph, seen from above the room."""
    snapshot = await parts.threads(parts.view.now)
    name = f"graph {asked.pictures} {asked.styled}" if asked.tick == 0 else ""
    return await _drawing(
        parts, snapshot, name, lambda _: parts.eyes.graph(snapshot, asked.tick, asked.pictures, asked.styled)
    )


async def _drawing(parts: Parts, snapshot: Snapshot, name: str, draw: Any) -> Response:
    """Draw on the drawing thread, once for each graph; a drawing without a name is not kept."""
    run = functools.partial(snapshot.make, name, draw) if name else functools.partial(draw, snapshot.results)
    found = snapshot.made.get(name) or await parts.eyes.run(run)
    return Response(found, headers=OF_DRAWINGS, media_type=SVG)


def tensor(vectors: Vectors) -> torch.Tensor:
    """Return vectors as one tensor, [K, D].

    Raises:
        ProblemError: They are not equally long.
    """
    if len({len(vector) for vector in vectors}) > 1:
        raise ProblemError(
            INVALID, "the vectors are not equally long: each holds one number per core dimension"
        )
    return torch.tensor(vectors, dtype=torch.float64)
