"""The newest edges of a ledger, and the trust in each agent that follows from them."""

import logging
import threading
import time
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from typing import Final

from safetensors import SafetensorError

from alignment.linear_map import LinearMap
from alignment.status import Status
from social_jepa.config.time_parsing import FOREVER
from social_jepa.graph.graph_json import unpack_maps
from social_jepa.graph.trust import trust_records
from social_jepa.records import AgentRecord, EdgeRecord, MemberRecord, TrustRecord, replace
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.ledger_errors import DamagedLedgerError, LedgerError

logger = logging.getLogger(__name__)

REFRESH_SECONDS: Final = 5.0  # between two computations of who is flagged; of 32 agents one takes 0.1 s
REFRESH_FACTOR: Final = 50.0  # so many times the time that one takes, where that is more: 3 s of 1,000 agents
SLOW_SECONDS: Final = 0.2  # a computation that takes longer is not waited for


@dataclass(frozen=True, eq=False)
class JudgedEdges:
    """What a ledger has of the edges between the present agents.

    Attributes:
        current: Newest publication of each agent at its present pose.
        edges: Newest edge of each ordered pair, as it was negotiated.
        maps: Maps by "source/target/PART".
        trust: Trust in each agent.
    """

    current: Mapping[str, AgentRecord]
    edges: list[EdgeRecord]
    maps: dict[str, LinearMap]
    trust: tuple[TrustRecord, ...]


def read_judged_edges(ledger: Ledger, members: Iterable[MemberRecord], as_of: float = FOREVER) -> JudgedEdges:
    """Return the edges between members up to a time, and the trust that follows from them.

    Raises:
        DamagedLedgerError, SafetensorError, KeyError, ValueError: The ledger is damaged.
    """
    members, published = list(members), ledger.agents(as_of)
    current = {
        member.name: agent
        for member in members
        if (agent := published.get(member.name)) and agent.pose_version == member.pose_version
    }
    present = {member.name for member in members}
    edges, maps = _read_edges(ledger, present, current, published.keys(), as_of)
    proofs = ledger.events_of("equivocation", as_of=as_of)
    return JudgedEdges(current, edges, maps, trust_records(present, edges, maps, proofs))


def flag_reasons(ledger: Ledger) -> dict[str, str]:
    """Return why agents are flagged, by name; those that are not flagged are left out.

    Raises:
        LedgerError: The ledger is damaged, or cannot be read now.
    """
    try:
        trust = read_judged_edges(ledger, ledger.members()).trust
    except (SafetensorError, KeyError, ValueError) as error:
        raise DamagedLedgerError(ledger.path, str(error)) from error
    return {record.agent: record.reason for record in trust if record.flagged}


class FlagReader:
    """Why agents are flagged, from a ledger that grows: read again where it has changed, at most so often.

    Any thread may call it. Where reading takes long, another thread reads, and what was known is returned.
    """

    def __init__(self, ledger: Ledger) -> None:
        """Remember the ledger; nothing is read yet."""
        self._ledger = ledger
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
                self._reasons = flag_reasons(self._ledger)
                self._version, self._seconds = version, time.perf_counter() - began
        except LedgerError as error:
            logger.warning("who is flagged is not known anew: %s", error)


def _read_edges(
    ledger: Ledger, present: Set[str], current: Mapping[str, AgentRecord], published: Set[str], as_of: float
) -> tuple[list[EdgeRecord], dict[str, LinearMap]]:
    """Return the newest edges between agents that are present, and their maps."""
    edges, maps = [], dict[str, LinearMap]()
    for edge, packed in ledger.edges(as_of):
        if not {edge.source, edge.target} <= present or edge.status is Status.ENDED:
            continue
        edges.append(_with_staleness(edge, current, published))
        if packed is not None:
            maps |= unpack_maps(edge.source, edge.target, packed)
    return edges, maps


def _with_staleness(edge: EdgeRecord, current: Mapping[str, AgentRecord], published: Set[str]) -> EdgeRecord:
    """Return an edge, marked stale if one of its agents has moved or published another model since.

    The ledger of a peer without Ray holds its own models alone: of the others it knows no later one.
    """
    if edge.status not in (Status.ACCEPTED, Status.REFUSED):
        return edge
    ends = ((edge.source, edge.source_checkpoint), (edge.target, edge.target_checkpoint))
    for name, checkpoint in ends:
        if name not in published:
            continue
        if name not in current:
            reason = f"{name} has moved its camera and is training on its new view"
        elif current[name].checkpoint != checkpoint:
            reason = f"{name} has published another model since; the two are negotiating again"
        else:
            continue
        return replace(edge, status=Status.STALE, reason=reason)
    return edge
