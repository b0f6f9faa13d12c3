"""The page in a browser, with a simulation that is up."""

import contextlib
import time
from urllib.parse import urlsplit

import httpx2 as httpx
import pytest

from tests.support.servers import running
from tests.support.simulations import up

STUDENT_PLOT = "#losses figure[data-name=student] img"
TIMEOUT = 90  # seconds for a joiner to train and negotiate

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def simulation(browser, ray_local, tmp_path_factory):
    """A simulation that is up, with two agents whose edges are settled."""
    started = up(tmp_path_factory.mktemp("page") / "run", ray_local)
    try:
        started.wait(timeout=120)
        yield started
    finally:
        with contextlib.suppress(RuntimeError, ValueError):
            started.down()


@pytest.fixture(scope="module")
def address(simulation):
    with running(simulation.folder) as found:
        yield found


@pytest.fixture
def visit(browser, address):
    """Open the page at a width; errors of the browser and requests to other hosts fail the test."""
    errors, contexts = [], []

    def open_page(width, scheme="light"):
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        contexts.append(context)
        context.set_default_timeout(1000 * TIMEOUT)
        page = context.new_page()
        page.on("console", lambda message: None if expected(message) else errors.append(message.text))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: errors.append(request.url) if is_external(request.url) else None)
        page.goto(address)
        page.wait_for_selector("#graph svg g.edge")
        return page

    def expected(message):  # browsers log every response that is an error
        return message.type == "log" or "status of 422" in message.text

    def is_external(url):
        return url.startswith("http") and urlsplit(url).netloc != urlsplit(address).netloc

    yield open_page
    for context in contexts:
        context.close()
    assert errors == []


def until(page, condition, timeout=TIMEOUT):
    """Poll a condition: the page's security policy forbids waiting inside the page."""
    deadline = time.monotonic() + timeout
    while not page.evaluate(condition):
        assert time.monotonic() < deadline, condition
        page.wait_for_timeout(50)


def names(page):
    return page.locator("#agents tr th").all_text_contents()


def test_the_page_shows_agents_views_and_edges(visit):
    page = visit(1280)

    assert names(page) == ["agent-0", "agent-1"]
    assert page.locator("#graph g.edge").count() == 2
    assert page.locator("#up").text_content() == "up"
    assert "2 ordered pairs of 2 agents" in page.locator("#headline").text_content()
    until(page, "[...document.querySelectorAll('#cameras img')].every(i => i.naturalWidth === 32)")
    before = page.locator("#cameras img").first.get_attribute("src")
    until(page, f"document.querySelector('#cameras img').getAttribute('src') !== {before!r}")
    page.wait_for_selector("#events li")


def test_an_edge_shows_its_details_by_mouse_and_by_keyboard(visit):
    page = visit(1280)
    page.locator("#matrix td[data-from]").first.click()
    page.wait_for_selector("#edge img")
    assert page.locator("#edge-heading").text_content() == "agent-0 → agent-1"

    page.locator('#graph g.edge[data-from="agent-1"]').focus()
    page.keyboard.press("Enter")
    until(page, "document.querySelector('#edge-heading').textContent === 'agent-1 → agent-0'")
    until(page, "document.querySelector('#edge img')?.naturalWidth > 0")


def test_a_query_is_answered_with_views(visit):
    page = visit(1280)
    page.fill("#query [name=tick]", "4")
    page.click("#query button")
    page.wait_for_selector("#answer .views img")

    assert "agent-0 → agent-1" in page.locator("#answer").text_content()
    assert page.locator("#answer figure").count() == 7  # by both, and the five nearest


