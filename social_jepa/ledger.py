"""The ledger of a run: edges, messages and events in SQLite, so that a kill loses nothing and SQL can ask."""

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from agents.transport import Posted

SCHEMA_VERSION = 1
_TABLES = """
CREATE TABLE IF NOT EXISTS events (time REAL NOT NULL, what TEXT NOT NULL, details TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS agents (name TEXT PRIMARY KEY, details TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS edges (
    source TEXT NOT NULL, target TEXT NOT NULL, round INTEGER NOT NULL, time REAL NOT NULL,
    status TEXT NOT NULL, reason TEXT NOT NULL, r2 REAL, r2_core REAL, null_r2 REAL,
    bytes INTEGER NOT NULL, details TEXT NOT NULL, PRIMARY KEY (source, target, round)
);
CREATE TABLE IF NOT EXISTS messages (
    sender TEXT NOT NULL, receiver TEXT NOT NULL, edge_source TEXT NOT NULL, edge_target TEXT NOT NULL,
    type TEXT NOT NULL, bytes INTEGER NOT NULL
);
"""


class LedgerError(ValueError):
    """A ledger that cannot be used; the text says why and what to do."""


class Ledger:
    """One run's ledger. Every write is one transaction: a reader never sees half an edge."""

    def __init__(self, path: Path, create: bool = False) -> None:
        """Open a ledger, or create one.

        Raises:
            LedgerError: It is missing, damaged, or written by a newer version.
        """
        if not create and not path.exists():
            raise LedgerError(f"there is no ledger at {path}: is this a run folder?")
        self.path = path
        self._connection = sqlite3.connect(path)
        with self._refused():
            self._open(create)

    def _open(self, create: bool) -> None:
        verdict = self._connection.execute("PRAGMA quick_check").fetchone()[0]
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if create and version == 0:
            self._connection.executescript(
                f"BEGIN; {_TABLES} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
            )
        elif version != SCHEMA_VERSION:
            raise LedgerError(f"{self.path} has version {version}, this program reads {SCHEMA_VERSION}")

    @contextlib.contextmanager
    def _refused(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.ProgrammingError:
            raise  # our mistake, not the file's
        except sqlite3.DatabaseError as error:
            self._connection.close()
            if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                raise LedgerError(
                    f"another program writes to the ledger {self.path}: close it, then try again"
                ) from error
            raise LedgerError(
                f"the ledger {self.path} is damaged ({error}): "
                "restore it from a copy, or run again into a new folder"
            ) from error

    def event(self, what: str, **details: Any) -> None:
        """Note that something happened."""
        with self._refused(), self._connection:
            row = (time.time(), what, json.dumps(details, sort_keys=True))
            self._connection.execute("INSERT INTO events VALUES (?, ?, ?)", row)

    def settle(
        self,
        agents: Iterable[Mapping[str, Any]],
        edges: Iterable[Mapping[str, Any]],
        messages: Iterable[Posted],
    ) -> None:
        """Write what a round of negotiation left, all of it or nothing.

        An edge that is negotiated again takes the place of the old one, and so do its messages.
        """
        now = time.time()
        agent_rows = [(agent["name"], json.dumps(agent)) for agent in agents]
        edge_rows = [
            (
                *(edge[key] for key in ("source", "target", "round")),
                now,
                *(edge[key] for key in ("status", "reason", "r2", "r2_core", "null_r2", "bytes")),
                json.dumps(edge),
            )
            for edge in edges
        ]
        with self._refused(), self._connection as connection:
            connection.executemany("INSERT OR REPLACE INTO agents VALUES (?, ?)", agent_rows)
            connection.executemany(f"INSERT OR REPLACE INTO edges VALUES ({', '.join('?' * 11)})", edge_rows)
            connection.executemany(
                "DELETE FROM messages WHERE edge_source = ? AND edge_target = ?",
                [row[:2] for row in edge_rows],
            )
            connection.executemany("INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?)", list(messages))

    def events(self) -> list[dict[str, Any]]:
        """Return what happened, in order."""
        with self._refused():
            rows = self._connection.execute(
                "SELECT time, what, details FROM events ORDER BY rowid"
            ).fetchall()
        return [{"time": when, "what": what, **json.loads(details)} for when, what, details in rows]

    def messages(self) -> list[dict[str, Any]]:
        """Return every message, in the order it was written down."""
        with self._refused():
            cursor = self._connection.execute("SELECT * FROM messages ORDER BY rowid")
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor]

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
