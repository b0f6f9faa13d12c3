"""Introduction: how the two ends of a connection prove who they are before any message.

Each end sends a random challenge, and answers that of the other one in an envelope that it signs: so an
introduction cannot be recorded and shown again. The end that accepted the connection introduces itself first,
the one that opened it afterwards, to that name.
"""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from agents.protocol.envelope import Envelope, Kind, is_sealed_by, parse, seal
from agents.protocol.identity import key_id_of
from agents.protocol.trust import (
    MAX_STATEMENTS,
    KeyRevocation,
    KeyRotation,
    PublicKey,
    TrustStore,
)
from agents.protocol.verifier import KnownPeer, LocalPeer
from agents.protocol.wire import EnvelopeRejected, Reason

CHALLENGE_BYTES = 32
Challenge = Annotated[bytes, Meta(min_length=CHALLENGE_BYTES, max_length=CHALLENGE_BYTES)]
ReasonAgainst = Callable[[str], str]  # returns why an agent of a name is refused; "" if it is not


class Introduction(Struct, frozen=True, forbid_unknown_fields=True):
    """Body of an introduction.

    Attributes:
        public_key: Key that signs it and all later envelopes.
        challenge: That of the other end.
        rotations: Statements that lead to the key from former ones.
        revocations: Keys of any agents that must not be trusted any more.
    """

    public_key: PublicKey
    challenge: Challenge
    rotations: Annotated[list[KeyRotation], Meta(max_length=MAX_STATEMENTS)] = []
    revocations: Annotated[list[KeyRevocation], Meta(max_length=MAX_STATEMENTS)] = []


_decoder = msgspec.msgpack.Decoder(Introduction)


def new_challenge() -> bytes:
    """Return 32 random bytes, for one connection."""
    return os.urandom(CHALLENGE_BYTES)


@dataclass(frozen=True)
class IntroducedPeer:
    """The other end of a connection, which has proved its name.

    Attributes:
        name: Its name.
        known: Its key and incarnation.
    """

    name: str
    known: KnownPeer


def no_reason(name: str) -> str:
    """Return "": an agent of any name may be a peer."""
    return ""


def introduce(
    local: LocalPeer, challenge: bytes, time: float, recipient: str = "",
    rotations: Iterable[KeyRotation] = (), revocations: Iterable[KeyRevocation] = (),
) -> bytes:  # fmt: skip
    """Return the introduction of this agent, as signed bytes.

    Args:
        local: This agent.
        challenge: That of the other end.
        time: Seconds since the epoch.
        recipient: Name of the other end; "" while it is not known.
        rotations: See `Introduction`.
        revocations: See `Introduction`.
    """
    body = Introduction(local.identity.public_key, challenge, list(rotations), list(revocations))
    envelope = Envelope(
        Kind.INTRODUCTION, local.name, recipient, local.session, local.incarnation, 0, 0, int(time * 1e6),
        local.identity.key_id, msgspec.msgpack.encode(body),
    )  # fmt: skip
    return seal(envelope, local.identity)


def check_introduction(
    data: bytes, local: LocalPeer, challenge: bytes, trust: TrustStore, to_name: bool,
    reason_against: ReasonAgainst = no_reason,
) -> IntroducedPeer:  # fmt: skip
    """Return the peer that an introduction proves, and trust its key if that may be.

    Nothing of an agent that is refused is kept: the trust file would hold its name for good.

    Args:
        data: The introduction.
        local: This agent.
        challenge: That of this end.
        trust: Whose key is whose; it may take a first, rotated or revoked key from the introduction.
        to_name: Whether the introduction must be addressed to this agent's name.
        reason_against: Returns why an agent of a name is no peer, "" if it may be one.

    Raises:
        EnvelopeRejected: It is not one, is of another group or of no peer, or answers another challenge.
        UntrustedKeyError: The key is not trusted for the name.
    """
    envelope = parse(data)
    name = envelope.sender
    _check_addresses(envelope, local, to_name)
    if reason := reason_against(name):
        raise EnvelopeRejected(Reason.SENDER, name, f"{name} is refused: {reason}")
    try:
        body = _decoder.decode(envelope.body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise EnvelopeRejected(Reason.BODY, name, f"{name} sends a malformed introduction") from error
    if body.challenge != challenge:
        raise EnvelopeRejected(Reason.REPLAY, name, f"{name} answers the challenge of another connection")
    if envelope.key_id != key_id_of(body.public_key) or not is_sealed_by(body.public_key, data):
        raise EnvelopeRejected(Reason.SIGNATURE, name, f"{name} did not sign its introduction")
    for revocation in body.revocations:
        trust.revoke(revocation)
    trust.accept(name, body.public_key, body.rotations)
    return IntroducedPeer(name, KnownPeer(body.public_key, envelope.incarnation))


def _check_addresses(envelope: Envelope, local: LocalPeer, to_name: bool) -> None:
    """Raise EnvelopeRejected unless an introduction is one, of this group, and meant for this agent."""
    name = envelope.sender
    if envelope.kind is not Kind.INTRODUCTION:
        raise EnvelopeRejected(Reason.FORMAT, name, f"{name} sends messages before it has introduced itself")
    if envelope.session != local.session:
        raise EnvelopeRejected(
            Reason.SESSION, name, f"{name} belongs to another group: start both with the same --session, "
            "agents also with the same scene, and the same seed or negotiation.anchor_seed",
        )  # fmt: skip
    if envelope.recipient != (local.name if to_name else ""):
        raise EnvelopeRejected(
            Reason.RECIPIENT, name, f"{name} introduces itself to {envelope.recipient or 'any agent'}"
        )
    if name == local.name:
        raise EnvelopeRejected(Reason.SENDER, name, f"{name} is the name of this agent, too")
