"""The folder of a peer that has embeddings alone.

::

    embeddings.json   what it states of its table   anchors.safetensors   the table, as it is sent
    identity.key   trust.toml   ledger.sqlite   status.json   logs/   .lock
    edges/NAME.safetensors   the map from a peer, with the embeddings that it was fitted on
    replies/   evidence/   see `social_jepa.storage.reply_files`

``anchors.safetensors`` and the files of ``edges`` are tables that `social-jepa align` reads: with the seed of
an edge it finds the same one.
"""

import contextlib
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from agents.common.files import write_atomically
from agents.protocol.embedding_negotiation import AnchorTable, EmbeddingResult
from alignment.anchor_ids import AnchorId
from alignment.embeddings.edge import EmbeddingMap
from alignment.embeddings.storage import edge_tensors, map_from_tensors
from alignment.natural_order import natural_key
from alignment.status import Status
from social_jepa.config.time_parsing import FOREVER
from social_jepa.records import decode, encode, replace
from social_jepa.records.peer import PeerEdgeRecord, PeerGraph, TableRecord
from social_jepa.storage.folder_lock import FolderLock
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.ledger_errors import DamagedLedgerError
from social_jepa.storage.peer_status import EMBEDDINGS as MARKER
from social_jepa.storage.proofs import proved_agents
from social_jepa.storage.run_folder import LOCK_FILE, RunFolder
from social_jepa.storage.run_folder_errors import (
    RunFolderError,
    RunFolderExistsError,
    RunFolderWriteError,
)

TABLE, EDGES, EVENT = "anchors.safetensors", "edges", "edge"


@dataclass(eq=False, repr=False)
class DamagedPeerFolderError(RunFolderError):
    """A file of a peer's folder that is missing or damaged.

    Attributes:
        path: The file.
        reason: What reading it says.
    """

    path: Path
    reason: str

    def __str__(self) -> str:
        """Return the sentence with its remedy."""
        return f"{self.path} is missing or damaged ({self.reason}): start the peer again to write it anew"


class StoredTable(NamedTuple):
    """A table of a peer's folder.

    Attributes:
        ids: [K] ids of its anchors.
        vectors: [K, D], float32.
    """

    ids: list[AnchorId]
    vectors: Tensor


class StoredEdge(NamedTuple):
    """An edge of a peer's folder.

    Attributes:
        received: The source's embeddings.
        map: The map into the folder's own space.
    """

    received: StoredTable
    map: EmbeddingMap


class EmbeddingFolder:
    """Files of one peer that has embeddings alone."""

    def __init__(self, path: Path) -> None:
        """Take a path; nothing is read or written yet."""
        self.path = path.resolve()

    @classmethod
    def holds(cls, path: Path) -> bool:
        """Return whether a folder is one of such a peer."""
        return (path / MARKER).exists()

    @property
    def ledger_file(self) -> Path:
        """SQLite ledger: messages and edges."""
        return self.path / "ledger.sqlite"

    def open(self, table: AnchorTable) -> FolderLock:
        """Take the folder for a peer, new or to be continued, and write its table.

        Raises:
            RunFolderExistsError: The folder holds something else, or another peer.
            RunFolderInUseError: Another process runs in it.
            RunFolderWriteError: It cannot be written.
        """
        fresh = not self.path.exists() or (self.path.is_dir() and not self._used())
        if not fresh and (not self.holds(self.path) or self.table().name != table.info.name):
            raise RunFolderExistsError(self.path, False)
        with contextlib.ExitStack() as undo:
            try:
                self.path.mkdir(parents=True, exist_ok=True)
                lock = RunFolder.at(self.path).acquire_lock()
                undo.callback(lock.release)
                self._write_table(table)
            except OSError as error:
                raise RunFolderWriteError(self.path, "write into", str(error.strerror)) from error
            undo.pop_all()
        return lock

    def _used(self) -> bool:
        """Return whether the folder holds more than the lock of a peer that found no room for its table."""
        return any(not path.name.startswith(LOCK_FILE) for path in self.path.iterdir())

    def _write_table(self, table: AnchorTable) -> None:
        info = table.info
        record = TableRecord(
            name=info.name, anchor_set=info.scene, anchors=len(table.ids), dim=info.dim,
            checkpoint=info.checkpoint,
        )  # fmt: skip
        ids = {"ids": json.dumps(table.ids)}
        write_atomically(self.path / TABLE, save({"embeddings": table.vectors.contiguous()}, ids))
        write_atomically(self.path / MARKER, encode(record) + b"\n")

    def save_edge(self, found: EmbeddingResult, ids: list[AnchorId]) -> None:
        """Write the map of an edge, with what it was fitted on.

        Args:
            found: The edge.
            ids: Ids of the compared anchors.
        """
        if found.alignment is None or found.received is None:
            return
        tensors = {"embeddings": found.received} | edge_tensors(found.alignment)
        data = save(
            {name: each.contiguous().clone() for name, each in tensors.items()}, {"ids": json.dumps(ids)}
        )
        write_atomically(self._edge_file(found.source), data)

    def _edge_file(self, source: str) -> Path:
        return self.path / EDGES / f"{source}.safetensors"

    def table(self) -> TableRecord:
        """Return the description of the table that the peer states.

        Raises:
            DamagedPeerFolderError: It cannot be read.
        """
        path = self.path / MARKER
        with _translated(path):
            return decode(path.read_bytes(), TableRecord)

    def vectors(self) -> StoredTable:
        """Return the peer's own embeddings.

        Raises:
            DamagedPeerFolderError: They cannot be read.
        """
        return self._read(self.path / TABLE)[0]

    def edge(self, source: str) -> StoredEdge:
        """Return the map from a peer.

        Raises:
            DamagedPeerFolderError: It cannot be read.
        """
        path = self._edge_file(source)
        received, tensors = self._read(path)
        with _translated(path):
            return StoredEdge(received, map_from_tensors(tensors))

    def _read(self, path: Path) -> tuple[StoredTable, dict[str, Tensor]]:
        with _translated(path), safe_open(path, framework="pt") as file:
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            ids: list[AnchorId] = json.loads((file.metadata() or {})["ids"])
            return StoredTable(ids, tensors.pop("embeddings")), tensors

    def graph(self, as_of: float = FOREVER) -> PeerGraph:
        """Return the newest edge from every peer, as it is, or as it was at a time.

        Raises:
            LedgerError: The ledger is missing, damaged or of another format.
        """
        with contextlib.closing(Ledger(self.ledger_file, read_only=True)) as ledger:
            events = ledger.events_of(EVENT, as_of=as_of)
            flagged = proved_agents(ledger, as_of)
        try:
            found = [decode(encode(event.details), PeerEdgeRecord) for event in events]
        except ValueError as error:
            raise DamagedLedgerError(self.ledger_file, str(error)) from error
        newest = {edge.source: _judged(edge, flagged) for edge in found}
        return PeerGraph(
            table=self.table(), edges=tuple(newest[source] for source in sorted(newest, key=natural_key)),
            as_of=as_of if as_of < FOREVER else time.time(),
        )  # fmt: skip


def _judged(edge: PeerEdgeRecord, flagged: Mapping[str, str]) -> PeerEdgeRecord:
    """Return an edge, refused if it was accepted and its source is flagged."""
    if edge.status is not Status.ACCEPTED or edge.source not in flagged:
        return edge
    reason = f"{edge.source} is not trusted: {flagged[edge.source]}"
    return replace(edge, status=Status.REFUSED, reason=reason)


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[Any]:
    try:
        yield
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise DamagedPeerFolderError(path, str(error)) from error
