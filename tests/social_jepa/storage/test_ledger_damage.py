import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from social_jepa.graph.judged_edges import EdgeReader, flag_reasons
from social_jepa.graph.results import ResultsReader
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.ledger_errors import (
    DamagedLedgerError,
    LedgerBusyError,
    LedgerFullError,
    LedgerUnavailableError,
    LedgerVersionError,
    MissingLedgerError,
    ReadOnlyLedgerError,
)
from social_jepa.storage.ledger_schema import SCHEMA_VERSION
from social_jepa.storage.run_folder import RunFolder
from tests.support.ledger_rows import MESSAGES, ask, first_ledger

# Writes edge after edge, with its messages, and prints a line after the tenth. Without a pause between two of
# them it holds the lock nearly all the time, and on a busy machine a reader may meet no gap for 10 seconds.
WRITER = """
import sys, time
from pathlib import Path
from social_jepa.storage.ledger import Ledger
from tests.support.ledger_rows import MESSAGES, edge
ledger = Ledger(Path(sys.argv[1]))
for number in range(10**6):
    ledger.record(edges=[edge(round=number)], messages=MESSAGES, maps={("a", "b"): bytes(20000)},
                  events=[("edge", {"number": number})])
    if number == 10:
        print("writing", flush=True)
    time.sleep(0.002)
"""


