"""Reports that wait together are recorded in one transaction, and the ledger is that of one by one."""

import asyncio
import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from agents.protocol.channel import SentMessage
from agents.protocol.edge import EdgeResult
from agents.protocol.events import AgentEvents
from agents.report import AgentReport
from alignment.status import Status
from social_jepa.config.run_config import load_config
from social_jepa.runtime.ledger_writer import LedgerWriter
from social_jepa.runtime.membership import Membership
from social_jepa.runtime.report_recorder import BATCH, ReportRecorder
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.ledger_errors import LedgerFullError
from social_jepa.storage.run_folder import create
from tests.support.command import TINY

COUNT = 2 * BATCH + 3
CONFIG = load_config(overrides=[*TINY, f"agents.count={COUNT}", "negotiation.topology=ring"])
REPORT = AgentReport(
    events=AgentEvents(1, 0), progress=None, snapshot=None, checkpoint="c" * 16, settled=True, failure=None,
    note="", node="n", host="h", device="cpu", pid=7, activity=None, unanswered={},
)  # fmt: skip


def run(coroutine):
    """Run a coroutine on a thread: the browser of other tests keeps an event loop running in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()


def edge(source, target, checkpoint="c" * 16):
    return EdgeResult(source, target, 0, Status.REFUSED, "they share nothing", checkpoint, "d" * 16)


def report_of(name, source, **changes):
    events = AgentEvents(1, 2, (edge(source, name),), (SentMessage(name, source, source, name, "Offer", 9),))
    return replace(REPORT, events=events, **changes)


@contextlib.contextmanager
def opened(path):
    """The membership, the recorder, its writer and the ledger of a new run; counts transactions."""
    folder = create(CONFIG, path)
    with contextlib.closing(Ledger(folder.ledger_file, create=True)) as ledger:
        membership = Membership(CONFIG, folder, ledger, online=True)
        writer = LedgerWriter(CONFIG, folder, ledger)
        yield membership, ReportRecorder(writer, lambda: membership.members), writer, ledger


def reports_of(names):
    return {name: report_of(name, names[number - 1]) for number, name in enumerate(names)}


def rows(ledger):
    edges = sorted((each.source, each.target, each.status, each.reason) for each, _ in ledger.edges())
    return edges, sorted((each.sender, each.receiver, each.bytes) for each in ledger.messages())


async def record_all(recorder, reports):
    calls = [recorder.record(name, report) for name, report in reports.items()]
    return await asyncio.gather(*calls, return_exceptions=True)


def test_reports_are_recorded_in_few_transactions_and_give_the_ledger_of_one_by_one(tmp_path, monkeypatch):
    with opened(tmp_path / "one") as (membership, _, writer, ledger):
        reports = reports_of(list(membership.members))
        for name, report in reports.items():
            writer.write(name, membership.members, report)
        expected = rows(ledger)
    with opened(tmp_path / "many") as (_, recorder, _, ledger):
        written, record = [], ledger.record
        monkeypatch.setattr(ledger, "record", lambda *args: written.append(1) or record(*args))
        assert run(record_all(recorder, reports)) == [None] * COUNT
        assert rows(ledger) == expected
        assert len(expected[0]) == len(expected[1]) == COUNT
        assert len(written) <= 1 + COUNT / BATCH + 1


def test_a_report_that_cannot_be_recorded_harms_no_other(tmp_path):
    with opened(tmp_path / "run") as (membership, recorder, _, ledger):
        names = list(membership.members)
        reports = reports_of(names)
        broken = edge(names[0], names[1])
        reports[names[1]] = replace(REPORT, events=AgentEvents(1, 1, (replace(broken, bytes=-1),)))
        found = dict(zip(reports, run(record_all(recorder, reports)), strict=True))

        assert {name for name, error in found.items() if error is not None} == {names[1]}
        assert isinstance(found[names[1]], ValueError)
        assert {each.target for each, _ in ledger.edges()} == set(names) - {names[1]}


def test_while_the_disk_is_full_every_agent_is_told_and_each_report_is_recorded_once_later(tmp_path):
    with opened(tmp_path / "run") as (membership, recorder, _, ledger):
        reports = {
            name: replace(each, events=replace(each.events, sent=each.events.sent * 400))
            for name, each in reports_of(list(membership.members)).items()
        }
        ledger._connection.execute("PRAGMA max_page_count = 1")
        assert {type(error) for error in run(record_all(recorder, reports))} == {LedgerFullError}
        assert rows(ledger) == ([], [])
        ledger._connection.execute("PRAGMA max_page_count = 1000000")
        assert run(record_all(recorder, reports)) == [None] * COUNT
        assert [len(found) for found in rows(ledger)] == [COUNT, 400 * COUNT]


def test_the_event_loop_goes_on_and_an_agent_that_left_meanwhile_keeps_its_tombstones(tmp_path, monkeypatch):
    with opened(tmp_path / "run") as (membership, recorder, writer, ledger):
        names = list(membership.members)
        reports, held, go_on = reports_of(names), threading.Event(), threading.Event()
        write_all = writer.write_all

        def wait_and_write(*args):
            held.set()
            assert go_on.wait(60)
            return write_all(*args)

        monkeypatch.setattr(writer, "write_all", wait_and_write)

        async def remove_meanwhile():
            recording = asyncio.ensure_future(record_all(recorder, reports))
            while not held.is_set():
                await asyncio.sleep(0)
            membership.remove(names[1], 0)
            go_on.set()
            return await recording

        assert run(remove_meanwhile()) == [None] * COUNT
        assert not any(names[1] in (each.source, each.target) for each, _ in ledger.edges())
        assert len(ledger.edges()) == COUNT - 2


def test_a_report_without_news_is_not_written(tmp_path, monkeypatch):
    with opened(tmp_path / "run") as (_, recorder, writer, _):
        monkeypatch.setattr(writer, "write_all", None)
        assert run(record_all(recorder, {"agent-0": REPORT})) == [None]


def test_two_threads_that_write_leave_what_each_has_written(tmp_path):
    with opened(tmp_path / "run") as (_, _, _, ledger):

        def write(number):
            for _ in range(20):
                ledger.record(events=[("first", {"by": number}), ("second", {"by": number})])
            return number

        with ThreadPoolExecutor(4) as pool:
            assert sorted(pool.map(write, range(4))) == [0, 1, 2, 3]
        found = [(event.type, event.details["by"]) for event in ledger.events_of("first", "second")]
        assert all(
            (one[0], other[0]) == ("first", "second") and one[1] == other[1]
            for one, other in zip(found[::2], found[1::2], strict=True)
        )
        assert len(found) == 160
