"""What peers can say to each other: frozen messages, and nothing that could hold weights.

Whoever has something new to show says Hello. One ordered pair (source -> target) is then negotiated in four
frames. The target fits the map into its own space::

    source                                   target
      Offer    who I am, how I see      ->
               how many ticks to compare <-   Call
      Anchors  what I make of them      ->    fits, scores on held-out ticks
               what came of it          <-    Verdict

Which ticks are compared follows from both nonces, so that no tick is sent and neither of two honest peers
chooses them. A newcomer may ask one peer to teach it: Ask, answered by a Lesson, which is embeddings too.
"""

from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta, Struct

from agents.protocol.wire import MessageError
from alignment.status import Status

# \Z, not $, which lets a newline through; what peers say is printed, so it holds no control characters
Name = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+\Z")]
Word = Annotated[str, Meta(max_length=128, pattern=r"^[A-Za-z0-9_.:/-]*\Z")]
Width = Annotated[int, Meta(ge=1, le=4096)]
Count = Annotated[int, Meta(ge=1, le=65536)]
Natural = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Sentence = Annotated[str, Meta(max_length=500, pattern=r"^[^\x00-\x1f\x7f-\x9f]*\Z")]
Digest = Annotated[bytes, Meta(min_length=8, max_length=8)]
LARGEST_SCORE = 1e9
Score = Annotated[float, Meta(ge=-LARGEST_SCORE, le=LARGEST_SCORE)]


class Message(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", kw_only=True):
    """What every message names: the edge it is about.

    Attributes:
        source: Agent whose space the map starts from.
        target: Agent whose space the map leads into, and who fits it.
        round: Number of the negotiation; a later one replaces an earlier one.
    """

    source: Name
    target: Name
    round: Natural

    @property
    def edge(self) -> tuple[str, str]:
        """The edge (source, target) that the message is about."""
        return self.source, self.target

    @property
    def sender(self) -> str:
        """The agent that says it."""
        return self.source if isinstance(self, Hello | Offer | AnchorReply | DistillReply) else self.target

    @property
    def receiver(self) -> str:
        """The agent that it is said to."""
        return self.target if isinstance(self, Hello | Offer | AnchorReply | DistillReply) else self.source


class Hello(Message, frozen=True, tag="hello", kw_only=True):
    """The source has a new model to show; the target offers its own, and hears an offer in return.

    Attributes:
        checkpoint: Hash of that model.
    """

    checkpoint: Word


class Offer(Message, frozen=True, tag="offer", kw_only=True):
    """The source says who it is and asks the target to learn its language.

    Attributes:
        scene: Fingerprint of the shared scene; peers in other worlds have nothing to compare.
        kind: Kind of world model.
        checkpoint: Hash of the model that will embed.
        dim: Dimensions of its space.
        core_dim: How many of them, the first ones, are its predictable core.
        collapsed: Whether its own encoder collapsed, as it found itself.
        nonce: Its half of the seed that chooses the ticks.
    """

    scene: Word
    kind: Word
    checkpoint: Word
    dim: Width
    core_dim: Annotated[int, Meta(ge=0, le=4096)]
    collapsed: bool
    nonce: Natural


class AnchorRequest(Message, frozen=True, tag="anchor_request", kw_only=True):
    """The target says how much it wants to see.

    Attributes:
        anchors: Ticks to fit on.
        heldout: Ticks to score on, from another stretch of the scene.
        nonce: Its half of the seed that chooses the ticks.
    """

    anchors: Count
    heldout: Count
    nonce: Natural


class AnchorReply(Message, frozen=True, tag="anchor_reply", kw_only=True):
    """The source says what it makes of those ticks.

    Attributes:
        digest: Hash of the ticks, so that both know that they speak of the same instants.
        rows: How many ticks: those to fit on, then those to score on.
        dim: Dimensions of a row, the predictable core first.
        data: rows * dim little-endian float32.
    """

    digest: Digest
    rows: Annotated[int, Meta(ge=1, le=131072)]
    dim: Width
    data: bytes

    def vectors(self) -> np.ndarray:
        """Return the embeddings, float32 [rows, dim], or raise MessageError (see `_numbers`)."""
        return _numbers(self.rows, self.dim, self.data)


class Verdict(Message, frozen=True, tag="verdict", kw_only=True):
    """The target says what came of it.

    Attributes:
        status: accepted or refused.
        reason: A sentence; empty when there is nothing to say.
        r2_core: Held-out R2 between the two cores; 0 when nothing was scored.
        null_r2: The best that shuffled pairs reach with either map.
    """

    status: Status
    reason: Sentence
    r2_core: Score
    null_r2: Score

    def __post_init__(self) -> None:
        """Raise ValueError for a status that is no verdict; decode turns it into a MessageError."""
        if self.status not in (Status.ACCEPTED, Status.REFUSED):
            raise ValueError(f"a verdict is {Status.ACCEPTED} or {Status.REFUSED}, not {self.status}")


class DistillRequest(Message, frozen=True, tag="distill_request", kw_only=True):
    """The target, a newcomer, asks the source to be its teacher.

    Attributes:
        ticks: Consecutive ticks that it wants to be told of.
    """

    ticks: Count


class DistillReply(Message, frozen=True, tag="distill_reply", kw_only=True):
    """The source tells what it makes of ticks that it trained on, none of which fits or scores a map.

    Attributes:
        first: The first of the consecutive ticks.
        rows: How many.
        dim: Dimensions of a row, the teacher's predictable core.
        data: rows * dim little-endian float32.
    """

    first: Natural
    rows: Count
    dim: Width
    data: bytes

    def vectors(self) -> np.ndarray:
        """Return the embeddings, float32 [rows, dim], or raise MessageError (see `_numbers`)."""
        return _numbers(self.rows, self.dim, self.data)


AnyMessage = Hello | Offer | AnchorRequest | AnchorReply | Verdict | DistillRequest | DistillReply
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(AnyMessage)


def encode(message: AnyMessage) -> bytes:
    """Return a message as msgpack bytes."""
    return _encoder.encode(message)


def decode(body: bytes) -> AnyMessage:
    """Return the message in these msgpack bytes.

    Raises:
        MessageError: Not msgpack, an unknown type or field, a wrong type, out of range, or nested too deep.
    """
    try:
        return _decoder.decode(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise MessageError(f"not a message: {error}") from error


def _numbers(rows: int, dim: int, data: bytes) -> np.ndarray:
    """Return what a peer sent, float32 [rows, dim].

    Raises:
        MessageError: The bytes are not rows * dim numbers, or one of them is not finite or is absurd.
    """
    if len(data) != 4 * rows * dim:
        raise MessageError(f"{rows} rows of {dim} numbers take {4 * rows * dim} bytes, not {len(data)}")
    vectors = np.frombuffer(data, dtype="<f4").reshape(rows, dim)
    # one comparison refuses NaN, infinities and numbers whose square would overflow
    if not (np.abs(vectors) < 1e6).all():
        raise MessageError("an anchor holds a number that is not finite or passes one million")
    return vectors.astype(np.float32)
