"""The page of a run, its style and scripts, and the description of the API."""

from urllib.parse import quote

from fastapi import APIRouter, HTTPException, Request, Response
from starlette.responses import RedirectResponse

from social_jepa.server.responses import json_response
from social_jepa.server.static_files import docs_page, static_file

router = APIRouter()
without_slash = APIRouter()  # for the prefix of a run alone
MEDIA_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
SCRIPTS = (
    "agents", "edges", "elements", "forms", "graph", "lists", "matrix", "page", "plan", "runs", "shown",
    "source", "state", "time", "views",
)  # fmt: skip


@router.get("/api/openapi.json", include_in_schema=False)
def description(request: Request) -> Response:
    """Return the OpenAPI description of the API."""
    return json_response(request.app.openapi())


@router.get("/docs", include_in_schema=False)
def documentation(request: Request) -> Response:
    """Return the description of the API as a page."""
    return Response(docs_page(request.app.openapi()), media_type="text/html")


@router.get("/", include_in_schema=False)
def page() -> Response:
    """Return the page."""
    return _file("page.html")


@without_slash.get("", include_in_schema=False)
def page_without_slash(request: Request) -> Response:
    """Return a redirect to the page: links of the page are relative to an address that ends in a slash."""
    return RedirectResponse(f"{quote(request.path_params['run'], safe='')}/", 308)


@router.get("/page.css", include_in_schema=False)
def style() -> Response:
    """Return the page's style sheet."""
    return _file("page.css")


@router.get("/{name}.js", include_in_schema=False)
def script(name: str) -> Response:
    """Return one of the page's scripts.

    Raises:
        HTTPException: There is none of that name.
    """
    if name not in SCRIPTS:
        raise HTTPException(404)
    return _file(f"{name}.js")


@router.get("/favicon.ico", include_in_schema=False)
def icon() -> Response:
    """Return no content: browsers request an icon, and the page has none."""
    return Response(status_code=204)


def _file(name: str) -> Response:
    headers = {"Cache-Control": "no-cache"}
    return Response(static_file(name), headers=headers, media_type=MEDIA_TYPES[name.rpartition(".")[2]])
