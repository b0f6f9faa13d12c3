"""Proof that a peer embedded one tick in two ways under one checkpoint, which anyone can check.

A source signs what it sends: the digest in an `AnchorReply` names the model and the ticks of its rows. Two
replies of one process under one checkpoint therefore must agree in every tick that both hold. Where they do
not, the two envelopes are the proof. It names its own public key, so that checking it takes no trust in who
made it; whether that key is the peer's, a trust file or the supervisor's list says.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final, Literal

import msgspec
import numpy as np
from msgspec import Meta, Struct

from agents.protocol.edge import EdgeResult
from agents.protocol.envelope import Envelope, Kind, is_sealed_by, parse
from agents.protocol.identity import PUBLIC_KEY_BYTES, key_id_of
from agents.protocol.messages import AnchorReply, Token, decode
from agents.protocol.precision import LEVELS, MAX_FLOAT16
from agents.protocol.wire import MAX_ENVELOPE_BYTES, MessageError
from alignment.anchors import digest_ids

FORMAT: Final = "social-jepa evidence 1"
MAX_EVIDENCE_BYTES: Final = 3 * MAX_ENVELOPE_BYTES  # two envelopes, and their ticks
ROUNDING: Final = 1e-6  # relative; by which a float32 may be rounded on its way into another precision
FLOAT16_ROUNDING: Final = (2.0**-11, 2.0**-25)  # relative, and absolute below the smallest normal number


class EvidenceError(ValueError):
    """Bytes that prove nothing; the text says why."""


class SignedReply(Struct, frozen=True, forbid_unknown_fields=True):
    """One envelope that holds embeddings, and the ticks that its digest stands for.

    Attributes:
        envelope: The envelope, as it arrived.
        ticks: Ticks of its rows, in their order.
    """

    envelope: bytes
    ticks: tuple[int, ...]


class Evidence(Struct, frozen=True, forbid_unknown_fields=True):
    """Two signed replies that contradict each other; msgpack of this is the content of an evidence file.

    Attributes:
        format: FORMAT.
        public_key: Key that signed both envelopes, 32 bytes.
        checkpoint: Model that both name.
        replies: The two.
    """

    format: Literal["social-jepa evidence 1"]
    public_key: Annotated[bytes, Meta(min_length=PUBLIC_KEY_BYTES, max_length=PUBLIC_KEY_BYTES)]
    checkpoint: Token
    replies: tuple[SignedReply, SignedReply]

    def encode(self) -> bytes:
        """Return the content of an evidence file."""
        return msgspec.msgpack.encode(self)


@dataclass(frozen=True)
class Equivocation:
    """What evidence proves: the owner of a key embedded one tick in two ways.

    Attributes:
        sender: Name that it signs with.
        public_key: Its key.
        checkpoint: Model that both replies name.
        recipients: To whom it sent the first and the second reply.
        ticks: Number of ticks that both replies hold.
        contradictions: Number of these that are embedded in two ways.
        tick: The one where the two differ most.
        difference: Largest difference of one number there.
    """

    sender: str
    public_key: bytes
    checkpoint: str
    recipients: tuple[str, str]
    ticks: int
    contradictions: int
    tick: int
    difference: float


def verify(data: bytes) -> Equivocation:
    """Return the equivocation that the content of an evidence file proves.

    Raises:
        EvidenceError: It is no evidence, or proves nothing.
    """
    if len(data) > MAX_EVIDENCE_BYTES:
        raise EvidenceError(f"{len(data)} bytes are more than two envelopes can have")
    try:
        evidence = msgspec.msgpack.decode(data, type=Evidence)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise EvidenceError(f"it is no evidence file: {error}") from error
    return check(evidence)


def check(evidence: Evidence) -> Equivocation:
    """Return the equivocation that evidence proves.

    Raises:
        EvidenceError: It proves nothing.
    """
    (first, one), (second, other) = (_open(evidence, number) for number in range(2))
    for name in ("sender", "session", "incarnation"):
        if getattr(first, name) != getattr(second, name):
            raise EvidenceError(f"the two replies differ in their {name}: a peer may embed anew")
    return _contradiction(evidence, (first, second), (one, other))


def _open(evidence: Evidence, number: int) -> tuple[Envelope, AnchorReply]:
    """Return a reply once its signature and its digest are found to be right."""
    signed, name = evidence.replies[number], f"reply {number + 1}"
    try:
        envelope = parse(signed.envelope)
        reply = decode(envelope.body) if envelope.kind is Kind.MESSAGE else None
    except MessageError as error:
        raise EvidenceError(f"{name} is no envelope with a message: {error}") from error
    key = evidence.public_key
    if envelope.key_id != key_id_of(key) or not is_sealed_by(key, signed.envelope):
        raise EvidenceError(f"{name} was not signed by the key that the evidence names")
    if not isinstance(reply, AnchorReply):
        raise EvidenceError(f"{name} holds no embeddings")
    if (reply.source, reply.target) != (envelope.sender, envelope.recipient):
        raise EvidenceError(f"{name} is about another edge than that of its sender and recipient")
    try:
        digest = digest_ids(signed.ticks, evidence.checkpoint)
    except ValueError as error:
        raise EvidenceError(f"the ticks of {name} cannot be used: {error}") from error
    if digest != reply.digest or len(signed.ticks) != reply.rows:
        raise EvidenceError(f"{name} is not about the checkpoint and the ticks that the evidence names")
    if len(set(signed.ticks)) < len(signed.ticks):
        raise EvidenceError(f"{name} names a tick twice")
    return envelope, reply


def _contradiction(
    evidence: Evidence, envelopes: tuple[Envelope, Envelope], replies: tuple[AnchorReply, AnchorReply]
) -> Equivocation:
    """Return the contradiction of two replies in the leading dimensions that both hold."""
    dim = min(reply.dim for reply in replies)
    rows = [{tick: row for row, tick in enumerate(signed.ticks)} for signed in evidence.replies]
    both = sorted(rows[0].keys() & rows[1].keys())
    if not both:
        raise EvidenceError("the two replies have no tick in common")
    try:
        sides = [
            _values(reply)[[row[tick] for tick in both], :, :dim]
            for reply, row in zip(replies, rows, strict=True)
        ]
    except MessageError as error:
        raise EvidenceError(f"a reply holds no embeddings: {error}") from error
    difference = np.abs(sides[0][:, 0] - sides[1][:, 0])  # [K, dim]
    beyond = (difference > sides[0][:, 1] + sides[1][:, 1]).any(1)
    if not beyond.any():
        raise EvidenceError(f"the two replies agree in all {len(both)} ticks that both hold")
    worst = int(np.where(beyond, difference.max(1), -1).argmax())
    return Equivocation(
        sender=envelopes[0].sender, public_key=evidence.public_key, checkpoint=evidence.checkpoint,
        recipients=(envelopes[0].recipient, envelopes[1].recipient), ticks=len(both),
        contradictions=int(beyond.sum()), tick=both[worst], difference=float(difference[worst].max()),
    )  # fmt: skip


def _values(reply: AnchorReply) -> np.ndarray:
    """Return embeddings and the largest error that their precision gives each, float64 [rows, 2, dim]."""
    values = reply.embeddings().astype(float)
    slack = np.abs(values) * ROUNDING
    if reply.precision == "float16":
        slack += np.abs(values) * FLOAT16_ROUNDING[0] + FLOAT16_ROUNDING[1]
        slack[np.abs(values) >= MAX_FLOAT16] = np.inf  # whatever is larger was sent as this
    elif reply.precision == "int8":
        scales = np.frombuffer(reply.data, "<f4", reply.dim).astype(float)
        slack += scales / 2 * (1 + LEVELS * ROUNDING)
    return np.stack([values, slack], 1)


class KeptReply(Struct, frozen=True, forbid_unknown_fields=True):
    """A signed reply with what another one must share to be compared with it; msgpack of this is a file.

    Attributes:
        public_key: Key that signed it.
        checkpoint: Model that it embeds with.
        incarnation: Process of the source that sent it.
        reply: The envelope and its ticks.
    """

    public_key: Annotated[bytes, Meta(min_length=PUBLIC_KEY_BYTES, max_length=PUBLIC_KEY_BYTES)]
    checkpoint: Token
    incarnation: int
    reply: SignedReply

    def encode(self) -> bytes:
        """Return the content of a file."""
        return msgspec.msgpack.encode(self)

    @classmethod
    def decode(cls, data: bytes) -> "KeptReply":
        """Return the reply that `encode` turned into bytes.

        Raises:
            EvidenceError: The bytes hold none.
        """
        try:
            return msgspec.msgpack.decode(data, type=cls)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            raise EvidenceError(f"it holds no reply: {error}") from error

    def same_statement(self, other: "KeptReply") -> bool:
        """Return whether both are of one process under one checkpoint, so that they must agree."""
        names = ("public_key", "checkpoint", "incarnation")
        return all(getattr(self, name) == getattr(other, name) for name in names)

    def contradicts(self, other: "KeptReply") -> Evidence | None:
        """Return evidence if both are of one process and checkpoint and differ in a tick; else None."""
        if not self.same_statement(other):
            return None
        evidence = Evidence(FORMAT, self.public_key, self.checkpoint, (self.reply, other.reply))
        try:
            check(evidence)
        except EvidenceError:  # they agree, or cannot be compared
            return None
        return evidence


class ReplyHistory:
    """Compares each reply of a peer with the first one under the same checkpoint, where both pass one place.

    Attributes:
        first: The one reply that it keeps of each peer, by name.
    """

    def __init__(self, first: Mapping[str, KeptReply] | None = None) -> None:
        """Start with no reply, or with those that an earlier process kept."""
        self.first = dict(first or {})

    def compare(self, edge: EdgeResult) -> Evidence | None:
        """Note the reply that an edge was fitted on; return evidence if it contradicts the first one."""
        if not edge.reply:
            return None
        reply = SignedReply(edge.reply, edge.ticks)
        kept = KeptReply(edge.source_key, edge.source_checkpoint, edge.incarnations[0], reply)
        known = self.first.get(edge.source)
        if known is None or not known.same_statement(kept):
            self.first[edge.source] = kept
            return None
        return known.contradicts(kept)
