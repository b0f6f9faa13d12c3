"""The page, its style and script, the sign-in page, and /docs, rendered from the OpenAPI description."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from social_jepa.report.templating import REPORT, make_environment, read_static
from social_jepa.server.problems import KINDS

SERVER = "social_jepa.server"
STYLE = ("theme.css", "report.css")  # of the report; the page's own rules follow
LOCATIONS = {"path": "in the path", "query": "in the query", "header": "as a header"}


def static_file(name: str) -> str:
    """Return the page, one of its scripts, or "page.css", which begins with the report's style."""
    if name == "page.css":
        return read_static(REPORT, STYLE) + read_static(SERVER, ("graph.css", "page.css"))
    return read_static(SERVER, (name,))


def graph_style() -> str:
    """Return the style of the graph in an SVG file: the report's, and the page's additions."""
    return read_static(REPORT, STYLE) + read_static(SERVER, ("graph.css",))


def sign_in_page() -> str:
    """Return the page with a field for the token; it needs neither style nor script."""
    return make_environment(SERVER).get_template("sign_in.html.jinja").render()


def docs_page(description: Mapping[str, Any]) -> str:
    """Return an OpenAPI description as a page that needs no network."""
    operations = [
        _operation(method, path, operation)
        for path, methods in description["paths"].items()
        for method, operation in methods.items()
    ]
    schemas = description["components"]["schemas"]
    bodies = sorted({operation["body"] for operation in operations} - {""})
    shapes = [_shape(name, schemas[name]) for name in bodies]
    template = make_environment(SERVER).get_template("docs.html.jinja")
    return template.render(operations=operations, shapes=shapes, problems=KINDS)


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> dict[str, Any]:
    summary = operation.get("summary", "")
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    return {
        "method": method.upper(),
        "path": path,
        "summary": summary,
        "paragraphs": operation.get("description", summary).split("\n\n"),
        "parameters": [
            {
                "name": each["name"],
                "where": LOCATIONS.get(each["in"], ""),
                "meaning": _meaning(each.get("schema", {}), each.get("description", "")),
            }
            for each in operation.get("parameters", [])
        ],
        "body": body.get("$ref", "").rpartition("/")[2],
    }


def _shape(name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    required = schema.get("required", [])
    return {
        "name": name,
        "description": schema.get("description", ""),
        "fields": [
            {
                "name": field,
                "required": field in required,
                "meaning": _meaning(of, of.get("description", "")),
            }
            for field, of in schema["properties"].items()
        ],
    }


def _meaning(schema: Mapping[str, Any], description: str) -> str:
    bounds = ", ".join(_bounds(schema))
    default = f"default {json.dumps(schema['default'])}" if schema.get("default") is not None else ""
    limits = "; ".join(filter(None, (bounds, default)))
    return ". ".join(filter(None, (description.rstrip("."), limits)))


def _bounds(schema: Mapping[str, Any]) -> Iterator[str]:
    """Yield the type and range of a value, in words."""
    for kind in schema.get("anyOf", [schema]):
        if "enum" in kind or "const" in kind:
            yield " or ".join(map(str, kind.get("enum", [kind.get("const")])))
        elif kind.get("type") == "array":
            yield f"{kind.get('minItems', 0)} to {kind.get('maxItems', 'any number of')} entries"
        elif kind.get("type") not in (None, "null"):
            yield kind["type"]
            if "minimum" in kind:
                yield f"{kind['minimum']:g} to {kind.get('maximum', float('inf')):g}"
