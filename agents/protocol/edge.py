"""Data of a negotiation: an agent's public description, its anchor pools, and the result for one edge."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from agents.protocol.messages import AnchorRequest
from alignment.anchors import CHOSEN, AnchorSet, choose_spread, choose_ticks
from alignment.edge_score import EdgeScore
from alignment.linear_map import LinearMap
from alignment.status import Status


@dataclass(frozen=True)
class PeerInfo:
    """Description of an agent's published model, as peers receive it.

    Attributes:
        scene: Fingerprint of the scene that its anchors are of.
        checkpoint: Hash of the checkpoint that encoded its anchors.
        core_dim: How many leading dimensions are its core; 0 when it found none.
        collapsed: Whether it found its own encoder collapsed.
    """

    name: str
    scene: str
    kind: str
    checkpoint: str
    dim: int
    core_dim: int
    collapsed: bool


@dataclass(frozen=True)
class EdgeResult:
    """Result of the negotiation of one edge, as its target holds it.

    Attributes:
        map: All dimensions of the source's space to all of the target's; None when nothing was fitted.
        shared_map: Rotation of the directions that the two cores share; None when nothing was fitted.
        regression_map: The same, each direction scaled by its held-out correlation.
        score: Held-out metrics; None when nothing was fitted.
        budget: Held-out R2 by number of anchors and method.
        anchors: Pairs that the maps were fitted on.
        outliers: Further pairs, which contradict those and were left out.
        heldout: Pairs that every score comes from.
        noise: Standard deviations of noise that the source has added to its embeddings, as it says.
        ticks: Ticks of the rows that the source sent, in their order.
        incarnations: Incarnations of source and target that negotiated it.
        reply: The envelope of these rows, which the source signed; empty where there is none.
        source_key: Public key that signed it.
        bytes: Bytes on the wire, both ways.
    """

    source: str
    target: str
    round: int
    status: Status
    reason: str
    source_checkpoint: str
    target_checkpoint: str
    score: EdgeScore | None = None
    map: LinearMap | None = None
    shared_map: LinearMap | None = None
    regression_map: LinearMap | None = None
    budget: tuple[Mapping[str, Any], ...] = ()
    anchors: int = 0
    outliers: int = 0
    heldout: int = 0
    noise: float = 0.0
    ticks: tuple[int, ...] = ()
    core_dims: tuple[int, int] = (0, 0)
    incarnations: tuple[int, int] = (0, 0)
    reply: bytes = b""
    source_key: bytes = b""
    bytes: int = 0


@dataclass(frozen=True)
class ReceivedAnchors:
    """What a source has sent for one edge, once it is found to be what both nonces choose.

    Attributes:
        fit: K ticks to fit on.
        heldout: H ticks to score on.
        embeddings: [K + H, D], of these ticks.
        metric: [D, D], see `alignment.raw_map.raw_metric`; None where raw latents have no scale.
        noise: Standard deviations of noise that the source has added, as it says.
    """

    fit: tuple[int, ...]
    heldout: tuple[int, ...]
    embeddings: torch.Tensor
    metric: torch.Tensor | None
    noise: float


@dataclass(frozen=True)
class AnchorPools:
    """Embeddings of all ticks that peers may compare, [pool_ticks, D] each.

    Attributes:
        anchors: From the stretch that maps are fitted on.
        heldout: From the stretch that they are scored on.
        metric: [D, D], see `alignment.raw_map.raw_metric`; None where raw latents have no scale.
    """

    anchors: AnchorSet
    heldout: AnchorSet
    metric: torch.Tensor | None = None

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the pools as named tensors, for a file."""
        metric = {} if self.metric is None else {"metric": self.metric.contiguous()}
        return metric | {
            f"{pool_name}.{name}": tensor
            for pool_name, pool in (("anchors", self.anchors), ("heldout", self.heldout))
            for name, tensor in (("ticks", torch.tensor(pool.ids)), ("vectors", pool.vectors.contiguous()))
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, torch.Tensor], core_dim: int) -> "AnchorPools":
        """Return the pools that `tensors` named.

        Raises:
            KeyError, ValueError: A tensor is missing, or they do not fit together.
        """
        anchors, heldout = (
            AnchorSet(tuple(tensors[f"{name}.ticks"].tolist()), tensors[f"{name}.vectors"], core_dim)
            for name in ("anchors", "heldout")
        )
        return cls(anchors, heldout, tensors.get("metric"))

    def choose_anchors(self, count: int) -> bytes:
        """Return the `AnchorRequest.chosen` of so many anchors; empty where a random choice is as good."""
        if count > CHOSEN:
            return b""
        return np.array(choose_spread(self.anchors.core(), count), dtype="<u2").tobytes()

    @property
    def stride(self) -> int:
        """Ticks between neighbors in a pool."""
        first, second = (*self.anchors.ids, self.anchors.ids[0] + 1)[:2]
        return second - first

    def choose(self, request: AnchorRequest) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the ticks to fit on and those to score on, from a request and the nonces of both peers.

        Raises:
            ValueError: The request is for more ticks than the pools hold, or for rows that they do not hold.
        """
        seeds = np.random.SeedSequence([request.offer_nonce, request.nonce]).generate_state(2)
        if request.chosen:
            fit = self._chosen_ticks(request)
        else:
            fit = choose_ticks(self.anchors.ids, request.anchors, int(seeds[0]))
        return fit, choose_ticks(self.heldout.ids, request.heldout, int(seeds[1]))

    def _chosen_ticks(self, request: AnchorRequest) -> tuple[int, ...]:
        """Return the ticks of the rows that a request names, ascending."""
        if len(request.chosen) != 2 * request.anchors:
            raise ValueError(f"{len(request.chosen)} bytes do not name {request.anchors} rows")
        rows = sorted(set(np.frombuffer(request.chosen, dtype="<u2").tolist()))
        if len(rows) != request.anchors or rows[-1] >= len(self.anchors.ids):
            raise ValueError("a row is named twice, or the pool does not hold it")
        return tuple(sorted(self.anchors.ids[row] for row in rows))

    def select(self, fit: Iterable[int], heldout: Iterable[int]) -> torch.Tensor:
        """Return the embeddings of those ticks, [anchors + heldout, D], in that order."""
        return torch.cat([
            self.anchors.vectors[self.anchors.rows(fit)],
            self.heldout.vectors[self.heldout.rows(heldout)],
        ])  # fmt: skip
