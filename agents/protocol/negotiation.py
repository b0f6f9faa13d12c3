"""One side of agreeing on maps: messages in, messages out; no clock, no socket, no Ray.

The target of an edge fits, so every agent ends with the maps that lead *into* its own space. It fits on
ticks of one stretch of the scene and scores on ticks of another; both peers derive the ticks from two
nonces, one from each. The source speaks first and so cannot choose what it is asked; the target could, but
it is the judge anyway.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import torch

from agents.protocol.edge import AnchorPools, EdgeResult, PeerInfo
from agents.protocol.messages import (
    LARGEST_SCORE,
    AnchorReply,
    AnchorRequest,
    AnyMessage,
    Offer,
    Verdict,
)
from agents.protocol.settings import NegotiationConfig
from agents.protocol.wire import MessageError
from alignment.anchors import AnchorSet, digest_ids, shared
from alignment.edge_score import EdgeScore, budget_curve, score_edge
from alignment.status import Status

BUDGETS = (2, 4, 8, 16, 32, 64, 128, 256, 512)
OFFER, CALL, SHUFFLE = range(3)  # what a number is drawn for: who knows one can say nothing of another


@dataclass
class Negotiation:
    """One agent's side of all its negotiations.

    Attributes:
        card: Who this agent is.
        pools: What it makes of the ticks.
        rng: Draws this agent's nonces; nobody else's.
        edges: Settled edges into this agent, by source.
        verdicts: What peers said of the edges out of this agent, by target.
    """

    peer_info: PeerInfo
    pools: AnchorPools
    config: NegotiationConfig
    rng: np.random.Generator
    edges: dict[str, EdgeResult] = field(default_factory=dict)
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    _offered: dict[str, Offer] = field(default_factory=dict)  # by target
    _requested: dict[str, tuple[Offer, AnchorRequest]] = field(default_factory=dict)  # by source
    _verdicts_sent: dict[str, Verdict] = field(default_factory=dict)  # by source; what came of that call
    _rounds: dict[str, int] = field(default_factory=dict)  # newest offer heard, by source
    _secret: int = 0

    def __post_init__(self) -> None:
        """Draw once what all nonces follow from, so that the order in which peers speak changes none."""
        self._secret = int(self.rng.integers(2**62))

    def make_offers(self, peers: Iterable[str], number: int = 0) -> list[AnyMessage]:
        """Offer this agent's space to its peers, in the round of this number."""
        names = sorted(peers)
        for peer in names:
            self._offered[peer] = Offer(
                source=self.peer_info.name,
                target=peer,
                round=number,
                scene=self.peer_info.scene,
                kind=self.peer_info.kind,
                checkpoint=self.peer_info.checkpoint,
                dim=self.peer_info.dim,
                core_dim=self.peer_info.core_dim,
                collapsed=self.peer_info.collapsed,
                nonce=self._nonce(OFFER, peer, number),
            )
        return [self._offered[peer] for peer in names]

    def receive(self, message: AnyMessage) -> list[AnyMessage]:
        """Take one message and return the replies it calls for; hearing it twice changes nothing.

        Raises:
            MessageError: The message is not for this agent, or does not follow from what was said before.
        """
        if message.receiver != self.peer_info.name:
            raise MessageError(f"a message for {message.receiver} reached {self.peer_info.name}")
        if message.source == message.target:
            raise MessageError(f"{message.source} has no need of a map to itself")
        match message:
            case Offer():
                return self._on_offer(message)
            case AnchorRequest():
                return self._on_anchor_request(message)
            case AnchorReply():
                return self._on_anchor_reply(message)
            case Verdict():
                self._matching_offer(message)
                self.verdicts[message.target] = message
        return []

    def forget(self, peer: str) -> None:
        """Let go of all that was said with a peer that left, or that begins a new life."""
        for known in (
            self.edges,
            self.verdicts,
            self._offered,
            self._requested,
            self._verdicts_sent,
            self._rounds,
        ):
            known.pop(peer, None)

    def _nonce(self, purpose: int, peer: str, number: int, heard: int = 0) -> int:
        entropy = [purpose, self._secret, number, heard, *peer.encode()]
        return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0]) >> 1

    def _on_offer(self, offer: Offer) -> list[AnyMessage]:
        if offer.core_dim > offer.dim:
            raise MessageError(f"{offer.source} offers a core of {offer.core_dim} in {offer.dim} dimensions")
        if offer.round < self._rounds.get(offer.source, 0):
            raise MessageError(f"round {offer.round} with {offer.source} is already closed on this side")
        self._rounds[offer.source] = offer.round
        reason = self._refusal_reason(offer)
        if reason:
            self._requested.pop(offer.source, None)
            return [self._record_edge(offer, Status.REFUSED, reason)]
        # the source's nonce goes into this one: were they independent, a second offer could pick the ticks
        nonce = self._nonce(CALL, offer.source, offer.round, offer.nonce)
        call = AnchorRequest(
            source=offer.source, target=self.peer_info.name, round=offer.round,
            anchors=self.config.anchors, heldout=self.config.heldout, nonce=nonce,
        )  # fmt: skip
        if self._requested.get(offer.source) != (offer, call):
            self._requested[offer.source] = (offer, call)
            self._verdicts_sent.pop(offer.source, None)
        return [call]

    def _refusal_reason(self, offer: Offer) -> str:
        if offer.scene != self.peer_info.scene:
            return f"{offer.source} lives in another scene ({offer.scene}, here {self.peer_info.scene})"
        for name, collapsed, core in (
            (offer.source, offer.collapsed, offer.core_dim),
            (self.peer_info.name, self.peer_info.collapsed, self.peer_info.core_dim),
        ):
            if collapsed or core == 0:
                return f"the encoder of {name} collapsed: its codes do not follow the scene"
        return ""

    def _matching_offer(self, answer: AnchorRequest | Verdict) -> Offer:
        offer = self._offered.get(answer.target)
        if offer is None or offer.round != answer.round:
            raise MessageError(f"{answer.target} answers an offer that was not made (round {answer.round})")
        return offer

    def _on_anchor_request(self, call: AnchorRequest) -> list[AnyMessage]:
        offer = self._matching_offer(call)
        try:
            fit, held = self.pools.choose(offer, call)
        except ValueError as error:
            raise MessageError(f"{call.target} asks for what is not there: {error}") from error
        vectors = self.pools.select(fit, held).to(torch.float32)
        data = vectors.numpy().astype("<f4").tobytes()
        return [
            AnchorReply(
                source=self.peer_info.name,
                target=call.target,
                round=call.round,
                digest=digest_ids(fit + held),
                rows=len(vectors),
                dim=vectors.shape[1],
                data=data,
            )
        ]

    def _on_anchor_reply(self, message: AnchorReply) -> list[AnyMessage]:
        offer, call = self._requested.get(message.source, (None, None))
        if offer is None or call is None or call.round != message.round:
            raise MessageError(
                f"{message.source} sends anchors that were not called for (round {message.round})"
            )
        fit, held = self.pools.choose(offer, call)
        if message.digest != digest_ids(fit + held) or message.rows != len(fit + held):
            raise MessageError(f"{message.source} speaks of other ticks than were agreed on")
        if message.dim != offer.dim:
            raise MessageError(f"{message.source} offered {offer.dim} dimensions and sends {message.dim}")
        theirs = torch.from_numpy(message.vectors())
        # only the first showing counts: nobody tries again until it is liked
        if message.source not in self._verdicts_sent:
            self._verdicts_sent[message.source] = self._fit(offer, theirs, fit, held)
        return [self._verdicts_sent[message.source]]

    def _fit(
        self, offer: Offer, theirs: torch.Tensor, fit: tuple[int, ...], held: tuple[int, ...]
    ) -> Verdict:
        fit_pair = shared(AnchorSet(fit, theirs[: len(fit)], offer.core_dim), self.pools.anchors)
        held_pair = shared(AnchorSet(held, theirs[len(fit) :], offer.core_dim), self.pools.heldout)
        cores = (offer.core_dim, self.peer_info.core_dim)
        seed = self._nonce(SHUFFLE, offer.source, offer.round, offer.nonce)
        generator = torch.Generator().manual_seed(seed)
        maps, score = score_edge(fit_pair, held_pair, cores, generator, ridge=self.config.ridge)
        budgets = [pairs for pairs in BUDGETS if pairs <= len(fit)]
        curve = budget_curve(fit_pair, held_pair, budgets, cores, generator)
        status, reason = self._decide(score, cores)
        return self._record_edge(
            offer, status, reason, score=score, map=maps.full, core_map=maps.core, budget=tuple(curve),
            anchors=len(fit), heldout=len(held), core_dims=cores,
        )  # fmt: skip

    def _decide(self, score: EdgeScore, cores: tuple[int, int]) -> tuple[Status, str]:
        best, chance = score.spectrum[0], score.null_spectrum[0]
        if best <= chance:
            return Status.REFUSED, (
                f"its strongest common direction ({best:.2f}) does not beat shuffled pairs ({chance:.2f})"
            )
        if score.r2_core <= max(score.null_r2, 0.0) + self.config.min_r2_margin:
            return Status.REFUSED, (
                f"held-out R2 {score.r2_core:.2f} between the cores does not beat shuffled pairs "
                f"({score.null_r2:.2f}) by {self.config.min_r2_margin:g}"
            )
        if cores[0] != cores[1]:
            return (
                Status.ACCEPTED,
                f"the cores differ: {cores[0]} dimensions at the source, {cores[1]} at the target",
            )
        return Status.ACCEPTED, ""

    def _record_edge(self, offer: Offer, status: Status, reason: str, **found: object) -> Verdict:
        score = found.get("score")
        self.edges[offer.source] = EdgeResult(
            offer.source,
            self.peer_info.name,
            offer.round,
            status,
            reason,
            offer.checkpoint,
            self.peer_info.checkpoint,
            **found,  # type: ignore[arg-type]
        )
        return Verdict(
            source=offer.source, target=self.peer_info.name, round=offer.round, status=status, reason=reason,
            r2_core=max(score.r2_core, -LARGEST_SCORE) if isinstance(score, EdgeScore) else 0.0,
            null_r2=max(score.null_r2, -LARGEST_SCORE) if isinstance(score, EdgeScore) else 0.0,
        )  # fmt: skip
