"""The loop of one agent on its own thread: train, publish, train online, and serve requests in between."""

import contextlib
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from agents.activity import Activity, ActivityMonitor
from agents.agent import Agent
from agents.compute_share import ComputeShare, FairLock
from agents.distillation import distill_agent, distill_targets, undo_distillation
from agents.duty_cycle import DutyCycle
from agents.failure import Failure
from agents.peer_wait import PeerWait
from agents.protocol.messages import DistillReply, DistillRequest
from agents.protocol.peer_protocol import PeerProtocol
from agents.protocol.precision import pack_embeddings
from agents.protocol.wire import MAX_ENVELOPE_BYTES
from agents.restoring import restore_agent
from agents.snapshot import AgentSnapshot, PublishedModel
from agents.spec import AgentSpec
from env.camera import Pose

logger = logging.getLogger(__name__)

MAX_DISTILL_REQUESTS = 3  # requests to a teacher that does not reply
DISTILL_TIMEOUT = 20.0  # seconds to wait for a teacher's reply before the next request
# Seconds that training may hold the interpreter lock, for which replies wait; a tenth of the default
SWITCH_INTERVAL = 0.0005
SAVE_POLL_SECONDS = 0.2  # seconds between two checks whether there is room for a file again
IDLE_SECONDS = 0.02  # seconds between two checks for work while there is none


class AgentStoppedError(RuntimeError):
    """Request to an agent whose thread has ended or is stopping.

    Attributes:
        reason: Why it does not run.
    """

    def __init__(self, reason: str) -> None:
        """Keep the reason."""
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        """Return the sentence."""
        return f"the agent accepts no more requests: {self.reason}"


class _DroppedError(BaseException):
    """Ends `AgentRunner.run` of an agent that is no longer wanted."""


