"""An agent's replies to the students that request embeddings of its published model."""

import logging
from typing import TYPE_CHECKING

from torch import Tensor

from agents.distillation import distill_targets
from agents.protocol.messages import DistillReply, DistillRequest
from agents.protocol.peer_protocol import PeerProtocol
from agents.protocol.precision import pack_embeddings
from agents.protocol.wire import MAX_ENVELOPE_BYTES
from agents.snapshot import PublishedModel

if TYPE_CHECKING:
    from agents.agent import Agent

logger = logging.getLogger(__name__)


class Teacher:
    """Replies to students on the thread of an agent; a published model encodes once for all of them."""

    def __init__(self, protocol: PeerProtocol) -> None:
        """Reply through an agent's exchange with its peers."""
        self._protocol = protocol
        self._encoded: tuple[PublishedModel, int, Tensor] | None = None  # what students of a model get

    def reply(self, agent: "Agent") -> str:
        """Reply to the oldest open request, if there is one and the agent has published a model.

        Returns:
            A remark on why it could not; "" when all is well.
        """
        published = agent.published
        if published is None or not (request := self._protocol.distillation.take_request()):
            return ""
        try:
            self._reply(agent, published, request)
        except ValueError as error:  # a peer's message must not end the agent
            return f"cannot teach {request.target}: {error}"
        return ""

    def _reply(self, agent: "Agent", published: PublishedModel, request: DistillRequest) -> None:
        name, student = agent.spec.name, request.target
        if published.snapshot.peer_info.collapsed or not published.basis.core_dim:
            logger.warning("%s cannot teach %s: the latents of its published model collapsed", name, student)
            return
        first_tick, embeddings = self._encode(agent, published)
        embeddings = embeddings[: request.ticks]
        rows, dim = embeddings.shape
        self._protocol.send([
            DistillReply(
                source=name, target=student, round=request.round, first_tick=first_tick, rows=rows, dim=dim,
                data=pack_embeddings(embeddings.numpy(), "float32"),
            )
        ])  # fmt: skip
        logger.info("%s sent embeddings of %d ticks to its student %s", name, rows, student)

    def _encode(self, agent: "Agent", published: PublishedModel) -> tuple[int, Tensor]:
        """Return the first tick and embeddings [K, core_dim] of all that a student of a model may get."""
        if self._encoded is None or self._encoded[0] is not published:
            # No more than a teacher of these settings asks for itself, and than training renders; at most
            # half an envelope of four-byte numbers: the other half is ample for the other fields.
            most = min(agent.spec.distillation.ticks, agent.trainer.buffer_ticks)
            ticks = min(most, MAX_ENVELOPE_BYTES // (8 * published.basis.core_dim))
            self._encoded = published, *distill_targets(agent, ticks, self._protocol.noise_key)
        return self._encoded[1:]
