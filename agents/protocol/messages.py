"""Messages between peers: frozen typed structs, none of which can hold weights.

An agent that publishes a new model sends Hello. One ordered pair (source -> target) is then negotiated in
four messages; the target fits the map into its own space::

    source                                          target
      Offer        its model and core         ->
                   how many ticks to compare  <-      AnchorRequest
      AnchorReply  embeddings of those ticks  ->      fits, then scores on held-out ticks
                   accepted or refused        <-      Verdict

The ticks that a map is scored on follow from the nonces of both peers, so neither of two honest peers chooses
them. Few ticks to fit on are chosen by the target, which knows which ones determine its map well; many follow
from the nonces too. A joiner may learn from one peer by distillation: the reply to a DistillRequest, a
DistillReply, holds embeddings as well.
"""

from typing import Annotated, ClassVar, Final, Self

import msgspec
import numpy as np
from msgspec import Meta, Struct

from agents.common.names import MAX_LENGTH, MAX_TOKEN, NAME_PATTERN, TOKEN_PATTERN
from agents.protocol.precision import unpack_embeddings, unpack_metric
from agents.protocol.settings import MAX_NOISE, NOISE_STEPS, Precision
from agents.protocol.wire import MessageError
from alignment.anchors import CHOSEN
from alignment.status import Status

# \Z, not $, which lets a newline through; these are printed, so they hold no control characters
Name = Annotated[str, Meta(max_length=MAX_LENGTH, pattern=rf"^{NAME_PATTERN}\Z")]
Token = Annotated[str, Meta(max_length=MAX_TOKEN, pattern=rf"^{TOKEN_PATTERN}\Z")]
Dim = Annotated[int, Meta(ge=1, le=4096)]
Count = Annotated[int, Meta(ge=1, le=65536)]
Natural = Annotated[int, Meta(ge=0, le=2**63 - 1)]
MAX_REASON: Final = 500  # characters
Reason = Annotated[str, Meta(max_length=MAX_REASON, pattern=r"^[^\x00-\x1f\x7f-\x9f]*\Z")]
Digest = Annotated[bytes, Meta(min_length=16, max_length=16)]
MAX_ABS_SCORE = 1e9
Score = Annotated[float, Meta(ge=-MAX_ABS_SCORE, le=MAX_ABS_SCORE)]


class Message(Struct, frozen=True, forbid_unknown_fields=True, array_like=True, kw_only=True):
    """Fields of every message: the edge that it is about.

    A message is an array: the number of its type, then its fields in order. Both peers know the names of the
    fields; sent, these took more bytes than a small edge has in embeddings.

    Attributes:
        source: Agent whose space the map starts from.
        target: Agent whose space the map leads into, and which fits it.
        round: Number of the negotiation; a later one replaces an earlier one.
    """

    source: Name
    target: Name
    sent_by_source: ClassVar[bool]  # every message type says who sends it

    round: Natural

    def of_round(self, number: int) -> Self:
        """Return the same message in another round."""
        return msgspec.structs.replace(self, round=number)

    @property
    def edge(self) -> tuple[str, str]:
        """The edge (source, target) that the message is about."""
        return self.source, self.target

    @property
    def sender(self) -> str:
        """Name of the agent that sends it."""
        return self.source if self.sent_by_source else self.target

    @property
    def receiver(self) -> str:
        """Name of the agent that it is sent to."""
        return self.target if self.sent_by_source else self.source


class Hello(Message, frozen=True, tag=1, kw_only=True):
    """The source has published a model; the target answers with an offer of its own model.

    Attributes:
        checkpoint: Hash of the published checkpoint.
    """

    sent_by_source = True

    checkpoint: Token


class Offer(Message, frozen=True, tag=2, kw_only=True):
    """The source describes its model and asks the target to fit a map from it.

    Attributes:
        scene: Fingerprint of the shared scene; agents of other scenes have nothing to compare.
        kind: Kind of world model.
        checkpoint: Hash of the checkpoint that encodes the anchors.
        dim: Dimensions of its space.
        core_dim: How many of them, the leading ones, are its core.
        collapsed: Whether the source found its own encoder collapsed.
        pool_ticks: Number of ticks in each of its two pools.
        pool_stride: Ticks between neighbors in a pool. Peers with other pools have other ticks to compare.
        nonce: The source's half of the seed that chooses the ticks.
    """

    sent_by_source = True

    scene: Token
    kind: Token
    checkpoint: Token
    dim: Dim
    core_dim: Annotated[int, Meta(ge=0, le=4096)]
    collapsed: bool
    pool_ticks: Annotated[int, Meta(ge=1, le=2**32)]
    pool_stride: Annotated[int, Meta(ge=1, le=2**32)]
    nonce: Natural

    def describes_model_of(self, other: "Offer") -> bool:
        """Return whether both offers differ in round and nonce at most: they are about the same models."""
        return msgspec.structs.replace(other, round=self.round, nonce=self.nonce) == self


