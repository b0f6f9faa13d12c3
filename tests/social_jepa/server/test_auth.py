"""Who may ask, and what malformed requests are answered."""

import json
import string
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from social_jepa.server.auth import MOST_BYTES, check_access
from tests.support.servers import HERE, client_of

TOKEN = "a-token-of-twenty-signs"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def api(small_run):
    with client_of(small_run.folder) as client:
        yield client


@pytest.fixture(scope="module")
def guarded(small_run):
    with client_of(small_run.folder, TOKEN, follow_redirects=False) as client:
        yield client


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.4", "::", "example.org"])
def test_beyond_this_machine_a_token_is_needed(host):
    with pytest.raises(ValueError, match="SOCIAL_JEPA_TOKEN"):
        check_access(host, None)
    check_access(host, TOKEN)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.0.0.9"])
def test_on_this_machine_none_is_needed(host):
    check_access(host, None)


@pytest.mark.parametrize("token", ["", "short", "with a space in it all", "é" * 20])
def test_a_token_that_is_easily_guessed_or_cannot_be_sent_is_refused(token):
    with pytest.raises(ValueError, match="--token"):
        check_access("127.0.0.1", token)


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8765", "127.0.0.1.evil.example", "", "a@127.0.0.1"]
)
def test_other_names_are_not_answered_without_a_token(api, host):
    answer = api.get("/api/status", headers={"Host": host})

    assert answer.status_code == 421
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("host", ["localhost:1", "127.0.0.1", "[::1]:8765", "LOCALHOST"])
def test_this_machine_has_several_names(api, host):
    assert api.get("/api/status", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("address", ["/", "/page.js", "/api/status", "/metrics", "/docs", "/nowhere"])
def test_with_a_token_every_request_needs_it(guarded, address):
    for headers in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Cookie": "a=b"},
    ):
        answer = guarded.get(address, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
    assert guarded.get(address, headers=BEARER).status_code in (200, 404)


def test_the_page_gets_a_cookie_that_scripts_and_other_sites_cannot_use(guarded):
    entered = guarded.get(f"/?token={TOKEN}")
    cookie = entered.headers["set-cookie"]

    assert (entered.status_code, entered.headers["location"]) == (303, "/")
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert TOKEN not in cookie
    assert guarded.get("/api/status").status_code == 200  # the client keeps the cookie
    guarded.cookies.clear()
    assert guarded.get("/?token=wrong-token-of-some-length").status_code == 401


@pytest.mark.parametrize("headers", [{"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}])
def test_other_sites_change_nothing(api, headers):
    assert api.post("/api/agents", json={}, headers=headers).status_code == 403
    assert api.delete("/api/agents/agent-0", headers=headers).status_code == 403


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
def test_changes_come_as_json_only(api, kind):
    for method, address in (
        ("POST", "/api/agents"),
        ("PATCH", "/api/agents/agent-0"),
        ("POST", "/api/translate"),
    ):
        assert api.request(method, address, content=b"{}", headers={"Content-Type": kind}).status_code == 415


def test_a_body_that_is_too_large_is_refused_whatever_its_header_says(api):
    body = b" " * (MOST_BYTES + 1)

    assert api.post("/api/translate", content=body, headers=JSON).status_code == 413
    assert api.post("/api/translate", content=iter([body]), headers=JSON).status_code == 413


def test_every_answer_is_dressed_for_browsers(api):
    for address in ("/", "/api/status", "/nowhere"):
        headers = api.get(address).headers
        assert "script-src 'self'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "access-control-allow-origin" not in headers


MANY = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
ADDRESSES = ("/api/translate", "/api/nearest", "/api/agents")
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


def is_refused(answer):
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]


@MANY
@given(address=st.sampled_from(ADDRESSES), body=st.dictionaries(FIELDS, VALUES, max_size=5) | VALUES)
def test_malformed_documents_are_the_clients_mistake(api, address, body):
    is_refused(api.post(address, content=json.dumps(body), headers=JSON))


@MANY
@given(address=st.sampled_from(ADDRESSES), body=st.binary(max_size=60))
def test_malformed_bytes_are_the_clients_mistake(api, address, body):
    is_refused(api.post(address, content=body, headers=JSON))


@pytest.mark.parametrize(
    "body",
    [b"[" * 100_000, b'{"from":' * 50_000, b"9" * 10_000, b'{"vectors":[[1e999]]}', b"\xff\xfe", b"NaN"],
)
def test_hostile_bodies_are_the_clients_mistake(api, body):
    for address in ADDRESSES:
        is_refused(api.post(address, content=body, headers=JSON))


WORDS = st.text(string.printable, max_size=12) | st.text(max_size=6) | st.integers().map(str)
PLACES = (
    "/api/agents",
    "/api/edges",
    "/api/events",
    "/api/path",
    "/api/graph",
    "/api/stream",
    "/api/graph.svg",
)
QUESTIONS = ("limit", "offset", "after", "as_of", "cycles", "from", "to", "tick", "pictures", "x")


@MANY
@given(
    address=st.sampled_from(PLACES),
    asked=st.dictionaries(
        st.sampled_from(QUESTIONS),
        WORDS, min_size=1, max_size=3,
    ),
)  # fmt: skip
def test_malformed_questions_are_the_clients_mistake(api, address, asked):
    try:
        query = {key: value.encode() for key, value in asked.items()}
    except UnicodeEncodeError:
        query = {"x": "y"}
    if address == "/api/stream":
        query["x"] = "never listen"
    assert api.get(address, params=query).status_code < 500


@MANY
@given(words=st.lists(st.text(max_size=10), min_size=1, max_size=4))
def test_malformed_addresses_are_the_clients_mistake(api, words):
    path = "/".join(quote(word.encode("utf-8", "surrogatepass"), safe="") for word in words)
    for start in ("/", "/api/", "/api/agents/", "/api/edges/"):
        assert api.get(HERE + start + path).status_code < 500
