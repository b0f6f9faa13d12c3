"""Requests that name the version that a client has: the answer to an unchanged one has no body."""

from collections.abc import Callable
from typing import Annotated

from fastapi import Header, Response

IfNoneMatch = Annotated[str, Header(alias="If-None-Match", max_length=2000)]


def conditional(
    etag: str, if_none_match: str, body: Callable[[], bytes], media_type: str = "application/json"
) -> Response:
    """Return 304 if the client has this version already, else the body with its entity tag.

    Args:
        etag: Entity tag of this version.
        if_none_match: Header of the request; empty: none.
        body: Returns the body, which may take long.
        media_type: Of the body.
    """
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    if is_known(etag, if_none_match):
        return Response(status_code=304, headers=headers)
    return Response(body(), headers=headers, media_type=media_type)


def is_known(etag: str, if_none_match: str) -> bool:
    """Return whether a client has a version already, by its header If-None-Match."""
    return if_none_match.strip() == "*" or etag in [each.strip() for each in if_none_match.split(",")]
