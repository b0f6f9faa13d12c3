"""The ledger of a run: members, published agents, edges, messages and events in SQLite.

Rows are only ever added, so that a kill loses nothing and the graph can be read as it was at any time. Every
write is one transaction: a reader never sees half an edge.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from agents.protocol.topology import Topology
from alignment.status import Status
from social_jepa.config.time_parsing import FOREVER
from social_jepa.records import (
    AgentRecord,
    BodyRecord,
    EdgeRecord,
    EventRecord,
    MemberRecord,
    MessageRecord,
    Record,
    decode,
    encode,
    replace,
)
from social_jepa.storage.ledger_errors import (
    DamagedLedgerError,
)
from social_jepa.storage.ledger_file import LedgerFile
from social_jepa.storage.ledger_schema import (
    EDGE_COLUMNS,
    EDGE_SCORES,
    ENDED_PAIRS,
    INSERT_EDGE,
    MEMBERS,
    NEWEST_AGENTS,
    NEWEST_EDGES,
    PAIRS,
    PARTED_EDGE,
)
from social_jepa.storage.partners import negotiating_pairs

if TYPE_CHECKING:
    from agents.protocol.channel import SentMessage  # imports torch, which reading a ledger does not need


class Ledger(LedgerFile):
    """One run's ledger: one writer, any number of readers in any process. Any thread may call it."""

    def event(self, event_type: str, **details: Any) -> None:
        """Record an event."""
        with self._transaction():
            self._add_event(event_type, details)

    def _add_event(self, event_type: str, details: Mapping[str, Any]) -> None:
        row = (time.time(), event_type, encode(dict(details)).decode())
        self._connection.execute("INSERT INTO events VALUES (?, ?, ?)", row)

    def join(
        self, members: Sequence[MemberRecord], bodies: Sequence[BodyRecord], incarnation: int = 0,
        edges: Sequence[EdgeRecord] = (), maps: Mapping[tuple[str, str], bytes] | None = None,
    ) -> None:  # fmt: skip
        """Record new members, their bodies and the edges that change with them, all or none.

        Args:
            members: The members.
            bodies: Their bodies in the scene.
            incarnation: How many processes each has had before.
            edges: Edges between other members, which the topology pairs no more, or again.
            maps: Maps of these edges as safetensors, by (source, target).

        Raises:
            DuplicateMemberError: A name or number is taken.
        """
        now = time.time()
        with self._transaction() as connection:
            for member in members:
                row = (member.name, member.index, now, None, incarnation)
                connection.execute("INSERT INTO members VALUES (?, ?, ?, ?, ?)", row)
                self._add_member_version(member, now)
                self._add_event("joined", {"agent": member.name, "pose": member.pose})
                for number in range(2, incarnation + 1):
                    self._add_event("returned", {"agent": member.name, "incarnation": number})
            connection.executemany("INSERT INTO bodies VALUES (?, ?, ?)", bodies)
            self._add_edges(edges, now, maps or {})

    def _add_member_version(self, member: MemberRecord, now: float) -> None:
        row = (now, member.name, _packed(member))
        self._connection.execute("INSERT INTO member_versions VALUES (?, ?, ?)", row)

    def next_incarnation(self, name: str, reason: str = "") -> int:
        """Count one more process of a member, and return its number.

        Args:
            name: The member.
            reason: How its process before this one ended, for the event; empty: unknown.
        """
        with self._transaction() as connection:
            connection.execute("UPDATE members SET incarnation = incarnation + 1 WHERE name = ?", [name])
            query = "SELECT incarnation FROM members WHERE name = ?"
            incarnation = int(connection.execute(query, [name]).fetchone()[0])
            if incarnation > 1:
                why = {"reason": reason} if reason else {}
                self._add_event("returned", {"agent": name, "incarnation": incarnation, **why})
            return incarnation

    def set_incarnations(self, incarnations: Mapping[str, int]) -> None:
        """Set the newest incarnation of members, for a ledger that is copied."""
        with self._transaction() as connection:
            rows = [(number, name) for name, number in incarnations.items()]
            connection.executemany("UPDATE members SET incarnation = ? WHERE name = ?", rows)

    def change(
        self, member: MemberRecord, event_type: str, bodies: Sequence[BodyRecord],
        edges: Sequence[EdgeRecord] = (), maps: Mapping[tuple[str, str], bytes] | None = None,
        departed: bool = False,
    ) -> None:  # fmt: skip
        """Record that a member moved or left, with its body and the edges that change, all or nothing."""
        now = time.time()
        with self._transaction() as connection:
            self._add_member_version(member, now)
            if departed:
                connection.execute("UPDATE members SET left_at = ? WHERE name = ?", [now, member.name])
            connection.executemany("INSERT INTO bodies VALUES (?, ?, ?)", bodies)
            self._add_edges(edges, now, maps or {})
            self._add_event(event_type, {"agent": member.name, "pose": member.pose})

    def record(
        self,
        agents: Iterable[AgentRecord] = (),
        edges: Sequence[EdgeRecord] = (),
        messages: Iterable["SentMessage"] = (),
        maps: Mapping[tuple[str, str], bytes] | None = None,
        events: Iterable[tuple[str, Mapping[str, Any]]] = (),
    ) -> None:
        """Record what agents report, all of it or nothing, with the time of this call.

        An edge that is recorded already is not recorded again.

        Args:
            agents: Published models.
            edges: Settled edges.
            messages: Messages that were sent.
            maps: Maps of the edges as safetensors, by (source, target).
            events: (type, details) of each event.

        Raises:
            ValueError: A record has a value out of range.
        """
        now = time.time()
        with self._transaction() as connection:
            for agent in agents:
                row = (now, agent.name, agent.checkpoint, _packed(replace(agent, published_at=now)))
                connection.execute(
                    "INSERT INTO agents (time, name, checkpoint, details) VALUES (?, ?, ?, ?)", row
                )
            self._add_edges(edges, now, maps or {})
            rows = [(now, *message) for message in messages]
            connection.executemany("INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
            for event_type, details in events:
                self._add_event(event_type, details)

    def _add_edges(
        self, edges: Sequence[EdgeRecord], now: float, maps: Mapping[tuple[str, str], bytes] | None = None
    ) -> None:
        for edge in edges:
            edge = replace(edge, time=now)
            columns = [getattr(edge, key) for key in EDGE_COLUMNS]
            row = (*columns, _packed(edge), (maps or {}).get((edge.source, edge.target)))
            self._connection.execute(INSERT_EDGE, row)

    def members(self, as_of: float = FOREVER) -> list[MemberRecord]:
        """Return the members at a time, by index."""
        rows = self._rows(MEMBERS, [as_of, as_of, as_of])
        return [self._unpacked(details, MemberRecord) for (details,) in rows]

    def incarnations(self) -> dict[str, int]:
        """Return the newest incarnation of every present member; 0 for one that has had no process yet."""
        return dict(self._rows("SELECT name, incarnation FROM members WHERE left_at IS NULL ORDER BY number"))

    def names(self) -> list[str]:
        """Return every name that was ever taken, by index; none is given twice."""
        return [name for (name,) in self._rows("SELECT name FROM members ORDER BY number")]

    def next_number(self) -> int:
        """Return the first number after those of all members so far, which may have gaps."""
        ((number,),) = self._rows("SELECT COALESCE(MAX(number) + 1, 0) FROM members")
        return int(number)

    def bodies(self) -> list[BodyRecord]:
        """Return every change of a body in the scene, in order."""
        return [BodyRecord(*row) for row in self._rows("SELECT tick, name, pose FROM bodies ORDER BY rowid")]

    def agents(self, as_of: float = FOREVER) -> dict[str, AgentRecord]:
        """Return the newest publication of each agent at a time, by name."""
        rows = self._rows(NEWEST_AGENTS, [as_of])
        found = [self._unpacked(details, AgentRecord) for (details,) in rows]
        return {agent.name: agent for agent in found}

    def edges(self, as_of: float = FOREVER) -> list[tuple[EdgeRecord, bytes | None]]:
        """Return the newest edge of every ordered pair at a time, and its maps as safetensors."""
        rows = self._rows(NEWEST_EDGES, [as_of])
        return [(self._unpacked(details, EdgeRecord), maps) for details, maps in rows]

    def agents_after(self, number: int) -> list[AgentRecord]:
        """Return the publications after one, in order; for the number see `version`."""
        rows = self._rows("SELECT details FROM agents WHERE id > ? ORDER BY id", [number])
        return [self._unpacked(details, AgentRecord) for (details,) in rows]

    def edges_after(self, number: int) -> list[tuple[EdgeRecord, bytes | None]]:
        """Return the edges after one with their maps, in order; for the number see `version`."""
        rows = self._rows("SELECT details, maps FROM edges WHERE id > ? ORDER BY id", [number])
        return [(self._unpacked(details, EdgeRecord), maps) for details, maps in rows]

    def edge_scores(self) -> dict[tuple[str, str], tuple[Status, float | None]]:
        """Return status and R2 of the newest edge of every ordered pair of present agents; no map is read."""
        rows = self._rows(EDGE_SCORES, [FOREVER])
        try:
            return {
                (source, target): (_with_age(Status(status), bool(outdated)), r2)
                for source, target, status, r2, outdated in rows
            }
        except ValueError as error:
            raise DamagedLedgerError(self.path, str(error)) from error

    def topology(self, first: str, as_of: float = FOREVER) -> Topology:
        """Return which pairs negotiate at a time.

        Args:
            first: The topology of its settings, which it has had as long as none was recorded.
            as_of: The time.
        """
        changes = self.events_of("topology")
        earlier = [event for event in changes if event.time <= as_of]
        if earlier:
            return Topology.parse(earlier[-1].details["topology"])
        return Topology.parse(changes[0].details.get("before", first) if changes else first)

    def missing_edges(self, names: Iterable[str], topology: str) -> set[tuple[str, str]]:
        """Return the ordered pairs of these agents with all that have published that have no edge yet.

        Edges of the view that one of these agents had before its camera moved do not count.

        Args:
            names: The agents.
            topology: The topology that the run started with.
        """
        members, published, wanted = self.members(), self.agents().keys(), {*names}
        pairs = {
            pair
            for pair in negotiating_pairs(self.topology(topology), members)
            if wanted & {*pair} and {*pair} - wanted <= published
        }
        moved = [each for each in members if each.name in wanted and each.pose_version]
        models = {each.name: self._models_of_view(each) for each in moved}

        def counts(edge: EdgeRecord) -> bool:
            ends = ((edge.source, edge.source_checkpoint), (edge.target, edge.target_checkpoint))
            seen = all(name not in models or checkpoint in models[name] for name, checkpoint in ends)
            return edge.status is not Status.ENDED and (seen or edge.status is Status.FAILED)

        return pairs - {(edge.source, edge.target) for edge, _ in self.edges() if counts(edge)}

    def _models_of_view(self, member: MemberRecord) -> set[str]:
        """Return the checkpoints that an agent has published since it moved its camera."""
        sql = "SELECT checkpoint FROM agents WHERE name = ? AND json_extract(details, '$.pose_version') = ?"
        return {checkpoint for (checkpoint,) in self._rows(sql, [member.name, member.pose_version])}

    def pairs(self) -> list[tuple[str, str]]:
        """Return every ordered pair that ever had an edge."""
        return [(source, target) for source, target in self._rows(PAIRS)]

    def ended_pairs(self) -> list[tuple[str, str]]:
        """Return every ordered pair whose newest edge is a tombstone."""
        return [(source, target) for source, target in self._rows(ENDED_PAIRS, [FOREVER])]

    def history(self, source: str, target: str) -> list[EdgeRecord]:
        """Return every edge that an ordered pair ever had, oldest first."""
        sql = "SELECT details FROM edges WHERE source = ? AND target = ? ORDER BY id"
        return [self._unpacked(details, EdgeRecord) for (details,) in self._rows(sql, [source, target])]

    def newest_edge(self, source: str, target: str) -> EdgeRecord | None:
        """Return the newest edge of an ordered pair, which may be its tombstone; None: it never had one."""
        sql = "SELECT details FROM edges WHERE source = ? AND target = ? ORDER BY id DESC LIMIT 1"
        for (details,) in self._rows(sql, [source, target]):
            return self._unpacked(details, EdgeRecord)
        return None

    def parted_edge(self, source: str, target: str) -> tuple[EdgeRecord, bytes | None, int] | None:
        """Return the last edge of an ordered pair before its tombstone, its maps and its largest round.

        None: the newest edge of the pair is no tombstone, or it never had another one.
        """
        for details, maps, latest in self._rows(PARTED_EDGE, [source, target]):
            return self._unpacked(details, EdgeRecord), maps, int(latest)
        return None

    def attempts(self, source: str, target: str, since: float, until: float = FOREVER) -> tuple[int, float]:
        """Return the number of messages about an edge between two times, and the time of the first one."""
        sql = (
            "SELECT count(*), coalesce(min(time), 0) FROM messages "
            "WHERE edge_source = ? AND edge_target = ? AND time >= ? AND time <= ?"
        )
        ((count, first),) = self._rows(sql, [source, target, since, until])
        return int(count), float(first)

    def events(self, after: int = 0, limit: int = -1) -> list[EventRecord]:
        """Return the events after a number, in order; a negative limit returns all of them."""
        sql = "SELECT rowid, time, type, details FROM events WHERE rowid > ? ORDER BY rowid LIMIT ?"
        return [self._event(*row) for row in self._rows(sql, [after, limit])]

    def events_of(self, *types: str, as_of: float = FOREVER) -> list[EventRecord]:
        """Return the events of some types up to a time, in order."""
        rows = self._rows(
            f"SELECT rowid, time, type, details FROM events WHERE type IN ({', '.join('?' * len(types))}) "
            "AND time <= ? ORDER BY rowid",
            [*types, as_of],
        )
        return [self._event(*row) for row in rows]

    def version(self) -> tuple[int, int, int]:
        """Return the newest ids of edges, agents and events; they change whenever the graph does."""
        newest = "(SELECT max({}) FROM {})"
        tables = (("id", "edges"), ("id", "agents"), ("rowid", "events"))
        newest_of_each = ", ".join(newest.format(*table) for table in tables)
        ((edges, agents, events),) = self._rows(f"SELECT {newest_of_each}")
        return edges or 0, agents or 0, events or 0

    def member_version(self) -> int:
        """Return a number that changes whenever an agent joins, moves or leaves."""
        ((newest,),) = self._rows("SELECT max(rowid) FROM member_versions")
        return newest or 0

    def messages(self) -> list[MessageRecord]:
        """Return every message, in the order in which it was recorded."""
        fields = MessageRecord.__struct_fields__
        rows = self._rows(f"SELECT {', '.join(fields)} FROM messages ORDER BY rowid")
        return [MessageRecord(**dict(zip(fields, row, strict=True))) for row in rows]

    def _event(self, number: int, when: float, event_type: str, details: str) -> EventRecord:
        found = self._unpacked(details, dict[str, Any])
        return EventRecord(number=number, time=when, type=event_type, details=found)

    def _unpacked(self, details: str, kind: type[Any]) -> Any:
        try:
            return decode(details, kind)
        except ValueError as error:  # SQLite does not notice that the end of a text is missing
            raise DamagedLedgerError(self.path, str(error)) from error


def _with_age(status: Status, outdated: bool) -> Status:
    return Status.STALE if outdated and status in (Status.ACCEPTED, Status.REFUSED) else status


def _packed(record: Record) -> str:
    """Return a record as JSON.

    Raises:
        ValueError: It could not be read back: a value is out of range.
    """
    data = encode(record)
    decode(data, type(record))
    return data.decode()
