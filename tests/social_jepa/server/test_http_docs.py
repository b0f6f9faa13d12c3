"""The table of routes in docs/http.md against the app."""

import re
from pathlib import Path

from tests.support.servers import client_of

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "http.md"


def parameters_of(operation, schemas):
    names = [each["name"] for each in operation.get("parameters", []) if each["in"] == "query"]
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    fields = schemas[body["$ref"].rpartition("/")[2]]["properties"] if body else {}
    return {*names, *fields}


def test_the_table_lists_every_route_with_its_parameters(small_run):
    with client_of(small_run.folder) as client:
        described = client.get("/api/openapi.json").json()
    schemas = described["components"]["schemas"]
    expected = {
        (method.upper(), path): parameters_of(operation, schemas)
        for path, operations in described["paths"].items()
        for method, operation in operations.items()
    }
    rows = re.findall(r"^\| `([A-Z]+) (\S+)` \|([^|]*)\|", DOCUMENT.read_text(), re.MULTILINE)

    assert {(method, path): set(re.findall(r"`(\w+)`", names)) for method, path, names in rows} == expected
