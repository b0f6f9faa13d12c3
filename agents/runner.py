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

MOST_ASKS = 3  # requests to a teacher that does not answer
LESSON_PATIENCE = 20.0  # seconds between two requests to a teacher that has not answered
GIVE_WAY = 0.5  # most seconds that a step waits while peers are being answered: they want the interpreter too
GLANCE = 0.002  # seconds between two looks at whether they have been
IDLE = 0.02  # seconds between two looks at whether there is something to do


class AgentRunner:
    """One life of one agent, on a thread of its own: learning blocks, and OpenGL wants one thread.

    Other threads ask for things through `errand`, which is served between two steps.

    Attributes:
        agent: None until it is built.
        memory: What it has published, for who watches.
        failure: What ended this life before anybody asked it to stop.
        note: Something that whoever watches should know.
    """

    def __init__(self, voice: PeerProtocol) -> None:
        """Prepare a life; `live` leads it."""
        self.voice = voice
        self.agent: Agent | None = None
        self.memory: AgentSnapshot | None = None
        self.failure: Exception | None = None
        self.note = ""
        self._errands: deque[tuple[Callable[[Agent], Any], Future[Any]]] = deque()
        self._stop = threading.Event()
        self._moved = False

    def live(self, birth: Callable[[], AgentSpec], grown: Callable[[], None] = lambda: None) -> None:
        """Live until asked to stop; what goes wrong is kept in `failure`.

        Args:
            birth: Returns what makes the agent.
            grown: Called when it is built and has read what its former life saved.
        """
        try:
            spec = birth()
            torch.set_num_threads(spec.threads)
            agent = Agent(spec)
            self._begin(agent)
            self.agent = agent
            if agent.published is not None:
                self._show(agent)
            grown()
            while not self._stop.is_set():
                self._moved = False
                self._pause()
                self._go_on(agent)
            agent.save()
            agent.phase = "stopped"
        except Exception as error:  # nobody waits for this thread: keep it for who asks
            self.failure = error
        finally:
            self._fail_errands()

    def _begin(self, agent: Agent) -> None:
        if agent.path.exists():
            agent.load()
            return
        agent.check_model()
        if self.voice.mailbox.incarnation > 1:
            self.note = (
                f"found no checkpoint in {agent.spec.folder} and began anew: "
                "give --out a folder that every machine sees"
            )

    def errand(self, job: Callable[[Agent], Any]) -> "Future[Any]":
        """Have something done on the agent's own thread, between two steps."""
        future: Future[Any] = Future()
        self._errands.append((job, future))
        if self.failure is not None or self._stop.is_set():
            self._fail_errands()
        return future

    def move(self, pose: Any, era: int) -> "Future[Any]":
        """Turn the camera; edges are negotiated anew once the new view is learned."""

        def job(agent: Agent) -> None:
            if era > agent.spec.era:
                agent.move(pose, era)
                self.voice.fall_silent()
                self.memory, self._moved = None, True

        return self.errand(job)

    def stop(self) -> None:
        """Ask it to stop after the step it is in; what was trained is saved."""
        self._stop.set()

    def _go_on(self, agent: Agent) -> None:
        """Do the next thing that is to be done, until it is done or something comes between."""
        trainer = agent.trainer
        if trainer.step == 0 and agent.spec.taught_by and not agent.spec.era:
            self._be_taught(agent)
        elif not trainer.finished:
            if agent.train(self._pause):
                self._publish(agent)
        elif agent.published is None:
            self._publish(agent)
        elif not agent.spec.living:
            agent.phase = "ready"
            time.sleep(IDLE)
        else:
            there = agent.train(self._pause, trainer.step + agent.spec.training.review)
            if there and agent.measure_drift() > agent.spec.negotiation.drift:
                self._publish(agent)

    def _publish(self, agent: Agent) -> None:
        agent.settle()
        self._show(agent)

    def _show(self, agent: Agent) -> None:
        assert agent.published is not None
        assert agent.negotiation is not None
        self.memory = agent.published.memory
        self.voice.publish(agent.negotiation)
        agent.phase = "ready"

    def _be_taught(self, agent: Agent) -> None:
        """Ask the teacher until it answers, then learn from what it said."""
        teacher, asked, often = agent.spec.taught_by, -math.inf, 0
        agent.phase = "listening"
        while not self._pause():
            silent = often == MOST_ASKS and time.monotonic() - asked > LESSON_PATIENCE
            if silent or teacher not in self.voice.peers:  # nothing to teach, or gone: learn alone
                self.note = f"{teacher} taught nothing, and it learns alone" if silent else self.note
                agent.spec = replace(agent.spec, taught_by="")
                return
            lesson = self.voice.lessons.get(teacher)
            if lesson is not None:
                self._learn(agent, lesson)
                return
            if teacher in self.voice.greeted_by and time.monotonic() - asked > LESSON_PATIENCE:
                asked, often = time.monotonic(), often + 1
                ticks = min(agent.spec.teaching.ticks, agent.trainer.room)
                self.voice.say([DistillRequest(source=teacher, target=agent.spec.name, round=0, ticks=ticks)])
            time.sleep(IDLE)

    def _learn(self, agent: Agent, lesson: DistillReply) -> None:
        try:
            if lesson.rows < agent.spec.teaching.batch:
                raise ValueError(f"it tells of {lesson.rows} ticks, and one step takes more")
            taught = torch.from_numpy(lesson.vectors())
            learned = agent.learn_from(lesson.first, taught, self._pause)
        except ValueError as error:  # what a peer sends ends nobody's life
            self.note = f"the lesson of {lesson.source} was refused, and it learns alone ({error})"
            agent.spec = replace(agent.spec, taught_by="")
            return
        if learned:
            self.voice.lessons.pop(lesson.source, None)
            self._publish(agent)

    def _pause(self) -> bool:
        """Run errands; return whether to leave what is being done, to stop or because the camera moved."""
        assert self.agent is not None
        patience = time.monotonic() + GIVE_WAY
        while time.monotonic() < min(patience, self.voice.busy_until):
            time.sleep(GLANCE)
        for job, future in self._waiting_errands():
            try:
                future.set_result(job(self.agent))
            except Exception as error:  # it belongs to who asked
                future.set_exception(error)
        if self.voice.asks and self.agent.published is not None:
            pupil = next(iter(self.voice.asks))
            self._teach(self.agent, self.voice.asks[pupil])
            self.voice.asks.pop(pupil, None)
        return self._stop.is_set() or self._moved

    def _teach(self, agent: Agent, ask: DistillRequest) -> None:
        assert agent.published is not None
        core = agent.published.basis.core_dim
        first, codes = agent.lesson(min(ask.ticks, MAX_FRAME // (8 * max(1, core))))  # one frame holds it
        data = codes.numpy().astype("<f4").tobytes()
        rows, dim = codes.shape
        if dim:
            self.voice.say([
                DistillReply(
                    source=agent.spec.name, target=ask.target, round=ask.round, first=first, rows=rows,
                    dim=dim, data=data,
                )
            ])  # fmt: skip

    def _waiting_errands(self) -> Iterator[tuple[Callable[[Agent], Any], "Future[Any]"]]:
        with contextlib.suppress(IndexError):  # another thread may take the last one
            while True:
                yield self._errands.popleft()

    def _fail_errands(self) -> None:
        for _, future in self._waiting_errands():
            reason = str(self.failure) if self.failure else "it is stopping"
            future.set_exception(RuntimeError(f"the agent answers no more: {reason}"))

    def facts(self) -> Mapping[str, Any]:
        """Return what there is to say of this life without waiting for it."""
        return {
            "progress": self.agent.progress() if self.agent else None,
            "failure": str(self.failure) if self.failure else "",
        }
