"""What may arrive from a peer: the limit of its size, and the reasons to refuse it."""

from enum import StrEnum

MAX_ENVELOPE_BYTES = 16 * 1024 * 1024  # bounds the memory that a peer can claim before any check


class MessageError(ValueError):
    """Bytes or a message from a peer that are not valid; subclasses carry fields."""


class OvertakenOfferError(MessageError):
    """Offer of an earlier round than the newest: a later one has overtaken it.

    Attributes:
        peer: Sender of the offer.
        round: Its round.
        newest: Newest round that the sender has offered.
    """

    def __init__(self, peer: str, number: int, newest: int) -> None:
        """Keep the fields."""
        super().__init__(peer, number, newest)
        self.peer, self.round, self.newest = peer, number, newest

    def __str__(self) -> str:
        """Return the sentence."""
        return f"{self.peer} offers round {self.round} after round {self.newest}"


class StaleReplyError(MessageError):
    """Reply that matches no open offer or request: it answers an earlier one, or none was sent.

    Attributes:
        peer: Sender of the reply.
        round: Round that the reply names.
        reply: Type of the message.
        overtaken: Whether this agent has gone on since, so that the reply may be honest.
    """

    def __init__(self, peer: str, number: int, reply: str, overtaken: bool = False) -> None:
        """Keep the fields."""
        super().__init__(peer, number, reply, overtaken)
        self.peer, self.round, self.reply, self.overtaken = peer, number, reply, overtaken

    def __str__(self) -> str:
        """Return the sentence."""
        return (
            f"{self.peer} sent {self.reply} of round {self.round}, which no open offer or request called for"
        )


class Reason(StrEnum):
    """Why an envelope is refused, in the order of the checks: from the cheapest to the most expensive."""

    SIZE = "size"  # longer than the limit, or shorter than a header
    FORMAT = "format"  # another protocol, unknown kind or flags, lengths that disagree, a name that is none
    VERSION = "version"
    RECIPIENT = "recipient"  # it is addressed to another agent
    SESSION = "session"  # it belongs to another run or group
    SENDER = "sender"  # not a peer
    REVOKED = "revoked"  # a peer whose key was revoked
    KEY = "key"  # another key than the one that is trusted for this name
    RECIPIENT_INCARNATION = "recipient incarnation"  # it is addressed to another process of this agent
    TIME = "time"  # the clocks differ too much, or it was kept for too long
    INCARNATION = "incarnation"  # a former process of the sender
    REPLAY = "replay"  # an envelope that has arrived before, or precedes all that are remembered
    SIGNATURE = "signature"
    BUDGET = "budget"  # the peer sends more than it may
    BODY = "body"  # not a message, or one between other agents than the envelope names
    CONTENT = "content"  # a message that contradicts the state of its negotiation


class EnvelopeRejected(MessageError):  # noqa: N818 (refusing an envelope is an outcome, not a defect)
    """An envelope that is refused.

    Attributes:
        reason: Which check it failed.
        peer: Peer that it is counted under: the sender that it names, or "" if that is no peer.
        sentence: What is wrong, for people.
    """

    def __init__(self, reason: Reason, peer: str, sentence: str) -> None:
        """Keep the fields."""
        super().__init__(reason, peer, sentence)
        self.reason, self.peer, self.sentence = reason, peer, sentence

    def __str__(self) -> str:
        """Return the sentence."""
        return self.sentence
