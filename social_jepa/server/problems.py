"""Every error as a problem document (RFC 9457): what is wrong, and what to do about it."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.routing import Match

from agents.common.config_error import ConfigError
from alignment.graph import NoPathError, UnknownAgentError
from social_jepa.config.time_parsing import TimeError
from social_jepa.graph.query_errors import ModelElsewhereError, ModelUnavailableError, QueryError
from social_jepa.records import encode
from social_jepa.runtime.errors import CopiedFolderError, ElsewhereError, NotUpError
from social_jepa.runtime.member_errors import MembershipError, UnknownMemberError
from social_jepa.runtime.remedies import find_remedy
from social_jepa.server.responses import Problem
from social_jepa.storage.ledger_errors import LedgerError
from social_jepa.storage.run_folder import RunFolder
from social_jepa.storage.run_folder_errors import RunFolderError

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
MAX_MISTAKES = 5  # of one request that are listed
MAX_WORD = 60  # characters of a field's name that are repeated
MAX_SENTENCE = 300  # characters of the description of one mistake
SEE_LOG = "the log file that the server named at its start has the traceback; try again"


@dataclass(frozen=True)
class Kind:
    """A kind of problem; its slug is an anchor of the page /docs."""

    status: int
    slug: str
    title: str


MALFORMED = Kind(400, "malformed", "The request cannot be read")
NO_TOKEN = Kind(401, "no-token", "This server requires a token")
FORBIDDEN = Kind(403, "cross-site", "The request came from another site")
NOT_FOUND = Kind(404, "not-found", "The resource does not exist")
NOT_ALLOWED = Kind(405, "not-allowed", "The route does not accept this method")
CONFLICT = Kind(409, "not-now", "The current state does not allow this")
NO_PATH = Kind(409, "no-path", "There is no path of accepted edges")
TOO_LARGE = Kind(413, "too-large", "The request is too large")
NOT_JSON = Kind(415, "not-json", "The request is not JSON")
OTHER_HOST = Kind(421, "other-host", "This server does not serve that host name")
INVALID = Kind(422, "invalid", "A value of the request is not valid")
BUSY = Kind(429, "busy", "Too many requests at once")
BROKEN = Kind(500, "broken", "The server failed")
UNREACHABLE = Kind(503, "unreachable", "Something that this request needs does not answer")
KINDS = (
    MALFORMED, NO_TOKEN, FORBIDDEN, NOT_FOUND, NOT_ALLOWED, CONFLICT, NO_PATH, TOO_LARGE, NOT_JSON,
    OTHER_HOST, INVALID, BUSY, BROKEN, UNREACHABLE,
)  # fmt: skip

# The first class that matches. The ValueErrors of this project are sentences for the user.
ERRORS: tuple[tuple[type[Exception], Kind], ...] = (
    (UnknownAgentError, NOT_FOUND), (UnknownMemberError, NOT_FOUND), (NoPathError, NO_PATH),
    (ModelUnavailableError, CONFLICT), (ModelElsewhereError, CONFLICT), (QueryError, INVALID),
    (MembershipError, CONFLICT), (ConfigError, INVALID), (LedgerError, UNREACHABLE),
    (RunFolderError, CONFLICT), (ValueError, INVALID), (OverflowError, INVALID), (RuntimeError, UNREACHABLE),
)  # fmt: skip


class ProblemError(Exception):
    """A problem that a route found.

    Attributes:
        kind: Its kind.
        detail: A sentence that names the remedy.
    """

    def __init__(self, kind: Kind, detail: str) -> None:
        super().__init__(kind, detail)
        self.kind, self.detail = kind, detail

    def __str__(self) -> str:
        """Return the sentence."""
        return self.detail


def problem_response(
    kind: Kind, detail: str, headers: Mapping[str, str] | None = None, root_path: str = ""
) -> Response:
    """Return a problem document; the detail is a sentence that names the remedy."""
    document = Problem(
        type=f"{root_path}/docs#{kind.slug}",
        title=kind.title,
        status=kind.status,
        detail=_valid_unicode(detail),
    )
    return Response(encode(document), kind.status, headers, MEDIA_TYPE)


def add_handlers(app: FastAPI) -> None:
    """Answer every error of an app with a problem document."""
    for error in (ProblemError, HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(error, _handle)
    for error, _ in ERRORS:
        app.add_exception_handler(error, _handle)


async def _handle(request: Request, error: Exception) -> Response:
    kind, detail, headers = await run_in_threadpool(_kind_of, error)  # which may look at a run folder
    if kind is NOT_ALLOWED:
        allowed = _allowed_methods(request)
        detail, headers = f"this route accepts {allowed}: /docs describes each", {"Allow": allowed}
    method, path = request.method, request.url.path
    if kind is BROKEN:
        logger.error("%s %s failed", method, path, exc_info=error)
    elif kind is UNREACHABLE:
        logger.warning("%s %s: %s", method, path, error)
    else:
        logger.debug("%s %s refused with %d: %s", method, path, kind.status, error)
    return problem_response(kind, detail, headers, request.scope.get("root_path", ""))


def _kind_of(error: Exception) -> tuple[Kind, str, Mapping[str, str] | None]:
    """Return the kind of an error, its sentence, and the headers of its response."""
    match error:
        case ProblemError():
            return error.kind, error.detail, None
        case RequestValidationError():
            return *_validation_problem(error), None
        case HTTPException():
            return *_http_problem(error), error.headers
    kind = next((kind for known, kind in ERRORS if isinstance(error, known)), BROKEN)
    return kind, SEE_LOG if kind is BROKEN else describe(error), None


def describe(error: Exception) -> str:
    """Return a sentence about an error: what happened, and the parameter or command that helps."""
    match error:
        case TimeError():
            return f"as_of: {error}"
        case NotUpError() | CopiedFolderError():
            return f"{error}: {find_remedy(RunFolder(error.folder)).sentence}"
        case ElsewhereError():
            return f"{error}: send the request to a server there"
    return str(error)


def _http_problem(error: HTTPException) -> tuple[Kind, str]:
    kind = next((kind for kind in KINDS if kind.status == error.status_code), MALFORMED)
    detail = str(error.detail)
    if kind is NOT_FOUND:
        detail = "there is no such route: /docs lists all of them"
    return kind, detail


def _allowed_methods(request: Request) -> str:
    """Return the methods that the path of a request accepts, of all its routes."""
    methods = {
        method
        for method in METHODS
        for route in request.app.routes
        if route.matches({**request.scope, "method": method})[0] is Match.FULL
    }
    return ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))


def _validation_problem(error: RequestValidationError) -> tuple[Kind, str]:
    """Return a sentence that lists the invalid fields, without repeating much of the request."""
    mistakes = error.errors()
    if any(each["type"] == "json_invalid" for each in mistakes):
        return MALFORMED, "the body is not JSON: send one object as /docs describes it"
    sentences = [f"{_field(each['loc'])}: {_mistake(each)}" for each in mistakes[:MAX_MISTAKES]]
    more = f"; and {len(mistakes) - MAX_MISTAKES} more" if len(mistakes) > MAX_MISTAKES else ""
    return INVALID, "; ".join(sentences) + more + " (/docs lists what is allowed)"


def _field(location: Any) -> str:
    """Return the dotted name of a field; the first part of its location is body or query."""
    names = [str(part)[:MAX_WORD] for part in location[:6]]
    return ".".join(names[1:] or names)


def _mistake(error: Mapping[str, Any]) -> str:
    if error["type"] == "extra_forbidden":
        return "there is no such field"
    cause = error.get("ctx", {}).get("error", error["msg"])  # the ValueError of a validator of models.py
    return str(cause)[:MAX_SENTENCE]


def _valid_unicode(text: str) -> str:
    """Return text without surrogates, which JSON may contain and UTF-8 may not."""
    return text.encode("utf-8", "backslashreplace").decode()
