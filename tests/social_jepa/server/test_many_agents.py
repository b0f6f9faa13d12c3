"""What the API and the page show of more agents than fit into a drawing."""

import re
import time

import numpy as np
import pytest

from social_jepa.graph.neighborhood import MAX_SHOWN
from tests.support.planted_run import planted_run
from tests.support.servers import client_of, running

COUNT = 1000
PAGE = 64  # rows of a table
MAX_ELEMENTS = 8000  # of the page: a table of all pairs would have a million


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("thousand") / "run"
    return planted_run(path, COUNT, settings=("negotiation.topology=k_regular(6)",))


@pytest.fixture(scope="module")
def api(folder):
    with client_of(folder) as client:
        yield client


@pytest.fixture(scope="module")
def address(folder):
    with running(folder) as found:
        yield found


def around(api, name):
    """Return an agent and those that it has edges with."""
    edges = api.get(f"/api/edges?agent={name}&limit=1000").json()["items"]
    return {end for edge in edges for end in (edge["source"], edge["target"])}


def test_the_quality_matrix_of_many_agents_is_that_of_one_and_those_that_it_has_edges_with(api):
    matrix = api.get("/api/quality?focus=agent-500").json()

    assert matrix["agents"][0] == "agent-500"
    assert set(matrix["agents"]) == around(api, "agent-500")
    assert matrix["total"] == COUNT
    assert np.array(matrix["best"]).shape == (len(matrix["agents"]),) * 2
    assert api.get("/api/quality").json()["agents"][0] == "agent-0"


def test_a_limit_keeps_the_neighbors_with_the_largest_r2(api):
    edges = api.get("/api/edges?agent=agent-7&status=accepted&sort=-r2_shared").json()["items"]
    best = [name for edge in edges for name in (edge["source"], edge["target"]) if name != "agent-7"]
    matrix = api.get("/api/quality?focus=agent-7&limit=4").json()

    assert set(matrix["agents"]) == {"agent-7", *list(dict.fromkeys(best))[:3]}


def test_the_drawing_of_many_agents_has_one_and_those_that_it_has_edges_with(api):
    drawing = api.get("/api/graph.svg?focus=agent-500&pictures=linked&styled=false").text

    drawn = set(re.findall(r'data-agent="([^"]+)"', drawing))
    assert drawn == around(api, "agent-500")
    assert len(drawn) <= MAX_SHOWN
    assert "agent-0" in re.findall(r'data-agent="([^"]+)"', api.get("/api/graph.svg?pictures=none").text)


def texts(page, selector):
    return page.locator(selector).all_text_contents()


def wait_until(page, selector, condition):
    """Wait until the texts of some elements meet a condition; the page lets no script be evaluated later."""
    deadline = time.monotonic() + 90
    while not condition(texts(page, selector)):
        assert time.monotonic() < deadline, texts(page, selector)[:5]
        page.wait_for_timeout(50)


def test_the_page_has_tables_of_a_page_each_and_few_elements(page):
    page.wait_for_selector("#edges tr")

    assert page.locator("#tile-agents").text_content() == "1,000"
    assert page.locator("#agents tr").count() == page.locator("#edges tr").count() == PAGE
    assert page.locator("*").count() < MAX_ELEMENTS
    assert "agent-0 and the agents that it has edges with" in page.locator("#matrix-part").text_content()


def test_buttons_turn_the_pages_and_a_search_begins_anew(page):
    page.click("[aria-label='Next agents']")
    wait_until(page, "#agents th", lambda found: found[0] == "agent-64")
    assert texts(page, "#agent-pages .note") == ["65 to 128 of 1,000 agents"]
    page.fill("#agent-name", "99")

    expected = [f"agent-{number}" for number in range(COUNT) if "99" in str(number)]
    wait_until(page, "#agents th", lambda found: found == expected)


def test_headings_sort_the_edges_and_a_menu_chooses_their_verdict(page, api):
    page.select_option("#edge-status", "accepted")
    page.click("#edge-columns >> text=R² shared")
    page.click("#edge-columns >> text=R² shared")
    page.wait_for_selector("#edge-columns th[aria-sort=descending]")
    best = api.get("/api/edges?status=accepted&sort=-r2_shared&limit=1").json()["items"][0]
    ends = [best["source"], best["target"]]
    wait_until(page, "#edges tr:first-child td.text", lambda found: found[:2] == ends)
    page.click("#edges tr:first-child button")
    page.wait_for_selector("#edge dl")

    assert page.locator("#edge-heading").text_content() == f"{best['source']} → {best['target']}"


def test_an_agent_of_another_page_is_chosen_by_its_name_and_an_unknown_one_is_refused(page):
    page.fill("#focus", "agent-500")
    page.press("#focus", "Enter")
    page.wait_for_selector('#graph g.card[data-agent="agent-500"]')
    assert page.locator("#matrix thead th").first.text_content() == "agent-500"
    page.fill("#focus", "agent-5000")
    page.press("#focus", "Enter")
    wait_until(page, "#focus-note", lambda found: "agent-5000" in found[0])

    assert page.locator('#graph g.card[data-agent="agent-500"]').count() == 1
