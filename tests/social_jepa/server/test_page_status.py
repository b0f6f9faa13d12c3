"""What the page says of agents whose supervisor replies, and of a server that restarts on another run."""

import contextlib
import time
from urllib.parse import urlsplit

import pytest

from social_jepa.records import replace
from social_jepa.server.app import make_server, open_port
from tests.support.planted_run import planted_run
from tests.support.servers import add_event, app_of, running, running_server
from tests.support.statuses import AGENT, FAILURE
from tests.support.supervisors import supervised

TRACEBACK = "/run/logs/agent-1.traceback.txt"
OTHER_VERSIONS = "runs other versions than its supervisor: torch 0.1 (here 2.13)"
STATUSES = (
    replace(AGENT, note=OTHER_VERSIONS, cpu_wait=0.82, silent_since=1.0),
    replace(AGENT, name="agent-1", failure=replace(FAILURE, traceback_file=TRACEBACK)),
    replace(AGENT, name="agent-2", phase="waiting", waiting_for="1 GPU: no node has more than 0"),
    replace(AGENT, name="agent-3", note="is restarted in 3 s: its process was killed for memory"),
    replace(
        AGENT,
        name="agent-4",
        idle_seconds=42.0,
        idle_place="my.py line 9",
        unanswered={"agent-10": 1.0, "agent-2": 1.0},
    ),
)


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The page of a run whose supervisor, in this process, reports the agents of STATUSES."""
    folder = planted_run(tmp_path_factory.mktemp("status") / "run", len(STATUSES))
    with supervised(folder, STATUSES), running(folder) as found:
        yield found


def test_every_note_of_an_agent_is_in_its_row(page):
    rows = page.locator("#agents tr")
    notes = [row.locator("td.remark").text_content() for row in rows.all()]

    assert notes[0].startswith(f"{OTHER_VERSIONS}; gave no report since ")
    assert notes[0].endswith("; waits for a CPU 82 % of the time")
    assert notes[1].startswith("KeyError: 'boom' [/bold]\n[red], my.py line 12 (training, after 7 steps)")
    assert notes[1].endswith(f"; traceback: {TRACEBACK}")
    assert notes[2] == "waits for 1 GPU: no node has more than 0"
    assert notes[3] == "is restarted in 3 s: its process was killed for memory"
    assert notes[4] == "no step for 42 s, in my.py line 9; no answer from agent-2, agent-10"
    phases = [row.locator("td").first.text_content() for row in rows.all()]
    assert phases == ["training", "failed", "waiting", "training", "training"]


def test_the_api_has_the_record_of_a_failure(page):
    failure = page.request.get(f"{page.url}api/agents/agent-1").json()["failure"]

    place = {"type": "KeyError", "file": "my.py", "line": 12, "phase": "training", "step": 7}
    assert failure.items() >= place.items()


@contextlib.contextmanager
def serving(folder, port=0):
    """Serve a run folder at a port, and yield its address."""
    server = make_server(app_of(folder, None))
    with running_server(server, open_port("127.0.0.1", port)) as address:
        yield address


def test_a_page_follows_a_server_that_restarts_on_another_run(browser, tmp_path):
    first, second = (planted_run(tmp_path / name, count) for name, count in (("first", 3), ("second", 2)))
    add_event(first, "left", agent="a guest of the first")
    context = browser.new_context()
    context.set_default_timeout(30_000)
    page = context.new_page()
    with serving(first) as address:
        page.goto(address)
        page.wait_for_selector("#agents tr:nth-child(3)")
        page.wait_for_selector("#events li:has-text('a guest of the first left')")
        page.wait_for_selector("#line.good")
    page.wait_for_selector("#line.bad")

    with serving(second, urlsplit(address).port):
        deadline = time.monotonic() + 30
        while page.locator("#agents tr").count() != 2:
            assert time.monotonic() < deadline
            page.wait_for_timeout(50)
        page.wait_for_selector("#line.good")
        add_event(second, "left", agent="a guest of the second")
        page.wait_for_selector("#events li:has-text('a guest of the second left')")
        assert "of the first" not in page.locator("#events").text_content()
        assert "second" in page.locator("#run").text_content()
        context.close()


def test_a_page_of_a_run_that_is_not_up_says_its_state_and_what_helps(browser, tmp_path):
    folder = planted_run(tmp_path / "run", 2)
    start = f"social-jepa up --config {folder.path}/config.toml"
    read_only = (
        f"it can only be read, since it has models without checkpoints, as an import has; {start} starts a "
        "simulation with its settings"
    )
    with running(folder) as address:
        page = browser.new_page()
        page.goto(address)
        page.wait_for_selector("#agents tr")
        assert page.locator("#up").text_content() == "stopped"
        assert page.locator("#remedy").text_content() == read_only
        assert page.locator("#remedy code").text_content() == start
        assert page.locator("#add .message").text_content() == f"The simulation is not up: {read_only}"
        assert page.locator("#add button").is_disabled()
        lock = folder.acquire_lock()
        page.reload()
        page.wait_for_selector("#up:has-text('training')")
        page.wait_for_selector("#remedy:has-text('a batch run is at work in it')")
        assert page.locator("#remedy code").count() == 0
        lock.release()
        page.close()
