"""The SQLite file of a ledger: opened, checked, locked between threads, with errors of its own."""

import contextlib
import importlib.metadata
import json
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from social_jepa.storage.ledger_errors import (
    DamagedLedgerError,
    DuplicateMemberError,
    LedgerBusyError,
    LedgerError,
    LedgerFullError,
    LedgerUnavailableError,
    LedgerVersionError,
    MissingLedgerError,
    ReadOnlyLedgerError,
)
from social_jepa.storage.ledger_schema import SCHEMA_VERSION, TABLES

BUSY_SECONDS = 10.0  # how long a writer waits for another
QUICK_SECONDS = 0.5  # the same, where `quick` was asked for
CHECKED_BYTES = 32 << 20  # a larger file is not checked as a whole when it is opened: 200 MB take 2 s
DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
UNAVAILABLE = {
    sqlite3.SQLITE_BUSY: LedgerBusyError,
    sqlite3.SQLITE_FULL: LedgerFullError,
    sqlite3.SQLITE_READONLY: ReadOnlyLedgerError,
}  # by primary result code; LedgerUnavailableError for all others
NEEDS_ROLLBACK = {sqlite3.SQLITE_READONLY_ROLLBACK, sqlite3.SQLITE_READONLY_RECOVERY}


class LedgerFile:
    """One connection to the file, which any thread may use."""

    def __init__(
        self, path: Path, create: bool = False, read_only: bool = False, quick: bool = False,
        check: bool = True,
    ) -> None:  # fmt: skip
        """Open a ledger, or create one.

        Args:
            path: The file.
            create: Whether to create it where it does not exist.
            read_only: Whether to open it without writing anything, so that its folder may be read-only. One
                exception: what a killed writer left half done is rolled back.
            quick: Whether to skip the check of the whole file, and hardly to wait for a writer: for a list
                of many runs. Damage shows where it is read, as in a file of more than CHECKED_BYTES.
            check: Whether to check the whole file otherwise; not needed where that was done before.

        Raises:
            LedgerError: It is missing, damaged, or has another format.
        """
        if not create and not path.exists():
            raise MissingLedgerError(path)
        self.path = path
        self._quick, self._checks = quick, check and not quick
        self._lock = threading.RLock()
        with self._translated_errors():
            self._connection = self._connect(read_only)
            try:
                self._open(create, read_only)
            except BaseException:
                self._connection.close()
                raise

    def _open(self, create: bool, read_only: bool) -> None:
        try:
            self._check(create)
        except sqlite3.OperationalError as error:
            if not read_only or error.sqlite_errorcode not in NEEDS_ROLLBACK:
                raise
            self._connection.close()
            self._connection = self._connect(read_only=False)
            self._check(create)

    def _connect(self, read_only: bool) -> sqlite3.Connection:
        timeout = QUICK_SECONDS if self._quick else BUSY_SECONDS
        options: dict[str, Any] = {"timeout": timeout, "check_same_thread": False}
        if not read_only:
            return sqlite3.connect(self.path, **options)
        # immutable: a file system that is mounted read-only may have no locks, and nothing changes there
        immutable = os.statvfs(self.path).f_flag & os.ST_RDONLY
        mode = "mode=ro&immutable=1" if immutable else "mode=ro"
        return sqlite3.connect(f"{self.path.resolve().as_uri()}?{mode}", uri=True, **options)

    def _check(self, create: bool) -> None:
        if self._checks and self.path.stat().st_size <= CHECKED_BYTES:
            verdict = self._connection.execute("PRAGMA quick_check").fetchone()[0]
            if verdict != "ok":
                raise DamagedLedgerError(self.path, verdict)
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if create and version == 0:
            program = f"INSERT INTO program VALUES ('{_program_version()}');"
            script = f"BEGIN; {TABLES} {program} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
            self._connection.executescript(script)
        elif version == 0 and not self._tables():
            raise DamagedLedgerError(self.path, "it is empty")
        elif version != SCHEMA_VERSION:
            raise LedgerVersionError(self.path, version, SCHEMA_VERSION, self._written_by())

    def _tables(self) -> int:
        """Return the number of tables: without any it is the file of a writer that was killed, or was cut."""
        return int(self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])

    def _written_by(self) -> str:
        """Return the version of the program that made this ledger; an older one has it in versions.json."""
        with contextlib.suppress(sqlite3.Error):
            (version,) = self._connection.execute("SELECT version FROM program").fetchone() or ("",)
            return str(version)
        with contextlib.suppress(OSError, ValueError, AttributeError):
            recorded = json.loads((self.path.parent / "versions.json").read_text(encoding="utf-8"))
            return str(recorded.get("social-jepa", ""))
        return ""

    @contextlib.contextmanager
    def _translated_errors(self) -> Iterator[None]:
        """Raise errors of SQLite as ours; the connection stays open, so that a call can be repeated."""
        try:
            yield
        except sqlite3.ProgrammingError:
            raise  # a defect of the caller, not of the file
        except sqlite3.IntegrityError as error:
            raise DuplicateMemberError(self.path, str(error)) from error
        except sqlite3.DatabaseError as error:
            raise _translated(self.path, error) from error

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Keep other threads from this ledger, so that what is written follows from what was read."""
        with self._lock:
            yield

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Commit what is written, or none of it; of the threads of this process one at a time."""
        with self._lock, self._translated_errors(), self._connection as connection:
            yield connection

    def _rows(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        with self._lock, self._translated_errors():
            return self._connection.execute(sql, values).fetchall()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


def _translated(path: Path, error: sqlite3.DatabaseError) -> LedgerError:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    if code & 0xFF in DAMAGED:  # without what extends it
        return DamagedLedgerError(path, str(error))
    reason = f"{error}, {getattr(error, 'sqlite_errorname', 'SQLITE_ERROR')}"
    return UNAVAILABLE.get(code & 0xFF, LedgerUnavailableError)(path, reason)


def _program_version() -> str:
    try:
        return importlib.metadata.version("social-jepa")
    except importlib.metadata.PackageNotFoundError:
        return ""
