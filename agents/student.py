"""An agent's requests to its teacher, and its training on the reply."""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from agents.distillation import distill_agent, undo_distillation
from agents.protocol.messages import DistillReply, DistillRequest
from agents.protocol.peer_protocol import PeerProtocol

if TYPE_CHECKING:
    from agents.agent import Agent

logger = logging.getLogger(__name__)

MAX_DISTILL_REQUESTS = 3  # requests to a teacher that does not reply
DISTILL_TIMEOUT = 20.0  # seconds to wait for a teacher's reply before the next request
POLL_SECONDS = 0.02  # seconds between two looks for the reply


class Student:
    """Distills from the teacher of an agent, on its thread; without a usable reply the agent trains alone."""

    def __init__(
        self, protocol: PeerProtocol, interrupted: Callable[[], bool], sleep: Callable[[float], None],
        remark: Callable[[str], None],
    ) -> None:  # fmt: skip
        """Prepare; `learn` sends the requests.

        Args:
            protocol: The agent's exchange with peers.
            interrupted: Called between requests and steps; learning ends early when it returns True.
            sleep: Waits so many seconds.
            remark: Tells the operator why the agent trains alone.
        """
        self._protocol, self._interrupted = protocol, interrupted
        self._sleep, self._remark = sleep, remark

    def learn(self, agent: "Agent") -> bool:
        """Request embeddings from the teacher until it replies, then train on them; else give up the teacher.

        Returns:
            Whether the agent has learned from its teacher.
        """
        teacher, requests, last_request = agent.spec.teacher, 0, -math.inf
        agent.phase = "distilling"
        while not self._interrupted():
            timed_out = time.monotonic() - last_request > DISTILL_TIMEOUT
            if teacher not in self._protocol.peers:
                logger.info(
                    "%s trains alone: its teacher %s is not among its peers", agent.spec.name, teacher
                )
                self._train_alone(agent)
                return False
            if timed_out and requests == MAX_DISTILL_REQUESTS:
                self._remark(f"{teacher} did not reply to {requests} distillation requests; training alone")
                self._train_alone(agent)
                return False
            reply = self._protocol.distillation.replies.get(teacher)
            if reply is not None:
                return self._distill(agent, reply)
            if timed_out and teacher in self._protocol.announced_peers:
                last_request, requests = time.monotonic(), requests + 1
                self._request(agent, requests)
            self._sleep(POLL_SECONDS)
        return False

    def _request(self, agent: "Agent", attempt: int) -> None:
        spec = agent.spec
        ticks = min(spec.distillation.ticks, agent.trainer.buffer_ticks)
        logger.info(
            "%s requests embeddings of %d ticks from its teacher %s, attempt %d of %d",
            spec.name, ticks, spec.teacher, attempt, MAX_DISTILL_REQUESTS,
        )  # fmt: skip
        self._protocol.send([DistillRequest(source=spec.teacher, target=spec.name, round=0, ticks=ticks)])

    def _train_alone(self, agent: "Agent") -> None:
        undo_distillation(agent)
        self._protocol.distillation.give_up(agent.spec.teacher)
        agent.spec = replace(agent.spec, teacher="")

    def _distill(self, agent: "Agent", reply: DistillReply) -> bool:
        batch = agent.spec.distillation.batch
        try:
            if reply.rows < batch:
                raise ValueError(f"{reply.rows} ticks are fewer than distillation.batch={batch}")
            embeddings = torch.from_numpy(reply.embeddings())
            done = distill_agent(agent, reply.first_tick, embeddings, self._interrupted)
        except ValueError as error:  # a peer's message must not end the agent
            self._remark(f"refused the distillation reply of {reply.source}; training alone ({error})")
            self._train_alone(agent)
            return False
        if done:
            self._protocol.distillation.replies.pop(reply.source, None)
        return done
