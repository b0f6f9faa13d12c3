"""The states of a negotiation and what happens in each: tables that the negotiation itself reads.

Every edge has two ends. The source has offered its model or not, and has a verdict or not; the target has
requested anchors or not, and has settled the edge or not. What is received is classified by `Negotiation` and
`PeerProtocol`; the tables then name the method that handles it and the state that follows.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple


class SourceState(StrEnum):
    """What an agent knows about the edge from itself to a peer."""

    NONE = "none"  # its present model was not offered to the peer
    OFFERED = "offered"  # the newest offer has no verdict yet
    JUDGED = "judged"  # it has the verdict on the newest offer


class TargetState(StrEnum):
    """What an agent knows about the edge from a peer to itself."""

    NONE = "none"  # no offer
    REQUESTED = "requested"  # it has requested anchors of the offered model
    SETTLED = "settled"  # the edge between the offered model and its own is accepted or refused


class Received(StrEnum):
    """What arrives about an edge, as far as the next step depends on it."""

    REQUEST = "AnchorRequest of the round of the offer"
    OTHER_REQUEST = "AnchorRequest of another round"
    VERDICT = "Verdict of the round of the offer"
    OTHER_VERDICT = "Verdict of another round"
    NEW_OFFER = "Offer of another model"
    SAME_OFFER = "Offer of the same model, in this round or a later one"
    UNFIT_OFFER = "Offer of another model, which cannot be compared"
    OLD_OFFER = "Offer of an earlier round"
    REPLY = "AnchorReply of the round of the request"
    OTHER_REPLY = "AnchorReply of another round"


class Announced(StrEnum):
    """What tells an agent that a peer has a model, or that a peer lacks an answer."""

    ANOTHER_MODEL = "Hello or Offer of a model that was not answered by an offer"
    HELLO_AGAIN = "Hello of a model that was"
    OFFER_AGAIN = "Offer of a model that was"
    OVERTAKEN = "Hello or Offer of a model that the peer has replaced since"
    SILENCE = "nothing between two checks for retries"
    SILENCE_UNSETTLED = "the same, while the edge from the peer is not settled"


class SourceAction(StrEnum):
    """Methods of `Negotiation` for what a source receives."""

    SEND_ANCHORS = "send_anchors"
    KEEP_VERDICT = "keep_verdict"
    REJECT = "reject"


class TargetAction(StrEnum):
    """Methods of `Negotiation` for what a target receives."""

    REQUEST_ANCHORS = "request_anchors"
    REPEAT_REQUEST = "repeat_request"
    REFUSE_EDGE = "refuse_edge"
    SETTLE_EDGE = "settle_edge"
    REPEAT_VERDICT = "repeat_verdict"
    REJECT = "reject"


class OfferAction(StrEnum):
    """Methods of `PeerProtocol` for announcements."""

    OFFER = "offer"
    REPEAT_OFFER = "repeat_offer"
    SEND_HELLO = "send_hello"
    IGNORE = "ignore"


class SourceStep(NamedTuple):
    """What a source does, and its next state."""

    action: SourceAction
    state: SourceState


class TargetStep(NamedTuple):
    """What a target does, and its next state."""

    action: TargetAction
    state: TargetState


class OfferStep(NamedTuple):
    """What an agent does about its own offer to a peer, and the next state of the edge from it."""

    action: OfferAction
    state: SourceState


def _source_steps() -> Mapping[tuple[SourceState, Received], SourceStep]:
    none, offered, judged = SourceState
    send, keep, reject = SourceAction
    request, other_request = Received.REQUEST, Received.OTHER_REQUEST
    verdict, other_verdict = Received.VERDICT, Received.OTHER_VERDICT
    return MappingProxyType({
        (none, other_request): SourceStep(reject, none),
        (none, other_verdict): SourceStep(reject, none),
        (offered, request): SourceStep(send, offered),
        (offered, other_request): SourceStep(reject, offered),
        (offered, verdict): SourceStep(keep, judged),
        (offered, other_verdict): SourceStep(reject, offered),
        (judged, request): SourceStep(send, judged),  # a target that has published anew takes the same offer
        (judged, other_request): SourceStep(reject, judged),
        (judged, verdict): SourceStep(keep, judged),
        (judged, other_verdict): SourceStep(reject, judged),
    })  # fmt: skip


def _target_steps() -> Mapping[tuple[TargetState, Received], TargetStep]:
    none, requested, settled = TargetState
    request, request_again, refuse, settle, repeat, reject = TargetAction
    new, same, unfit, old = Received.NEW_OFFER, Received.SAME_OFFER, Received.UNFIT_OFFER, Received.OLD_OFFER
    reply, other_reply = Received.REPLY, Received.OTHER_REPLY
    return MappingProxyType({
        (none, new): TargetStep(request, requested),
        (none, unfit): TargetStep(refuse, settled),
        (none, other_reply): TargetStep(reject, none),
        (requested, new): TargetStep(request, requested),
        (requested, same): TargetStep(request_again, requested),  # whose nonces chose the ticks already
        (requested, unfit): TargetStep(refuse, settled),
        (requested, old): TargetStep(reject, requested),
        (requested, reply): TargetStep(settle, settled),
        (requested, other_reply): TargetStep(reject, requested),
        (settled, new): TargetStep(request, requested),
        (settled, same): TargetStep(repeat, settled),  # one edge for each pair of models, in whatever round
        (settled, unfit): TargetStep(refuse, settled),
        (settled, old): TargetStep(reject, settled),
        (settled, reply): TargetStep(repeat, settled),  # a source cannot retry until the verdict suits it
        (settled, other_reply): TargetStep(reject, settled),
    })  # fmt: skip


def _offer_steps() -> Mapping[tuple[SourceState, Announced], OfferStep]:
    none, offered, judged = SourceState
    offer, repeat, hello, ignore = OfferAction
    another, hello_again, offer_again, overtaken, silence, unsettled = Announced
    return MappingProxyType({
        (none, another): OfferStep(offer, offered),
        (none, overtaken): OfferStep(ignore, none),
        (none, silence): OfferStep(hello, none),
        (none, unsettled): OfferStep(hello, none),
        (offered, another): OfferStep(offer, offered),
        (offered, hello_again): OfferStep(repeat, offered),  # the peer lacks the offer
        (offered, offer_again): OfferStep(ignore, offered),
        (offered, overtaken): OfferStep(ignore, offered),
        (offered, silence): OfferStep(repeat, offered),
        (offered, unsettled): OfferStep(repeat, offered),
        (judged, another): OfferStep(offer, offered),
        (judged, hello_again): OfferStep(repeat, judged),  # the peer lacks it: it had dropped this agent
        (judged, offer_again): OfferStep(ignore, judged),
        (judged, overtaken): OfferStep(ignore, judged),
        (judged, silence): OfferStep(ignore, judged),
        (judged, unsettled): OfferStep(hello, judged),  # makes the peer repeat its offer
    })  # fmt: skip


SOURCE_STEPS: Final = _source_steps()
TARGET_STEPS: Final = _target_steps()
OFFER_STEPS: Final = _offer_steps()
