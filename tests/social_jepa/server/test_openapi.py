"""The OpenAPI description against the server, by requests that schemathesis makes up from it."""

import contextlib
import itertools
import re

import httpx2 as httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

from social_jepa.server.auth import Access
from tests.support.openapi import load
from tests.support.servers import client_of, copy_run, running
from tests.support.simulations import up

TOKEN = "a-token-of-twenty-signs"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
POSE = "0.5,3.2,4.8,95,-35"
EXAMPLES = 5  # requests for each operation and each mode
NAMES = ("agent-0", "agent-1")  # agents whose edges are accepted
KNOWN = dict.fromkeys(("name", "source", "from", "agent"), NAMES[0]) | dict.fromkeys(
    ("target", "to"), NAMES[1]
)
MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
OPERATIONS = (
    "GET /api/runs", "GET /api/status", "GET /api/agents", "POST /api/agents", "GET /api/agents/{name}",
    "PATCH /api/agents/{name}", "DELETE /api/agents/{name}", "GET /api/agents/{name}/view.png",
    "GET /api/agents/{name}/loss.svg", "GET /api/graph", "GET /api/graph.svg", "GET /api/quality",
    "GET /api/edges", "GET /api/edges/{source}/{target}", "GET /api/edges/{source}/{target}/history",
    "GET /api/edges/{source}/{target}/directions.svg",
    "GET /api/edges/{source}/{target}/map", "POST /api/translate", "POST /api/nearest",
    "GET /api/path", "GET /api/events", "GET /metrics", "GET /healthz",
)  # fmt: skip
METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


def with_known_names(case):
    """Replace names of agents, which are made up, so that the request reaches agents."""
    for part in (case.path_parameters, case.query, case.body):
        if isinstance(part, dict):
            part |= {key: KNOWN[key] for key in part.keys() & KNOWN.keys()}


def check(operation, mode, examples=EXAMPLES, prepare=lambda case: case, **arguments):
    """Send requests of an operation, and check statuses, types, headers and bodies of the responses."""
    counter = itertools.count()

    @settings(
        max_examples=examples, derandomize=True, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=operation.as_strategy(generation_mode=mode))
    def run(case):
        if mode is GenerationMode.POSITIVE and next(counter) % 2:
            prepare(case)
        case.call_and_validate(**arguments)

    with contextlib.suppress(Unsatisfiable):  # an operation without parameters has no invalid request
        run()


@pytest.fixture(scope="module")
def served(small_run, tmp_path_factory):
    with running(copy_run(small_run.folder, tmp_path_factory.mktemp("openapi"))) as address:
        yield address


@pytest.fixture(scope="module")
def operations(served):
    return load(served)[1]


def test_every_operation_is_described(operations):
    assert {*OPERATIONS, "GET /api/stream"} == set(operations)


@pytest.mark.parametrize("label", OPERATIONS)
def test_an_operation_answers_as_described(operations, label):
    for mode in MODES:
        check(operations[label], mode, prepare=with_known_names)


def test_with_a_token_its_scheme_is_described_and_every_operation_but_one_needs_it(small_run):
    with running(small_run.folder, Access(TOKEN)) as address:
        described, operations = load(address, **BEARER)
        for label in ("GET /api/agents", "POST /api/nearest"):
            check(operations[label], GenerationMode.POSITIVE, headers=BEARER)
        assert httpx.get(f"{address}/healthz").json() == {"status": "ok"}

    assert described["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    assert described["security"] == [{"token": []}, {"page": []}]
    for path, methods in described["paths"].items():
        for operation in methods.values():
            assert "401" in operation["responses"]
            assert (operation.get("security") == []) == (path == "/healthz")


@pytest.fixture(scope="module")
def simulation(ray_local, tmp_path_factory):
    """A simulation that is up, with two agents."""
    started = up(tmp_path_factory.mktemp("openapi-up") / "run", ray_local)
    try:
        yield started
    finally:
        started.down()


@pytest.mark.ray
def test_a_simulation_that_is_up_is_changed_as_described(simulation):
    with running(simulation.folder) as address:
        _, operations = load(address)
        add, agent = operations["POST /api/agents"], "/api/agents/{name}"
        read, move, remove = (operations[f"{method} {agent}"] for method in ("GET", "PATCH", "DELETE"))
        guest, member = {"name": "guest"}, {"name": NAMES[0]}
        cases = [
            (add.Case(body=guest, media_type="application/json"), 201),
            (read.Case(path_parameters=guest), 200),
            (add.Case(body=guest, media_type="application/json"), 409),
            (move.Case(path_parameters=member, body={"pose": POSE}, media_type="application/json"), 200),
            (remove.Case(path_parameters=guest), 204),
            (remove.Case(path_parameters=guest), 404),
        ]
        for case, status in cases:
            assert case.call_and_validate().status_code == status, (case.operation.label, status)
        for operation in (add, move, remove):
            check(operation, GenerationMode.NEGATIVE, examples=3)
        for operation in (move, remove):  # of agents that do not exist
            check(operation, GenerationMode.POSITIVE, examples=3)
    assert [agent.name for agent in simulation.status()] == list(NAMES)


@pytest.fixture(scope="module")
def client(small_run):
    with client_of(small_run.folder) as found:
        yield found


@pytest.fixture(scope="module")
def described(client):
    return client.get("/api/openapi.json").json()


def filled(path):
    return re.sub(r"{(\w+)}", lambda found: NAMES[found[1] == "target"], path)


def test_references_to_schemas_resolve_and_no_401_is_described_without_a_token(described):
    references = set(re.findall(r"#/components/schemas/(\w+)", str(described)))

    assert references <= set(described["components"]["schemas"])
    assert "HTTPValidationError" not in references
    assert "'401'" not in str(described)


def test_other_methods_are_refused_with_those_that_are_allowed(client, described):
    for path, methods in described["paths"].items():
        allowed = {method.upper() for method in methods} | ({"HEAD"} if "get" in methods else set())
        for method in METHODS - allowed:
            response = client.request(method, filled(path))
            assert (response.status_code, method) == (405, method)
            assert set(response.headers["allow"].split(", ")) == allowed


def test_head_has_the_headers_of_get_and_no_body(client, described):
    for path in [path for path, methods in described["paths"].items() if "get" in methods]:
        head = client.head(filled(path), params=QUERIES.get(path))
        assert head.status_code == 200, path
        assert head.content == b""
        if path not in ("/api/stream", "/metrics", "/api/status"):
            got = client.get(filled(path), params=QUERIES.get(path))
            assert head.headers["content-type"] == got.headers["content-type"]
            assert head.headers["content-length"] == got.headers["content-length"]


QUERIES = {"/api/path": {"from": NAMES[0], "to": NAMES[1]}}


def test_long_responses_are_compressed_if_the_client_accepts_it(client):
    def read(accepted):
        return client.get("/api/graph?cycles=true", headers={"Accept-Encoding": accepted})

    assert read("gzip").headers["content-encoding"] == "gzip"
    assert "content-encoding" not in read("identity").headers
    assert read("gzip").json()["edges"] == read("identity").json()["edges"]
    view = client.get("/api/agents/agent-0/view.png", headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in view.headers


def test_a_server_without_a_ledger_is_not_healthy(small_run, tmp_path):
    folder = copy_run(small_run.folder, tmp_path)
    with client_of(folder) as client:
        assert client.get("/healthz").json() == {"status": "ok"}
    folder.ledger_file.unlink()
    with client_of(folder) as client:
        assert client.get("/healthz").status_code == 503
