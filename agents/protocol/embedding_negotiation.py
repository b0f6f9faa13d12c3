"""Negotiation between peers that have embeddings alone: no scene, no model, no ticks.

The messages are those of any negotiation. Where an agent states the fingerprint of its scene, such a peer
states that of its anchor set: the ids of all items that it embeds. Peers of one anchor set name its rows by
their place among the sorted ids. The source sends its embeddings of the whole set, or of as many as fit into
a message, and the target aligns them with its own. Which rows are fitted on and which ones score follows from
the nonces of both, as one seed: `social-jepa align` with that seed finds the same edge.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch

from agents.common.names import MAX_LENGTH, is_name
from agents.protocol.edge import AnchorPools, EdgeResult, PeerInfo, ReceivedAnchors
from agents.protocol.identity import Identity
from agents.protocol.messages import MAX_ABS_SCORE, MAX_REASON, AnchorRequest, Offer, Verdict
from agents.protocol.negotiation import Negotiation
from agents.protocol.precision import MAX_ABS_VALUE
from agents.protocol.settings import NegotiationConfig
from agents.protocol.wire import MAX_ENVELOPE_BYTES
from alignment.anchor_ids import AnchorId, AnchorIds, choose_ids
from alignment.anchors import AnchorSet
from alignment.arrays import AlignmentError
from alignment.embeddings.alignment import align_into, compared_sides
from alignment.embeddings.edge import EmbeddingEdge
from alignment.embeddings.pairs import MIN_HELD, AlignSettings
from alignment.embeddings.table import EmbeddingTable
from alignment.status import Status

KIND: Final = "embeddings"  # of peer, in an offer
MAX_DIM: Final = 4096  # of a table
MAX_ROWS: Final = 8192  # that are sent for one edge
OTHER_BYTES: Final = 4096  # of an envelope with embeddings, beside these
ITEMS, TICKS = "items", "ticks"  # what rows are: without an order, or consecutive ticks


@dataclass(frozen=True)
class EmbeddingResult(EdgeResult):
    """Result of one edge between peers that have embeddings alone.

    Attributes:
        alignment: The edge with its map; None when nothing was fitted.
        seed: That chose which anchors are fitted on.
        rows: Places of the compared anchors among the sorted ids.
        received: [K, D_i], the source's embeddings of them.
    """

    alignment: EmbeddingEdge | None = None
    seed: int = 0
    rows: tuple[int, ...] = ()
    received: torch.Tensor | None = None


@dataclass(frozen=True)
class AnchorTable:
    """What a peer states and sends: its embeddings of an anchor set, in the order of the ids.

    Attributes:
        info: Its public description.
        ids: K ids, ascending.
        vectors: [K, D], float32: what is sent is also what it fits into.
    """

    info: PeerInfo
    ids: AnchorIds
    vectors: torch.Tensor

    @classmethod
    def of(cls, table: EmbeddingTable, time_order: bool = False) -> "AnchorTable":
        """Return the rows and the description that the owner of a table sends.

        Raises:
            AlignmentError: The table has no name for a peer, no ids, too few rows or too many dimensions, or
                holds numbers that cannot be sent.
        """
        if not is_name(table.name):
            raise AlignmentError(
                f"{table.name!r} cannot be the name of a peer",
                f"use at most {MAX_LENGTH} letters, digits, '.', '-' or '_'",
            )
        if table.ids is None:
            raise AlignmentError(
                f"{table.name} has no anchor ids, and rows of two machines have no common order",
                "give ids, for example the SHA-256 of each item: as ids in the file, or with --ids",
            )
        if len(table.ids) < 2 * MIN_HELD:
            raise AlignmentError(
                f"{table.name} has {len(table.ids)} anchors, and at least {2 * MIN_HELD} are needed",
                "embed more items",
            )
        if not 0 < table.dim <= MAX_DIM:
            raise AlignmentError(
                f"{table.name} has {table.dim} dimensions, and 1 to {MAX_DIM} can be sent",
                "reduce it to its leading principal components first",
            )
        order = sorted(range(len(table.ids)), key=table.ids.__getitem__)
        ids: AnchorIds = tuple(table.ids[row] for row in order)  # type: ignore[assignment]
        vectors = table.take(torch.tensor(order)).to(torch.float32)
        if not (vectors.abs() < MAX_ABS_VALUE).all():
            raise AlignmentError(
                f"{table.name} holds a number that exceeds {MAX_ABS_VALUE:,.0f}",
                "divide the table by a constant",
            )
        scene = anchor_set_id(ids, time_order)
        version = hashlib.sha256(scene.encode() + vectors.numpy().astype("<f4").tobytes()).hexdigest()[:16]
        same = bool((vectors == vectors[0]).all())
        return cls(PeerInfo(table.name, scene, KIND, version, table.dim, table.dim, same), ids, vectors)


def anchor_set_id(ids: Sequence[AnchorId], time_order: bool) -> str:
    """Return the name of an anchor set in offers: kind of rows, their number, hash of the sorted ids."""
    found = hashlib.blake2b(digest_size=16)
    for each in sorted(ids):
        text = f"{type(each).__name__} {each}".encode()
        found.update(len(text).to_bytes(4, "big") + text)
    return f"{TICKS if time_order else ITEMS}:{len(ids)}:{found.hexdigest()}"


@dataclass(frozen=True)
class _RowPools(AnchorPools):
    """Rows of an anchor set; the joint seed chooses among them only where they are too many to send.

    Attributes:
        time_order: Whether the rows are consecutive ticks: of these the last ones are sent.
    """

    time_order: bool = False

    def choose_anchors(self, count: int) -> bytes:
        """Return no rows: the nonces choose."""
        return b""

    def choose(self, request: AnchorRequest) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the rows to send, ascending, and none apart: the seed splits them where they are fitted.

        Raises:
            ValueError: The request is for more rows than there are.
        """
        count, rows = request.anchors + request.heldout, self.anchors.ids
        if count > len(rows):
            raise ValueError(f"{count} rows of {len(rows)}")
        if self.time_order:
            return tuple(rows[len(rows) - count :]), ()
        return tuple(sorted(choose_ids(rows, count, joint_seed(request)))), ()


