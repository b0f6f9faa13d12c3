"""The loop of one agent on its own thread: train, publish, train online, and serve requests in between."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import torch

from agents.activity import Activity, ActivityMonitor
from agents.agent import Agent
from agents.compute_share import ComputeShare, FairLock
from agents.drift import measure_drift
from agents.duty_cycle import DutyCycle
from agents.failure import Failure
from agents.model_check import check_model
from agents.peer_wait import PeerWait
from agents.protocol.peer_protocol import PeerProtocol
from agents.request_queue import RequestQueue
from agents.restoring import restore_agent
from agents.snapshot import AgentSnapshot
from agents.spec import AgentSpec
from agents.student import Student
from agents.teacher import Teacher
from env.camera import Pose

logger = logging.getLogger(__name__)

# Seconds that training may hold the interpreter lock, for which replies wait; a tenth of the default
SWITCH_INTERVAL = 0.0005
SAVE_POLL_SECONDS = 0.2  # seconds between two checks whether there is room for a file again
IDLE_SECONDS = 0.02  # seconds between two checks for work while there is none


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
        self._requests = RequestQueue()
        self._stop = threading.Event()
        self._dropped = False
        self._share = ComputeShare(lock)
        self._moved = self._collapsed = self._paused = False
        self._duty, self._within_drift = DutyCycle(self._share.clock, self._share.sleep), False
        self._peer_wait = PeerWait()
        self._teacher = Teacher(protocol)
        self._student = Student(protocol, self._service_requests, self._share.sleep, self._remark)
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
            agent.files.retry()  # the disk is full: nothing of the agent would be left after its end

    def _save(self, agent: Agent) -> None:
        agent.files.save_checkpoint()
        agent.files.retry(now=True)
        agent.phase = "ready" if _has_published(agent) and not self._stop.is_set() else "stopped"
        saved = "not saved" if agent.files.unsaved else f"saved as {agent.files.checkpoint}"
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
        if agent.files.checkpoint_path.exists():
            if remark := restore_agent(agent):
                self._remark(remark)
            if agent.files.checkpoint:
                logger.info(
                    "%s resumes from checkpoint %s at step %d",
                    name, agent.files.checkpoint, agent.trainer.step,
                )  # fmt: skip
            else:
                logger.info("%s keeps the weights of its checkpoint alone: its camera has moved since", name)
            return
        check_model(agent)
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
        future = self._requests.submit(request)
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
            if self._student.learn(agent):
                self._publish(agent, f"distilled from {agent.spec.teacher}")
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
        agent.files.retry()
        self._share.sleep(IDLE_SECONDS)

    def _train_online(self, agent: Agent) -> None:
        until = agent.trainer.step + agent.spec.training.drift_check_every
        max_drift = agent.spec.negotiation.max_drift
        # a move may come in the rest after the last step, and no model is published then
        if agent.train(self._service_requests, until) and not self._moved:
            self._within_drift = measure_drift(agent) <= max_drift
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

    def _service_requests(self) -> bool:
        """Serve pending requests; return whether to interrupt training: a stop, a pause, a camera move."""
        assert self.agent is not None
        self._note_progress(self.agent)
        if self._dropped:
            raise _DroppedError
        self._peer_wait.wait(lambda: self.protocol.busy_until)
        self._requests.serve(self.agent)
        if remark := self._teacher.reply(self.agent):
            self._remark(remark)
        return self._stop.is_set() or self._moved or self._paused

    def _fail_requests(self) -> None:
        self._requests.fail(str(self.failure) if self.failure else "it is stopping")


def _has_published(agent: Agent) -> bool:
    """Return whether the schedule of an agent is complete and its model published."""
    return agent.trainer.finished and agent.published is not None
