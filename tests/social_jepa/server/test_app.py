"""Laws of the HTTP API over a run folder whose simulation is down."""

import contextlib
import json
import math
import re

import numpy as np
import pytest
import torch

from agents.models.settings import KINDS
from social_jepa.graph.query import encode_ticks, find_path, nearest_ticks, translate
from social_jepa.graph.records import encode
from social_jepa.graph.results import load_results
from social_jepa.server import snapshots as view_module
from social_jepa.server.snapshots import quality_matrix
from social_jepa.storage.ledger import Ledger
from tests.support.command import call
from tests.support.servers import client_of, copy_run, note


@pytest.fixture(autouse=True)
def every_change_is_read(monkeypatch):
    """A graph that a busy machine was slow to read would rightly be served for a little longer."""
    monkeypatch.setattr(view_module, "SLOW", math.inf)


@pytest.fixture(scope="module")
def results(small_run, tmp_path_factory):
    return load_results(copy_run(small_run.folder, tmp_path_factory.mktemp("server")))


@pytest.fixture(scope="module")
def api(results):
    with client_of(results.folder) as client:
        yield client


@pytest.fixture
def own(small_run, tmp_path):
    """A run that this test may write to, and its client."""
    folder = copy_run(small_run.folder, tmp_path)
    with client_of(folder) as client:
        yield folder, client


def plain(record):
    """A record as its JSON is read by other programs."""
    return json.loads(encode(record))


def problem(answer, status):
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert set(document) == {"type", "title", "status", "detail"}
    assert document["status"] == status
    return document["detail"]


def test_the_status_says_that_it_is_down_and_how_it_comes_back(api, results):
    status = api.get("/api/status").json()

    assert not status["up"]
    assert status["remedy"] == f"social-jepa resume {results.folder.path}"
    assert status["agents"] == {"down": 4}
    assert status["edges"] == {"accepted": 6, "refused": 5, "failed": 1}


def test_the_graph_is_what_the_results_hold(api, results):
    document = api.get("/api/graph").json()

    expected = plain(results.document)
    assert document | {"as_of": 0} == {
        key: value for key, value in expected.items() if key not in ("cycles", "universe")
    } | {"as_of": 0}
    assert "cycles" in api.get("/api/graph?cycles=true").json()


def test_the_graph_as_it_stood_before_anything_happened_is_a_conflict(api):
    assert "no graph of it" in problem(api.get("/api/graph", params={"as_of": "1000 days ago"}), 409)
    assert "as_of" in problem(api.get("/api/graph", params={"as_of": "yesterday"}), 422)


def test_an_etag_answers_304_until_something_happens(own):
    folder, client = own
    first = client.get("/api/graph")
    again = client.get("/api/graph", headers={"If-None-Match": first.headers["etag"]})

    assert again.status_code == 304
    assert not again.content
    note(folder, "moved", agent="agent-0")
    after = client.get("/api/graph", headers={"If-None-Match": first.headers["etag"]})
    assert after.status_code == 200
    assert after.headers["etag"] != first.headers["etag"]


@pytest.mark.parametrize("limit", [1, 2, 5, 100])
@pytest.mark.parametrize("address", ["/api/agents", "/api/edges", "/api/edges?status=accepted"])
def test_pages_cover_a_list_without_overlap(api, address, limit):
    mark = "&" if "?" in address else "?"
    whole = api.get(f"{address}{mark}limit=1000").json()
    found, offset = [], 0
    while offset is not None:
        page = api.get(f"{address}{mark}limit={limit}&offset={offset}").json()
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


def test_edges_are_filtered_by_their_ends_and_status(api):
    edges = api.get("/api/edges").json()["items"]
    refused = api.get("/api/edges?target=agent-3&status=refused").json()["items"]

    assert refused == [e for e in edges if e["target"] == "agent-3" and e["status"] == "refused"]
    assert refused
    assert "agent-9" in problem(api.get("/api/edges?source=agent-9"), 404)


def test_an_edge_has_its_figures_and_its_history(api, results):
    edge = api.get("/api/edges/agent-0/agent-1").json()
    history = api.get("/api/edges/agent-0/agent-1/history").json()

    assert edge in plain(results.document)["edges"]
    assert [each["r2_core"] for each in history["items"]] == [edge["r2_core"]]
    assert "agent-9" in problem(api.get("/api/edges/agent-0/agent-9"), 404)
    assert "agent-9" in problem(api.get("/api/edges/agent-9/agent-0/history"), 404)


