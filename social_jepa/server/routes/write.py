"""Routes that change a simulation, the event stream, and the page."""

import re
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response

from social_jepa.server.models import AddAgent, EmptyQuery, MoveAgent, Name, StreamQuery
from social_jepa.server.problems import MALFORMED, ProblemError
from social_jepa.server.responses import json_response
from social_jepa.server.service import ServiceDep
from social_jepa.server.static_files import docs_page, static_file

router = APIRouter()
MEDIA_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
EVENT_ID = re.compile(r"[0-9]{1,15}")


@router.post("/api/agents", status_code=201)
def add(service: ServiceDep, body: AddAgent) -> Response:
    """Add an agent: it trains alone, or distills from a teacher first, then negotiates with all peers."""
    request = body.model_dump(exclude_none=True)
    added = service.client.call(lambda simulation: simulation.add_agent(**request))
    headers = {"Location": f"/api/agents/{added.name}"}
    return json_response(service.agent(added.name), 201, headers)


@router.patch("/api/agents/{name}")
def move(service: ServiceDep, name: Name, body: MoveAgent) -> Response:
    """Move an agent's camera to another pose; its edges become stale and are negotiated again."""
    service.client.call(lambda simulation: simulation.move_agent(name, body.pose))
    return json_response(service.agent(name))


@router.delete("/api/agents/{name}", status_code=204)
def remove(service: ServiceDep, name: Name, query: Annotated[EmptyQuery, Query()]) -> Response:
    """Remove an agent; its edges end with a tombstone."""
    service.client.call(lambda simulation: simulation.remove_agent(name))
    return Response(status_code=204)


@router.get("/api/stream")
async def stream(
    service: ServiceDep,
    query: Annotated[StreamQuery, Query()],
    last_event_id: Annotated[str, Header(max_length=40)] = "",
) -> Response:
    """Send every event as the ledger records it (server-sent events).

    The id of an event is its number. A client that reconnects with Last-Event-ID receives all events after
    that number; the header takes precedence over ``after``.
    """
    after = query.after
    if last_event_id:
        if not EVENT_ID.fullmatch(last_event_id):
            raise ProblemError(MALFORMED, "Last-Event-ID is the number of the last event that was received")
        after = int(last_event_id)
    return await service.broadcaster.response(after)


@router.get("/docs", include_in_schema=False)
def documentation(request: Request) -> Response:
    """Return the description of the API as a page."""
    return Response(docs_page(request.app.openapi()), media_type="text/html")


@router.get("/", include_in_schema=False)
def page() -> Response:
    """Return the page."""
    return _file("page.html")


@router.get("/page.css", include_in_schema=False)
def style() -> Response:
    """Return the page's style sheet."""
    return _file("page.css")


@router.get("/page.js", include_in_schema=False)
def script() -> Response:
    """Return the page's script."""
    return _file("page.js")


@router.get("/favicon.ico", include_in_schema=False)
def icon() -> Response:
    """Return no content: browsers request an icon, and the page has none."""
    return Response(status_code=204)


def _file(name: str) -> Response:
    headers = {"Cache-Control": "no-cache"}
    return Response(static_file(name), headers=headers, media_type=MEDIA_TYPES[name.rpartition(".")[2]])
