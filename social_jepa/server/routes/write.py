"""Addresses that change a living simulation, the stream of what happens, and the page."""

from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse

from social_jepa.server.models import AddAgent, MoveAgent, Name, Nothing, StreamStart
from social_jepa.server.problems import MALFORMED, ProblemError
from social_jepa.server.routes.read import answer
from social_jepa.server.service import Parts
from social_jepa.server.static_files import docs_page, static_file

router = APIRouter()
MEDIA_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript"}


@router.post("/api/agents", status_code=201)
def add(parts: Parts, asked: AddAgent) -> Response:
    """Let an agent join: it learns its view, alone or taught by a peer, then negotiates with everybody."""
    wanted = asked.model_dump(exclude_none=True)
    added = parts.living.call("add_agent", wanted.pop("pose", ""), **wanted)
    found = answer(parts.agent(added.name), 201)
    found.headers["Location"] = f"/api/agents/{added.name}"
    return found


@router.patch("/api/agents/{name}")
def move(parts: Parts, name: Name, asked: MoveAgent) -> Response:
    """Turn an agent's camera to another view; its edges go stale and are negotiated anew."""
    parts.living.call("move_agent", name, asked.pose)
    return answer(parts.agent(name))


@router.delete("/api/agents/{name}", status_code=204)
def remove(parts: Parts, name: Name, asked: Annotated[Nothing, Query()]) -> Response:
    """Let an agent leave; its edges end with a tombstone."""
    parts.living.call("remove_agent", name)
    return Response(status_code=204)


@router.get("/api/stream")
async def stream(
    parts: Parts,
    asked: Annotated[StreamStart, Query()],
    last_event_id: Annotated[str, Header(max_length=40)] = "",
) -> StreamingResponse:
    """Send every event as it is written down (server-sent events).

    The id of an event is its number. Who comes back with Last-Event-ID is told what it missed.
    """
    after = asked.after
    if last_event_id:
        if not last_event_id.isascii() or not last_event_id.isdigit() or len(last_event_id) > 15:
            raise ProblemError(MALFORMED, "Last-Event-ID is the number of the last event that was heard")
        after = int(last_event_id)
    lines = await parts.bell.listen(after)
    return StreamingResponse(lines, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


@router.get("/docs", include_in_schema=False)
def documentation(request: Request) -> Response:
    """Show the API's description as a page."""
    return Response(docs_page(request.app.openapi()), media_type="text/html")


@router.get("/", include_in_schema=False)
def front() -> Response:
    """Show the page."""
    return _file("page.html")


@router.get("/page.css", include_in_schema=False)
def style() -> Response:
    """Return how the page looks."""
    return _file("page.css")


@router.get("/page.js", include_in_schema=False)
def script() -> Response:
    """Return what the page does."""
    return _file("page.js")


@router.get("/favicon.ico", include_in_schema=False)
def icon() -> Response:
    """Return nothing: the page has no icon, and browsers ask."""
    return Response(status_code=204)


def _file(name: str) -> Response:
    headers = {"Cache-Control": "no-cache"}
    return Response(static_file(name), headers=headers, media_type=MEDIA_TYPES[name.rpartition(".")[2]])
