import os
import signal
import sqlite3
import subprocess
import sys

import pytest

from agents.transport import Posted
from social_jepa.ledger import Ledger, LedgerError

EDGE = {
    "source": "a", "target": "b", "round": 0, "status": "accepted", "reason": "", "r2": 0.5, "r2_core": 0.9,
    "null_r2": None, "bytes": 30,
}  # fmt: skip
MESSAGES = [Posted("a", "b", "a", "b", "Offer", 10), Posted("b", "a", "a", "b", "Call", 20)]

# Writes one edge and half of another, says so, and waits to be killed.
WRITER = """
import sys, time
from pathlib import Path
from social_jepa.ledger import Ledger
ledger = Ledger(Path(sys.argv[1]), create=True)
ledger.event("started", number=1)
ledger._connection.execute("PRAGMA cache_size = 5")  # so that half of it reaches the file
ledger._connection.execute("BEGIN IMMEDIATE")
for _ in range(20000):
    ledger._connection.execute("INSERT INTO events VALUES (0, 'half', '{}')")
print("half", flush=True)
time.sleep(60)
"""


@pytest.fixture
def path(tmp_path):
    ledger = Ledger(tmp_path / "ledger.sqlite", create=True)
    ledger.event("started", config="c")
    ledger.settle([{"name": "a"}, {"name": "b"}], [EDGE], MESSAGES)
    ledger.close()
    return ledger.path


def ask(path, sql):
    with sqlite3.connect(path) as connection:
        return connection.execute(sql).fetchall()


def test_what_was_written_is_read_back_in_order(path):
    ledger = Ledger(path)
    ledger.event("finished")

    assert [(event["what"], event.get("config")) for event in ledger.events()] == [
        ("started", "c"),
        ("finished", None),
    ]
    assert [(row["sender"], row["type"], row["bytes"]) for row in ledger.messages()] == [
        ("a", "Offer", 10),
        ("b", "Call", 20),
    ]
    assert ask(path, "SELECT name FROM agents") == [("a",), ("b",)]


def test_another_program_reads_while_one_writes(path):
    ledger = Ledger(path)
    ledger.event("resumed")

    assert ask(path, "SELECT count(*) FROM events") == [(2,)]


def test_a_renegotiated_edge_takes_the_place_of_the_old_one_with_its_messages(path):
    other = Posted("c", "a", "c", "a", "Offer", 7)
    ledger = Ledger(path)
    ledger.settle([], [EDGE | {"source": "c", "target": "a", "bytes": 7}], [other])
    ledger.settle([{"name": "a"}], [EDGE | {"r2": 0.7}], MESSAGES)

    assert ask(path, "SELECT source, r2, bytes FROM edges ORDER BY source") == [("a", 0.7, 30), ("c", 0.5, 7)]
    assert ask(path, "SELECT sum(bytes) FROM messages") == ask(path, "SELECT sum(bytes) FROM edges")


def test_a_settlement_is_written_whole_or_not_at_all(path):
    ledger = Ledger(path)
    before = ask(path, "SELECT * FROM edges, agents, messages")

    with pytest.raises(sqlite3.ProgrammingError):
        ledger.settle([{"name": "z"}], [EDGE | {"r2": 0.1}], [("too", "short")])

    assert ask(path, "SELECT * FROM edges, agents, messages") == before


def test_a_kill_inside_a_transaction_loses_nothing_that_was_written_before(tmp_path):
    path = tmp_path / "ledger.sqlite"
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout.readline() == "half\n"
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    writer.stdout.close()

    ledger = Ledger(path, create=True)
    ledger.event("resumed")
    assert [(event["what"]) for event in ledger.events()] == ["started", "resumed"]


def test_a_ledger_in_use_is_not_called_damaged(path):
    ledger, other = Ledger(path), sqlite3.connect(path)
    other.execute("BEGIN IMMEDIATE")
    ledger._connection.execute("PRAGMA busy_timeout = 10")

    with pytest.raises(LedgerError, match="another program writes"):
        ledger.event("resumed")

    other.close()


DAMAGE = {
    "truncated": lambda data: data[: len(data) // 2],
    "overwritten": lambda data: data[:100] + b"\xaa" * (len(data) - 100),
    "a header of something else": lambda data: b"PNG" + data[3:],
    "text": lambda data: b"no database at all, but long enough to be looked at" * 20,
}


@pytest.mark.parametrize("create", [False, True], ids=["read", "resume"])
@pytest.mark.parametrize("harm", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_ledger_is_refused_and_left_as_it_is(path, harm, create):
    damaged = harm(path.read_bytes())
    path.write_bytes(damaged)

    with pytest.raises(LedgerError, match=r"is damaged .*: restore it from a copy, or run again"):
        Ledger(path, create=create)

    assert path.read_bytes() == damaged


@pytest.mark.parametrize("create", [False, True], ids=["read", "resume"])
def test_a_ledger_of_a_newer_version_is_left_as_it_is(path, create):
    ask(path, "PRAGMA user_version = 99")
    newer = path.read_bytes()

    with pytest.raises(LedgerError, match="has version 99, this program reads 1"):
        Ledger(path, create=create)

    assert path.read_bytes() == newer


def test_a_ledger_that_is_not_there_is_not_made_by_looking(tmp_path):
    with pytest.raises(LedgerError, match="there is no ledger"):
        Ledger(tmp_path / "ledger.sqlite")

    assert not list(tmp_path.iterdir())
