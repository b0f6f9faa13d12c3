"""Access control, and the responses to malformed requests."""

import json
import string
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from social_jepa.server.auth import MAX_BYTES, Access, check_access
from tests.support.servers import LOCALHOST, client_of

TOKEN = "a-token-of-twenty-signs"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def api(small_run):
    with client_of(small_run.folder) as client:
        yield client


@pytest.fixture(scope="module")
def with_token(small_run):
    with client_of(small_run.folder, Access(TOKEN), follow_redirects=False) as client:
        yield client


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.4", "::", "example.org"])
def test_a_host_other_than_loopback_needs_a_token(host):
    with pytest.raises(ValueError, match="SOCIAL_JEPA_TOKEN"):
        check_access(host, Access())
    check_access(host, Access(TOKEN))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.0.0.9"])
def test_a_loopback_host_needs_no_token(host):
    check_access(host, Access())


@pytest.mark.parametrize("token", ["", "short", "with a space in it all", "é" * 20])
def test_a_token_that_is_short_or_cannot_be_sent_is_refused(token):
    with pytest.raises(ValueError, match="--token"):
        check_access("127.0.0.1", Access(token))


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8765", "127.0.0.1.evil.example", "", "a@127.0.0.1"]
)
def test_other_host_names_are_refused_without_a_token(api, host):
    response = api.get("/api/status", headers={"Host": host})

    assert response.status_code == 421
    assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1", "[::1]:8765", "LOCALHOST"])
def test_every_loopback_name_is_accepted(api, host):
    assert api.get("/api/status", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("route", ["/", "/page.js", "/api/status", "/metrics", "/docs", "/nowhere"])
def test_with_a_token_every_request_needs_it(with_token, route):
    for headers in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Cookie": "a=b"},
    ):
        response = with_token.get(route, headers=headers)
        assert response.status_code == 401
        assert response.headers["www-authenticate"] == "Bearer"
    assert with_token.get(route, headers=BEARER).status_code in (200, 404)


def test_signing_in_sets_a_cookie_that_scripts_and_other_sites_cannot_use(with_token):
    redirect = with_token.get(f"/?token={TOKEN}")
    cookie = redirect.headers["set-cookie"]

    assert (redirect.status_code, redirect.headers["location"]) == (303, "./")
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert TOKEN not in cookie
    assert with_token.get("/api/status").status_code == 200  # the client keeps the cookie
    with_token.cookies.clear()
    assert with_token.get("/?token=wrong-token-of-some-length").status_code == 401


@pytest.mark.parametrize("headers", [{"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}])
def test_writes_from_other_sites_are_refused(api, headers):
    assert api.post("/api/agents", json={}, headers=headers).status_code == 403
    assert api.delete("/api/agents/agent-0", headers=headers).status_code == 403


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
def test_writes_that_are_not_json_are_refused(api, kind):
    for method, route in (
        ("POST", "/api/agents"),
        ("PATCH", "/api/agents/agent-0"),
        ("POST", "/api/translate"),
    ):
        assert api.request(method, route, content=b"{}", headers={"Content-Type": kind}).status_code == 415


def test_a_body_that_is_too_large_is_refused_with_and_without_content_length(api):
    body = b" " * (MAX_BYTES + 1)

    assert api.post("/api/translate", content=body, headers=JSON).status_code == 413
    assert api.post("/api/translate", content=iter([body]), headers=JSON).status_code == 413


def test_every_response_has_security_headers(api):
    for route in ("/", "/api/status", "/nowhere"):
        headers = api.get(route).headers
        assert "script-src 'self'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "access-control-allow-origin" not in headers


MANY = settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
POST_ROUTES = ("/api/translate", "/api/nearest", "/api/agents")
NAMES = st.sampled_from(
    ["agent-0", "agent-1", "agent-9", "", "a" * 99, "ag ent", "\ud800", "agent-0\n", None, 3]
)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**25), 10**25), st.floats(), st.text(max_size=8), NAMES
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)
FIELDS = st.sampled_from(
    [
        "from",
        "to",
        "via",
        "vectors",
        "ticks",
        "nearest",
        "agent",
        "top",
        "pose",
        "name",
        "kind",
        "teacher",
        "extra",
    ]
)


def is_refused(response):
    assert 400 <= response.status_code < 500, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["detail"]


@MANY
@given(route=st.sampled_from(POST_ROUTES), body=st.dictionaries(FIELDS, VALUES, max_size=5) | VALUES)
def test_a_malformed_document_is_a_client_error(api, route, body):
    is_refused(api.post(route, content=json.dumps(body), headers=JSON))


@MANY
@given(route=st.sampled_from(POST_ROUTES), body=st.binary(max_size=60))
def test_malformed_bytes_are_a_client_error(api, route, body):
    is_refused(api.post(route, content=body, headers=JSON))


@pytest.mark.parametrize(
    "body",
    [b"[" * 100_000, b'{"from":' * 50_000, b"9" * 10_000, b'{"vectors":[[1e999]]}', b"\xff\xfe", b"NaN"],
)
def test_a_hostile_body_is_a_client_error(api, body):
    for route in POST_ROUTES:
        is_refused(api.post(route, content=body, headers=JSON))


TEXTS = st.text(string.printable, max_size=12) | st.text(max_size=6) | st.integers().map(str)
GET_ROUTES = (
    "/api/agents",
    "/api/edges",
    "/api/events",
    "/api/path",
    "/api/graph",
    "/api/stream",
    "/api/graph.svg",
)
PARAMETERS = ("limit", "offset", "after", "as_of", "cycles", "from", "to", "tick", "pictures", "x")


@MANY
@given(
    route=st.sampled_from(GET_ROUTES),
    parameters=st.dictionaries(
        st.sampled_from(PARAMETERS),
        TEXTS, min_size=1, max_size=3,
    ),
)  # fmt: skip
def test_malformed_query_parameters_are_a_client_error(api, route, parameters):
    try:
        query = {key: value.encode() for key, value in parameters.items()}
    except UnicodeEncodeError:
        query = {"x": "y"}
    if route == "/api/stream":
        query["x"] = "refused, so that no stream opens"
    assert api.get(route, params=query).status_code < 500


@MANY
@given(parts=st.lists(st.text(max_size=10), min_size=1, max_size=4))
def test_a_malformed_path_is_a_client_error(api, parts):
    path = "/".join(quote(part.encode("utf-8", "surrogatepass"), safe="") for part in parts)
    for start in ("/", "/api/", "/api/agents/", "/api/edges/"):
        assert api.get(LOCALHOST + start + path).status_code < 500