class AnchorRequest(Message, frozen=True, tag=3, kw_only=True):
    """The target requests anchors for an offer.

    Attributes:
        anchors: Number of ticks to fit on.
        heldout: Number of ticks to score on, from another stretch of the scene.
        offer_nonce: That of the first offer of this model; later offers of it choose no other ticks.
        nonce: The target's half of the seed that chooses the ticks.
        chosen: Rows of the source's pool to fit on, in the order of ticks: two bytes each, little-endian.
            Empty: the nonces choose these ticks too.
        dims: Number of leading dimensions to send; at most those of the offer.
        precision: Precision to send them in.
    """

    sent_by_source = False

    anchors: Count
    heldout: Count
    offer_nonce: Natural
    nonce: Natural
    chosen: Annotated[bytes, Meta(max_length=2 * CHOSEN)]
    dims: Dim
    precision: Precision


class AnchorReply(Message, frozen=True, tag=4, kw_only=True):
    """The source sends its embeddings of the requested ticks.

    Attributes:
        digest: Hash of the model and the ticks, see `alignment.anchors.digest_ids`: what the rows embed.
        rows: Number of ticks: those to fit on, then those to score on.
        dim: Dimensions of a row, the core first: those requested, or fewer, as the source sends them.
        precision: How the numbers are written: as requested, or coarser.
        noise: Thousandths of a standard deviation that the source has added to them, as it says.
        data: rows * dim numbers, see `agents.protocol.precision`.
        metric: Inner products of the raw latents' change along each pair of dimensions, float32: the upper
            triangle of a matrix [dim, dim], row by row. Empty where raw latents have no scale.
    """

    sent_by_source = True

    digest: Digest
    rows: Annotated[int, Meta(ge=1, le=131072)]
    dim: Dim
    precision: Precision
    noise: Annotated[int, Meta(ge=0, le=MAX_NOISE * NOISE_STEPS)]
    data: bytes
    metric: bytes

    def embeddings(self) -> np.ndarray:
        """Return the embeddings, float32 [rows, dim], or raise MessageError (see `unpack_embeddings`)."""
        return unpack_embeddings(self.data, self.rows, self.dim, self.precision)

    def raw_metric(self) -> np.ndarray | None:
        """Return the metric, float64 [dim, dim], None where there is none, or raise MessageError."""
        return unpack_metric(self.metric, self.dim) if self.metric else None


class Verdict(Message, frozen=True, tag=5, kw_only=True):
    """The target's decision on the edge.

    Attributes:
        status: Status.ACCEPTED or Status.REFUSED.
        reason: A sentence; empty when there is no remark.
        shared_dim: Number of directions that the two cores share.
        r2_shared: Held-out R2 on these; 0 when nothing was scored.
        null_correlation: Largest held-out correlation of any direction at any time shift.
    """

    sent_by_source = False

    status: Status
    reason: Reason
    shared_dim: Annotated[int, Meta(ge=0, le=4096)]
    r2_shared: Score
    null_correlation: Annotated[float, Meta(ge=-1, le=1)]

    def __post_init__(self) -> None:
        """Raise ValueError for a status that is no verdict; `decode` turns it into a MessageError."""
        if self.status not in (Status.ACCEPTED, Status.REFUSED):
            raise ValueError(f"a verdict is {Status.ACCEPTED} or {Status.REFUSED}, not {self.status}")


class DistillRequest(Message, frozen=True, tag=6, kw_only=True):
    """The target, the student, requests training targets from the source, its teacher.

    Attributes:
        ticks: Number of consecutive ticks that it wants embeddings of.
    """

    sent_by_source = False

    ticks: Count


class DistillReply(Message, frozen=True, tag=7, kw_only=True):
    """The source, the teacher, sends embeddings of training ticks, on which no map is fitted or scored.

    Attributes:
        first_tick: The first of the consecutive ticks.
        rows: Number of ticks.
        dim: Dimensions of a row: the teacher's core alone.
        data: rows * dim little-endian float32.
    """

    sent_by_source = True

    first_tick: Natural
    rows: Count
    dim: Dim
    data: bytes

    def embeddings(self) -> np.ndarray:
        """Return the embeddings, float32 [rows, dim], or raise MessageError (see `unpack_embeddings`)."""
        return unpack_embeddings(self.data, self.rows, self.dim, "float32")


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
        # an unknown field is quoted as the peer wrote it: keep control characters out of logs and terminals
        text = "".join(letter if letter.isprintable() else "?" for letter in str(error))
        raise MessageError(f"not a message: {text}") from error
