"""The newest edges of a ledger, and the trust in each agent that follows from them."""

import logging
import threading
import time
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from operator import is_
from typing import Final

from safetensors import SafetensorError

from alignment.linear_map import LinearMap
from alignment.status import Status
from social_jepa.config.time_parsing import FOREVER
from social_jepa.graph.newest_rows import EdgeMaps, NewestRows, Pair, RowReader, read_rows
from social_jepa.graph.trust import trust_records
from social_jepa.records import (
    AgentRecord,
    EdgeRecord,
    EventRecord,
    MemberRecord,
    TrustRecord,
    replace,
)
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.ledger_errors import DamagedLedgerError, LedgerError

logger = logging.getLogger(__name__)

REFRESH_SECONDS: Final = 5.0  # between two computations of who is flagged; of 32 agents one takes 0.1 s
REFRESH_FACTOR: Final = 50.0  # so many times the time that one takes, where that is more
SLOW_SECONDS: Final = 0.2  # a computation that takes longer is not waited for


@dataclass(frozen=True, eq=False)
class JudgedEdges:
    """What a ledger has of the edges between the present agents.

    Attributes:
        rows: The rows that they follow from, with the members.
        current: Newest publication of each agent at its present pose.
        edges: Newest edge of each ordered pair, as it was negotiated.
        maps: Maps by "source/target/PART".
        trust: Trust in each agent.
    """

    rows: NewestRows
    current: Mapping[str, AgentRecord]
    edges: Sequence[EdgeRecord]
    maps: Mapping[str, LinearMap]
    trust: tuple[TrustRecord, ...]


class EdgeReader:
    """Reads and judges the edges of a ledger again and again, but nothing that has not changed.

    Of an edge that has not changed it returns the same record.
    """

    def __init__(self, ledger: Ledger) -> None:
        """Remember the ledger; nothing is read yet."""
        self.ledger = ledger
        self._rows = RowReader(ledger)
        self._stale: dict[Pair, tuple[EdgeRecord, EdgeRecord]] = {}  # edges, as recorded and as stale
        self._judged: JudgedEdges | None = None
        self._proofs: list[EventRecord] = []

    def read(self, as_of: float = FOREVER) -> JudgedEdges:
        """Return the edges at a time, and the trust that follows from them.

        Raises:
            DamagedLedgerError, SafetensorError, KeyError, ValueError: The ledger is damaged.
        """
        rows = self._rows.read() if as_of == FOREVER else read_rows(self.ledger, as_of)
        present = {member.name for member in rows.members}
        current = {
            member.name: agent
            for member in rows.members
            if (agent := rows.published.get(member.name)) and agent.pose_version == member.pose_version
        }
        stored = {
            pair: edge
            for pair, edge in rows.edges.items()
            if edge.record.status is not Status.ENDED and present.issuperset(pair)
        }
        edges = [self._with_age(edge.record, current, rows.published.keys()) for edge in stored.values()]
        maps, proofs = EdgeMaps(stored), self.ledger.events_of("equivocation", as_of=as_of)
        trust = self._known_trust(rows.members, edges, proofs) or trust_records(present, edges, maps, proofs)
        self._judged, self._proofs = JudgedEdges(rows, current, edges, maps, trust), proofs
        return self._judged

    def _known_trust(
        self, members: tuple[MemberRecord, ...], edges: Sequence[EdgeRecord], proofs: list[EventRecord]
    ) -> tuple[TrustRecord, ...] | None:
        """Return the trust that was computed last, if it follows from the same edges."""
        last = self._judged
        if last is None or (members, proofs) != (last.rows.members, self._proofs):
            return None
        same = len(edges) == len(last.edges) and all(map(is_, edges, last.edges))
        return last.trust if same else None

    def _with_age(
        self, edge: EdgeRecord, current: Mapping[str, AgentRecord], published: Set[str]
    ) -> EdgeRecord:
        """Return an edge, marked stale if one of its agents has moved or published another model since."""
        reason = _stale_reason(edge, current, published)
        if not reason:
            return edge
        pair = edge.source, edge.target
        recorded, stale = self._stale.get(pair, (None, None))
        if recorded is not edge or stale is None or stale.reason != reason:
            stale = replace(edge, status=Status.STALE, reason=reason)
            self._stale[pair] = edge, stale
        return stale


def flag_reasons(reader: EdgeReader) -> dict[str, str]:
    """Return why agents are flagged, by name; those that are not flagged are left out.

    Raises:
        LedgerError: The ledger is damaged, or cannot be read now.
    """
    try:
        trust = reader.read().trust
    except LedgerError:
        raise
    except (SafetensorError, KeyError, ValueError) as error:
        raise DamagedLedgerError(reader.ledger.path, str(error)) from error
    return {record.agent: record.reason for record in trust if record.flagged}


class FlagReader:
    """Why agents are flagged, from a ledger that grows: read again where it has changed, at most so often.

    Any thread may call it. Where reading takes long, another thread reads, and what was known is returned.
    """

    def __init__(self, ledger: Ledger) -> None:
        """Remember the ledger; nothing is read yet."""
        self._ledger, self._edges = ledger, EdgeReader(ledger)
        self._version: tuple[int, int, int] | None = None
        self._read_at, self._seconds, self._reasons = 0.0, 0.0, dict[str, str]()
        self._reading = threading.Lock()
        self._reader: threading.Thread | None = None

    def reasons(self, now: float | None = None) -> Mapping[str, str]:
        """Return `flag_reasons`, up to REFRESH_SECONDS old, or REFRESH_FACTOR times as old as reading takes.

        They are older where the ledger cannot be read now.

        Args:
            now: Time on the monotonic clock; default: now.
        """
        now = time.monotonic() if now is None else now
        with self._reading:
            if self._version is None or now - self._read_at >= self._interval():
                self._read_at = now
                if self._seconds <= SLOW_SECONDS:
                    self._refresh()
                elif self._reader is None or not self._reader.is_alive():
                    self._reader = threading.Thread(target=self._refresh, daemon=True)
                    self._reader.start()
            return self._reasons

    def _interval(self) -> float:
        return max(REFRESH_SECONDS, REFRESH_FACTOR * self._seconds)

    def _refresh(self) -> None:
        began = time.perf_counter()
        try:
            version = self._ledger.version()
            if version != self._version:
                self._reasons = flag_reasons(self._edges)
                self._version, self._seconds = version, time.perf_counter() - began
        except LedgerError as error:
            logger.warning("who is flagged is not known anew: %s", error)


def _stale_reason(edge: EdgeRecord, current: Mapping[str, AgentRecord], published: Set[str]) -> str:
    """Return why an edge is stale; empty: it is not.

    The ledger of a peer without Ray holds its own models alone: of the others it knows no later one.
    """
    if edge.status not in (Status.ACCEPTED, Status.REFUSED):
        return ""
    ends = ((edge.source, edge.source_checkpoint), (edge.target, edge.target_checkpoint))
    for name, checkpoint in ends:
        if name not in published:
            continue
        if name not in current:
            return f"{name} has moved its camera and is training on its new view"
        if current[name].checkpoint != checkpoint:
            return f"{name} has published another model since; the two are negotiating again"
    return ""
