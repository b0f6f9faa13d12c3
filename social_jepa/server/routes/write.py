"""Routes that change a simulation, and the event stream."""

from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response

from social_jepa.server.models import AddAgent, ChangeAgent, EmptyQuery, Name, StreamQuery
from social_jepa.server.openapi import EVENTS, WRITE, answers
from social_jepa.server.problems import BUSY, CONFLICT, FORBIDDEN, NOT_FOUND
from social_jepa.server.responses import AgentView, json_response
from social_jepa.server.served_runs import ServiceDep
from social_jepa.server.service import JsonBody
from social_jepa.server.sse import EventId

router = APIRouter()


@router.post(
    "/api/agents",
    dependencies=JsonBody,
    **answers(
        AgentView, *WRITE, NOT_FOUND, CONFLICT, status=201, headers={"Location": "Address of the agent."}
    ),
)
def add(service: ServiceDep, request: Request, body: AddAgent) -> Response:
    """Add an agent: it trains alone, or distills from a teacher first, then negotiates with all peers."""
    wanted = body.model_dump(exclude_none=True)
    added = service.client.call(lambda simulation: simulation.add_agent(**wanted))
    headers = {"Location": f"{request.scope['path']}/{added.name}"}
    return json_response(service.agent(added.name), 201, headers)


@router.patch("/api/agents/{name}", dependencies=JsonBody, **answers(AgentView, *WRITE, NOT_FOUND, CONFLICT))
def change(service: ServiceDep, name: Name, body: ChangeAgent) -> Response:
    """Move an agent's camera, whose edges are then negotiated again, or pause or resume its training."""
    pose, paused = body.pose, body.paused
    if pose is not None:  # first: it can be refused, where nothing shall have changed
        service.client.call(lambda simulation: simulation.move_agent(name, pose))
    if paused is not None:
        service.client.call(
            lambda simulation: simulation.pause(name) if paused else simulation.resume_learning(name)
        )
    return json_response(service.agent(name))


@router.delete("/api/agents/{name}", **answers(None, FORBIDDEN, NOT_FOUND, CONFLICT, status=204))
def remove(service: ServiceDep, name: Name, query: Annotated[EmptyQuery, Query()]) -> Response:
    """Remove an agent; its edges end with a tombstone."""
    service.client.call(lambda simulation: simulation.remove_agent(name))
    return Response(status_code=204)


@router.get("/api/stream", **answers(EVENTS, BUSY))
async def stream(
    service: ServiceDep,
    query: Annotated[StreamQuery, Query()],
    last_event_id: Annotated[str, Header(max_length=40)] = "",
) -> Response:
    """Send every event as the ledger records it (server-sent events).

    The id of an event names the run and the event's number. A client that reconnects with Last-Event-ID
    receives all events after it; the header takes precedence over ``after``. After an event of another run
    the first event is of type ``reset``: what the client knows is of that other run.
    """
    after = last_event_id or query.after
    return await service.broadcaster.response(EventId.parse(after) if after else None)
