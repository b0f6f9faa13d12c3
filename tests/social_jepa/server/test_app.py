"""The HTTP API of a run folder whose simulation is down."""

import contextlib
import json
import math
import re
import shutil
from itertools import pairwise

import numpy as np
import pytest
import torch

from agents.models.settings import KINDS
from social_jepa.graph.query import encode_ticks, find_path, nearest_ticks, translate
from social_jepa.graph.results import load_results
from social_jepa.graph.summary import summarize
from social_jepa.records import encode
from social_jepa.runtime.membership import Membership
from social_jepa.server import snapshots
from social_jepa.server.quality import quality_matrix
from social_jepa.storage.ledger import Ledger
from tests.support.command import call
from tests.support.servers import add_event, client_of, copy_run


@pytest.fixture(autouse=True)
def every_change_is_read(monkeypatch):
    """On a busy machine a graph that was slow to read would be served for longer."""
    monkeypatch.setattr(snapshots, "SLOW_SECONDS", math.inf)


@pytest.fixture(scope="module")
def results(small_run, tmp_path_factory):
    return load_results(copy_run(small_run.folder, tmp_path_factory.mktemp("server")))


@pytest.fixture(scope="module")
def api(results):
    with client_of(results.folder) as client:
        yield client


@pytest.fixture
def writable(small_run, tmp_path):
    """A run that a test may write to, and a client of its server."""
    folder = copy_run(small_run.folder, tmp_path)
    with client_of(folder) as client:
        yield folder, client


def plain(record):
    """Return a record as its JSON decores."""
    return json.loads(encode(record))


def problem(response, status):
    """Return the detail of a problem document."""
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    document = response.json()
    assert set(document) == {"type", "title", "status", "detail"}
    assert document["status"] == status
    return document["detail"]


def test_the_status_of_a_finished_run_names_the_command_that_starts_a_simulation_of_it(api, results):
    status = api.get("/api/status").json()

    start = f"social-jepa up --config {results.folder.path}/config.toml"
    assert (status["up"], status["state"], status["command"]) == (False, "finished", start)
    assert status["remedy"] == (
        f"it is a batch run that has finished; {start} starts a simulation with its settings"
    )
    assert status["agents"] == {"down": 4}
    assert status["edges"] == {"accepted": 6, "refused": 5, "failed": 1}


def test_the_status_counts_pairs_by_r2(api, results):
    status = api.get("/api/status").json()

    summary = summarize(results.document)
    assert status["summary"] == plain(summary)
    assert (status["headline"], status["remark"]) == (summary.headline(), summary.remark())


def test_the_graph_equals_the_results(api, results):
    document = api.get("/api/graph").json()

    expected = plain(results.document)
    assert document | {"as_of": 0} == {
        key: value for key, value in expected.items() if key not in ("cycles", "universe")
    } | {"as_of": 0}
    assert "cycles" in api.get("/api/graph?cycles=true").json()


def test_the_graph_before_the_first_event_is_a_conflict(api):
    assert "no graph of it" in problem(api.get("/api/graph", params={"as_of": "1000 days ago"}), 409)
    assert "as_of" in problem(api.get("/api/graph", params={"as_of": "yesterday"}), 422)


@pytest.mark.parametrize(
    "route", ["graph", "graph.svg", "quality", "edges/agent-0/agent-1", "edges/agent-0/agent-1/map"]
)
@pytest.mark.parametrize(
    ("time", "reason"),
    [("2 months ago", "the length of a month varies"), ("2999-01-01", "in the future: choose a time up to")],
)
def test_a_time_that_has_no_graph_is_refused_with_the_reason(api, route, time, reason):
    assert reason in problem(api.get(f"/api/{route}", params={"as_of": time}), 422)


def test_an_etag_is_answered_with_304_until_the_ledger_changes(writable):
    folder, client = writable
    first = client.get("/api/graph")
    cached = client.get("/api/graph", headers={"If-None-Match": first.headers["etag"]})

    assert cached.status_code == 304
    assert not cached.content
    add_event(folder, "moved", agent="agent-0")
    after = client.get("/api/graph", headers={"If-None-Match": first.headers["etag"]})
    assert after.status_code == 200
    assert after.headers["etag"] != first.headers["etag"]


