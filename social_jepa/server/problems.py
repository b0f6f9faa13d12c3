"""Every error as a problem document (RFC 9457): what is wrong, and what to do about it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic_core import to_json
from starlette.exceptions import HTTPException

from agents.common.config_error import ConfigError
from alignment.graph import NoPathError, UnknownAgentError
from social_jepa.config.time_parsing import TimeFormatError
from social_jepa.graph.query import QueryError
from social_jepa.runtime.errors import MembershipError, NotUpError, UnknownMemberError
from social_jepa.storage.ledger import LedgerError
from social_jepa.storage.run_folder import RunFolderError

MEDIA_TYPE = "application/problem+json"
MOST_TOLD = 5  # mistakes of one request that are told
LONGEST_WORD = 60  # characters of a client's word that are said back


@dataclass(frozen=True)
class Kind:
    """A kind of problem; its slug is an anchor of the page /docs."""

    status: int
    slug: str
    title: str


MALFORMED = Kind(400, "malformed", "The request cannot be read")
NO_TOKEN = Kind(401, "no-token", "This server asks for a token")
FORBIDDEN = Kind(403, "cross-site", "Another site asked for this")
NOT_FOUND = Kind(404, "not-found", "There is no such thing")
NOT_ALLOWED = Kind(405, "not-allowed", "This cannot be done here")
CONFLICT = Kind(409, "not-now", "It cannot be done as things stand")
NO_PATH = Kind(409, "no-path", "No accepted edge leads there")
TOO_LARGE = Kind(413, "too-large", "The request is too large")
NOT_JSON = Kind(415, "not-json", "The request is not JSON")
OTHER_HOST = Kind(421, "other-host", "This server does not answer to that name")
INVALID = Kind(422, "invalid", "The request asks for what cannot be")
BUSY = Kind(429, "busy", "Too much was asked at once")
BROKEN = Kind(500, "broken", "The server made a mistake")
UNREACHABLE = Kind(503, "unreachable", "Something that this needs does not answer")
KINDS = (
    MALFORMED, NO_TOKEN, FORBIDDEN, NOT_FOUND, NOT_ALLOWED, CONFLICT, NO_PATH, TOO_LARGE, NOT_JSON,
    OTHER_HOST, INVALID, BUSY, BROKEN, UNREACHABLE,
)  # fmt: skip

# The first class that fits; ValueErrors of the house are sentences for whoever asked.
ERRORS: tuple[tuple[type[Exception], Kind], ...] = (
    (UnknownAgentError, NOT_FOUND), (UnknownMemberError, NOT_FOUND), (NoPathError, NO_PATH),
    (QueryError, INVALID), (MembershipError, CONFLICT), (ConfigError, INVALID), (LedgerError, UNREACHABLE),
    (RunFolderError, CONFLICT), (ValueError, INVALID), (OverflowError, INVALID), (RuntimeError, UNREACHABLE),
)  # fmt: skip


class ProblemError(Exception):
    """A problem that a handler found by itself."""

    def __init__(self, kind: Kind, detail: str) -> None:
        super().__init__(detail)
        self.kind, self.detail = kind, detail


def problem(kind: Kind, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return a problem document; the detail is a sentence that names the remedy."""
    body = {
        "type": f"/docs#{kind.slug}", "title": kind.title, "status": kind.status, "detail": _safe(detail),
    }  # fmt: skip
    return Response(to_json(body), kind.status, headers, MEDIA_TYPE)


def add_handlers(app: FastAPI) -> None:
    """Answer every error of an app with a problem document."""
    for kind in (ProblemError, HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(kind, _answer)
    for error, _ in ERRORS:
        app.add_exception_handler(error, _answer)


async def _answer(request: Request, error: Exception) -> Response:
    match error:
        case ProblemError():
            return problem(error.kind, error.detail)
        case RequestValidationError():
            return _invalid(error)
        case HTTPException():
            return _of_http(error)
    kind = next((kind for known, kind in ERRORS if isinstance(error, known)), BROKEN)
    if kind is BROKEN:
        return problem(kind, "the terminal where social-jepa serve runs says what happened; try again")
    if isinstance(error, TimeFormatError):
        return problem(kind, f"as_of: {error}")
    if isinstance(error, NotUpError):
        return problem(kind, f"{error}: social-jepa resume {error.folder} brings it back")
    return problem(kind, str(error))


def _of_http(error: HTTPException) -> Response:
    kind = next((kind for kind in KINDS if kind.status == error.status_code), MALFORMED)
    detail = str(error.detail)
    if kind is NOT_FOUND:
        detail = "nothing lies at this address; /docs lists what there is"
    if kind is NOT_ALLOWED:
        allowed = (error.headers or {}).get("Allow", (error.headers or {}).get("allow", "other methods"))
        detail = f"this address takes {allowed}; /docs says what each does"
    return problem(kind, detail, error.headers)


def _invalid(error: RequestValidationError) -> Response:
    """Say where the request is wrong, without saying much of it back."""
    found = error.errors()
    if any(each["type"] == "json_invalid" for each in found):
        return problem(MALFORMED, "the body is not JSON; write one object as /docs describes it")
    told = [f"{_place(each['loc'])}: {_said(each)}" for each in found[:MOST_TOLD]]
    more = f"; and {len(found) - MOST_TOLD} more" if len(found) > MOST_TOLD else ""
    return problem(INVALID, "; ".join(told) + more + " (/docs lists what is allowed)")


def _place(location: Any) -> str:
    words = [str(part)[:LONGEST_WORD] for part in location[:6]]
    return ".".join(words[1:] or words)


def _said(error: Mapping[str, Any]) -> str:
    if error["type"] == "extra_forbidden":
        return "there is no such field"
    return str(error["msg"]).removeprefix("Value error, ")[:300]


def _safe(text: str) -> str:
    """Return text that is valid Unicode: JSON may carry halves of characters."""
    return text.encode("utf-8", "backslashreplace").decode()
