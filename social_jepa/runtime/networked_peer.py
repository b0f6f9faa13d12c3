"""A peer that has embeddings alone, as an ordinary process or a part of one: it negotiates over TCP."""

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from agents.common.files import UnsavedFile
from agents.protocol.embedding_negotiation import AnchorTable, EmbeddingNegotiation, EmbeddingResult
from agents.protocol.envelope import session_id
from agents.protocol.identity import fingerprint
from alignment.embeddings.edge import EmbeddingEdge
from alignment.embeddings.pairs import AlignSettings
from alignment.embeddings.table import EmbeddingTable
from alignment.status import Status
from social_jepa.records import UnsavedRecord, as_dict, replace
from social_jepa.records.peer import PeerEdgeRecord, PeerStatus
from social_jepa.runtime.peer_connections import RETRY_SECONDS, NetworkOptions, PeerConnections
from social_jepa.runtime.unrecorded import note_unrecorded
from social_jepa.storage.embedding_folder import (
    EVENT,
    EmbeddingFolder,
)
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.ledger_errors import LedgerUnavailableError
from social_jepa.storage.peer_status import DOWN, StatusWriter
from social_jepa.storage.proofs import EQUIVOCATION, proved_agents
from social_jepa.storage.reply_files import ReplyArchive
from social_jepa.system.process_identity import ProcessIdentity

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.05  # between two looks at what has arrived
QUIET_SECONDS = 1.5 * RETRY_SECONDS  # in which a peer that lacks an answer would repeat itself