def joint_seed(request: AnchorRequest) -> int:
    """Return the seed that follows from the nonces of both peers, 0 to 2^31 - 1."""
    return int(np.random.SeedSequence([request.offer_nonce, request.nonce]).generate_state(1)[0] >> 1)


class EmbeddingNegotiation(Negotiation):
    """State of the negotiations of a peer that has embeddings alone."""

    def __init__(self, table: AnchorTable, settings: AlignSettings, identity: Identity) -> None:
        """Start without edges.

        Args:
            table: What it sends.
            settings: How it compares; the seed is replaced by the one of both peers.
            identity: Its key. Nonces follow from it: they are the same in every process, and others cannot
                foresee them.
        """
        rows = tuple(range(len(table.ids)))
        own = AnchorSet(rows, table.vectors, table.info.dim)
        entropy = hashlib.sha256(identity.sign(b"social-jepa nonces\0" + table.info.scene.encode())).digest()
        super().__init__(
            table.info, _RowPools(own, own, time_order=table.info.scene.startswith(TICKS)),
            NegotiationConfig(pool_ticks=65536), np.random.default_rng(list(entropy)), memory_rows=1,
        )  # fmt: skip
        self._table, self._settings = table, settings
        self._seeds: dict[str, int] = {}  # by source, of the newest request

    def forget(self, peer: str) -> None:
        """Drop all state about a peer that left or restarted."""
        super().forget(peer)
        self._seeds.pop(peer, None)

    def _make_request(self, offer: Offer, anchors: int, heldout: int) -> AnchorRequest:
        """Return the request for the whole anchor set, or for as many rows as fit into one message."""
        room = (MAX_ENVELOPE_BYTES - OTHER_BYTES) // (4 * offer.dim)
        count = min(len(self._table.ids), MAX_ROWS, room)
        held = round(self._settings.heldout * count)
        request = super()._make_request(offer, max(1, count - held), max(1, held))
        self._seeds[offer.source] = joint_seed(request)
        return request

    def _refusal_reason(self, offer: Offer) -> str:
        own, source = self.peer_info, offer.source
        if offer.kind != KIND:
            return f"{source} is an agent of a scene, and {own.name} has embeddings of an anchor set alone"
        if offer.scene != own.scene:
            return (
                f"{source} has another anchor set ({_words(offer.scene)}) than {own.name} "
                f"({_words(own.scene)}): embed the same items under the same ids, or give both the list of "
                "common ids (--anchors)"
            )[:MAX_REASON]
        same = [name for name, each in ((source, offer), (own.name, own)) if each.collapsed]
        return f"all rows of {same[0]} are the same: check the encoder that made them" if same else ""

    def _fit(self, offer: Offer, received: ReceivedAnchors) -> Verdict:
        seed, fit, embeddings = self._seeds[offer.source], received.fit, received.embeddings
        ids = [self._table.ids[row] for row in fit]
        source = EmbeddingTable(offer.source, ids, embeddings)
        target = EmbeddingTable(self.peer_info.name, ids, self._table.vectors[list(fit)])
        found = None
        try:
            if embeddings.shape[1] < offer.dim:
                raise AlignmentError(
                    f"{offer.source} sent {embeddings.shape[1]} of its {offer.dim} dimensions",
                    "a peer that has embeddings alone sends all of a table",
                )
            found = align_into(compared_sides(source, target, replace(self._settings, seed=seed)))
            status, reason = found.status, found.reason
        except AlignmentError as error:
            status, reason = Status.REFUSED, str(error)
        reason = " ".join(reason.split())[:MAX_REASON]
        self.edges[offer.source] = EmbeddingResult(
            offer.source, self.peer_info.name, offer.round, status, reason, offer.checkpoint,
            self.peer_info.checkpoint, map=found.map.full if found else None,
            shared_map=found.map.shared if found else None, anchors=found.fit_anchors if found else 0,
            outliers=found.outliers if found else 0, heldout=found.heldout_anchors if found else 0,
            ticks=fit, core_dims=(offer.dim, self.peer_info.dim),
            alignment=found, seed=seed, rows=fit, received=embeddings,
        )  # fmt: skip
        return Verdict(
            source=offer.source, target=self.peer_info.name, round=offer.round, status=status, reason=reason,
            shared_dim=found.shared_dim if found else 0,
            r2_shared=max(found.r2_shared, -MAX_ABS_SCORE) if found else 0.0,
            null_correlation=found.null_correlation if found else 0.0,
        )  # fmt: skip

    def _record_edge(self, offer: Offer, status: Status, reason: str, **result: object) -> Verdict:
        """Record an edge that is refused before anything was fitted."""
        verdict = super()._record_edge(offer, status, reason, **result)
        refused = vars(self.edges[offer.source])
        self.edges[offer.source] = EmbeddingResult(**refused | {"core_dims": (offer.dim, self.peer_info.dim)})
        return verdict


def _words(scene: str) -> str:
    """Return an anchor set of an offer in words; any text may come from a peer."""
    kind, count, digest = (*scene.split(":"), "", "")[:3]
    order = ", in the order of time" if kind == TICKS else ""
    return f"{count} anchors{order}, fingerprint {digest[:16]}"
