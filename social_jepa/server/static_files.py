"""What people open: the page, its style and script, and /docs, which is made of the API's own description."""

import html
import json
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any

from social_jepa.server.problems import KINDS

HEAD = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>{title}</title>
{style}</head><body><main>
"""
LINK = '<link rel="stylesheet" href="/page.css">'
WHERE = {"path": "in the address", "query": "after ?", "header": "as a header"}


def page(name: str) -> str:
    """Return a file of the page: "page.html", "page.js"; "page.css" begins with the report's style."""
    text = files("social_jepa.server").joinpath("static", name).read_text("utf-8")
    if name == "page.css":
        text = files("social_jepa.report").joinpath("static/report.css").read_text("utf-8") + text
    return text


def sign_in() -> str:
    """Return the page that asks for the token; it needs neither style nor script."""
    return HEAD.format(title="Social-JEPA", style="") + (
        "<h1>Social-JEPA</h1><p>This server asks for the token that social-jepa serve was given "
        "(--token or SOCIAL_JEPA_TOKEN).</p>"
        '<form method="get" action="/"><label>Token <input name="token" type="password" required '
        'autocomplete="current-password"></label> <button>Open</button></form></main></body></html>'
    )


def docs(description: Mapping[str, Any]) -> str:
    """Return the API's OpenAPI description as a page that needs no network."""
    paths = [
        _operation(method, path, operation, description)
        for path, methods in description["paths"].items()
        for method, operation in methods.items()
    ]
    schemas = description.get("components", {}).get("schemas", {})
    shapes = [_shape(name, schema) for name, schema in schemas.items() if "properties" in schema]
    problems = "".join(
        f'<tr id="{kind.slug}"><th scope="row">{kind.slug}</th><td class="figure">{kind.status}</td>'
        f'<td class="text">{kind.title}.</td></tr>'
        for kind in KINDS
    )
    return HEAD.format(title="Social-JEPA: the HTTP API", style=LINK) + (
        '<header><p class="kicker"><a href="/">Social-JEPA</a>, the HTTP API</p>'
        "<h1>Ask a running simulation, or a run folder</h1>"
        '<p class="lead">Answers are JSON. Programs read this description as '
        '<a href="/api/openapi.json">openapi.json</a>.</p></header>'
        f'<section><h2>Addresses</h2><div class="operations">{"".join(paths)}</div></section>'
        f"<section><h2>What bodies hold</h2>{''.join(shapes)}</section>"
        '<section><h2>Problems</h2><p class="lead">Every error is a problem document (RFC 9457): its '
        "<code>detail</code> is a sentence that names the remedy, its <code>type</code> leads here.</p>"
        '<div class="scroll" role="region" aria-label="problems" tabindex="0"><table><thead><tr>'
        '<th scope="col" class="text">type</th><th scope="col">status</th>'
        f'<th scope="col" class="text">meaning</th></tr></thead><tbody>{problems}</tbody></table></div>'
        "</section></main></body></html>"
    )


def _operation(method: str, path: str, operation: Mapping[str, Any], whole: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<dt><code>{_text(each['name'])}</code></dt><dd>{WHERE.get(each['in'], '')}: "
        f"{_text(_meaning(each.get('schema', {}), each.get('description', '')))}</dd>"
        for each in operation.get("parameters", [])
    )
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    if body:
        name = body.get("$ref", "").rpartition("/")[2]
        rows += f'<dt>body</dt><dd><a href="#{_text(name)}">{_text(name)}</a></dd>'
    told = _text(operation.get("description", operation.get("summary", ""))).replace("\n\n", "</p><p>")
    return (
        f'<details><summary><code><b class="method">{method.upper()}</b> {_text(path)}</code> '
        f"<span>{_text(operation.get('summary', ''))}</span></summary><p>{told}</p>"
        f"{f'<dl>{rows}</dl>' if rows else ''}</details>"
    )


def _shape(name: str, schema: Mapping[str, Any]) -> str:
    needed = schema.get("required", [])
    rows = "".join(
        f"<dt><code>{_text(field)}</code></dt><dd>{'needed: ' if field in needed else ''}"
        f"{_text(_meaning(of, of.get('description', '')))}</dd>"
        for field, of in schema["properties"].items()
    )
    said = _text(schema.get("description", ""))
    return f'<h3 id="{_text(name)}">{_text(name)}</h3><p>{said}</p><dl>{rows}</dl>'


def _meaning(schema: Mapping[str, Any], description: str) -> str:
    bounds = ", ".join(_bounds(schema))
    default = f"default {json.dumps(schema['default'])}" if schema.get("default") is not None else ""
    return ". ".join(
        part for part in (description.rstrip("."), "; ".join(filter(None, (bounds, default)))) if part
    )


def _bounds(schema: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a value may be, in words."""
    for kind in schema.get("anyOf", [schema]):
        if "enum" in kind or "const" in kind:
            yield " or ".join(map(str, kind.get("enum", [kind.get("const")])))
        elif kind.get("type") == "array":
            yield f"{kind.get('minItems', 0)} to {kind.get('maxItems', 'any number of')} entries"
        elif kind.get("type") not in (None, "null"):
            yield kind["type"]
            if "minimum" in kind:
                yield f"{kind['minimum']:g} to {kind.get('maximum', float('inf')):g}"


def _text(text: object) -> str:
    return html.escape(str(text))
