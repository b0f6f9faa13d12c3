"""Identities that follow from a name, and envelopes that any sender could send."""

import hashlib
import time
from dataclasses import replace
from functools import cache

from agents.protocol.envelope import Envelope, Kind, seal, session_id
from agents.protocol.identity import Identity
from agents.protocol.messages import encode
from agents.protocol.verifier import KnownPeer, LocalPeer

SESSION = session_id("tests")


@cache
def identity_of(name):
    """Return the identity of an agent in tests; the same at every call."""
    return Identity(hashlib.sha256(name.encode()).digest())


def local_peer(name, incarnation=1):
    """Return an agent as its own process knows it."""
    return LocalPeer(name, identity_of(name), incarnation, SESSION)


def known_peers(incarnations):
    """Return peers from their incarnations, by name."""
    return {
        name: KnownPeer(identity_of(name).public_key, incarnation)
        for name, incarnation in incarnations.items()
    }


def envelope_of(message, **changes):
    """Return the envelope of a message that its sender's first process sends first, with fields changed."""
    envelope = Envelope(
        kind=Kind.MESSAGE, sender=message.sender, recipient=message.receiver, session=SESSION, incarnation=1,
        recipient_incarnation=1, sequence=1, time=int(time.time() * 1e6),
        key_id=identity_of(message.sender).key_id, body=encode(message),
    )  # fmt: skip
    return replace(envelope, **changes)


def signed(message, signer=None, **changes):
    """Return the bytes of `envelope_of`, signed by the sender or by another agent."""
    return seal(envelope_of(message, **changes), identity_of(signer or message.sender))
