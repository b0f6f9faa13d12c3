"""The ledger of a run: members, versions, edges, messages and events in SQLite.

Nothing is overwritten: a kill loses nothing, SQL can ask, and the graph can be read as it stood at any time.
Every write is one transaction, so that a reader never sees half an edge.
"""

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from agents.protocol.channel import SentMessage
from alignment.status import Status
from social_jepa.config.time_parsing import FOREVER
from social_jepa.storage.ledger_schema import (
    EDGE,
    MEMBERS,
    NEWEST_AGENTS,
    NEWEST_EDGES,
    SCHEMA_VERSION,
    TABLES,
)

BUSY_SECONDS = 10.0  # how long a writer waits for another


class LedgerError(ValueError):
    """A ledger that cannot be used; the text says why and what to do."""


def damaged_ledger(path: Path, error: Exception) -> LedgerError:
    """Return the sentence for a ledger that cannot be read."""
    return LedgerError(
        f"the ledger {path} is damaged ({error}): restore it from a copy, or run again into a new folder"
    )


class Ledger:
    """One run's ledger: one writer, any number of readers in any process."""

    def __init__(self, path: Path, create: bool = False) -> None:
        """Open a ledger, or create one.

        Raises:
            LedgerError: It is missing, damaged, or written by a newer version.
        """
        if not create and not path.exists():
            raise LedgerError(f"there is no ledger at {path}: is this a run folder?")
        self.path = path
        self._connection = sqlite3.connect(path, timeout=BUSY_SECONDS, check_same_thread=False)
        with self._refused():
            self._open(create)

    def _open(self, create: bool) -> None:
        verdict = self._connection.execute("PRAGMA quick_check").fetchone()[0]
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if create and version == 0:
            self._connection.executescript(f"BEGIN; {TABLES} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
        elif version > SCHEMA_VERSION:
            raise LedgerError(
                f"{self.path} was written by a newer version of this program (format {version}, "
                f"this one reads {SCHEMA_VERSION}): update the program"
            )
        elif version != SCHEMA_VERSION:
            raise LedgerError(
                f"{self.path} has version {version}, this program reads {SCHEMA_VERSION}: start a new run"
            )

    @contextlib.contextmanager
    def _refused(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.ProgrammingError:
            raise  # our mistake, not the file's
        except sqlite3.IntegrityError as error:
            raise LedgerError(
                f"the ledger {self.path} has somebody of that name or number already ({error}): "
                "nothing was written; choose another name"
            ) from error
        except sqlite3.DatabaseError as error:
            self._connection.close()
            if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                raise LedgerError(
                    f"another program writes to the ledger {self.path}: close it, then try again"
                ) from error
            raise damaged_ledger(self.path, error) from error

    def event(self, what: str, **details: Any) -> None:
        """Note that something happened."""
        with self._refused(), self._connection:
            self._event(what, details)

    def _event(self, what: str, details: Mapping[str, Any]) -> None:
        row = (time.time(), what, json.dumps(details, sort_keys=True))
        self._connection.execute("INSERT INTO events VALUES (?, ?, ?)", row)

    def join(
        self, members: Sequence[Mapping[str, Any]], bodies: Sequence[tuple[int, str, str | None]]
    ) -> None:
        """Write members down, with the bodies that come with them, all or none."""
        now = time.time()
        with self._refused(), self._connection as connection:
            for member in members:
                row = (member["name"], member["index"], now, None, 0)
                connection.execute("INSERT INTO members VALUES (?, ?, ?, ?, ?)", row)
                self._place(member, now)
                self._event("joined", {"agent": member["name"], "pose": member["pose"]})
            connection.executemany("INSERT INTO bodies VALUES (?, ?, ?)", bodies)

    def _place(self, member: Mapping[str, Any], now: float) -> None:
        row = (now, member["name"], json.dumps(dict(member)))
        self._connection.execute("INSERT INTO moves VALUES (?, ?, ?)", row)

    def next_incarnation(self, name: str) -> int:
        """Count one more life of a member, and return its number."""
        with self._refused(), self._connection as connection:
            connection.execute("UPDATE members SET incarnation = incarnation + 1 WHERE name = ?", [name])
            life = connection.execute("SELECT incarnation FROM members WHERE name = ?", [name]).fetchone()[0]
            if life > 1:
                self._event("returned", {"agent": name, "incarnation": life})
            return int(life)

    def change(
        self, member: Mapping[str, Any], what: str, bodies: Sequence[tuple[int, str, str | None]],
        ended: Sequence[Mapping[str, Any]] = (), departed: bool = False,
    ) -> None:  # fmt: skip
        """Write that a member moved or left, with its body and the edges that end, all or nothing."""
        now, name = time.time(), member["name"]
        with self._refused(), self._connection as connection:
            self._place(member, now)
            if departed:
                connection.execute("UPDATE members SET departed = ? WHERE name = ?", [now, name])
            connection.executemany("INSERT INTO bodies VALUES (?, ?, ?)", bodies)
            self._add_edges(ended, now)
            self._event(what, {"agent": name, "pose": member["pose"]})

    def record(
        self,
        agents: Iterable[Mapping[str, Any]] = (),
        edges: Sequence[Mapping[str, Any]] = (),
        messages: Iterable[SentMessage] = (),
        maps: Mapping[tuple[str, str], bytes] | None = None,
        events: Iterable[tuple[str, Mapping[str, Any]]] = (),
    ) -> None:
        """Write what agents told, all of it or nothing; an edge that was told before is not doubled."""
        now = time.time()
        with self._refused(), self._connection as connection:
            connection.executemany(
                "INSERT INTO agents (time, name, checkpoint, details) VALUES (?, ?, ?, ?)",
                [(now, agent["name"], agent["checkpoint"], json.dumps(agent)) for agent in agents],
            )
            self._add_edges(edges, now, maps or {})
            connection.executemany(
                "INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?)", [(now, *posted) for posted in messages]
            )
            for what, details in events:
                self._event(what, details)

    def _add_edges(
        self,
        edges: Sequence[Mapping[str, Any]],
        now: float,
        maps: Mapping[tuple[str, str], bytes] | None = None,
    ) -> None:
        columns = ("time", *EDGE, "details", "maps")
        self._connection.executemany(
            f"INSERT OR IGNORE INTO edges ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})",
            [
                (now, *(edge[key] for key in EDGE), json.dumps(edge),
                 (maps or {}).get((edge["source"], edge["target"])))
                for edge in edges
            ],
        )  # fmt: skip

    def members(self, as_of: float = FOREVER) -> list[dict[str, Any]]:
        """Return who was there at a time, in the order of their numbers, each with its ``incarnation``."""
        return [
            {**json.loads(details), "incarnation": life, "joined": joined}
            for details, life, joined in self._rows(MEMBERS, [as_of, as_of, as_of])
        ]

    def names(self) -> list[str]:
        """Return every name that was ever taken; none is given twice."""
        return [name for (name,) in self._rows("SELECT name FROM members ORDER BY number")]

    def bodies(self) -> list[tuple[int, str, str | None]]:
        """Return (tick, name, pose or None when it leaves) of every body that came, moved or left."""
        return self._rows("SELECT tick, name, pose FROM bodies ORDER BY rowid")

    def agents(self, as_of: float = FOREVER) -> dict[str, dict[str, Any]]:
        """Return the newest version of each agent that was published by a time, by name."""
        found = [{**json.loads(text), "published": when} for when, text in self._rows(NEWEST_AGENTS, [as_of])]
        return {agent["name"]: agent for agent in found}

    def edges(self, as_of: float = FOREVER) -> list[tuple[dict[str, Any], bytes | None]]:
        """Return the newest edge of every ordered pair at a time, and its maps as safetensors."""
        rows = self._rows(NEWEST_EDGES, [as_of])
        return [({**json.loads(details), "time": when}, maps) for when, details, maps in rows]

    def missing_edges(self, names: Iterable[str]) -> set[tuple[str, str]]:
        """Return the edges that are not written yet between these agents and all who have published."""
        there = {member["name"] for member in self.members()} & self.agents().keys()
        pairs = {pair for name in names for peer in there - {name} for pair in ((name, peer), (peer, name))}
        return pairs - {(e["source"], e["target"]) for e, _ in self.edges() if e["status"] != Status.ENDED}

    def history(self, source: str, target: str) -> list[dict[str, Any]]:
        """Return every edge that an ordered pair ever had, oldest first."""
        sql = "SELECT time, details FROM edges WHERE source = ? AND target = ? ORDER BY id"
        return [{**json.loads(details), "time": when} for when, details in self._rows(sql, [source, target])]

    def events(self, after: int = 0, limit: int = -1) -> list[dict[str, Any]]:
        """Return what happened after the event of a number, in order; a negative limit returns all of it."""
        sql = "SELECT rowid, time, what, details FROM events WHERE rowid > ? ORDER BY rowid LIMIT ?"
        return [
            {**json.loads(details), "number": number, "time": when, "what": what}
            for number, when, what, details in self._rows(sql, [after, limit])
        ]

    def events_of(self, *what: str, as_of: float = FOREVER) -> list[dict[str, Any]]:
        """Return what happened of some sorts until a time, in order."""
        sorts = ", ".join("?" * len(what))
        rows = self._rows(
            f"SELECT time, details FROM events WHERE what IN ({sorts}) AND time <= ? ORDER BY rowid",
            [*what, as_of],
        )
        return [{**json.loads(details), "time": when} for when, details in rows]

    def version(self) -> tuple[int, int, int]:
        """Return numbers that change whenever the graph does."""
        newest = "(SELECT max({}) FROM {})"
        parts = [newest.format(*each) for each in (("id", "edges"), ("id", "agents"), ("rowid", "events"))]
        edges, agents, events = self._rows(f"SELECT {', '.join(parts)}")[0]
        return edges or 0, agents or 0, events or 0

    def messages(self) -> list[dict[str, Any]]:
        """Return every message, in the order it was written down."""
        with self._refused():
            cursor = self._connection.execute("SELECT * FROM messages ORDER BY rowid")
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor]

    def _rows(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        with self._refused():
            return self._connection.execute(sql, values).fetchall()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
