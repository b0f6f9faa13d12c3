"""Earlier graphs, maps and the plan of the room, on the page of a run that is down."""

import contextlib
import io
import math

import numpy as np
import pytest

from alignment.status import Status
from social_jepa.records import replace
from social_jepa.storage.ledger import Ledger
from tests.support.planted_run import planted_run
from tests.support.servers import running

CELL = '#matrix td[data-from="agent-0"][data-to="agent-1"]'


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A page of three agents, of which the edge 0 > 1 was accepted and then failed."""
    folder = planted_run(tmp_path_factory.mktemp("history") / "run", 3)
    with contextlib.closing(Ledger(folder.ledger_file)) as ledger:
        edge = next(
            edge for edge, _ in ledger.edges() if (edge.source, edge.target) == ("agent-0", "agent-1")
        )
        assert edge.status is Status.ACCEPTED
        ledger.record(edges=[replace(edge, status=Status.FAILED, reason="no answer", round=edge.round + 1)])
    with running(folder) as found:
        yield found


def test_a_version_of_an_edge_shows_the_graph_of_its_time_until_now_is_wanted_again(page):
    page.click(CELL)
    page.wait_for_selector("#edge .versions li >> nth=1")
    assert "failed" in page.locator("#edge dl").text_content()
    assert page.locator("#edge .downloads").count() == 0

    page.locator("#edge .versions button").last.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(f"{CELL}:not(.failed)")
    page.wait_for_selector('#edge .versions li:last-child button[aria-pressed="true"]:focus')
    assert "accepted" in page.locator("#edge dl").text_content()
    assert page.locator("#time").get_attribute("aria-valuetext") != "now"
    link = page.locator("#edge .downloads a").nth(1).get_attribute("href")
    with np.load(io.BytesIO(page.request.get(f"{page.url}{link}").body())) as arrays:
        np.testing.assert_array_equal(arrays["agent-0/agent-1/shared/weight"], np.eye(2))

    page.click("#time-now")
    page.wait_for_selector(f"{CELL}.failed")
    assert page.locator("#time-shown").text_content() == "now"
    assert page.locator("#time-now").is_hidden()


def test_the_slider_goes_to_the_first_event_and_back(page):
    page.focus("#time")
    page.keyboard.press("Home")
    page.wait_for_selector("#time-note:not(:empty)")
    assert "had no agents at that time" in page.locator("#time-note").text_content()

    page.keyboard.press("End")
    page.wait_for_selector("#time-note:empty", state="attached")
    assert page.locator("#time").get_attribute("aria-valuetext") == "now"


def test_pressing_the_plan_places_a_camera_and_dragging_aims_it(page):
    plan, field = page.locator("#add svg.plan"), page.locator("#add [name=pose]")
    plan.scroll_into_view_if_needed()
    box = plan.bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    page.mouse.move(middle[0] + box["width"] / 4, middle[1])
    page.mouse.down()
    x, y, z, yaw, pitch = map(float, field.input_value().split(","))
    assert x > 1
    assert abs(z) < 0.1
    assert abs(yaw) == pytest.approx(180, abs=2)  # towards the middle
    page.mouse.move(middle[0] + box["width"] / 4, middle[1] - box["height"] / 4)
    page.mouse.up()
    aimed = [float(part) for part in field.input_value().split(",")]
    assert aimed[:3] == [x, y, z]
    assert aimed[3:] == [pytest.approx(90, abs=2), pitch]  # up the page is towards negative z
    assert math.cos(math.radians(aimed[3])) == pytest.approx(0, abs=0.05)
    assert plan.locator(".chosen").count() == 1
    assert plan.locator(".other").count() == 3
