"""What the server draws, counts and describes."""

import io

import numpy as np
import pytest
from PIL import Image

from social_jepa.report.rendering import Observer
from tests.support.servers import client_of


@pytest.fixture(scope="module")
def results(small_run):
    return small_run


@pytest.fixture(scope="module")
def api(results):
    with client_of(results.folder) as client:
        yield client


def test_a_view_is_what_the_camera_sees(api, results):
    answer = api.get("/api/agents/agent-1/view.png?tick=7")
    with Observer(results) as observer:
        seen = observer.render("agent-1", 7)

    assert answer.headers["content-type"] == "image/png"
    assert np.array_equal(np.array(Image.open(io.BytesIO(answer.content))), seen)
    again = api.get("/api/agents/agent-1/view.png?tick=7", headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304


@pytest.mark.parametrize(
    "address",
    ["graph.svg", "graph.svg?pictures=linked&styled=false", "agents/agent-0/loss.svg",
     "edges/agent-0/agent-1/spectrum.svg", "edges/agent-0/agent-3/spectrum.svg"],
)  # fmt: skip
def test_drawings_are_files_of_their_own(api, address):
    answer = api.get(f"/api/{address}")

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/svg+xml"
    assert answer.text.startswith("<svg")
    assert "http://www.w3.org/2000/svg" in answer.text
    assert "<script" not in answer.text


def test_refused_edges_are_told_apart_without_colour(api):
    drawing = api.get("/api/graph.svg").text

    assert "✕" in drawing
    assert ".edge.stale path { stroke-dasharray" in drawing


def test_metrics_hold_agents_edges_and_requests(api, results):
    api.get("/api/status")
    text = api.get("/metrics").text

    edge = results.document.edges[0]
    assert "social_jepa_up 0.0" in text
    assert f'social_jepa_edge_r2_core{{source="agent-0",target="agent-1"}} {edge.r2_core}' in text
    assert 'social_jepa_edges{status="accepted"} 6.0' in text
    assert 'social_jepa_agent_step{agent="agent-0"} 60.0' in text
    assert 'social_jepa_http_requests_total{method="GET",route="/api/status",status="200"}' in text
    assert 'route="/api/status"' in text


def test_docs_need_no_network_and_name_every_address(api):
    text, described = api.get("/docs").text, api.get("/api/openapi.json").json()

    assert "//" not in text.replace("<!DOCTYPE html>", "").replace("http://", "").replace("https://", "")
    assert all(path in text for path in described["paths"])
