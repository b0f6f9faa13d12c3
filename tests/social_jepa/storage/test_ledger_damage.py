import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from social_jepa.storage.ledger import Ledger, LedgerError
from tests.support.ledger_rows import MESSAGES, ask, first_ledger

# Writes edge after edge, with its messages, and says when a tenth is written.
WRITER = """
import sys
from pathlib import Path
from social_jepa.storage.ledger import Ledger
from tests.support.ledger_rows import EDGE, MESSAGES
ledger = Ledger(Path(sys.argv[1]))
for number in range(10**6):
    ledger.record(edges=[EDGE | {"round": number}], messages=MESSAGES, maps={("a", "b"): bytes(20000)},
                  events=[("edge", {"number": number})])
    if number == 10:
        print("on the way", flush=True)
"""


# Writes one edge and half of another, says so, and waits to be killed.
HALF = """
import sys, time
from pathlib import Path
from social_jepa.storage.ledger import Ledger
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
    with first_ledger(tmp_path) as ledger:
        return ledger.path


def start(script, path):
    here = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])}
    return subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True, env=here
    )


def kill(process):
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()


def test_a_kill_in_the_middle_of_writing_leaves_every_edge_whole_and_loses_none_that_was_said(path):
    writer = start(WRITER, path)
    assert writer.stdout.readline() == "on the way\n"
    with contextlib.closing(Ledger(path)) as first, contextlib.closing(Ledger(path)) as second:
        for reader in (first, second):  # while it writes
            ((edge, maps),) = reader.edges()
            assert edge["round"] >= 10
            assert len(maps) == 20000
    kill(writer)

    with contextlib.closing(Ledger(path, create=True)) as ledger:
        rounds = [edge["round"] for edge in ledger.history("a", "b")]
        numbers = [event["number"] for event in ledger.events() if event["what"] == "edge"]
        assert rounds == list(range(len(rounds)))
        assert len(ledger.messages()) == 2 * len(rounds) + len(MESSAGES)
        assert len(numbers) == len(rounds)
        ledger.event("resumed")


def test_a_kill_inside_a_transaction_loses_nothing_that_was_written_before(tmp_path):
    path = tmp_path / "ledger.sqlite"
    writer = start(HALF, path)
    assert writer.stdout.readline() == "half\n"
    kill(writer)

    with contextlib.closing(Ledger(path, create=True)) as ledger:
        ledger.event("resumed")
        assert [event["what"] for event in ledger.events()] == ["started", "resumed"]


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
@pytest.mark.parametrize(
    ("version", "remedy"),
    [(99, r"written by a newer version .*format 99, this one reads 2.*: update the program"),
     (1, r"has version 1, this program reads 2: start a new run")],
)  # fmt: skip
def test_a_ledger_of_another_version_is_left_as_it_is(path, version, remedy, create):
    ask(path, f"PRAGMA user_version = {version}")
    other = path.read_bytes()

    with pytest.raises(LedgerError, match=remedy):
        Ledger(path, create=create)

    assert path.read_bytes() == other


def test_a_ledger_that_is_not_there_is_not_made_by_looking(tmp_path):
    with pytest.raises(LedgerError, match="there is no ledger"):
        Ledger(tmp_path / "ledger.sqlite")

    assert not list(tmp_path.iterdir())
