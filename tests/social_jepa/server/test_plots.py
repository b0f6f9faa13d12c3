"""Views, drawings, metrics and the description of the API."""

import io

import numpy as np
import pytest
from PIL import Image

from social_jepa.graph.observer import Observer
from social_jepa.server import metrics
from social_jepa.server.metrics import Metrics, RequestMetrics
from social_jepa.server.responses import RunState
from tests.support.servers import client_of


@pytest.fixture(scope="module")
def results(small_run):
    return small_run


@pytest.fixture(scope="module")
def api(results):
    with client_of(results.folder) as client:
        yield client


def test_a_view_is_what_the_observer_renders(api, results):
    response = api.get("/api/agents/agent-1/view.png?tick=7")
    with Observer(results) as observer:
        expected = observer.render("agent-1", 7)

    assert response.headers["content-type"] == "image/png"
    assert np.array_equal(np.array(Image.open(io.BytesIO(response.content))), expected)
    cached = api.get(
        "/api/agents/agent-1/view.png?tick=7", headers={"If-None-Match": response.headers["etag"]}
    )
    assert cached.status_code == 304


@pytest.mark.parametrize(
    "path",
    ["graph.svg", "graph.svg?pictures=linked&styled=false", "agents/agent-0/loss.svg",
     "edges/agent-0/agent-1/directions.svg", "edges/agent-0/agent-3/directions.svg"],
)  # fmt: skip
def test_drawings_are_complete_svg_files(api, path):
    response = api.get(f"/api/{path}")

    assert response.status_code == 200
    assert response.headers["content-type"] == "image/svg+xml"
    assert response.text.startswith("<svg")
    assert "http://www.w3.org/2000/svg" in response.text
    assert "<script" not in response.text


def test_refused_edges_are_recognizable_without_color(api):
    drawing = api.get("/api/graph.svg").text

    assert "✕" in drawing
    assert ".edge.stale path { stroke-dasharray" in drawing


def test_metrics_hold_agents_edges_and_requests(api, results):
    api.get("/api/status")
    text = api.get("/metrics").text

    edge = results.document.edges[0]
    assert "social_jepa_up 0.0" in text
    assert f'social_jepa_edge_r2_shared{{source="agent-0",target="agent-1"}} {edge.r2_shared}' in text
    assert 'social_jepa_edges{status="accepted"} 6.0' in text
    assert 'social_jepa_agent_step{agent="agent-0"} 60.0' in text
    assert 'social_jepa_http_requests_total{method="GET",route="/api/status",status="200"}' in text
    assert 'route="/api/status"' in text


def test_metrics_of_many_edges_are_quantiles_alone(results, monkeypatch):
    edges = results.document.edges
    state = RunState(up=True, agents=(), edges=edges)
    of_each = Metrics(lambda: state, RequestMetrics()).text()[0].decode()
    monkeypatch.setattr(metrics, "MAX_EDGE_SERIES", len(edges) - 1)
    of_all = Metrics(lambda: state, RequestMetrics()).text()[0].decode()

    assert "social_jepa_edge_r2_shared{" in of_each
    assert "social_jepa_edge_" not in of_all
    values = sorted(edge.r2_shared for edge in edges if edge.r2_shared is not None)
    for text in (of_each, of_all):
        assert f'social_jepa_edges_r2_shared{{quantile="0"}} {values[0]}' in text
        assert f'social_jepa_edges_r2_shared{{quantile="1"}} {values[-1]}' in text
        assert text.count("social_jepa_edges_r2_shared{") == len(metrics.QUANTILES)


def test_docs_need_no_network_and_name_every_route(api):
    text, described = api.get("/docs").text, api.get("/api/openapi.json").json()

    assert "//" not in text.replace("<!DOCTYPE html>", "").replace("http://", "").replace("https://", "")
    assert all(path in text for path in described["paths"])
