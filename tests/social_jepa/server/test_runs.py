"""Several runs in one server: each below an address of its own, and one of them at the root as well."""

import asyncio
import io
import os
import re
import shutil
from urllib.parse import urljoin

import httpx2 as httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from social_jepa.graph.observer import Observer
from social_jepa.graph.results import load_results
from social_jepa.server import served_runs, sse
from social_jepa.server.auth import Access
from social_jepa.server.served_runs import ServedRuns
from tests.support.command import call, interrupt, spawn
from tests.support.coroutines import run_coroutine
from tests.support.openapi import load
from tests.support.planted_run import planted_run
from tests.support.reverse_proxy import PREFIX, assert_complete, behind_proxy, browser_of, origin_of
from tests.support.servers import client_of, running

TOKEN = "a-token-of-twenty-signs"
AGENTS = {"two agents": 2, "three": 3}  # the second is the newer run


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder of two runs."""
    root = tmp_path_factory.mktemp("several") / "runs"
    for name, count in AGENTS.items():
        planted_run(root / name, count)
    (root / "notes").mkdir()
    return root


@pytest.fixture(scope="module")
def api(root):
    with client_of(root) as client:
        yield client


@pytest.mark.parametrize(
    ("below", "name"), [("", "three"), ("/runs/three", "three"), ("/runs/two agents", "two agents")]
)
def test_each_run_has_its_routes_below_its_name_and_the_newest_also_at_the_root(api, below, name):
    count = AGENTS[name]
    edges = count * (count - 1)

    assert api.get(f"{below}/api/status").json()["name"] == name
    assert api.get(f"{below}/api/agents").json()["total"] == count
    assert api.get(f"{below}/api/edges").json()["total"] == edges
    assert api.get(f"{below}/api/graph.svg").text.count('<g class="edge ') == edges
    families = list(text_string_to_metric_families(api.get(f"{below}/metrics").text))
    samples = [sample for family in families for sample in family.samples]
    assert sum(sample.name == "social_jepa_edge_bytes" for sample in samples) == edges


@pytest.mark.parametrize("page", ["/", "/runs/three/", "/runs/two%20agents/"])
def test_runs_are_listed_with_addresses_relative_to_the_page_that_asks(api, page):
    runs = api.get(f"{page}api/runs").json()["items"]

    assert [(run["name"], run["agents"], run["default"]) for run in runs] == [
        ("three", 3, True), ("two agents", 2, False),
    ]  # fmt: skip
    for run in runs:
        address = urljoin(page, run["address"])
        assert api.get(urljoin(address, "api/status")).json()["run"] == run["path"]
        assert "<title>Social-JEPA</title>" in api.get(address).text
        assert api.get(urljoin(address, "page.css")).headers["content-type"].startswith("text/css")


def test_an_address_without_its_slash_leads_to_the_page(api):
    moved = api.get("/runs/two%20agents", follow_redirects=False)

    assert moved.status_code == 308
    assert urljoin("/runs/two%20agents", moved.headers["location"]) == "/runs/two%20agents/"


@pytest.mark.parametrize("path", ["", "/", "/page.js", "/api/status", "/api/runs", "/docs", "/nowhere"])
def test_an_unknown_run_is_not_found(api, path):
    response = api.get(f"/runs/none{path}", follow_redirects=False)

    assert response.status_code == 404
    assert "/api/runs" in response.json()["detail"] or path == "/nowhere"


def test_a_run_that_appears_in_the_folder_is_served_and_one_that_is_gone_is_not_listed(
    root, tmp_path, monkeypatch
):
    monkeypatch.setattr(served_runs, "SCAN_SECONDS", 0.0)
    here = shutil.copytree(root, tmp_path / "runs")
    with client_of(here) as client:
        assert client.get("/runs/new/api/status").status_code == 404
        shutil.copytree(here / "three", here / "new")
        assert client.get("/runs/new/api/agents").json()["total"] == 3
        shutil.copytree(here / "three", here / os.fsdecode(b"not utf-8 \xff"))
        shutil.rmtree(here / "two agents")
        assert {run["name"] for run in client.get("/api/runs").json()["items"]} == {"three", "new"}
        (here / "three" / "config.toml").write_text("agents = 3")
        listed = {run["name"]: run["state"] for run in client.get("/api/runs").json()["items"]}
        assert listed["three"] == "damaged"


def test_another_run_in_the_folder_of_a_deleted_one_is_served(root, tmp_path):
    folder = shutil.copytree(root / "three", tmp_path / "here")
    with client_of(folder) as client:
        assert client.get("/api/agents").json()["total"] == 3
        shutil.rmtree(folder)
        planted_run(folder, 5)
        assert client.get("/api/agents").json()["total"] == 5
        assert client.get("/api/edges").json()["total"] == 20
        shutil.rmtree(folder)
        shutil.copytree(root / "two agents", folder)
        assert client.get("/api/agents").json()["total"] == 2


def test_a_deleted_run_is_not_found_and_the_default_is_chosen_again(root, tmp_path, monkeypatch):
    monkeypatch.setattr(served_runs, "SCAN_SECONDS", 0.0)
    here = shutil.copytree(root, tmp_path / "runs")
    with client_of(here) as client:
        assert client.get("/api/status").json()["name"] == "three"
        assert client.get("/runs/three/api/status").status_code == 200
        shutil.rmtree(here / "three")
        for path in ("api/status", "api/graph", "page.js", ""):
            assert client.get(f"/runs/three/{path}").status_code == 404
        assert client.get("/api/status").json()["name"] == "two agents"
        assert [run["default"] for run in client.get("/api/runs").json()["items"]] == [True]
        assert client.get("/healthz").status_code == 200
        shutil.rmtree(here / "two agents")
        for path in ("/healthz", "/api/status", "/metrics"):
            gone = client.get(path)
            assert gone.status_code == 503
            assert gone.json()["detail"].startswith("the run was deleted, and none is left: ")
        planted_run(here / "again", 2)
        assert client.get("/healthz").status_code == 200
        assert client.get("/api/status").json()["name"] == "again"


def test_the_only_run_of_a_server_is_missed_at_once(root, tmp_path):
    here = shutil.copytree(root / "three", tmp_path / "three")
    with client_of(here) as client:
        assert client.get("/healthz").status_code == 200
        shutil.rmtree(here)
        assert client.get("/healthz").status_code == 503


def test_the_events_of_a_deleted_run_are_read_no_more_and_its_streams_end(root, tmp_path, monkeypatch):
    monkeypatch.setattr(sse, "POLL_SECONDS", 0.02)
    here = shutil.copytree(root, tmp_path / "runs")
    with running(here) as address:
        with httpx.stream("GET", f"{address}/runs/three/api/stream", timeout=20) as response:
            lines = response.iter_lines()
            assert any(line.startswith("retry") for line in lines)
            shutil.rmtree(here / "three")
            assert not any(line.startswith("data") for line in lines)  # until the server ends the stream
        assert httpx.get(f"{address}/runs/three/api/stream").status_code == 404


def test_a_service_is_forgotten_with_its_run_although_nothing_is_requested(root, tmp_path, monkeypatch):
    monkeypatch.setattr(sse, "POLL_SECONDS", 0.02)
    here = shutil.copytree(root / "three", tmp_path / "three")

    async def open_and_delete():
        runs = ServedRuns([here])
        opened = await runs.service()
        (task,) = runs._broadcasts.values()
        shutil.rmtree(here)
        await asyncio.wait_for(asyncio.shield(task), 20)
        closed = opened.snapshots._ledger
        await runs.close()
        return runs._services, runs._broadcasts, closed

    assert run_coroutine(open_and_delete()) == ({}, {}, None)


def test_a_folder_whose_runs_have_no_address_is_refused_in_a_sentence(root, tmp_path):
    for place in (tmp_path / "only", tmp_path / os.fsdecode(b"\xff")):
        place.mkdir()
    inner = shutil.copytree(root / "three", tmp_path / "only" / os.fsdecode(b"\xff"))
    outer = shutil.copytree(root / "three", tmp_path / os.fsdecode(b"\xff") / "run")
    for words in ([tmp_path / "only"], [outer], ["--run", inner]):
        said = call("serve", *words, "--port", 0)
        assert said.status == 2
        assert "the name of the run folder" in said.err
        assert "is not UTF-8: choose another one" in said.err


def test_runs_of_one_name_are_told_apart_by_a_number(root, tmp_path):
    other = shutil.copytree(root / "two agents", tmp_path / "three")
    runs = ServedRuns([root / "three", other, root])

    found = {name: folder.path for name, folder in runs.folders().items()}
    assert found == {"three": root / "three", "three-2": other, "two agents": root / "two agents"}
    assert runs.default == "three"


def test_with_a_token_a_browser_signs_in_at_the_page_of_any_run(root):
    with client_of(root, Access(TOKEN), follow_redirects=False) as client:
        assert client.get("/runs/three/api/status").status_code == 401
        assert 'name="token"' in client.get("/runs/three/").text
        moved = client.get(f"/runs/three/?token={TOKEN}")
        assert (moved.status_code, moved.headers["location"]) == (303, "./")
        assert "Path=/;" in moved.headers["set-cookie"]
        client.headers["Cookie"] = moved.headers["set-cookie"].partition(";")[0]
        assert client.get("/runs/two agents/api/status").status_code == 200


@pytest.mark.gl
def test_views_of_two_rooms_are_rendered_in_turn_although_miniworld_allows_one(tmp_path):
    for name, objects in (("one", 1), ("two", 2)):
        planted_run(tmp_path / name, 2, settings=("scene.renderer=miniworld", f"scene.objects={objects}"))
    expected = {}
    for name in ("one", "two"):
        with Observer(load_results(tmp_path / name)) as observer:
            expected[name] = [observer.render("agent-0", tick) for tick in range(2)]
    with client_of(tmp_path) as client:
        for tick in range(2):
            for name in ("one", "two"):
                png = client.get(f"/runs/{name}/api/agents/agent-0/view.png?tick={tick}").content
                np.testing.assert_array_equal(np.array(Image.open(io.BytesIO(png))), expected[name][tick])


def test_the_description_names_the_routes_of_each_run_as_a_server_that_answers_alike(root):
    with running(root) as address:
        described, operations = load(address)
        assert [server["url"] for server in described["servers"]] == ["/", "/runs/{run}"]
        assert described["servers"][1]["variables"]["run"]["default"] == "three"
        for path, methods in described["paths"].items():
            assert all(("servers" in each) == (path == "/healthz") for each in methods.values())
        for label in ("GET /api/runs", "GET /api/edges", "GET /api/agents/{name}"):
            check_below(operations[label], f"{address}/runs/two%20agents")


def check_below(operation, base):
    @settings(
        max_examples=5, derandomize=True, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=operation.as_strategy())
    def run(case):
        case.call_and_validate(base_url=base)

    run()


def test_pages_of_runs_are_complete_below_the_prefix_of_a_proxy(root):
    with (
        behind_proxy(root, strip=True, keep_host=False) as port,
        browser_of(port) as browser,
    ):
        for page in ("", "docs", "runs/two%20agents/", "runs/two%20agents/docs"):
            assert_complete(browser, f"{PREFIX}/{page}")
        below = f"{PREFIX}/runs/two%20agents"
        assert browser.get(f"{below}/api/agents").json()["total"] == 2
        assert browser.get(below).headers["location"] == "two%20agents/"
        translated = browser.post(f"{below}/api/translate", json={}, headers=origin_of(port))
        assert translated.status_code == 422


def test_the_page_offers_the_other_runs(root, browser):
    errors, context = [], browser.new_context()
    with running(root) as address:
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(address)
        page.wait_for_selector("#graph svg g.edge >> nth=5")
        page.select_option("#runs", label="two agents (stopped)")
        page.wait_for_url("**/runs/two%20agents/")
        page.wait_for_selector("#graph svg g.edge >> nth=1")
        assert page.locator("#graph g.edge").count() == 2
        page.wait_for_selector("#choose-run:not([hidden])")
        assert page.locator("#runs option:checked").text_content() == "two agents (stopped)"
        page.click("text=HTTP API")
        page.click("text=Social-JEPA")
        page.wait_for_url("**/runs/two%20agents/")
        page.select_option("#runs", label="three (stopped)")
        page.wait_for_selector("#graph svg g.edge >> nth=5")
        context.close()
    assert errors == []


def test_a_single_run_has_no_choice(root, browser):
    context = browser.new_context()
    with running(root / "three") as address:
        page = context.new_page()
        page.goto(address)
        page.wait_for_selector("#run:has-text('three')")
        page.wait_for_selector("#graph svg g.edge")
        assert page.locator("#choose-run").is_hidden()
        context.close()


def test_serve_refuses_what_is_no_run_and_two_ways_to_name_one(root, tmp_path):
    missing = call("serve", root / "three", tmp_path / "none")
    assert missing.status == 2
    assert "none is no run folder" in missing.err
    for words in ([root, "--run", root / "three"], [root, "--on-ray"]):
        refused = call("serve", *words)
        assert refused.status == 2
        assert "--run" in refused.err


def test_serve_says_which_runs_it_serves_and_where_it_logs(root, tmp_path):
    process = spawn(tmp_path, "serve", root, "--port", 0)
    try:
        said = [process.stdout.readline() for _ in range(4)]
    finally:
        interrupt(process)
        process.communicate(timeout=30)

    assert re.fullmatch(r"serving +\S+/three and 1 more\n", said[0])
    assert said[2].split() == ["log", str(root / "three" / "logs" / "server.log")]
