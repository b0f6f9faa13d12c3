"""What one agent holds of its negotiations: who it is, what it may show, and the edges that lead to it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from agents.protocol.messages import AnchorRequest, Offer
from alignment.anchors import AnchorSet, choose_ticks
from alignment.edge_score import EdgeScore
from alignment.linear_map import LinearMap
from alignment.status import Status


@dataclass(frozen=True)
class PeerInfo:
    """Who an agent is, as far as peers need to know.

    Attributes:
        scene: Fingerprint of the scene it lives in.
        checkpoint: Hash of the model that embedded its anchors.
        core_dim: How many leading dimensions are its predictable core; 0 when it found none.
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
    """What the target knows of one edge once it is settled.

    Attributes:
        map: All dimensions of the source's space to all of the target's; None when refused unseen.
        core_map: Orthogonal map between the two cores.
        score: Held-out figures; None when refused unseen.
        budget: Held-out R2 by number of anchors and method.
        lives: Incarnations of source and target that negotiated it.
        bytes: What it took on the wire, both ways.
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
    core_map: LinearMap | None = None
    budget: tuple[Mapping[str, Any], ...] = ()
    anchors: int = 0
    heldout: int = 0
    core_dims: tuple[int, int] = (0, 0)
    incarnations: tuple[int, int] = (0, 0)
    bytes: int = 0


@dataclass(frozen=True)
class AnchorPools:
    """What an agent makes of the ticks that may be compared: [pool, D] each.

    Attributes:
        anchors: From the stretch that maps are fitted on.
        heldout: From the stretch that they are scored on.
    """

    anchors: AnchorSet
    heldout: AnchorSet

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return them as named tensors, for a file."""
        return {
            f"{part}.{name}": tensor
            for part, pool in (("anchors", self.anchors), ("heldout", self.heldout))
            for name, tensor in (("ticks", torch.tensor(pool.ids)), ("vectors", pool.vectors.contiguous()))
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, torch.Tensor], core_dim: int) -> "AnchorPools":
        """Return what `tensors` named.

        Raises:
            KeyError, ValueError: They are not all there, or do not belong together.
        """
        return cls(*(
            AnchorSet(tuple(tensors[f"{part}.ticks"].tolist()), tensors[f"{part}.vectors"], core_dim)
            for part in ("anchors", "heldout")
        ))  # fmt: skip

    def choose(self, offer: Offer, call: AnchorRequest) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the ticks to fit on and the ticks to score on, from the joint seed.

        Raises:
            ValueError: More ticks are asked for than the pools hold.
        """
        seeds = np.random.SeedSequence([offer.nonce, call.nonce]).generate_state(2)
        fit = choose_ticks(self.anchors.ids, call.anchors, int(seeds[0]))
        return fit, choose_ticks(self.heldout.ids, call.heldout, int(seeds[1]))

    def select(self, fit: Iterable[int], held: Iterable[int]) -> torch.Tensor:
        """Return the embeddings of those ticks, [anchors + heldout, D], in that order."""
        return torch.cat([
            self.anchors.vectors[self.anchors.rows(fit)], self.heldout.vectors[self.heldout.rows(held)],
        ])  # fmt: skip
