"""Earlier graphs, maps and the plan of the room, on the page of a run that is down."""

import contextlib
import datetime
import io
import math
import re

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
        other, maps = next(found for found in ledger.edges() if found[0].source == "agent-2")
        assert other.status is Status.ACCEPTED
        other = replace(other, null_correlation=0.4321, round=other.round + 1)
        ledger.record(edges=[other], maps={(other.source, other.target): maps})
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
    page.wait_for_selector("#time:not([disabled])")  # until the first event is known
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


@pytest.mark.parametrize(
    ("what", "text", "sentence"),
    [
        ("tick", "", "Tick: give a whole number, 0 or larger"),
        ("vector", "", "Vector: give numbers separated by commas, one for each dimension of the core"),
        (
            "vector",
            "0.1,,0.2",
            "Vector: give numbers separated by commas, one for each dimension of the core",
        ),
    ],
)
def test_numbers_that_are_missing_are_refused_before_they_are_sent(page, what, text, sentence):
    page.select_option("#query [name=what]", what)
    page.fill(f"#query [name={what}]", text)
    sent = []
    page.on("request", lambda request: sent.append(request.url) if "translate" in request.url else None)
    page.click("#query button")
    page.wait_for_selector("#query .message.bad")

    assert page.locator("#query .message").text_content() == sentence
    assert sent == []


def test_times_of_earlier_days_have_their_date(page):
    def recorded():
        page.wait_for_selector("#edges td:nth-child(9)")
        return page.locator("#edges td:nth-child(9)").first.text_content()

    time = recorded()
    assert re.fullmatch("[0-9]{2}:[0-9]{2}:[0-9]{2}", time)

    today = datetime.datetime.now()
    page.clock.set_fixed_time(today + datetime.timedelta(days=2))
    page.reload()
    assert recorded() == f"{today.date()} {time}"
    page.wait_for_selector("#events time")
    assert page.locator("#events time").first.text_content().startswith(f"{today.date()} ")
    page.click(CELL)
    page.wait_for_selector("#edge .versions li >> nth=1")
    assert page.locator("#edge .versions button").last.text_content().startswith(f"{today.date()} ")


def test_the_tile_of_chance_is_the_largest_of_any_accepted_edge(page):
    page.wait_for_selector("#tile-null:not(:empty)")

    assert page.locator("#tile-null").text_content() == "chance correlates up to 0.43"
