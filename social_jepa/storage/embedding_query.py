"""Queries of a peer with embeddings: translate an embedding of another peer, and find the nearest anchors."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from alignment.anchor_ids import AnchorId
from alignment.natural_order import list_names
from alignment.status import Status
from social_jepa.records.peer import NearestAnchor, PeerEdgeRecord, PeerQueryAnswer
from social_jepa.storage.embedding_folder import EmbeddingFolder, StoredTable
from social_jepa.storage.run_folder_errors import RunFolderError


@dataclass(eq=False, repr=False)
class PeerQueryError(RunFolderError):
    """A query that a peer's folder cannot answer.

    Attributes:
        reason: Why not, and what to do.
    """

    reason: str

    def __str__(self) -> str:
        """Return the sentence."""
        return self.reason


def query_embeddings(
    folder: EmbeddingFolder, source: str = "", *, anchor: str = "", vector: Sequence[float] | None = None,
    top: int = 5,
) -> PeerQueryAnswer:  # fmt: skip
    """Translate one embedding of a peer into the folder's own space, and find the nearest of its anchors.

    Args:
        folder: Folder of the peer into whose space it is translated.
        source: Peer whose embedding it is; it may be left out where only one has an edge.
        anchor: Id of an anchor, whose embedding the source has sent; by default the first.
        vector: An embedding of the source in its place.
        top: How many nearest anchors to return.

    Raises:
        PeerQueryError: There is no such edge or anchor, or the vector does not fit.
        DamagedPeerFolderError, LedgerError: A file cannot be read.
    """
    edge = _find_edge(folder, source)
    received, found = folder.edge(edge.source)
    given: AnchorId | None = None
    if vector is None:
        given = _find_anchor(received.ids, anchor, edge.source)
        row = received.vectors[received.ids.index(given)].double()
    else:
        row = _check_vector(vector, received, edge.source)
    own = folder.vectors()
    distances = torch.cdist(
        found.source_coordinates(row[None]), found.target_coordinates(own.vectors.double())
    )[0]
    near = distances.topk(min(top, len(distances)), largest=False)
    assert edge.alignment is not None
    return PeerQueryAnswer(
        source=edge.source, target=edge.target, id=given, vector=row.tolist(),
        translated=found(row[None])[0].tolist(), r2_shared=edge.alignment.r2_shared,
        nearest=[
            NearestAnchor(id=own.ids[place], distance=distance)
            for distance, place in zip(near.values.tolist(), near.indices.tolist(), strict=True)
        ],
    )  # fmt: skip


def _find_edge(folder: EmbeddingFolder, source: str) -> PeerEdgeRecord:
    """Return the accepted edge from a peer; the only one where no peer is named."""
    graph = folder.graph()
    edges = {edge.source: edge for edge in graph.edges}
    accepted = [name for name, edge in edges.items() if edge.status is Status.ACCEPTED]
    if not source and len(accepted) == 1:
        source = accepted[0]
    names = list_names(accepted) or "none"
    if source not in edges:
        raise PeerQueryError(
            f"{graph.table.name} has no edge from {source or 'a peer'}: name one with --from; accepted are "
            f"{names}"
        )
    if edges[source].status is not Status.ACCEPTED:
        raise PeerQueryError(f"the edge from {source} was {edges[source].status}: {edges[source].reason}")
    return edges[source]


def _check_vector(vector: Sequence[float], received: StoredTable, source: str) -> torch.Tensor:
    """Return an embedding of a peer as a tensor, [D_i]."""
    row = torch.tensor(list(vector), dtype=torch.float64)
    if row.shape != received.vectors.shape[1:] or not torch.isfinite(row).all():
        raise PeerQueryError(
            f"embeddings of {source} have {received.vectors.shape[1]} finite numbers, got {len(row)}"
        )
    return row


def _find_anchor(ids: Sequence[AnchorId], text: str, source: str) -> AnchorId:
    """Return the id that a text means: all of it, or its beginning where that is unique."""
    if not text:
        return ids[0]
    exact = [each for each in ids if str(each) == text]
    found = exact or [each for each in ids if isinstance(each, str) and each.startswith(text)]
    if len(found) != 1:
        what = "begins with" if found else "is"
        raise PeerQueryError(
            f"{'more than one' if found else 'no'} anchor that {source} has sent {what} {text!r}: the first "
            f"ones are {', '.join(str(each) for each in ids[:2])}"
        )
    return found[0]
