"""The page in a real browser, over a simulation that lives."""

import contextlib
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.servers import running
from tests.support.simulations import up

CHROMIUM = Path("/usr/bin/chromium")
PATIENCE = 90  # seconds for a newcomer to learn and to negotiate

pytestmark = [
    pytest.mark.ray,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"there is no browser at {CHROMIUM}"),
]


@pytest.fixture(scope="module")
def living(ray_local, tmp_path_factory):
    """Two agents that understand each other, in a simulation that is up."""
    simulation = up(tmp_path_factory.mktemp("page") / "run")
    try:
        simulation.wait(timeout=120)
        yield simulation
    finally:
        with contextlib.suppress(RuntimeError, ValueError):
            simulation.down()


@pytest.fixture(scope="module")
def address(living):
    with running(living.folder) as found:
        yield found


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        launched = driver.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"]
        )
        yield launched
        launched.close()


@pytest.fixture
def visit(browser, address):
    """Open the page at a width; complaints of the browser, and requests to other hosts, fail the test."""
    complaints, contexts = [], []

    def open_page(width, scheme="light"):
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda said: complaints.append(said.text) if not expected(said) else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda asked: complaints.append(asked.url) if leaves(asked.url) else None)
        page.goto(address)
        page.wait_for_selector("#graph svg g.edge")
        return page

    def expected(said):  # browsers tell of every request that was refused
        return said.type == "log" or "status of 422" in said.text

    def leaves(url):
        return url.startswith("http") and urlsplit(url).netloc != urlsplit(address).netloc

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def until(page, true, patience=20):
    """Ask the page again and again: its security policy lets nothing else wait inside."""
    end = time.monotonic() + patience
    while not page.evaluate(true):
        assert time.monotonic() < end, true
        page.wait_for_timeout(50)


def names(page):
    return page.locator("#agents tr th").all_text_contents()


def test_the_page_shows_the_agents_their_pictures_and_their_edges(visit):
    page = visit(1280)

    assert names(page) == ["agent-0", "agent-1"]
    assert page.locator("#graph g.edge").count() == 2
    assert page.locator("#up").text_content() == "up"
    until(page, "[...document.querySelectorAll('#cameras img')].every(i => i.naturalWidth === 32)")
    before = page.locator("#cameras img").first.get_attribute("src")
    until(page, f"document.querySelector('#cameras img').getAttribute('src') !== {before!r}")
    page.wait_for_selector("#events li")


def test_an_edge_shows_what_is_behind_it_by_mouse_and_by_keyboard(visit):
    page = visit(1280)
    page.locator("#matrix button").first.click()
    page.wait_for_selector("#edge img")
    assert page.locator("#edge-heading").text_content() == "agent-0 → agent-1"

    page.locator('#graph g.edge[data-from="agent-1"]').focus()
    page.keyboard.press("Enter")
    until(page, "document.querySelector('#edge-heading').textContent === 'agent-1 → agent-0'")
    until(page, "document.querySelector('#edge img')?.naturalWidth > 0")


def test_a_question_is_answered_with_pictures(visit):
    page = visit(1280)
    page.fill("#query [name=tick]", "4")
    page.click("#query button")
    page.wait_for_selector("#answer .views img")

    assert "agent-0 → agent-1" in page.locator("#answer").text_content()
    assert page.locator("#answer figure").count() == 6


def test_a_mistake_is_said_in_words(visit):
    page = visit(1280)
    page.select_option("#query [name=to]", "agent-0")
    page.click("#query button")
    page.wait_for_selector("#query .message.bad")

    assert "name two agents" in page.locator("#query .message").text_content()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_overflows_on_a_phone(visit, scheme):
    page = visit(360, scheme)
    page.locator("#matrix button").first.click()
    page.click("#query button")
    page.wait_for_selector("#answer img")

    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_an_agent_joins_through_the_form_moves_and_leaves(visit, living):
    page = visit(1280)
    page.fill("#add [name=pose]", "0,3.2,4.8,90,-35")
    page.fill("#add [name=name]", "guest")
    page.click("#add button")
    until(page, "document.querySelector('#add .message').textContent.includes('guest joined')", PATIENCE)
    for edge in ('[data-from="guest"][data-to="agent-0"]', '[data-from="agent-0"][data-to="guest"]'):
        page.wait_for_selector(f"#graph g.edge{edge}", timeout=1000 * PATIENCE)
    assert "guest" in names(page)

    page.click('[aria-label="Move guest"]')
    page.fill("#move [name=pose]", "0.5,3.2,4.8,95,-35")
    page.click("#move [value=go]")
    until(page, "!document.querySelector('#move').open")
    moved = next(agent for agent in living.status() if agent.name == "guest")
    assert moved.pose.startswith("0.5,")

    page.click('[aria-label="Remove guest"]')
    page.click("#remove [value=go]")
    until(page, "document.querySelectorAll('#agents tr').length === 2", PATIENCE)
    until(page, "document.querySelector('#events').textContent.includes('guest left')")


def test_the_page_says_that_the_simulation_went_down(visit, living):
    page = visit(1280)
    living.down()
    until(page, "document.querySelector('#up').textContent === 'down'")

    assert "social-jepa resume" in page.locator("#remedy").text_content()
    assert page.locator("#add button").is_disabled()