def test_settings_of_the_run_that_cannot_be_read_are_no_mistake_of_the_request(small_run, tmp_path):
    root = tmp_path / "runs"
    for name in ("one", "two"):
        shutil.copytree(small_run.folder.path, root / name)
    with client_of(root / "one") as client:
        assert client.get("/api/status").status_code == 200
    with client_of(root) as client:
        default = client.get("/api/status").json()["name"]
        other = "two" if default == "one" else "one"
        (root / other / "config.toml").write_text("[nonsense]\nx = 1\n")
        assert "nonsense" in problem(client.get(f"/runs/{other}/api/status"), 409)


@pytest.mark.parametrize("limit", [1, 2, 5, 100])
@pytest.mark.parametrize("address", ["/api/agents", "/api/edges", "/api/edges?status=accepted"])
def test_pages_cover_a_list_without_overlap(api, address, limit):
    separator = "&" if "?" in address else "?"
    whole = api.get(f"{address}{separator}limit=1000").json()
    found, offset = [], 0
    while offset is not None:
        page = api.get(f"{address}{separator}limit={limit}&offset={offset}").json()
        assert len(page["items"]) <= limit
        assert page["total"] == whole["total"]
        found, offset = found + page["items"], page["next_offset"]

    assert found == whole["items"]


@pytest.mark.parametrize("limit", [1, 3, 7])
def test_events_are_paged_by_number(api, results, limit):
    found, after = [], 0
    while page := api.get(f"/api/events?after={after}&limit={limit}").json()["items"]:
        found, after = found + page, page[-1]["number"]

    with contextlib.closing(Ledger(results.folder.ledger_file)) as ledger:
        assert found == [event.as_dict() for event in ledger.events()]


def test_edges_are_filtered_by_source_target_and_status(api):
    edges = api.get("/api/edges").json()["items"]
    refused = api.get("/api/edges?target=agent-3&status=refused").json()["items"]

    assert refused == [e for e in edges if e["target"] == "agent-3" and e["status"] == "refused"]
    assert refused
    assert "agent-9" in problem(api.get("/api/edges?source=agent-9"), 404)


def test_an_edge_has_its_scores_and_its_history(api, results):
    edge = api.get("/api/edges/agent-0/agent-1").json()
    history = api.get("/api/edges/agent-0/agent-1/history").json()

    assert edge in plain(results.document)["edges"]
    assert [each["r2_shared"] for each in history["items"]] == [edge["r2_shared"]]
    assert "agent-9" in problem(api.get("/api/edges/agent-0/agent-9"), 404)
    assert "agent-9" in problem(api.get("/api/edges/agent-9/agent-0/history"), 404)


@pytest.fixture
def learning(writable):
    """A run whose agent-1 learns a new view and whose guest has just joined, and a client of its server."""
    folder, client = writable
    with contextlib.closing(Ledger(folder.ledger_file)) as ledger:
        membership = Membership(folder.config(), folder, ledger, online=True)
        membership.move("agent-1", "-4.8,3.2,0,0,-35", next_tick=100)
        membership.propose(name="guest")
        membership.next_incarnation("guest")
        membership.admit("guest", 100)
    return client


READ_ROUTES = (
    "status", "agents", "agents/NAME", "graph", "graph?cycles=true", "quality", "edges?source=NAME",
    "agents/NAME/view.png", "agents/NAME/loss.svg", "graph.svg",
)  # fmt: skip


@pytest.mark.parametrize("route", READ_ROUTES)
@pytest.mark.parametrize("name", ["agent-1", "guest"])
def test_every_route_reads_a_graph_with_agents_that_learn(learning, route, name):
    response = learning.get(f"/api/{route.replace('NAME', name)}")

    assert response.status_code == 200, response.text


@pytest.mark.parametrize("source", ["agent-1", "guest"])
@pytest.mark.parametrize("via", [None, "best", "universe", ["agent-2"]])
def test_a_query_of_an_agent_that_learns_says_why_there_is_no_path(learning, source, via):
    body = {"from": source, "to": "agent-0", "ticks": [0]} | ({"via": via} if via else {})
    detail = problem(learning.post("/api/translate", json=body), 409)

    assert source in detail


@pytest.mark.parametrize("count", [1, 1000])
@pytest.mark.parametrize("via", [None, "best", ["agent-2"]])
def test_translate_returns_the_translation_of_the_library(api, results, count, via):
    vectors = np.random.default_rng(0).normal(size=(count, results.agent("agent-0").core_dim)).tolist()
    body = {"from": "agent-0", "to": "agent-1", "vectors": vectors, "nearest": 3}
    response = api.post("/api/translate", json=body if via is None else {**body, "via": via}).json()

    path = find_path(results, "agent-0", "agent-1", via)
    assert response == plain(translate(results, path, torch.tensor(vectors, dtype=torch.float64), 3))