# Writes half of a transaction, prints a line, and waits to be killed.
HALF = """
import sys, time
from pathlib import Path
from social_jepa.storage.ledger import Ledger
ledger = Ledger(Path(sys.argv[1]), create=True)
ledger.event("started", number=1)
ledger._connection.execute("PRAGMA cache_size = 5")  # so that half of the transaction reaches the file
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


@contextlib.contextmanager
def running(script, path):
    """Run a script on a ledger until the end of the block, and kill it there."""
    here = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])}
    command = [sys.executable, "-c", script, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=here) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_kill_while_writing_leaves_every_edge_whole_and_loses_none_that_was_recorded(path):
    with running(WRITER, path) as writer:
        assert writer.stdout.readline() == "writing\n"
        for options in ({}, {"read_only": True}):  # while it writes
            with contextlib.closing(Ledger(path, **options)) as reader:
                ((edge, maps),) = reader.edges()
            assert edge.round >= 10
            assert len(maps) == 20000

    with contextlib.closing(Ledger(path, create=True)) as ledger:
        rounds = [edge.round for edge in ledger.history("a", "b")]
        numbers = [event.number for event in ledger.events() if event.type == "edge"]
        assert rounds == list(range(len(rounds)))
        assert len(ledger.messages()) == 2 * len(rounds) + len(MESSAGES)
        assert len(numbers) == len(rounds)
        ledger.event("resumed")


@pytest.mark.parametrize("options", [{"create": True}, {"read_only": True}], ids=["write", "read"])
def test_a_kill_inside_a_transaction_loses_nothing_that_was_recorded_before(tmp_path, options):
    path = tmp_path / "ledger.sqlite"
    with running(HALF, path) as writer:
        assert writer.stdout.readline() == "half\n"

    with contextlib.closing(Ledger(path, **options)) as ledger:
        assert [event.type for event in ledger.events()] == ["started"]
        ledger.event("resumed")
        assert [event.type for event in ledger.events()] == ["started", "resumed"]


def test_a_ledger_in_use_is_not_reported_as_damaged(path):
    ledger, other = Ledger(path), sqlite3.connect(path)
    other.execute("BEGIN IMMEDIATE")
    ledger._connection.execute("PRAGMA busy_timeout = 10")

    with pytest.raises(LedgerBusyError, match="another program writes"):
        ledger.event("resumed")

    other.close()


def test_a_graph_whose_ledger_is_in_use_is_not_reported_as_damaged(small_run, tmp_path):
    folder = RunFolder.at(shutil.copytree(small_run.folder.path, tmp_path / "run"))
    ledger, other = Ledger(folder.ledger_file, read_only=True), sqlite3.connect(folder.ledger_file)
    ledger._connection.execute("PRAGMA busy_timeout = 10")
    other.execute("BEGIN EXCLUSIVE")

    with contextlib.closing(ledger), contextlib.closing(other):
        with pytest.raises(LedgerBusyError, match="another program writes"):
            ResultsReader(folder, small_run.config, ledger).read()
        with pytest.raises(LedgerBusyError, match="another program writes"):
            flag_reasons(EdgeReader(ledger))


DAMAGE = {
    "truncated": lambda data: data[: len(data) // 2],
    "overwritten": lambda data: data[:100] + b"\xaa" * (len(data) - 100),
    "another header": lambda data: b"PNG" + data[3:],
    "text": lambda data: b"no database at all, but long enough to be looked at" * 20,
}


@pytest.mark.parametrize("create", [False, True], ids=["read", "resume"])
@pytest.mark.parametrize("harm", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_ledger_is_refused_and_left_as_it_is(path, harm, create):
    damaged = harm(path.read_bytes())
    path.write_bytes(damaged)

    with pytest.raises(DamagedLedgerError, match=r"is damaged .*: restore it from a copy, or run again"):
        Ledger(path, create=create)

    assert path.read_bytes() == damaged


def test_a_ledger_of_no_bytes_is_damaged_to_a_reader_and_new_to_a_writer(tmp_path):
    empty = tmp_path / "ledger.sqlite"
    empty.touch()

    with pytest.raises(
        DamagedLedgerError, match=r"is damaged \(it is empty\): restore it from a copy, or run"
    ):
        Ledger(empty, read_only=True)
    with contextlib.closing(Ledger(empty, create=True)) as ledger:
        assert ledger.events() == []


@pytest.mark.parametrize("create", [False, True], ids=["read", "resume"])
@pytest.mark.parametrize(
    ("version", "remedy"),
    [(99, r"format 99, written by social-jepa [\d.]+; this program reads format 4: install social-jepa"),
     (1, r"format 1, written by social-jepa [\d.]+; this program reads format 4: start a new run, or read")],
)  # fmt: skip
def test_a_ledger_of_another_format_is_left_as_it_is(path, version, remedy, create):
    ask(path, f"PRAGMA user_version = {version}")
    other = path.read_bytes()

    with pytest.raises(LedgerVersionError, match=remedy) as refusal:
        Ledger(path, create=create)

    assert path.read_bytes() == other
    assert (refusal.value.found, refusal.value.expected) == (version, SCHEMA_VERSION)


@pytest.mark.parametrize(
    ("versions", "program"),
    [('{"social-jepa": "0.0.9"}', "0.0.9"), (None, "of an unknown version"), ("{", "of an unknown version")],
)
def test_an_older_ledger_is_named_by_the_program_in_versions_json(path, versions, program):
    ask(path, "DROP TABLE program")
    ask(path, "PRAGMA user_version = 2")
    if versions is not None:
        (path.parent / "versions.json").write_text(versions)

    with pytest.raises(LedgerVersionError, match=f"format 2, written by social-jepa {program};"):
        Ledger(path)


def test_reading_a_missing_ledger_does_not_create_it(tmp_path):
    with pytest.raises(MissingLedgerError, match="there is no ledger"):
        Ledger(tmp_path / "ledger.sqlite")

    assert not list(tmp_path.iterdir())


def snapshot(folder):
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*")}


def test_reading_writes_nothing(path, monkeypatch):
    opened = []
    connect = sqlite3.connect
    monkeypatch.setattr(
        sqlite3, "connect", lambda *name, **options: opened.append(name) or connect(*name, **options)
    )
    before = snapshot(path.parent)

    with contextlib.closing(Ledger(path, read_only=True)) as ledger:
        assert len(ledger.edges()) == 1
        with pytest.raises(ReadOnlyLedgerError, match="cannot be written"):
            ledger.event("resumed")

    assert [name for (name,) in opened] == [f"{path.as_uri()}?mode=ro"]
    assert snapshot(path.parent) == before


def test_a_ledger_on_a_read_only_file_system_is_read_without_locks(path, monkeypatch):
    opened = []
    connect = sqlite3.connect
    monkeypatch.setattr(
        sqlite3, "connect", lambda *name, **options: opened.append(name) or connect(*name, **options)
    )
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_flag=os.ST_RDONLY))
    other = connect(path)
    other.execute("BEGIN EXCLUSIVE")  # a lock that reading would wait for

    with contextlib.closing(Ledger(path, read_only=True)) as ledger:
        assert len(ledger.edges()) == 1

    other.close()
    assert [name for (name,) in opened] == [f"{path.as_uri()}?mode=ro&immutable=1"]


# Writes events until the file may not grow any more, prints what is said, and goes on when it may again.
LIMITED = """
import resource, sys
from pathlib import Path
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.ledger_errors import LedgerUnavailableError
path = Path(sys.argv[1])
ledger, written = Ledger(path), 0
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 40000, hard))
try:
    while True:
        ledger.event("edge", text="x" * 10000)
        written += 1
