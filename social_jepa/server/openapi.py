"""The OpenAPI description: what every operation returns, by status, with the schemas of our records."""

from collections.abc import Mapping
from typing import Any

import msgspec
from fastapi import FastAPI, Response
from fastapi.openapi.utils import get_openapi

from social_jepa.records import EdgeRecord, EdgeSummary, FullGraphDocument, GraphDocument
from social_jepa.server import problems
from social_jepa.server.auth import OPEN_ROUTES, Access, cookie_name
from social_jepa.server.problems import Kind
from social_jepa.server.responses import (
    AgentDetail,
    AgentView,
    EventPage,
    Health,
    ListPage,
    NearestResponse,
    PathResponse,
    Problem,
    QualityMatrix,
    ServedRun,
    ServerStatus,
    TranslateResponse,
)

JSON, SVG, PNG = "application/json", "image/svg+xml", "image/png"
BYTES = "application/octet-stream"
EVENTS, TEXT = "text/event-stream", "text/plain"
TEMPLATE = "#/components/schemas/{name}"
# Problems of any request: they are found before a route reads it, or while it reads the ledger.
COMMON = (
    problems.MALFORMED, problems.NO_TOKEN, problems.TOO_LARGE, problems.OTHER_HOST, problems.INVALID,
    problems.BROKEN, problems.UNREACHABLE,
)  # fmt: skip
WRITE = (problems.FORBIDDEN, problems.NOT_JSON)
RECORDS = (
    AgentDetail, EdgeRecord, EventPage, FullGraphDocument, GraphDocument, Health, ListPage[AgentView],
    ListPage[EdgeSummary], ListPage[ServedRun], NearestResponse, PathResponse, Problem, QualityMatrix,
    ServerStatus, TranslateResponse,
)  # fmt: skip
RUN_PREFIX = "/runs/{run}"  # of the routes of one run; without it they are about the default run
BEARER, COOKIE = "token", "page"


def answers(
    content: Any,
    *kinds: Kind,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    etag: bool = False,
) -> dict[str, Any]:
    """Return the arguments of a route's decorator that describe its responses.

    Args:
        content: Type of `RECORDS`, or types, that it returns as JSON; else a media type; None: no body.
        kinds: Problems that it may return besides those of any request.
        status: Status of a success.
        headers: Meaning of the headers of a success.
        etag: Whether it returns an ETag, and 304 when nothing has changed.
    """
    etags = {"ETag": "Entity tag of this version."} if etag else {}
    found: dict[int | str, dict[str, Any]] = {status: {"description": "Success."}}
    if isinstance(content, str):
        found[status]["content"] = {content: {"schema": {"type": "string"}}}
    elif content is not None:
        found[status]["content"] = {JSON: {"schema": _reference(content)}}
    if described := {**(headers or {}), **etags}:
        found[status]["headers"] = _headers(described)
    if etag:
        found[304] = {"description": "Nothing has changed.", "headers": _headers(etags)}
    for kind in (*COMMON, *kinds):
        entry = found.setdefault(kind.status, {"description": f"{kind.title}."})
        entry["content"] = {problems.MEDIA_TYPE: {"schema": _reference(Problem)}}
    return {"response_class": Response, "status_code": status, "responses": found}


def _reference(content: Any) -> dict[str, Any]:
    types = content if isinstance(content, tuple) else (content,)
    found = [msgspec.json.schema_components([each], ref_template=TEMPLATE)[0][0] for each in types]
    return found[0] if len(found) == 1 else {"anyOf": found}


def _headers(meanings: Mapping[str, str]) -> dict[str, Any]:
    return {
        name: {"description": meaning, "schema": {"type": "string"}} for name, meaning in meanings.items()
    }


def describe(app: FastAPI, access: Access, default_run: str) -> dict[str, Any]:
    """Return the OpenAPI description of an app; with a token every operation needs it.

    The routes below `RUN_PREFIX` are those of another server with a variable in its URL: they differ in
    nothing but the run that they are about.
    """
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    operations = [operation for methods in document["paths"].values() for operation in methods.values()]
    _, components = msgspec.json.schema_components(RECORDS, ref_template=TEMPLATE)
    known = document.setdefault("components", {}).setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        known.pop(unused, None)
    known |= components
    _secure(document, operations, access)
    own = {"url": access.root_path or "/", "description": f"The run {default_run}."}
    variables = {"run": {"default": default_run, "description": "Name of a run: GET /api/runs lists all."}}
    each = {"url": access.root_path + RUN_PREFIX, "description": "Any run.", "variables": variables}
    document["servers"] = [own, each]
    for path in OPEN_ROUTES:
        document["paths"][path]["get"]["servers"] = [own]
    return document


def _secure(document: dict[str, Any], operations: list[dict[str, Any]], access: Access) -> None:
    """State the token as a security scheme, or leave out its refusal where there is none."""
    if access.token is None:
        for operation in operations:
            operation["responses"].pop(str(problems.NO_TOKEN.status), None)
        return
    document["components"]["securitySchemes"] = {
        BEARER: {"type": "http", "scheme": "bearer", "description": "The token that the server was given."},
        COOKIE: {
            "type": "apiKey", "in": "cookie", "name": cookie_name(access.token),
            "description": "Set by GET /?token=TOKEN, for browsers.",
        },
    }  # fmt: skip
    for path in OPEN_ROUTES:
        document["paths"][path]["get"]["security"] = []
    document["security"] = [{BEARER: []}, {COOKIE: []}]