@pytest.mark.parametrize("ticks", [[0], [0, 4, 8], [123_456]])
def test_translate_encores_the_views_of_ticks(api, results, ticks):
    response = api.post("/api/translate", json={"from": "agent-0", "to": "agent-1", "ticks": ticks}).json()

    cores = encode_ticks(results, "agent-0", ticks)
    assert response["ticks"] == ticks
    assert np.allclose(response["vectors"], cores.tolist())
    assert np.allclose(
        response["translated"], translate(results, ["agent-0", "agent-1"], cores).translated, atol=1e-6
    )


def test_nearest_searches_the_heldout_ticks(api, results):
    heldout = results.pools("agent-1").heldout
    cores = heldout.core()[:5].double()
    response = api.post("/api/nearest", json={"agent": "agent-1", "vectors": cores.tolist(), "top": 2}).json()

    assert response["nearest"] == plain(nearest_ticks(heldout, cores, 2))
    assert [found[0]["tick"] for found in response["nearest"]] == list(heldout.ids[:5])


def test_path_returns_the_best_path(api, results):
    response = api.get("/api/path?from=agent-0&to=agent-2").json()

    assert response["path"] == results.graph.best_path("agent-0", "agent-2")
    assert response["expected_r2"] == pytest.approx(results.graph.quality(response["path"]))
    assert "refused" in problem(api.get("/api/path?from=agent-0&to=agent-3"), 409)


def test_the_quality_matrix_has_the_share_that_every_best_path_keeps(api, results):
    matrix = api.get("/api/quality").json()
    names = matrix["agents"]

    for row, source in enumerate(names):
        for column, target in enumerate(names):
            if source == target or "agent-3" in (source, target):
                continue
            hops = pairwise(results.graph.best_path(source, target))
            kept = math.prod(results.graph.edge(*hop).kept_share for hop in hops)
            assert matrix["best"][row][column] == pytest.approx(kept)
    assert matrix == plain(quality_matrix(results, names))


def test_errors_are_problem_documents_that_name_the_remedy(api):
    body = {"from": "agent-0", "to": "agent-3", "vectors": [[0.0, 0.0]]}

    assert "refused" in problem(api.post("/api/translate", json={**body, "from": "agent-1"}), 409)
    assert "did you mean" in problem(api.post("/api/translate", json={**body, "to": "agent-33"}), 404)
    assert "core" in problem(
        api.post("/api/translate", json={**body, "to": "agent-1", "vectors": [[0.0]]}), 422
    )
    assert "equally long" in problem(
        api.post("/api/translate", json={**body, "to": "agent-1", "vectors": [[0.0], [0.0, 1.0]]}), 422
    )
    assert "/docs" in problem(api.get("/nowhere"), 404)
    assert "GET" in problem(api.put("/api/graph", json={}), 405)


@pytest.mark.parametrize(
    ("method", "address", "body"),
    [
        ("POST", "/api/agents", {}),
        ("PATCH", "/api/agents/agent-0", {"pose": "0,3.2,4.8,90,-35"}),
        ("PATCH", "/api/agents/agent-0", {"paused": True}),
        ("DELETE", "/api/agents/agent-0", None),
    ],
)
def test_routes_that_need_a_simulation_name_the_command_that_starts_one(api, results, method, address, body):
    detail = problem(api.request(method, address, json=body), 409)

    assert f"social-jepa up --config {results.folder.path}/config.toml" in detail


def test_a_folder_without_a_ledger_is_unavailable(small_run, tmp_path):
    folder = copy_run(small_run.folder, tmp_path)
    folder.ledger_file.unlink()
    with client_of(folder) as client:
        assert "no ledger" in problem(client.get("/api/graph"), 503)
        assert "no ledger" in problem(client.get("/api/status"), 503)


def test_serve_refuses_a_folder_without_a_run_and_a_public_host_without_a_token(results, tmp_path):
    assert call("serve", "--run", tmp_path).status == 2
    result = call("serve", "--run", results.folder.path, "--host", "0.0.0.0")
    assert result.status == 2
    assert "SOCIAL_JEPA_TOKEN" in result.err


def test_the_page_offers_every_kind_of_world_model(api):
    select = re.search(r'<select name="kind">(.*?)</select>', api.get("/").text).group(1)

    assert re.findall(r"<option>(\w+)</option>", select) == list(KINDS)
