"""What an agent does from its birth on: learn, publish, go on learning, and run errands in between."""

import contextlib
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import torch

from agents.agent import Agent
from agents.protocol.messages import DistillReply, DistillRequest
from agents.protocol.peer_protocol import PeerProtocol
from agents.protocol.wire import MAX_FRAME
from agents.snapshot import AgentSnapshot
from agents.spec import AgentSpec

MAX_DISTILL_REQUESTS = 3  # requests to a teacher that does not answer
DISTILL_TIMEOUT = 20.0  # seconds between two requests to a teacher that has not answered
MAX_YIELD_SECONDS = (
    0.5  # most seconds that a step waits while peers are being answered: they want the interpreter too
)
YIELD_POLL_SECONDS = 0.002  # seconds between two looks at whether they have been
IDLE_SECONDS = 0.02  # seconds between two looks at whether there is something to do


class AgentRunner:
    """One life of one agent, on a thread of its own: learning blocks, and OpenGL wants one thread.

    Other threads ask for things through `errand`, which is served between two steps.

    Attributes:
        agent: None until it is built.
        memory: What it has published, for who watches.
        failure: What ended this life before anybody asked it to stop.
        note: Something that whoever watches should know.
    """

    def __init__(self, protocol: PeerProtocol) -> None:
        """Prepare a life; `live` leads it."""
        self.protocol = protocol
        self.agent: Agent | None = None
        self.snapshot: AgentSnapshot | None = None
        self.failure: Exception | None = None
        self.note = ""
        self._requests: deque[tuple[Callable[[Agent], Any], Future[Any]]] = deque()
        self._stop = threading.Event()
        self._moved = False

    def run(self, make_spec: Callable[[], AgentSpec], on_ready: Callable[[], None] = lambda: None) -> None:
        """Live until asked to stop; what goes wrong is kept in `failure`.

        Args:
            make_spec: Returns what makes the agent.
            on_ready: Called when it is built and has read what its former life saved.
        """
        try:
            spec = make_spec()
            torch.set_num_threads(spec.threads)
            agent = Agent(spec)
            self._restore_or_check(agent)
            self.agent = agent
            if agent.published is not None:
                self._announce(agent)
            on_ready()
            while not self._stop.is_set():
                self._moved = False
                self._service_requests()
                self._advance(agent)
            agent.save()
            agent.phase = "stopped"
        except Exception as error:  # nobody waits for this thread: keep it for who asks
            self.failure = error
        finally:
            self._fail_requests()

    def _restore_or_check(self, agent: Agent) -> None:
        if agent.checkpoint_path.exists():
            agent.load()
            return
        agent.check_model()
        if self.protocol.channel.incarnation > 1:
            self.note = (
                f"found no checkpoint in {agent.spec.folder} and began anew: "
                "give --out a folder that every machine sees"
            )

    def submit(self, job: Callable[[Agent], Any]) -> "Future[Any]":
        """Have something done on the agent's own thread, between two steps."""
        future: Future[Any] = Future()
        self._requests.append((job, future))
        if self.failure is not None or self._stop.is_set():
            self._fail_requests()
        return future

    def move(self, pose: Any, pose_version: int) -> "Future[Any]":
        """Turn the camera; edges are negotiated anew once the new view is learned."""

        def job(agent: Agent) -> None:
            if pose_version > agent.spec.pose_version:
                agent.move(pose, pose_version)
                self.protocol.withdraw()
                self.snapshot, self._moved = None, True

        return self.submit(job)

    def stop(self) -> None:
        """Ask it to stop after the step it is in; what was trained is saved."""
        self._stop.set()

    def _advance(self, agent: Agent) -> None:
        """Do the next thing that is to be done, until it is done or something comes between."""
        trainer = agent.trainer
        if trainer.step == 0 and agent.spec.teacher and not agent.spec.pose_version:
            self._distill_from_teacher(agent)
        elif not trainer.finished:
            if agent.train(self._service_requests):
                self._publish(agent)
        elif agent.published is None:
            self._publish(agent)
        elif not agent.spec.online:
            agent.phase = "ready"
            time.sleep(IDLE_SECONDS)
        else:
            there = agent.train(self._service_requests, trainer.step + agent.spec.training.drift_check_every)
            if there and agent.measure_drift() > agent.spec.negotiation.max_drift:
                self._publish(agent)

    def _publish(self, agent: Agent) -> None:
        agent.publish()
        self._announce(agent)

    def _announce(self, agent: Agent) -> None:
        assert agent.published is not None
        assert agent.negotiation is not None
        self.snapshot = agent.published.snapshot
        self.protocol.publish(agent.negotiation)
        agent.phase = "ready"

    def _distill_from_teacher(self, agent: Agent) -> None:
        """Ask the teacher until it answers, then learn from what it said."""
        teacher, asked, often = agent.spec.teacher, -math.inf, 0
        agent.phase = "distilling"
        while not self._service_requests():
            silent = often == MAX_DISTILL_REQUESTS and time.monotonic() - asked > DISTILL_TIMEOUT
            if silent or teacher not in self.protocol.peers:  # nothing to teach, or gone: learn alone
                self.note = f"{teacher} taught nothing, and it learns alone" if silent else self.note
                agent.spec = replace(agent.spec, teacher="")
                return
            lesson = self.protocol.distill_replies.get(teacher)
            if lesson is not None:
                self._distill(agent, lesson)
                return
            if teacher in self.protocol.greeted_by and time.monotonic() - asked > DISTILL_TIMEOUT:
                asked, often = time.monotonic(), often + 1
                ticks = min(agent.spec.distillation.ticks, agent.trainer.buffer_ticks)
                self.protocol.send(
                    [DistillRequest(source=teacher, target=agent.spec.name, round=0, ticks=ticks)]
                )
            time.sleep(IDLE_SECONDS)

    def _distill(self, agent: Agent, lesson: DistillReply) -> None:
        try:
            if lesson.rows < agent.spec.distillation.batch:
                raise ValueError(f"it tells of {lesson.rows} ticks, and one step takes more")
            taught = torch.from_numpy(lesson.vectors())
            learned = agent.distill(lesson.first, taught, self._service_requests)
        except ValueError as error:  # what a peer sends ends nobody's life
            self.note = f"the lesson of {lesson.source} was refused, and it learns alone ({error})"
            agent.spec = replace(agent.spec, teacher="")
            return
        if learned:
            self.protocol.distill_replies.pop(lesson.source, None)
            self._publish(agent)

    def _service_requests(self) -> bool:
        """Run errands; return whether to leave what is being done, to stop or because the camera moved."""
        assert self.agent is not None
        patience = time.monotonic() + MAX_YIELD_SECONDS
        while time.monotonic() < min(patience, self.protocol.busy_until):
            time.sleep(YIELD_POLL_SECONDS)
        for job, future in self._pending_requests():
            try:
                future.set_result(job(self.agent))
            except Exception as error:  # it belongs to who asked
                future.set_exception(error)
        if self.protocol.distill_requests and self.agent.published is not None:
            pupil = next(iter(self.protocol.distill_requests))
            self._reply_to_distill_request(self.agent, self.protocol.distill_requests[pupil])
            self.protocol.distill_requests.pop(pupil, None)
        return self._stop.is_set() or self._moved

    def _reply_to_distill_request(self, agent: Agent, ask: DistillRequest) -> None:
        assert agent.published is not None
        core = agent.published.basis.core_dim
        first, codes = agent.distill_targets(
            min(ask.ticks, MAX_FRAME // (8 * max(1, core)))
        )  # one frame holds it
        data = codes.numpy().astype("<f4").tobytes()
        rows, dim = codes.shape
        if dim:
            self.protocol.send([
                DistillReply(
                    source=agent.spec.name, target=ask.target, round=ask.round, first=first, rows=rows,
                    dim=dim, data=data,
                )
            ])  # fmt: skip

    def _pending_requests(self) -> Iterator[tuple[Callable[[Agent], Any], "Future[Any]"]]:
        with contextlib.suppress(IndexError):  # another thread may take the last one
            while True:
                yield self._requests.popleft()

    def _fail_requests(self) -> None:
        for _, future in self._pending_requests():
            reason = str(self.failure) if self.failure else "it is stopping"
            future.set_exception(RuntimeError(f"the agent answers no more: {reason}"))

    def facts(self) -> Mapping[str, Any]:
        """Return what there is to say of this life without waiting for it."""
        return {
            "progress": self.agent.progress() if self.agent else None,
            "failure": str(self.failure) if self.failure else "",
        }
