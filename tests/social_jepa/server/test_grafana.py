"""docs/grafana.json asks for metrics that the server has, in the form that Grafana imports."""

import json
import re
from itertools import combinations
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from social_jepa.server.metrics import Metrics, RequestMetrics
from social_jepa.server.responses import AgentView, RunState
from tests.support.ledger_rows import EDGE

DASHBOARD = json.loads((Path(__file__).parents[3] / "docs" / "grafana.json").read_text())
VARIABLES = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
QUERIES += [variable["definition"] for variable in VARIABLES.values() if variable["type"] == "query"]
SELECTOR = re.compile(r"(social_jepa_\w+)(?:\{([^}]*)\})?")


@pytest.fixture(scope="module")
def samples():
    """Label names by sample name, of a server that has answered one request."""
    agent = AgentView(
        name="a", kind="jepa", pose="", teacher="", incarnation=1, phase="training", loss=0.5, drift=0.1,
        frames_per_s=100.0,
    )  # fmt: skip
    requests = RequestMetrics()
    metrics = Metrics(lambda: RunState(up=True, agents=(agent,), edges=(EDGE,)), requests)
    requests.count("GET", "/api/status", 200, 0.01)
    families = text_string_to_metric_families(metrics.text()[0].decode())
    return {sample.name: sample.labels.keys() for family in families for sample in family.samples}


def test_every_metric_and_label_of_a_query_is_exported(samples):
    for query in QUERIES:
        found = SELECTOR.findall(query)
        assert found, query
        for name, labels in found:
            assert name in samples, query
            used = set(re.findall(r"(\w+)=~?", labels)) - {"job"}  # which Prometheus adds
            assert used <= samples[name], query


def test_every_metric_is_shown(samples):
    shown = {name for query in QUERIES for name, _ in SELECTOR.findall(query)}
    # parts of counters and histograms
    parts = {name for name in samples if re.search(r"_(created|count|sum)$", name)}

    assert samples.keys() - parts <= shown


def test_a_legend_names_labels_that_a_query_keeps(samples):
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            kept = set(re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", target["expr"]))))
            kept = kept or samples[SELECTOR.search(target["expr"])[1]]
            assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= kept


def test_grafana_can_import_it():
    assert DASHBOARD["schemaVersion"] >= 36
    assert "id" not in DASHBOARD  # the number in the database of another Grafana
    assert VARIABLES["datasource"]["type"] == "datasource"
    assert VARIABLES["datasource"]["query"] == "prometheus"
    parts = [*DASHBOARD["panels"], *(target for panel in DASHBOARD["panels"] for target in panel["targets"])]
    assert {part["datasource"]["uid"] for part in parts} == {"${datasource}"}
    used = set(re.findall(r"\$(\w+)", " ".join(QUERIES))) - {"__rate_interval"}
    assert used <= VARIABLES.keys()


def test_panels_have_their_own_numbers_and_places():
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]

    assert len(set(numbers)) == len(numbers)
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for a, b in combinations(places, 2):
        beside = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        assert beside or a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