class AgentRunner:
    """Runs one agent on the calling thread, since training blocks.

    Other threads call `submit`; the runner serves those requests between two training steps. Runners of one
    process take turns: one computes while the others wait, sleep or have nothing to do.

    Attributes:
        protocol: Exchange with peers.
        agent: None until it is built.
        snapshot: Its published state; None while nothing is published.
        failure: Error that ended `run`; None while there is none.
        note: Remark for the operator; empty when there is none.
    """

    def __init__(
        self, protocol: PeerProtocol, on_saved: Callable[[Path], None] = lambda path: None,
        lock: FairLock | None = None,
    ) -> None:  # fmt: skip
        """Prepare; `run` builds the agent.

        Args:
            protocol: Exchange with peers.
            on_saved: See `Agent`.
            lock: Held by the runner of this process that computes; by default there is only this one.
        """
        self.protocol = protocol
        self._on_saved = on_saved
        self.agent: Agent | None = None
        self._built: Agent | None = None  # the same, while it is checked already
        self.snapshot: AgentSnapshot | None = None
        self.failure: Failure | None = None
        self.note = ""
        self._requests: deque[tuple[Callable[[Agent], Any], Future[Any]]] = deque()
        self._stop = threading.Event()
        self._dropped = False
        self._share = ComputeShare(lock)
        self._moved = self._collapsed = self._paused = False
        self._duty, self._within_drift = DutyCycle(self._share.clock, self._share.sleep), False
        self._peer_wait = PeerWait()
        self._taught: tuple[PublishedModel, int, torch.Tensor] | None = None  # what students of a model get
        self._phase = "starting"  # until the agent is there and has its own
        self._monitor: ActivityMonitor | None = None

    def run(self, spec: AgentSpec, until_published: bool = False) -> None:
        """Build the agent and run it until `stop` is called; an error ends it and is kept in `failure`.

        Args:
            spec: Specification of the agent.
            until_published: Whether to end once the schedule is complete and a model is published.
        """
        with self._share:
            try:
                self._run(spec, until_published)
            except _DroppedError:
                logger.info("%s is dropped", spec.name)
            except BaseException as error:  # a custom model may raise SystemExit too; a report carries it
                self.failure = self._failure_of(error, spec)
                logger.exception("the runner of %s failed", self.protocol.name)
            finally:
                self._fail_requests()
                ended = until_published or self._dropped or self.failure is not None
                if ended and self._built is not None:
                    self._built.close()

    def _run(self, spec: AgentSpec, until_published: bool) -> None:
        self._monitor = ActivityMonitor(spec.kind, self._share.clock)
        torch.set_num_threads(spec.threads)
        self._built = agent = Agent(spec, self._on_saved)
        agent.on_progress = lambda: self._note_progress(agent)
        agent.on_step = lambda: self._rest(agent)
        self._paused = spec.paused
        if risk := spec.model.collapse_risk(spec.kind):
            self._remark(risk)
        self._phase = "checking"
        self._restore_or_check(agent)
        self.agent = agent
        if agent.published is not None:
            self._announce(agent, "read from its folder")
        while not (self._stop.is_set() or (until_published and _has_published(agent))):
            self._moved = False
            self._service_requests()
            self._advance(agent)
        if self._dropped:
            raise _DroppedError
        self._save(agent)
        while until_published and agent.files.unsaved and not self._stop.wait(SAVE_POLL_SECONDS):
            self._service_requests()
            agent.retry_saves()  # the disk is full: nothing of the agent would be left after its end

    def _save(self, agent: Agent) -> None:
        agent.save()
        agent.retry_saves(now=True)
        agent.phase = "ready" if _has_published(agent) and not self._stop.is_set() else "stopped"
        saved = "not saved" if agent.files.unsaved else f"saved as {agent.checkpoint}"
        logger.info("%s ended at step %d, %s", agent.spec.name, agent.trainer.step, saved)

    def _note_progress(self, agent: Agent) -> None:
        if self._monitor is not None:
            self._monitor.beat(agent.phase)
        self._share.offer()

    @property
    def activity(self) -> Activity:
        """What its thread is doing; read by another thread."""
        running = self._monitor is not None and self.failure is None
        return self._monitor.read() if self._monitor and running else Activity()

    def _failure_of(self, error: BaseException, spec: AgentSpec) -> Failure:
        agent = self.agent
        phase, step = (agent.phase, agent.trainer.step) if agent else (self._phase, 0)
        return Failure.of(error, spec.name, phase, step, spec.kind)

    def _restore_or_check(self, agent: Agent) -> None:
        name = agent.spec.name
        if agent.checkpoint_path.exists():
            if remark := restore_agent(agent):
                self._remark(remark)
            if agent.checkpoint:
                logger.info(
                    "%s resumes from checkpoint %s at step %d", name, agent.checkpoint, agent.trainer.step
                )
            else:
                logger.info("%s keeps the weights of its checkpoint alone: its camera has moved since", name)
            return
        agent.check_model()
        if self.protocol.channel.incarnation > 1:
            self._remark("trains from the start: no checkpoint was saved before its process ended")
        else:
            logger.info("%s starts without a checkpoint, on %s", name, agent.spec.device)

    def _remark(self, note: str) -> None:
        self.note = note
        logger.warning("%s: %s", self.protocol.name, note)

    def submit(self, request: Callable[[Agent], Any]) -> "Future[Any]":
        """Return the future result of a function that the agent's thread calls between two steps.

        The future raises AgentStoppedError when the thread ends first.
        """
        future: Future[Any] = Future()
        self._requests.append((request, future))
        if self.failure is not None or self._stop.is_set():
            self._fail_requests()
        return future

    def move(self, pose: Pose, pose_version: int) -> "Future[Any]":
        """Move the camera; the agent trains on the new view, publishes, and negotiates its edges again.

        Args:
            pose: Where the camera stands now.
            pose_version: Number of this pose; a number that is not newer is ignored.
        """

        def request(agent: Agent) -> None:
            if pose_version > agent.spec.pose_version:
                self.protocol.withdraw()  # first: a report of the new pose must not count the old edges
                agent.move(pose, pose_version)
                self.snapshot, self._moved, self._within_drift = None, True, False
                logger.info("%s moved its camera to %s, pose version %d", agent.spec.name, pose, pose_version)

        return self.submit(request)

    def pause(self, paused: bool) -> "Future[Any]":
        """Let training wait after the current step, or continue; meanwhile the agent replies to its peers."""

        def request(agent: Agent) -> None:
            if paused is not self._paused:
                logger.info("%s %s training", agent.spec.name, "pauses" if paused else "resumes")
            self._paused = paused

        return self.submit(request)

    def stop(self) -> None:
        """Stop `run` after the current step; it saves a checkpoint."""
        self._stop.set()

    def drop(self) -> None:
        """End `run` after the current step without a checkpoint, and free what the agent holds."""
        self._dropped = True
        self._stop.set()

    def _advance(self, agent: Agent) -> None:
        """Do the next part of the schedule, until it is done or a request interrupts it."""
        trainer = agent.trainer
        if self._paused:
            self._idle(agent, "paused")
        elif trainer.step == 0 and agent.spec.teacher and not agent.spec.pose_version:
            self._distill_from_teacher(agent)
        elif not agent.has_learned:
            if agent.train(self._service_requests) and not self._moved:
                self._publish(agent, "its schedule is complete")
        elif agent.published is None:
            self._publish(agent, "its schedule was complete")
        elif not (agent.spec.online and agent.model.trains):
            self._idle(agent, "ready")
        else:
            self._train_online(agent)

    def _idle(self, agent: Agent, phase: str) -> None:
        agent.phase = phase
        agent.retry_saves()
        self._share.sleep(IDLE_SECONDS)

    def _train_online(self, agent: Agent) -> None:
        until = agent.trainer.step + agent.spec.training.drift_check_every
        max_drift = agent.spec.negotiation.max_drift
        # a move may come in the rest after the last step, and no model is published then
        if agent.train(self._service_requests, until) and not self._moved:
            self._within_drift = agent.measure_drift() <= max_drift
            if not self._within_drift:
                self._publish(agent, f"drift {agent.drift:.3f} exceeds negotiation.max_drift={max_drift:g}")

    def _rest(self, agent: Agent) -> None:
        """Rest after an online step of an agent that has learned the scene as it is."""
        resting = self._within_drift and agent.trainer.finished and agent.has_seen_all_bodies
        if resting:
            agent.phase = "resting"
        self._duty.rest(agent.spec.training.online_duty if resting else 1.0, self._service_requests)

    def _publish(self, agent: Agent, reason: str) -> None:
        agent.publish()
        self._announce(agent, reason)

    def _announce(self, agent: Agent, reason: str) -> None:
        assert agent.published is not None
        assert agent.negotiation is not None
        self.snapshot = agent.published.snapshot
        self.protocol.publish(agent.negotiation)
        agent.phase = "ready"
        info = self.snapshot.peer_info
        self._remark_on_collapse(agent, info.collapsed)
        logger.info(
            "%s published checkpoint %s at step %d, a core of %d in %d dimensions%s: %s",
            info.name, info.checkpoint, self.snapshot.progress.step, info.core_dim, info.dim,
            ", collapsed" if info.collapsed else "", reason,
        )  # fmt: skip

    def _remark_on_collapse(self, agent: Agent, collapsed: bool) -> None:
        if collapsed:
            self._remark(
                f"its latents collapsed{': ' if agent.collapse else ''}{agent.collapse}; its edges are "
                "refused until it publishes a model that follows the scene: check the weights under model"
            )
        elif self._collapsed:
            self.note = ""
        self._collapsed = collapsed

    def _distill_from_teacher(self, agent: Agent) -> None:
        """Request embeddings from the teacher until it replies, then train on them; else train alone."""
        teacher, requests, last_request = agent.spec.teacher, 0, -math.inf
        agent.phase = "distilling"
        while not self._service_requests():
            timed_out = time.monotonic() - last_request > DISTILL_TIMEOUT
            if teacher not in self.protocol.peers:
                logger.info(
                    "%s trains alone: its teacher %s is not among its peers", agent.spec.name, teacher
                )
                self._train_alone(agent)
                return
            if timed_out and requests == MAX_DISTILL_REQUESTS:
                self._remark(f"{teacher} did not reply to {requests} distillation requests; training alone")
                self._train_alone(agent)
                return
            reply = self.protocol.distillation.replies.get(teacher)
            if reply is not None:
                self._distill(agent, reply)
                return
            if timed_out and teacher in self.protocol.announced_peers:
                last_request, requests = time.monotonic(), requests + 1
                self._request_distillation(agent, requests)
            self._share.sleep(IDLE_SECONDS)

    def _request_distillation(self, agent: Agent, attempt: int) -> None:
        spec = agent.spec
        ticks = min(spec.distillation.ticks, agent.trainer.buffer_ticks)
        logger.info(
            "%s requests embeddings of %d ticks from its teacher %s, attempt %d of %d",
            spec.name, ticks, spec.teacher, attempt, MAX_DISTILL_REQUESTS,
        )  # fmt: skip
        self.protocol.send([DistillRequest(source=spec.teacher, target=spec.name, round=0, ticks=ticks)])

    def _train_alone(self, agent: Agent) -> None:
        undo_distillation(agent)
        self.protocol.distillation.give_up(agent.spec.teacher)
        agent.spec = replace(agent.spec, teacher="")

    def _distill(self, agent: Agent, reply: DistillReply) -> None:
        batch = agent.spec.distillation.batch
        try:
            if reply.rows < batch:
                raise ValueError(f"{reply.rows} ticks are fewer than distillation.batch={batch}")
            embeddings = torch.from_numpy(reply.embeddings())
            done = distill_agent(agent, reply.first_tick, embeddings, self._service_requests)
        except ValueError as error:  # a peer's message must not end the agent
            self._remark(f"refused the distillation reply of {reply.source}; training alone ({error})")
            self._train_alone(agent)
            return
        if done:
            self.protocol.distillation.replies.pop(reply.source, None)
            self._publish(agent, f"distilled from {reply.source}")

    def _service_requests(self) -> bool:
        """Serve pending requests; return whether to interrupt training: a stop, a pause, a camera move."""
        assert self.agent is not None
        self._note_progress(self.agent)
        if self._dropped:
            raise _DroppedError
        self._peer_wait.wait(lambda: self.protocol.busy_until)
        for request, future in self._pending_requests():
            if not future.set_running_or_notify_cancel():  # the caller has given up on it
                continue
            try:
                future.set_result(request(self.agent))
            except Exception as error:  # it is the caller's, who waits for the future
                future.set_exception(error)
            except BaseException as error:  # SystemExit would end the caller's process
                future.set_exception(RuntimeError(str(Failure.of(error, self.agent.spec.name))))
                raise
        if self.agent.published is not None and (asked := self.protocol.distillation.take_request()):
            try:
                self._reply_to_distill_request(self.agent, asked)
            except ValueError as error:  # a peer's message must not end the agent
                self._remark(f"cannot teach {asked.target}: {error}")
        return self._stop.is_set() or self._moved or self._paused

    def _reply_to_distill_request(self, agent: Agent, request: DistillRequest) -> None:
        assert agent.published is not None
        name, student = agent.spec.name, request.target
        if agent.published.snapshot.peer_info.collapsed or not agent.published.basis.core_dim:
            logger.warning("%s cannot teach %s: the latents of its published model collapsed", name, student)
            return
        first_tick, embeddings = self._distill_targets(agent, agent.published)
        embeddings = embeddings[: request.ticks]
        rows, dim = embeddings.shape
        self.protocol.send([
            DistillReply(
                source=name, target=student, round=request.round, first_tick=first_tick, rows=rows, dim=dim,
                data=pack_embeddings(embeddings.numpy(), "float32"),
            )
        ])  # fmt: skip
        logger.info("%s sent embeddings of %d ticks to its student %s", name, rows, student)

    def _distill_targets(self, agent: Agent, published: PublishedModel) -> tuple[int, torch.Tensor]:
        """Return the first tick and embeddings of all that a student may get: encoded once for each model."""
        if self._taught is None or self._taught[0] is not published:
            # No more than a teacher of these settings asks for itself, and than training renders; at most
            # half an envelope of four-byte numbers: the other half is ample for the other fields.
            most = min(agent.spec.distillation.ticks, agent.trainer.buffer_ticks)
            ticks = min(most, MAX_ENVELOPE_BYTES // (8 * published.basis.core_dim))
            self._taught = published, *distill_targets(agent, ticks, self.protocol.noise_key)
        return self._taught[1:]

    def _pending_requests(self) -> Iterator[tuple[Callable[[Agent], Any], "Future[Any]"]]:
        with contextlib.suppress(IndexError):  # another thread may take the last one
            while True:
                yield self._requests.popleft()

    def _fail_requests(self) -> None:
        for _, future in self._pending_requests():
            if future.set_running_or_notify_cancel():
                reason = str(self.failure) if self.failure else "it is stopping"
                future.set_exception(AgentStoppedError(reason))


def _has_published(agent: Agent) -> bool:
    """Return whether the schedule of an agent is complete and its model published."""
    return agent.trainer.finished and agent.published is not None
