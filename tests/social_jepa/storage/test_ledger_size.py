"""A ledger that grows: reading its newest state costs the same however many versions there were before."""

import contextlib
import shutil

import pytest

from alignment.status import Status
from social_jepa.storage import ledger_file as ledger_module
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.ledger_errors import DamagedLedgerError
from tests.support.ledger_rows import MESSAGES, agent, edge, first_ledger, member

PAIRS = [(source, target) for source in "abcd" for target in "abcd" if source != target]
INSTRUCTIONS = 10  # of SQLite between two counts


def filled(path, versions):
    """A ledger of four agents in which each pair has had so many versions of its edge."""
    ledger = Ledger(path / f"{versions}.sqlite", create=True)
    ledger.event("started", config="c")
    ledger.join([member(name, index) for index, name in enumerate("abcd")], [])
    ledger.record([agent(name, "01"[name == "b"]) for name in "abcd"])
    edges = [edge(source=ends[0], target=ends[1], round=each) for each in range(versions) for ends in PAIRS]
    ledger.record(edges=edges, messages=MESSAGES * versions, events=[("edge", {})] * len(edges))
    return ledger


def cost(ledger, read):
    """Return what a read returns, and how many instructions SQLite took for it."""
    steps = []
    ledger._connection.set_progress_handler(lambda: steps.append(1), INSTRUCTIONS)
    try:
        return read(ledger), INSTRUCTIONS * len(steps)
    finally:
        ledger._connection.set_progress_handler(None, 0)


READS = {
    "newest edges": lambda ledger: [(each.source, each.target) for each, _ in ledger.edges()],
    "scores": lambda ledger: sorted(ledger.edge_scores()),
    "start": lambda ledger: [event.type for event in ledger.events_of("started")],
    "members": lambda ledger: ledger.members(),
    "version": lambda ledger: len(ledger.version()),
    "missing": lambda ledger: ledger.missing_edges("ab", "all"),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_a_hundred_times_the_versions_are_read_at_the_same_cost(tmp_path, read):
    with (
        contextlib.closing(filled(tmp_path, 3)) as small,
        contextlib.closing(filled(tmp_path, 300)) as large,
    ):
        (expected, few), (found, many) = cost(small, read), cost(large, read)

    assert found == expected
    assert many <= 1.5 * few + 100


def test_the_score_of_an_edge_is_stale_where_an_end_has_published_another_model(tmp_path):
    with first_ledger(tmp_path) as ledger:
        ledger.record([agent("a", "0"), agent("b", "1")])
        assert [*ledger.edge_scores().values()] == [(Status.ACCEPTED, 0.9)]
        ledger.record([agent("b", "2")])
        assert [*ledger.edge_scores().values()] == [(Status.STALE, 0.9)]
        ledger.record([agent("b", "1")])
        assert [*ledger.edge_scores().values()] == [(Status.ACCEPTED, 0.9)]
        ledger.change(member("a", 0, "there", pose_version=1), "moved", [])
        assert [*ledger.edge_scores().values()] == [(Status.STALE, 0.9)]


def test_a_large_file_is_not_checked_as_a_whole_and_damage_shows_where_it_is_read(tmp_path, monkeypatch):
    filled(tmp_path, 300).close()
    path, damaged = tmp_path / "300.sqlite", tmp_path / "damaged.sqlite"
    shutil.copy(path, damaged)
    data = bytearray(path.read_bytes())
    data[len(data) // 8 :] = b"\xaa" * (len(data) - len(data) // 8)
    damaged.write_bytes(data)
    with pytest.raises(DamagedLedgerError):
        Ledger(damaged, read_only=True)

    monkeypatch.setattr(ledger_module, "CHECKED_BYTES", len(data) - 1)
    with contextlib.closing(Ledger(damaged, read_only=True)) as ledger, pytest.raises(DamagedLedgerError):
        ledger.edges()
