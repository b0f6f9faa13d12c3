"""The page at the width of a phone with labels of twice their length, and with many agents."""

import pytest

from tests.support.planted_run import planted_run
from tests.support.servers import running

# German labels are half as long again; a word that cannot be broken is the hardest case.
DOUBLE = r"""() => {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), nodes = [];
  while (walker.nextNode()) nodes.push(walker.currentNode);
  for (const node of nodes) {
    if (!node.parentElement.closest("script, style, svg")) node.data = node.data.replace(/\p{L}+/gu, "$&$&");
  }
}"""
# Elements that reach beyond the page, or hold more than they show, outside of regions that scroll.
OVERFLOWING = """() => {
  const width = document.documentElement.clientWidth;
  return [...document.querySelectorAll("body *")].filter((node) => {
    if (!node.checkVisibility() || node.closest("svg, .skip")) return false;
    if (node.parentElement.closest(".scroll")) return false;
    const { left, right } = node.getBoundingClientRect();
    const clipped = node.clientWidth && node.scrollWidth > node.clientWidth + 1;
    const inline = getComputedStyle(node).display === "inline" || node.matches(".scroll, input, select");
    return left < -1 || right > width + 1 || (clipped && !inline);
  }).map((node) => `${node.tagName} ${node.id} ${node.className} ${node.textContent.trim().slice(0, 40)}`);
}"""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder of two runs, of 12 agents and, the newer one, of three."""
    root = tmp_path_factory.mktemp("layout") / "runs"
    for count in (12, 3):
        planted_run(root / f"of {count}", count)
    return root


@pytest.fixture(scope="module")
def address(root):
    with running(root) as found:
        yield found


@pytest.mark.parametrize("width", [390, 1280])
def test_labels_of_twice_their_length_stay_on_the_page(page, width):
    page.set_viewport_size({"width": width, "height": 844})
    page.locator("#matrix td[data-from]").first.click()
    page.wait_for_selector("#edge .versions li")
    page.click("#query button")
    page.wait_for_selector("#query .message.bad")  # planted agents have no anchors
    page.wait_for_selector("#choose-run:not([hidden])")
    assert page.evaluate(OVERFLOWING) == []
    page.evaluate(DOUBLE)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(OVERFLOWING) == []
    for dialog in ("move", "remove"):
        page.evaluate(f"document.getElementById({dialog!r}).showModal()")
        assert page.evaluate(OVERFLOWING) == []
        page.keyboard.press("Escape")


def test_above_eight_agents_the_table_comes_first_and_the_graph_has_the_edges_of_one(page, address):
    assert page.locator("#graph").bounding_box()["y"] < page.locator("#matrix").bounding_box()["y"]
    page.goto(f"{address}/runs/of%2012/")
    page.wait_for_selector("#graph svg g.edge")

    assert page.locator("#graph").bounding_box()["y"] > page.locator("#matrix").bounding_box()["y"]
    assert page.locator("#graph g.edge").count() == 2 * 11
    assert page.locator("#cameras figure").count() == 12
    assert page.locator("button.all").first.is_hidden()
    page.select_option("#focus", "")
    page.wait_for_selector("#graph g.edge >> nth=131", state="attached")


def test_cancel_has_the_focus_before_an_agent_is_removed(page):
    page.evaluate("document.getElementById('remove').showModal()")

    assert page.evaluate("document.activeElement.value") == "cancel"