def test_an_invalid_query_shows_the_error(visit):
    page = visit(1280)
    page.select_option("#query [name=to]", "agent-0")
    page.click("#query button")
    page.wait_for_selector("#query .message.bad")

    assert "name two agents" in page.locator("#query .message").text_content()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_phone(visit, scheme):
    page = visit(360, scheme)
    page.locator("#matrix td[data-from]").first.click()
    page.click("#query button")
    page.wait_for_selector("#answer img")

    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_training_of_an_agent_is_paused_and_goes_on(visit, simulation):
    page = visit(1280)
    page.click('[aria-label="Pause training of agent-1"]')
    page.wait_for_selector('[aria-label="Resume training of agent-1"]')
    assert {agent.name: agent.paused for agent in simulation.status()} == {"agent-0": False, "agent-1": True}
    until(page, "document.querySelector('#events').textContent.includes('training of agent-1 is paused')")

    page.click('[aria-label="Resume training of agent-1"]')
    page.wait_for_selector('[aria-label="Pause training of agent-1"]')
    assert not any(agent.paused for agent in simulation.status())


def test_an_agent_whose_move_is_refused_is_not_paused_either(address, simulation):
    outside = {"pose": "0,3.2,99,90,-35", "paused": True}
    answer = httpx.patch(f"{address}/api/agents/agent-1", json=outside)

    assert answer.status_code == 422
    assert not any(agent.paused for agent in simulation.status())


def test_an_agent_joins_through_the_form_moves_and_leaves(visit, simulation):
    page = visit(1280)
    page.fill("#add [name=pose]", "0,3.2,4.8,90,-35")
    page.fill("#add [name=name]", "guest")
    page.click("#add button")
    until(page, "document.querySelector('#add .message').textContent.includes('guest joined')", TIMEOUT)
    for edge in ('[data-from="guest"][data-to="agent-0"]', '[data-from="agent-0"][data-to="guest"]'):
        page.wait_for_selector(f"#graph g.edge{edge}", timeout=1000 * TIMEOUT)
    assert "guest" in names(page)

    page.click('[aria-label="Move guest"]')
    page.fill("#move [name=pose]", "0.5,3.2,4.8,95,-35")
    page.click("#move [value=go]")
    until(page, "!document.querySelector('#move').open")
    moved = next(agent for agent in simulation.status() if agent.name == "guest")
    assert moved.pose.startswith("0.5,")

    page.click('[aria-label="Remove guest"]')
    page.click("#remove [value=go]")
    until(page, "document.querySelectorAll('#agents tr').length === 2", TIMEOUT)
    until(page, "document.querySelector('#events').textContent.includes('guest left')")


def checkpoint_of(page):
    return page.request.get(f"{page.url}api/agents/agent-0").json()["checkpoint"]


def test_loss_plots_of_joiners_and_of_published_agents_go_on(visit, simulation):
    page = visit(1280)
    page.select_option("#add [name=teacher]", "agent-0")
    page.fill("#add [name=name]", "student")
    page.click("#add button")
    until(page, f"document.querySelector({STUDENT_PLOT!r})?.naturalWidth > 0", TIMEOUT)
    deadline = time.monotonic() + TIMEOUT
    while not page.request.get(f"{page.url}api/agents/student").json()["losses"]["distill"]:
        assert time.monotonic() < deadline
        page.wait_for_timeout(100)
    assert "distillation loss" in page.request.get(f"{page.url}api/agents/student/loss.svg").text()

    plot = "#losses figure[data-name=agent-0] img"
    checkpoint, before = checkpoint_of(page), page.locator(plot).get_attribute("src")
    until(page, f"document.querySelector({plot!r}).getAttribute('src') !== {before!r}", TIMEOUT)
    assert checkpoint_of(page) == checkpoint  # the plot has gone on without another publication
    page.goto("about:blank")  # a page does not know of a removal elsewhere, and requests views that are gone
    simulation.remove_agent("student")


def test_the_page_shows_that_the_simulation_is_down(visit, simulation):
    page = visit(1280)
    simulation.down()
    until(page, "document.querySelector('#up').textContent === 'down'")

    assert "social-jepa resume" in page.locator("#remedy").text_content()
    assert page.locator("#add button").is_disabled()