class NetworkedPeer:
    """A table of embeddings, or a callable that embeds ids, that negotiates with peers in other processes.

    As a context manager it serves its peers on a separate thread.

    Attributes:
        connections: Its exchange with peers.
        table: What it sends.
        unsaved: What could not be saved in the end, one sentence each; after `close`.
    """

    def __init__(
        self, table: EmbeddingTable, folder: Path | str, options: NetworkOptions | None = None,
        settings: AlignSettings | None = None,
    ) -> None:  # fmt: skip
        """Take the folder, count an incarnation, and read the keys.

        Args:
            table: Embeddings of the agreed anchor set, with ids; an `EmbeddingPeer`, for example.
            folder: For its key, its ledger and its maps; one that exists is continued.
            options: How it meets others.
            settings: How it compares; the seed follows from both peers.

        Raises:
            AlignmentError: The table cannot be sent.
            RunFolderError: The folder cannot be used.
            LedgerError: The incarnation cannot be recorded.
            KeyFileError, TrustFileError: A file of keys cannot be used.
        """
        options, settings = options or NetworkOptions(), settings or AlignSettings()
        self.table = AnchorTable.of(table, settings.time_order)
        self.folder = EmbeddingFolder(Path(folder))
        self._lock = self.folder.open(self.table)
        try:
            self._ledger = Ledger(self.folder.ledger_file, create=True)
            self.connections = self._make_connections(options)
        except BaseException:
            self._lock.release()
            raise
        self._negotiation = EmbeddingNegotiation(self.table, settings, self.connections.local.identity)
        self._edges: dict[str, EmbeddingResult] = {}
        self._replies = ReplyArchive(self.folder.path)
        self._flagged = proved_agents(self._ledger)
        self._acknowledged = (0, 0)
        self._unrecorded: UnsavedFile | None = None
        self.unsaved: list[str] = []
        self._status = StatusWriter(self.folder.path)
        self._process = ProcessIdentity.of(os.getpid())
        self._stop, self._changed = threading.Event(), threading.Condition()
        self._thread = threading.Thread(target=self.serve, name="peer", daemon=True)

    def _make_connections(self, options: NetworkOptions) -> PeerConnections:
        """Count an incarnation, and return the connections of this process."""
        path, info = self.folder.path, self.table.info
        incarnation = len(self._ledger.events_of("started")) + 1
        self._ledger.event("started", checkpoint=info.checkpoint, incarnation=incarnation)
        found = options.of_agent(path, path, seed=incarnation)
        return PeerConnections(info.name, incarnation, session_id(f"embeddings {options.session}"), found)

    def start(self) -> None:
        """Listen, dial and publish.

        Raises:
            OSError: An address cannot be listened at.
        """
        self.connections.protocol.publish(self._negotiation)
        self.connections.start()

    def serve(self, observe: Callable[["NetworkedPeer"], None] = lambda peer: None) -> None:
        """Answer peers until `stop`; after `start`.

        Args:
            observe: Called after every look at what has arrived.
        """
        while not self._stop.is_set():
            self.connections.keep()
            self._record()
            self._status.write(self.status())
            observe(self)
            self._stop.wait(POLL_SECONDS)

    def stop(self) -> None:
        """Let `serve` return."""
        self._stop.set()

    def close(self) -> None:
        """End all connections; record what has arrived."""
        self.stop()
        if self._thread.ident is not None:
            self._thread.join()
        self.connections.close()
        while self._record():
            pass  # each request returns a part of what waits
        self._status.write(replace(self.status(), phase=DOWN, listens=()))
        self.unsaved = [f"{self.table.info.name} {each}" for each in self._unsaved_records()]
        try:
            self._ledger.event("stopped")
        except LedgerUnavailableError:
            self.unsaved.append(f"{self._ledger.path} does not say that the peer has stopped")
        self._ledger.close()
        self._lock.release()

    def __enter__(self) -> Self:
        """Start, and serve on a thread."""
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End all connections."""
        self.close()

    @property
    def addresses(self) -> list[str]:
        """Where it listens, HOST:PORT."""
        return list(map(str, self.connections.transport.addresses))

    def edges(self) -> dict[str, EmbeddingResult]:
        """Return the edges into this peer, by source."""
        return dict(self._edges)

    def wait(self, source: str, timeout: float = 60.0) -> EmbeddingEdge:
        """Return the edge from a peer, with its map; wait until it is settled.

        Raises:
            TimeoutError: It is not, after so many seconds.
            LookupError: It is refused; the text says why.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: source in self._edges, timeout):
                raise TimeoutError(f"{source} has not settled an edge with {self.table.info.name}")
        found = self._edges[source]
        if found.alignment is None or found.status is not Status.ACCEPTED:
            raise LookupError(f"the edge from {source} is refused: {found.reason}")
        return found.alignment

    def settled(self) -> set[str]:
        """Return the peers with which both edges are settled and recorded."""
        return {name for name in self._edges if name in self._negotiation.verdicts}

    def is_quiet(self) -> bool:
        """Return whether no peer has sent anything for long enough that none waits for an answer."""
        return self.connections.protocol.seconds_of_silence() > QUIET_SECONDS

    def _unsaved_records(self) -> tuple[UnsavedRecord, ...]:
        found = self._unrecorded
        return (UnsavedRecord(path=found.path, reason=found.reason, since=found.since),) if found else ()

    def _record(self) -> bool:
        """Write new edges to the folder and the ledger; what cannot be written is written later.

        Returns:
            Whether it was written, and more waits.
        """
        events = self.connections.protocol.events(*self._acknowledged)
        edges = [each for each in events.edges if isinstance(each, EmbeddingResult)]
        rows = [(EVENT, as_dict(PeerEdgeRecord.of(each, time.time()))) for each in edges]
        refused = [("message_refused", {"reason": reason}) for reason in events.refused]
        if not (rows or refused or events.sent):
            return False
        try:
            for each in edges:
                self.folder.save_edge(each, [self.table.ids[row] for row in each.rows])
                rows += filter(None, [self._replies.compare(each)])
            self._ledger.record(messages=events.sent, events=[*rows, *refused])
        except (LedgerUnavailableError, OSError) as error:
            what = f"what {self.table.info.name} has negotiated"
            self._unrecorded = note_unrecorded(self._unrecorded, what, self.folder.path, error)
            return False
        self._unrecorded = None
        self._acknowledged = events.incarnation, events.last_number
        contradictions = [details for event_type, details in rows if event_type == EQUIVOCATION]
        for details in contradictions:
            logger.warning(
                "%s contradicts its earlier reply: %s proves it", details["agent"], details["file"]
            )
        if contradictions:
            with contextlib.suppress(LedgerUnavailableError):
                self._flagged = proved_agents(self._ledger)
        with self._changed:
            self._edges |= {each.source: each for each in edges}
            self._changed.notify_all()
        return events.more

    def status(self) -> PeerStatus:
        """Return the state of this peer and what it knows of the others."""
        peers = self.connections.peers(self._edges, self._flagged)
        local, settled = self.connections.local, self.settled()
        waits = [peer.name for peer in peers if peer.name not in settled and peer.connected]
        return PeerStatus(
            name=local.name, kind="embeddings", fingerprint=fingerprint(local.identity.public_key),
            incarnation=local.incarnation, process=self._process, listens=tuple(self.addresses),
            phase="negotiating" if waits else "settled" if settled else "waiting for peers", note="",
            checkpoint=self.table.info.checkpoint, peers=peers, unsaved=self._unsaved_records(),
            refused_addresses={str(reason): n for reason, n in self.connections.book.refusals.items()},
            updated_at=time.time(),
        )  # fmt: skip
