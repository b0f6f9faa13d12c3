"""The stream of events, on a real port: in order, none twice, none left out."""

import contextlib
import json
import threading

import httpx2 as httpx
import pytest

from social_jepa.storage.ledger import Ledger
from tests.support.servers import copy_run, running


@pytest.fixture(scope="module")
def served(small_run, tmp_path_factory):
    folder = copy_run(small_run.folder, tmp_path_factory.mktemp("stream"))
    with running(folder) as address:
        yield folder, address


def note(folder, *words):
    with contextlib.closing(Ledger(folder.ledger_file)) as ledger:
        for word in words:
            ledger.event(word)


def newest(folder):
    with contextlib.closing(Ledger(folder.ledger_file)) as ledger:
        return ledger.version()[2]


def listen(address, count, after=None, headers=None, began=None):
    """Return (id, document) of the next events."""
    found, number = [], None
    params = {} if after is None else {"after": after}
    with httpx.stream("GET", f"{address}/api/stream", params=params, headers=headers, timeout=20) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        for line in answer.iter_lines():
            if began and line.startswith("retry"):
                began.set()
            if line.startswith("id: "):
                number = int(line[4:])
            if line.startswith("data: "):
                found.append((number, json.loads(line[6:])))
                if len(found) == count:
                    break
    return found


def test_every_new_event_is_told_in_order(served):
    folder, address = served
    began, heard = threading.Event(), []
    listener = threading.Thread(target=lambda: heard.extend(listen(address, 3, began=began)))
    listener.start()
    assert began.wait(10)
    before = newest(folder)
    note(folder, "one", "two", "three")
    listener.join(20)

    assert [document["type"] for _, document in heard] == ["one", "two", "three"]
    assert [number for number, _ in heard] == [before + 1, before + 2, before + 3]
    assert all(number == document["number"] for number, document in heard)


def test_who_comes_back_is_told_what_it_missed(served):
    folder, address = served
    note(folder, "before")
    last = newest(folder)
    note(folder, "missed-1", "missed-2")

    heard = listen(address, 2, headers={"Last-Event-ID": str(last)})
    assert [document["type"] for _, document in heard] == ["missed-1", "missed-2"]


def test_the_id_wins_over_the_address_that_the_browser_began_with(served):
    folder, address = served
    note(folder, "old", "new")

    heard = listen(address, 1, after=0, headers={"Last-Event-ID": str(newest(folder) - 1)})
    assert heard[0][1]["type"] == "new"


def test_the_whole_story_can_be_heard(served):
    folder, address = served
    with contextlib.closing(Ledger(folder.ledger_file)) as ledger:
        events = [event.as_dict() for event in ledger.events()]

    assert [document for _, document in listen(address, len(events), after=0)] == events


@pytest.mark.parametrize("word", ["-1", "one", "1e3", "٣", "9" * 16])
def test_an_id_that_is_no_number_is_refused(served, word):
    answer = httpx.get(f"{served[1]}/api/stream", headers={"Last-Event-ID": word.encode()})

    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_server_ends_while_somebody_listens(small_run):
    with contextlib.ExitStack() as stack:
        address = stack.enter_context(running(small_run.folder))
        began, heard = threading.Event(), []
        listener = threading.Thread(target=lambda: heard.extend(listen(address, 1, began=began)))
        listener.start()
        assert began.wait(10)
        stack.close()
        listener.join(10)

        assert not listener.is_alive()
        assert not heard
