"""The event stream at a real port: every event once and in order."""

import contextlib
import itertools
import json
import re
import threading

import httpx2 as httpx
import pytest

from social_jepa.server.snapshots import SnapshotCache
from social_jepa.server.sse import EventBroadcaster
from social_jepa.storage.ledger import Ledger
from tests.support.servers import add_event, copy_run, running


@pytest.fixture(scope="module")
def served(small_run, tmp_path_factory):
    folder = copy_run(small_run.folder, tmp_path_factory.mktemp("stream"))
    with running(folder) as address:
        yield folder, address


def add_events(folder, *types):
    for event_type in types:
        add_event(folder, event_type)


def newest(folder):
    with contextlib.closing(Ledger(folder.ledger_file)) as ledger:
        return ledger.version()[2]


def listen(address, count, after=None, headers=None, started=None):
    """Return (id, document) of the next events; set `started` once the stream is open."""
    found, number = [], None
    params = {} if after is None else {"after": after}
    with httpx.stream("GET", f"{address}/api/stream", params=params, headers=headers, timeout=20) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        for line in response.iter_lines():
            if started and line.startswith("retry"):
                started.set()
            if line.startswith("id: "):
                run, _, number = line[4:].partition("-")
                number = int(number)
                assert re.fullmatch("[0-9a-f]{12}", run)
            if line.startswith("data: "):
                found.append((number, json.loads(line[6:])))
                if len(found) == count:
                    break
    return found


def test_every_new_event_is_sent_in_order(served):
    folder, address = served
    started, received = threading.Event(), []
    listener = threading.Thread(target=lambda: received.extend(listen(address, 3, started=started)))
    listener.start()
    assert started.wait(10)
    before = newest(folder)
    add_events(folder, "one", "two", "three")
    listener.join(20)

    assert [document["type"] for _, document in received] == ["one", "two", "three"]
    assert [number for number, _ in received] == [before + 1, before + 2, before + 3]
    assert all(number == document["number"] for number, document in received)


def test_a_client_that_reconnects_receives_the_events_that_it_missed(served):
    folder, address = served
    add_events(folder, "before")
    last = newest(folder)
    add_events(folder, "missed-1", "missed-2")

    received = listen(address, 2, headers={"Last-Event-ID": str(last)})
    assert [document["type"] for _, document in received] == ["missed-1", "missed-2"]


def raw_lines(address, count, **headers):
    """Return the first lines of a stream that are not comments."""
    with httpx.stream("GET", f"{address}/api/stream", headers=headers, timeout=20) as response:
        lines = (line for line in response.iter_lines() if line and not line.startswith((":", "retry")))
        return list(itertools.islice(lines, count))


@pytest.mark.parametrize("event_id", ["0123456789ab-1", "999999999"], ids=["another run", "the future"])
def test_a_client_of_another_run_is_told_and_continues_with_the_events_that_follow_now(served, event_id):
    folder, address = served
    run, number = SnapshotCache(folder).run_id, newest(folder)

    lines = raw_lines(address, 3, **{"Last-Event-ID": event_id})
    assert sorted(lines) == sorted(
        ["event: reset", f"id: {run}-{number}", f'data: {{"run":"{run}","number":{number}}}']
    )


def test_a_client_continues_after_a_server_restarts_on_the_same_run(small_run, tmp_path):
    folder = copy_run(small_run.folder, tmp_path)
    with running(folder) as address:
        (line,) = raw_lines(address, 1, **{"Last-Event-ID": str(newest(folder) - 1)})
    add_events(folder, "meanwhile")

    with running(folder) as address:
        received = listen(address, 1, headers={"Last-Event-ID": line.removeprefix("id: ")})
    assert received[0][1]["type"] == "meanwhile"


def test_last_event_id_takes_precedence_over_after(served):
    folder, address = served
    add_events(folder, "old", "new")

    received = listen(address, 1, after=0, headers={"Last-Event-ID": str(newest(folder) - 1)})
    assert received[0][1]["type"] == "new"


def test_all_events_can_be_received(served):
    folder, address = served
    with contextlib.closing(Ledger(folder.ledger_file)) as ledger:
        events = [event.as_dict() for event in ledger.events()]

    assert [document for _, document in listen(address, len(events), after=0)] == events


@pytest.mark.parametrize(
    "event_id", ["-1", "one", "1e3", "٣", "9" * 16, "0123456789AB-1", "ab-1", "0123456789ab-"]
)
def test_a_last_event_id_that_is_none_is_refused(served, event_id):
    response = httpx.get(f"{served[1]}/api/stream", headers={"Last-Event-ID": event_id.encode()})

    assert response.status_code == 400
    assert response.headers["content-type"] == "application/problem+json"


def test_a_server_ends_while_a_client_listens(small_run):
    with contextlib.ExitStack() as stack:
        address = stack.enter_context(running(small_run.folder))
        started, received = threading.Event(), []
        listener = threading.Thread(target=lambda: received.extend(listen(address, 1, started=started)))
        listener.start()
        assert started.wait(10)
        stack.close()
        listener.join(10)

        assert not listener.is_alive()
        assert not received


def test_one_read_of_the_ledger_serves_all_listeners(small_run, tmp_path, monkeypatch):
    folder, reads = copy_run(small_run.folder, tmp_path), []
    read = EventBroadcaster._read
    monkeypatch.setattr(EventBroadcaster, "_read", lambda *args: reads.append(1) or read(*args))
    with running(folder) as address:
        started = [threading.Event() for _ in range(4)]
        received = [[] for _ in started]
        listeners = [
            threading.Thread(target=lambda r=r, s=s: r.extend(listen(address, 2, started=s)))
            for r, s in zip(received, started, strict=True)
        ]
        for listener, event in zip(listeners, started, strict=True):
            listener.start()
            assert event.wait(10)
        with contextlib.closing(Ledger(folder.ledger_file)) as ledger:
            ledger.record(events=[("one", {}), ("two", {})])
        for listener in listeners:
            listener.join(20)

    assert [[document["type"] for _, document in found] for found in received] == [["one", "two"]] * 4
    assert len(reads) == 1