except LedgerUnavailableError as error:
    print(type(error).__name__, error.path, error.reason)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
ledger.event("edge", text="x" * 10000)
print(written + 1, len(ledger.events_of("edge")))
"""


def test_a_ledger_that_may_not_grow_is_not_damaged_and_is_written_again_once_it_may(path):
    with running(LIMITED, path) as program:
        said, _ = program.communicate(timeout=60)

    assert said == f"LedgerUnavailableError {path} disk I/O error, SQLITE_IOERR_WRITE\n4 4\n"


def test_a_full_disk_is_named_and_writing_goes_on_when_there_is_room(path):
    with contextlib.closing(Ledger(path)) as ledger:
        pages = ledger._connection.execute("PRAGMA page_count").fetchone()[0]
        ledger._connection.execute(f"PRAGMA max_page_count = {pages}")  # as on a full disk: SQLITE_FULL
        with pytest.raises(LedgerFullError, match=r"disk of the ledger .* is full .*: free some space"):
            ledger.event("edge", text="x" * 10000)
        ledger._connection.execute("PRAGMA max_page_count = 100000")
        ledger.event("edge", text="x" * 10000)

        assert len(ledger.events_of("edge")) == 1


@pytest.mark.parametrize(
    ("name", "kind", "sentence"),
    [
        ("SQLITE_CORRUPT", DamagedLedgerError, "is damaged"),
        ("SQLITE_CORRUPT_INDEX", DamagedLedgerError, "is damaged"),
        ("SQLITE_NOTADB", DamagedLedgerError, "is damaged"),
        ("SQLITE_FULL", LedgerFullError, "is full"),
        ("SQLITE_READONLY_DBMOVED", ReadOnlyLedgerError, "cannot be written"),
        ("SQLITE_BUSY_SNAPSHOT", LedgerBusyError, "another program writes"),
        ("SQLITE_IOERR_FSYNC", LedgerUnavailableError, "check its disk"),
        ("SQLITE_CANTOPEN", LedgerUnavailableError, "the permissions of the file and its folder"),
        ("SQLITE_PERM", LedgerUnavailableError, "cannot be read or written"),
        ("SQLITE_NOMEM", LedgerUnavailableError, "cannot be read or written"),
    ],
)
def test_only_a_corrupt_file_is_reported_as_damaged(path, name, kind, sentence):
    error = sqlite3.OperationalError("said by SQLite")
    error.sqlite_errorcode, error.sqlite_errorname = getattr(sqlite3, name), name

    with (
        contextlib.closing(Ledger(path)) as ledger,
        pytest.raises(kind, match=sentence) as refusal,
        ledger._translated_errors(),
    ):
        raise error

    assert type(refusal.value) is kind
    assert "said by SQLite" in refusal.value.reason


def test_a_folder_in_the_place_of_the_ledger_is_not_a_damaged_ledger(tmp_path):
    (tmp_path / "ledger.sqlite").mkdir()

    with pytest.raises(LedgerUnavailableError, match=r"unable to open database file, SQLITE_CANTOPEN"):
        Ledger(tmp_path / "ledger.sqlite", create=True)
