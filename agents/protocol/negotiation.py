"""One agent's side of its negotiations: messages in, messages out, without clock, socket or Ray.

The target of an edge fits the map, so every agent ends with the maps that lead *into* its own space. It fits
on ticks of one stretch of the scene and scores on ticks of another. Both peers derive the ticks from two
nonces, one of each. The source sends its nonce first, and the target keeps the first one that it gets for a
model, so the source cannot choose the ticks of a model; the target could, but it would only deceive itself,
since the verdict is its own. Pairs to fit on that contradict all others are left out (`alignment.outliers`);
pairs to score on never are.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from agents.common.limits import MAX_DIM
from agents.common.streams import NonceStream
from agents.protocol.edge import AnchorPools, EdgeResult, PeerInfo, ReceivedAnchors
from agents.protocol.messages import (
    MAX_ABS_SCORE,
    MAX_REASON,
    AnchorReply,
    AnchorRequest,
    AnyMessage,
    Offer,
    Verdict,
)
from agents.protocol.precision import pack_embeddings, pack_metric
from agents.protocol.privacy import coarser, protect, stated_noise
from agents.protocol.settings import NOISE_STEPS, NegotiationConfig
from agents.protocol.states import SOURCE_STEPS, TARGET_STEPS, Received, SourceState, TargetState
from agents.protocol.wire import MessageError, OvertakenOfferError, StaleReplyError
from alignment.anchors import AnchorSet, digest_ids, shared
from alignment.edge_score import EdgeScore, budget_curve, score_edge
from alignment.held_out import HeldOut
from alignment.outliers import find_outliers
from alignment.status import Status


@dataclass
class Negotiation:
    """State of one agent's negotiations about its published model.

    Attributes:
        peer_info: Description of this agent's published model.
        pools: Embeddings that it may send and fit on.
        config: How many anchors to request, and when to accept a map.
        rng: Source of this agent's nonces.
        memory_rows: Rows of a pool after which the scene no longer resembles itself.
        noise_key: Secret of its noise; `PeerProtocol` sets that of the agent's own key.
        edges: Settled edges into this agent, by source.
        verdicts: Verdicts of peers on the edges out of this agent, by target.
    """

    peer_info: PeerInfo
    pools: AnchorPools
    config: NegotiationConfig
    rng: np.random.Generator
    memory_rows: int
    noise_key: bytes = b""
    edges: dict[str, EdgeResult] = field(default_factory=dict)
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    _offered: dict[str, Offer] = field(default_factory=dict)  # by target
    _outgoing: dict[str, SourceState] = field(default_factory=dict)  # by target
    _incoming: dict[str, TargetState] = field(default_factory=dict)  # by source
    _offers: dict[str, Offer] = field(default_factory=dict)  # by source: of the request or the edge
    _requests: dict[str, AnchorRequest] = field(default_factory=dict)  # by source
    _verdicts_sent: dict[str, Verdict] = field(default_factory=dict)  # by source, on the settled edge
    _rounds: dict[str, int] = field(default_factory=dict)  # newest offer received, by source
    _nonces: dict[str, int] = field(default_factory=dict)  # of all offers of this model, by target
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
                pool_ticks=len(self.pools.anchors.ids),
                pool_stride=self.pools.stride,
                # a later round compares the same ticks: a peer may answer the offer of another one
                nonce=self._nonces.setdefault(peer, self._nonce(NonceStream.OFFER, peer, number)),
            )
            self._outgoing[peer] = SourceState.OFFERED
        return [self._offered[peer] for peer in names]

    def repeat_offer(self, peer: str) -> Offer:
        """Return the newest offer to a peer once more: another round would compare other ticks.

        Raises:
            KeyError: None was made.
        """
        return self._offered[peer]

    def state_of_edge_to(self, peer: str) -> SourceState:
        """Return the state of the edge from this agent to a peer."""
        return self._outgoing.get(peer, SourceState.NONE)

    def state_of_edge_from(self, peer: str) -> TargetState:
        """Return the state of the edge from a peer to this agent."""
        return self._incoming.get(peer, TargetState.NONE)

    def receive(self, message: AnyMessage) -> list[AnyMessage]:
        """Process one message and return the replies to it; idempotent.

        Raises:
            MessageError: The message is for another agent, or contradicts earlier ones.
            OvertakenOfferError: A later offer has overtaken this one.
            StaleReplyError: It replies to no open offer or request.
        """
        if message.receiver != self.peer_info.name:
            raise MessageError(f"a message to {message.receiver} was delivered to {self.peer_info.name}")
        if message.source == message.target:
            raise MessageError(f"source and target are both {message.source}: an edge joins two agents")
        match message:
            case Offer() | AnchorReply():
                return self._receive_as_target(message)
            case AnchorRequest() | Verdict():
                return self._receive_as_source(message)
        return []

    def _receive_as_target(self, message: Offer | AnchorReply) -> list[AnyMessage]:
        source = message.source
        received = (
            self._classify_offer(message) if isinstance(message, Offer) else self._classify_reply(message)
        )
        action, state = TARGET_STEPS[self.state_of_edge_from(source), received]
        replies = getattr(self, f"_{action}")(message)
        self._incoming[source] = state
        if isinstance(message, Offer):
            self._rounds[source] = message.round
        return replies

    def _receive_as_source(self, message: AnchorRequest | Verdict) -> list[AnyMessage]:
        offer = self._offered.get(message.target)
        matches = offer is not None and offer.round == message.round
        if isinstance(message, AnchorRequest):
            received = Received.REQUEST if matches else Received.OTHER_REQUEST
        else:
            received = Received.VERDICT if matches else Received.OTHER_VERDICT
        action, state = SOURCE_STEPS[self.state_of_edge_to(message.target), received]
        replies = getattr(self, f"_{action}")(message)
        self._outgoing[message.target] = state
        return replies

    def forget(self, peer: str) -> None:
        """Drop all state about a peer that left or restarted, but for the nonce that it may have kept."""
        for by_peer in (
            self.edges,
            self.verdicts,
            self._offered,
            self._outgoing,
            self._incoming,
            self._offers,
            self._requests,
            self._verdicts_sent,
            self._rounds,
        ):
            by_peer.pop(peer, None)

    def _nonce(self, purpose: NonceStream, peer: str, number: int = 0, offer_nonce: int = 0) -> int:
        entropy = [purpose, self._secret, number, offer_nonce, *peer.encode()]
        return int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0]) >> 1

    def _classify_offer(self, offer: Offer) -> Received:
        if offer.core_dim > offer.dim:
            raise MessageError(f"{offer.source} offers a core of {offer.core_dim} in {offer.dim} dimensions")
        if offer.round < self._rounds.get(offer.source, 0):
            return Received.OLD_OFFER
        known = self._offers.get(offer.source)
        if known is not None and offer.describes_model_of(known):
            return Received.SAME_OFFER
        return Received.UNFIT_OFFER if self._refusal_reason(offer) else Received.NEW_OFFER

    def _classify_reply(self, reply: AnchorReply) -> Received:
        request = self._requests.get(reply.source)
        matches = request is not None and request.round == reply.round
        return Received.REPLY if matches else Received.OTHER_REPLY

    def _reject(self, message: Offer | AnchorRequest | AnchorReply | Verdict) -> list[AnyMessage]:
        """Raise the error of a message that no rule handles otherwise."""
        newest = self._rounds.get(message.sender, 0)
        if isinstance(message, Offer):
            raise OvertakenOfferError(message.source, message.round, newest)
        if not message.sent_by_source:
            offered = self._offered.get(message.target)
            newest = offered.round if offered else 0
        overtaken = message.round < newest
        raise StaleReplyError(message.sender, message.round, type(message).__name__, overtaken)

    def _request_anchors(self, offer: Offer) -> list[AnyMessage]:
        request = self._make_request(offer, self.config.anchors, self.config.heldout)
        self._offers[offer.source], self._requests[offer.source] = offer, request
        return [request]

    def _make_request(self, offer: Offer, anchors: int, heldout: int) -> AnchorRequest:
        """Return the request for an offer: for so many anchors to fit on, and so many to score on."""
        # derived from the source's nonce too: otherwise the source could offer again until it likes the ticks
        nonce = self._nonce(NonceStream.REQUEST, offer.source, offer_nonce=offer.nonce)
        return AnchorRequest(
            source=offer.source, target=self.peer_info.name, round=offer.round,
            anchors=anchors, heldout=heldout, offer_nonce=offer.nonce, nonce=nonce,
            chosen=self.pools.choose_anchors(anchors), dims=self.config.sent_dims(offer.dim),
            precision=self.config.precision,
        )  # fmt: skip

    def _repeat_request(self, offer: Offer) -> list[AnyMessage]:
        """Request the same ticks once more: another nonce would let the source try which ticks suit it."""
        request = self._requests[offer.source].of_round(offer.round)
        self._requests[offer.source] = request
        self._offers[offer.source] = self._offers[offer.source].of_round(offer.round)  # what its edge states
        return [request]

    def _refuse_edge(self, offer: Offer) -> list[AnyMessage]:
        self._offers[offer.source] = offer
        self._requests.pop(offer.source, None)
        verdict = self._record_edge(offer, Status.REFUSED, self._refusal_reason(offer))
        self._verdicts_sent[offer.source] = verdict
        return [verdict]

    def _repeat_verdict(self, message: Offer | AnchorReply) -> list[AnyMessage]:
        if isinstance(message, AnchorReply):  # of other embeddings it changes nothing, and is not read
            edge = self.edges[message.source]
            self._check_digest(message, edge.ticks, edge.source_checkpoint)
        return [self._verdicts_sent[message.source].of_round(message.round)]

    def _refusal_reason(self, offer: Offer) -> str:
        if offer.scene != self.peer_info.scene:
            return (
                f"the anchors of {offer.source} are of another scene ({offer.scene}, here "
                f"{self.peer_info.scene}): give both the same scene, and the same seed or "
                "negotiation.anchor_seed"
            )
        if offer.dim > MAX_DIM:
            return f"the model of {offer.source} has {offer.dim} dimensions; at most {MAX_DIM} are compared"
        own = (len(self.pools.anchors.ids), self.pools.stride)
        if (offer.pool_ticks, offer.pool_stride) != own:
            return (
                f"{offer.source} compares {offer.pool_ticks} ticks, {offer.pool_stride} apart, and "
                f"{self.peer_info.name} {own[0]}, {own[1]} apart: give both the same negotiation.pool_ticks "
                "and negotiation.pool_stride"
            )
        for name, collapsed, core in (
            (offer.source, offer.collapsed, offer.core_dim),
            (self.peer_info.name, self.peer_info.collapsed, self.peer_info.core_dim),
        ):
            if collapsed or core == 0:
                return f"the encoder of {name} collapsed: its latents do not follow the scene"
        return ""

    def _keep_verdict(self, verdict: Verdict) -> list[AnyMessage]:
        self.verdicts[verdict.target] = verdict
        return []

    def _send_anchors(self, request: AnchorRequest) -> list[AnyMessage]:
        offer = self._offered[request.target]
        if request.dims > offer.dim:
            raise MessageError(f"{request.target} requests {request.dims} of {offer.dim} dimensions")
        try:
            fit, heldout = self.pools.choose(request)
        except ValueError as error:
            raise MessageError(
                f"{request.target} requests {request.anchors} anchors and {request.heldout} held-out ticks, "
                f"and the pools hold {len(self.pools.anchors.ids)} and {len(self.pools.heldout.ids)}: {error}"
            ) from error
        embeddings = protect(
            self.pools.select(fit, heldout)[:, : request.dims], fit + heldout, offer.checkpoint, self.config,
            self.noise_key,
        )  # fmt: skip
        dim, precision = embeddings.shape[1], coarser(request.precision, self.config.precision)
        metric = self.pools.metric
        return [
            AnchorReply(
                source=self.peer_info.name,
                target=request.target,
                round=request.round,
                digest=digest_ids(fit + heldout, offer.checkpoint),
                rows=len(embeddings),
                dim=dim,
                precision=precision,
                noise=stated_noise(self.config.noise),
                data=pack_embeddings(embeddings.numpy(), precision),
                metric=b"" if metric is None else pack_metric(metric[:dim, :dim].numpy()),
            )
        ]

    @staticmethod
    def _check_digest(reply: AnchorReply, ticks: Sequence[int], checkpoint: str) -> None:
        """Raise MessageError unless a reply is about this model and these ticks."""
        if reply.digest != digest_ids(ticks, checkpoint) or reply.rows != len(ticks):
            raise MessageError(
                f"{reply.source} sent anchors of another model, or of other ticks than both nonces choose"
            )

    def _check_reply(self, reply: AnchorReply) -> ReceivedAnchors:
        """Return the rows and the precision of a reply to a request."""
        offer, request = self._offers[reply.source], self._requests[reply.source]
        fit, heldout = self.pools.choose(request)
        self._check_digest(reply, fit + heldout, offer.checkpoint)
        if reply.dim > request.dims or coarser(reply.precision, request.precision) != reply.precision:
            raise MessageError(
                f"{reply.source} sent {reply.dim} dimensions in {reply.precision}, more than the requested "
                f"{request.dims} in {request.precision}"
            )
        metric, embeddings = reply.raw_metric(), torch.from_numpy(reply.embeddings())
        raw = None if metric is None else torch.from_numpy(metric)
        return ReceivedAnchors(fit, heldout, embeddings, raw, reply.noise / NOISE_STEPS)

    def _settle_edge(self, reply: AnchorReply) -> list[AnyMessage]:
        verdict = self._fit(self._offers[reply.source], self._check_reply(reply))
        self._verdicts_sent[reply.source] = verdict = verdict.of_round(reply.round)
        return [verdict]

    def _fit(self, offer: Offer, received: ReceivedAnchors) -> Verdict:
        fit, heldout, embeddings = received.fit, received.heldout, received.embeddings
        sent_core = min(offer.core_dim, embeddings.shape[1])
        fit_pair = self._without_outliers(AnchorSet(fit, embeddings[: len(fit)], sent_core))
        held = HeldOut(
            source=embeddings[len(fit) :], stretch=self.pools.heldout.vectors,
            rows=torch.tensor(self.pools.heldout.rows(heldout)), memory=self.memory_rows,
        )  # fmt: skip
        core_dims = (sent_core, self.peer_info.core_dim)
        seed = self._nonce(NonceStream.BUDGET, offer.source, offer_nonce=offer.nonce)
        metrics = None
        if received.metric is not None and self.pools.metric is not None:
            metrics = (received.metric, self.pools.metric)
        maps, core, score = score_edge(fit_pair, held, core_dims, self.config.ridge, metrics)
        budgets = sorted({anchors for anchors in self.config.budgets if anchors <= len(fit_pair[0])})
        generator = torch.Generator().manual_seed(seed)
        curve = budget_curve(fit_pair, held, budgets, core_dims, core, generator, self.config.ridge)
        status, reason = self._decide(offer, score, core.undetermined, sent_core)
        left_out = len(fit) - len(fit_pair[0])
        remarks = [reason] if reason else []
        if received.noise:
            remarks.insert(0, f"{offer.source} adds noise of {received.noise:g} standard deviations")
        if left_out:
            found = f"{left_out} of {len(fit)} anchors of {offer.source} contradict the others: left out"
            remarks.insert(0, found)
        reason = "; ".join(remarks)
        return self._record_edge(
            offer, status, reason, score=score, map=maps.full.widened(offer.dim),
            shared_map=maps.shared.widened(offer.core_dim),
            regression_map=maps.regression.widened(offer.core_dim), budget=tuple(curve),
            anchors=len(fit_pair[0]), outliers=left_out, heldout=len(heldout), noise=received.noise,
            ticks=fit + heldout,
            core_dims=(offer.core_dim, self.peer_info.core_dim),
        )  # fmt: skip

    def _without_outliers(self, anchors: AnchorSet) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the pairs to fit on; those of an honest source are all that it sent."""
        source, target = shared(anchors, self.pools.anchors)
        outliers = find_outliers(source[:, : anchors.core_dim], target[:, : self.peer_info.core_dim])
        return (source[~outliers], target[~outliers]) if outliers.any() else (source, target)

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
        reason = reason[:MAX_REASON]  # of long names it would be too long to send
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
