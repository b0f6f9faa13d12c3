"""One agent's side of its negotiations: messages in, messages out, without clock, socket or Ray.

The target of an edge fits the map, so every agent ends with the maps that lead *into* its own space. It fits
on ticks of one stretch of the scene and scores on ticks of another. Both peers derive the ticks from two
nonces, one of each. The source sends its nonce first, so it cannot choose the ticks; the target could, but it
would only deceive itself, since the verdict is its own.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import torch

from agents.common.streams import NonceStream
from agents.protocol.edge import AnchorPools, EdgeResult, PeerInfo
from agents.protocol.messages import MAX_ABS_SCORE, AnchorReply, AnchorRequest, AnyMessage, Offer, Verdict
from agents.protocol.precision import pack_embeddings, pack_metric
from agents.protocol.settings import NegotiationConfig
from agents.protocol.wire import MessageError
from alignment.anchors import AnchorSet, digest_ids, shared
from alignment.edge_score import EdgeScore, budget_curve, score_edge
from alignment.shared_subspace import HeldOut
from alignment.status import Status

BUDGETS = (2, 4, 8, 16, 32, 64, 128, 256, 512)  # numbers of anchors that the budget curve is measured at


class StaleReplyError(MessageError):
    """Reply that matches no open offer or request: it answers an earlier one, or none was sent.

    Attributes:
        peer: Sender of the reply.
        round: Round that the reply names.
        reply: Type of the message.
    """

    def __init__(self, peer: str, number: int, reply: str) -> None:
        """Keep the fields."""
        super().__init__(peer, number, reply)
        self.peer, self.round, self.reply = peer, number, reply

    def __str__(self) -> str:
        """Return the sentence."""
        return (
            f"{self.peer} sent {self.reply} of round {self.round}, which no open offer or request called for"
        )


@dataclass
class Negotiation:
    """State of one agent's negotiations about its published model.

    Attributes:
        peer_info: Description of this agent's published model.
        pools: Embeddings that it may send and fit on.
        config: How many anchors to request, and when to accept a map.
        rng: Source of this agent's nonces.
        memory_rows: Rows of a pool after which the scene no longer resembles itself.
        edges: Settled edges into this agent, by source.
        verdicts: Verdicts of peers on the edges out of this agent, by target.
    """

    peer_info: PeerInfo
    pools: AnchorPools
    config: NegotiationConfig
    rng: np.random.Generator
    memory_rows: int
    edges: dict[str, EdgeResult] = field(default_factory=dict)
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    _offered: dict[str, Offer] = field(default_factory=dict)  # by target
    _requested: dict[str, tuple[Offer, AnchorRequest]] = field(default_factory=dict)  # by source
    _verdicts_sent: dict[str, Verdict] = field(default_factory=dict)  # by source, on the last request
    _rounds: dict[str, int] = field(default_factory=dict)  # newest offer received, by source
    _secret: int = 0

    def __post_init__(self) -> None:
        """Draw one secret that all nonces derive from, so that the order of messages changes no nonce."""
        self._secret = int(self.rng.integers(2**62))

    def make_offers(self, peers: Iterable[str], number: int = 0) -> list[AnyMessage]:
        """Return an offer to each peer, sorted by name, for the round of this number."""
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
                nonce=self._nonce(NonceStream.OFFER, peer, number),
            )
        return [self._offered[peer] for peer in names]

    def receive(self, message: AnyMessage) -> list[AnyMessage]:
        """Process one message and return the replies to it; idempotent.

        Raises:
            MessageError: The message is for another agent, or contradicts earlier ones.
            StaleReplyError: It replies to no open offer or request.
        """
        if message.receiver != self.peer_info.name:
            raise MessageError(f"a message to {message.receiver} was delivered to {self.peer_info.name}")
        if message.source == message.target:
            raise MessageError(f"source and target are both {message.source}: an edge joins two agents")
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
        """Drop all state about a peer that left or restarted."""
        for by_peer in (
            self.edges,
            self.verdicts,
            self._offered,
            self._requested,
            self._verdicts_sent,
            self._rounds,
        ):
            by_peer.pop(peer, None)

    def _nonce(self, purpose: NonceStream, peer: str, number: int, offer_nonce: int = 0) -> int:
        entropy = [purpose, self._secret, number, offer_nonce, *peer.encode()]
        return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0]) >> 1

    def _on_offer(self, offer: Offer) -> list[AnyMessage]:
        if offer.core_dim > offer.dim:
            raise MessageError(f"{offer.source} offers a core of {offer.core_dim} in {offer.dim} dimensions")
        newest = self._rounds.get(offer.source, 0)
        if offer.round < newest:
            raise MessageError(f"{offer.source} offers round {offer.round} after round {newest}")
        self._rounds[offer.source] = offer.round
        reason = self._refusal_reason(offer)
        if reason:
            self._requested.pop(offer.source, None)
            return [self._record_edge(offer, Status.REFUSED, reason)]
        request = self._make_request(offer, self.config.anchors, self.config.heldout)
        if self._requested.get(offer.source) != (offer, request):
            self._requested[offer.source] = (offer, request)
            self._verdicts_sent.pop(offer.source, None)
        return [request]

    def _make_request(self, offer: Offer, anchors: int, heldout: int) -> AnchorRequest:
        """Return the request for an offer: for so many anchors to fit on, and so many to score on."""
        # derived from the source's nonce too: otherwise the source could offer again until it likes the ticks
        nonce = self._nonce(NonceStream.REQUEST, offer.source, offer.round, offer.nonce)
        return AnchorRequest(
            source=offer.source, target=self.peer_info.name, round=offer.round,
            anchors=anchors, heldout=heldout, nonce=nonce, chosen=self.pools.choose_anchors(anchors),
            dims=self.config.sent_dims(offer.dim), precision=self.config.precision,
        )  # fmt: skip

    def _refusal_reason(self, offer: Offer) -> str:
        if offer.scene != self.peer_info.scene:
            return f"{offer.source} is in another scene ({offer.scene}, here {self.peer_info.scene})"
        for name, collapsed, core in (
            (offer.source, offer.collapsed, offer.core_dim),
            (self.peer_info.name, self.peer_info.collapsed, self.peer_info.core_dim),
        ):
            if collapsed or core == 0:
                return f"the encoder of {name} collapsed: its latents do not follow the scene"
        return ""

    def _matching_offer(self, reply: AnchorRequest | Verdict) -> Offer:
        offer = self._offered.get(reply.target)
        if offer is None or offer.round != reply.round:
            raise StaleReplyError(reply.target, reply.round, type(reply).__name__)
        return offer

    def _on_anchor_request(self, request: AnchorRequest) -> list[AnyMessage]:
        offer = self._matching_offer(request)
        if request.dims > offer.dim:
            raise MessageError(f"{request.target} requests {request.dims} of {offer.dim} dimensions")
        try:
            fit, heldout = self.pools.choose(offer, request)
        except ValueError as error:
            raise MessageError(
                f"{request.target} requests {request.anchors} anchors and {request.heldout} held-out ticks, "
                f"and the pools hold {len(self.pools.anchors.ids)} and {len(self.pools.heldout.ids)}: {error}"
            ) from error
        embeddings = self.pools.select(fit, heldout)[:, : request.dims].to(torch.float32)
        metric = self.pools.metric
        return [
            AnchorReply(
                source=self.peer_info.name,
                target=request.target,
                round=request.round,
                digest=digest_ids(fit + heldout),
                rows=len(embeddings),
                dim=embeddings.shape[1],
                precision=request.precision,
                data=pack_embeddings(embeddings.numpy(), request.precision),
                metric=b"" if metric is None else pack_metric(metric[: request.dims, : request.dims].numpy()),
            )
        ]

    def _on_anchor_reply(self, reply: AnchorReply) -> list[AnyMessage]:
        offer, request = self._requested.get(reply.source, (None, None))
        if offer is None or request is None or request.round != reply.round:
            raise StaleReplyError(reply.source, reply.round, type(reply).__name__)
        fit, heldout = self.pools.choose(offer, request)
        if reply.digest != digest_ids(fit + heldout) or reply.rows != len(fit + heldout):
            raise MessageError(f"{reply.source} sent anchors of other ticks than both nonces choose")
        if (reply.dim, reply.precision) != (request.dims, request.precision):
            raise MessageError(
                f"{reply.source} sent {reply.dim} dimensions in {reply.precision}, not the requested "
                f"{request.dims} in {request.precision}"
            )
        embeddings, metric = torch.from_numpy(reply.embeddings()), reply.raw_metric()
        # only the first reply is fitted: a source cannot retry until the verdict suits it
        if reply.source not in self._verdicts_sent:
            self._verdicts_sent[reply.source] = self._fit(offer, embeddings, metric, fit, heldout)
        return [self._verdicts_sent[reply.source]]

    def _fit(
        self, offer: Offer, embeddings: torch.Tensor, metric: np.ndarray | None, fit: tuple[int, ...],
        heldout: tuple[int, ...],
    ) -> Verdict:  # fmt: skip
        sent_core = min(offer.core_dim, embeddings.shape[1])
        fit_pair = shared(AnchorSet(fit, embeddings[: len(fit)], sent_core), self.pools.anchors)
        held = HeldOut(
            source=embeddings[len(fit) :], stretch=self.pools.heldout.vectors,
            rows=torch.tensor(self.pools.heldout.rows(heldout)), memory=self.memory_rows,
        )  # fmt: skip
        core_dims = (sent_core, self.peer_info.core_dim)
        seed = self._nonce(NonceStream.BUDGET, offer.source, offer.round, offer.nonce)
        metrics = None
        if metric is not None and self.pools.metric is not None:
            metrics = (torch.from_numpy(metric), self.pools.metric)
        maps, core, score = score_edge(fit_pair, held, core_dims, self.config.ridge, metrics)
        budgets = [anchors for anchors in BUDGETS if anchors <= len(fit)]
        generator = torch.Generator().manual_seed(seed)
        curve = budget_curve(fit_pair, held, budgets, core_dims, core, generator)
        status, reason = self._decide(offer, score, core.undetermined, sent_core)
        return self._record_edge(
            offer, status, reason, score=score, map=maps.full.widened(offer.dim),
            shared_map=maps.shared.widened(offer.core_dim),
            regression_map=maps.regression.widened(offer.core_dim), budget=tuple(curve), anchors=len(fit),
            heldout=len(heldout), core_dims=(offer.core_dim, self.peer_info.core_dim),
        )  # fmt: skip

    def _decide(
        self, offer: Offer, score: EdgeScore, undetermined: int, sent_core: int
    ) -> tuple[Status, str]:
        if score.shared_dim == 0:
            left = f"; the anchors leave {undetermined} directions undetermined" if undetermined else ""
            return Status.REFUSED, (
                f"no direction of the two cores is shared: the strongest correlation on held-out ticks "
                f"({score.correlations[0]:.2f}) does not exceed that of time shifts "
                f"({score.null_correlation:.2f}){left}"
            )
        if score.r2_shared <= 0:
            return Status.REFUSED, (
                f"the shared directions translate no better than their mean (held-out R2 "
                f"{score.r2_shared:.2f}): the embeddings of {offer.source} or {self.peer_info.name} are not "
                "white, or the correlations are below a half"
            )
        ends = ((offer.source, sent_core), (self.peer_info.name, self.peer_info.core_dim))
        private = [
            f"{dim - score.shared_dim} of {dim} of {name}" for name, dim in ends if dim > score.shared_dim
        ]
        remarks = []
        if private:
            verb = "direction is" if score.shared_dim == 1 else "directions are"
            remarks.append(f"{score.shared_dim} {verb} shared, private are {', '.join(private)}")
        if sent_core < offer.core_dim:
            remarks.append(
                f"{sent_core} of the {offer.core_dim} core dimensions of {offer.source} were sent: raise "
                "negotiation.dims to compare the others"
            )
        if undetermined:
            plural = "" if undetermined == 1 else "s"
            remarks.append(
                f"the anchors leave {undetermined} direction{plural} of the cores undetermined: "
                "raise negotiation.anchors"
            )
        return Status.ACCEPTED, "; ".join(remarks)

    def _record_edge(self, offer: Offer, status: Status, reason: str, **result: object) -> Verdict:
        score = result.get("score")
        self.edges[offer.source] = EdgeResult(
            offer.source,
            self.peer_info.name,
            offer.round,
            status,
            reason,
            offer.checkpoint,
            self.peer_info.checkpoint,
            **result,  # type: ignore[arg-type]
        )
        return Verdict(
            source=offer.source, target=self.peer_info.name, round=offer.round, status=status, reason=reason,
            shared_dim=score.shared_dim if isinstance(score, EdgeScore) else 0,
            r2_shared=max(score.r2_shared, -MAX_ABS_SCORE) if isinstance(score, EdgeScore) else 0.0,
            null_correlation=score.null_correlation if isinstance(score, EdgeScore) else 0.0,
        )  # fmt: skip