@pytest.mark.parametrize("count", [1, 1000])
@pytest.mark.parametrize("via", [None, "best", ["agent-2"]])
def test_translate_is_the_query_of_the_command_line(api, results, count, via):
    vectors = np.random.default_rng(0).normal(size=(count, results.agent("agent-0").core_dim)).tolist()
    asked = {"from": "agent-0", "to": "agent-1", "vectors": vectors, "nearest": 3}
    answer = api.post("/api/translate", json=asked if via is None else {**asked, "via": via}).json()

    path = find_path(results, "agent-0", "agent-1", via)
    assert answer == plain(translate(results, path, torch.tensor(vectors, dtype=torch.float64), 3))


@pytest.mark.parametrize("ticks", [[0], [0, 4, 8], [123_456]])
def test_translate_embeds_what_is_seen_at_ticks(api, results, ticks):
    answer = api.post("/api/translate", json={"from": "agent-0", "to": "agent-1", "ticks": ticks}).json()

    codes = encode_ticks(results, "agent-0", ticks)
    assert answer["ticks"] == ticks
    assert np.allclose(answer["vectors"], codes.tolist())
    assert np.allclose(
        answer["translated"], translate(results, ["agent-0", "agent-1"], codes).translated, atol=1e-6
    )


def test_nearest_is_what_the_memory_holds(api, results):
    memory = results.pools("agent-1").heldout
    codes = memory.core()[:5].double()
    answer = api.post("/api/nearest", json={"agent": "agent-1", "vectors": codes.tolist(), "top": 2}).json()

    assert answer["nearest"] == plain(nearest_ticks(memory, codes, 2))
    assert [found[0]["tick"] for found in answer["nearest"]] == list(memory.ids[:5])


def test_a_path_is_the_best_one(api, results):
    answer = api.get("/api/path?from=agent-0&to=agent-2").json()

    assert answer["path"] == results.graph.best_path("agent-0", "agent-2")
    assert answer["expected_r2"] == pytest.approx(math.prod(hop["r2_core"] for hop in answer["hops"]))
    assert "refused" in problem(api.get("/api/path?from=agent-0&to=agent-3"), 409)


def test_the_best_of_all_ways_is_the_best_path_of_each(api, results):
    matrix = api.get("/api/quality").json()
    names = matrix["agents"]

    for row, source in enumerate(names):
        for column, target in enumerate(names):
            if source == target or "agent-3" in (source, target):
                continue
            best = results.graph.quality(results.graph.best_path(source, target))
            assert matrix["best"][row][column] == pytest.approx(best)
    assert matrix == plain(quality_matrix(results))


def test_refusals_are_problem_documents_that_name_the_remedy(api):
    asked = {"from": "agent-0", "to": "agent-3", "vectors": [[0.0, 0.0]]}

    assert "refused" in problem(api.post("/api/translate", json={**asked, "from": "agent-1"}), 409)
    assert "did you mean" in problem(api.post("/api/translate", json={**asked, "to": "agent-33"}), 404)
    assert "core" in problem(
        api.post("/api/translate", json={**asked, "to": "agent-1", "vectors": [[0.0]]}), 422
    )
    assert "equally long" in problem(
        api.post("/api/translate", json={**asked, "to": "agent-1", "vectors": [[0.0], [0.0, 1.0]]}), 422
    )
    assert "/docs" in problem(api.get("/nowhere"), 404)
    assert "GET" in problem(api.put("/api/graph", json={}), 405)


@pytest.mark.parametrize(
    ("method", "address", "body"),
    [
        ("POST", "/api/agents", {}),
        ("PATCH", "/api/agents/agent-0", {"pose": "0,3.2,4.8,90,-35"}),
        ("DELETE", "/api/agents/agent-0", None),
    ],
)
def test_what_needs_a_simulation_says_how_to_bring_it_up(api, results, method, address, body):
    detail = problem(api.request(method, address, json=body), 409)

    assert f"social-jepa resume {results.folder.path}" in detail


def test_a_folder_without_a_graph_says_so(small_run, tmp_path):
    folder = copy_run(small_run.folder, tmp_path)
    folder.ledger_file.unlink()
    with client_of(folder) as client:
        assert "no ledger" in problem(client.get("/api/graph"), 503)
        assert "no ledger" in problem(client.get("/api/status"), 503)


def test_serve_refuses_a_folder_that_is_none_and_a_host_without_a_token(results, tmp_path):
    assert call("serve", "--run", tmp_path).status == 2
    said = call("serve", "--run", results.folder.path, "--host", "0.0.0.0")
    assert said.status == 2
    assert "SOCIAL_JEPA_TOKEN" in said.err


def test_the_page_offers_every_kind_that_is_known(api):
    select = re.search(r'<select name="kind">(.*?)</select>', api.get("/").text).group(1)

    assert re.findall(r"<option>(\w+)</option>", select) == list(KINDS)
