"""Turns of agents on workers: which agent trains where, what is done when a worker dies, and who negotiates.

Every agent has one turn, in which it trains and publishes; then blocks of pairs are negotiated on the same
workers. Memory grows with the workers and with the anchors of the agents, not with their replay buffers.
"""

import agents.common.ray_environment  # noqa: F401

import asyncio
import contextlib
import logging
from collections import defaultdict, deque
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from dataclasses import replace as replace_fields
from functools import partial
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import RayError, RayTaskError

from agents.failure import Failure
from agents.report import AgentReport
from social_jepa.records import AgentStatus, FailureRecord, as_dict, replace
from social_jepa.runtime.agent_processes import AgentProcesses
from social_jepa.runtime.agent_status import Observations
from social_jepa.runtime.capacity import Shortage
from social_jepa.runtime.cluster import ResourceShare
from social_jepa.runtime.deaths import Death, one_line
from social_jepa.runtime.errors import ClusterError
from social_jepa.runtime.failures import find_hang, record_error
from social_jepa.runtime.membership import Membership
from social_jepa.runtime.report_recorder import ReportRecorder
from social_jepa.storage.ledger_errors import LedgerError, LedgerUnavailableError
from social_jepa.storage.partners import partners_of

if TYPE_CHECKING:
    from agents.side_negotiation import Side
    from agents.turn_worker import Negotiated
    from social_jepa.runtime.ledger_writer import LedgerWriter  # these import torch

logger = logging.getLogger(__name__)

BLOCK = 32  # agents; a job negotiates the pairs of two blocks, and so holds the anchors of twice as many
POLL_SECONDS = 1.0  # seconds between two looks at what has its turn, or waits for resources
REPORT_TIMEOUT = 10.0  # seconds that a worker may take to report
STOP_TIMEOUT = 60.0  # seconds that agents may take to save their checkpoints
RETRY_SECONDS = 2.0  # seconds between two attempts at what the disk, or Ray, does not take now

Peers = Mapping[str, frozenset[str]]  # of some agents, by name


@dataclass(frozen=True)
class Job:
    """Work for one worker, which is done again where its process dies.

    Attributes:
        agent: Agent that such a death counts for.
        run: Does it with the handle of a worker, given the worker's name.
    """

    agent: str
    run: Callable[[str, Any], Coroutine[Any, Any, None]]


class Turns:
    """The turns of one run.

    Attributes:
        seen: What has been seen of the agents.
    """

    def __init__(self, membership: Membership, writer: "LedgerWriter", resources: ResourceShare) -> None:
        """Start no worker; `begin` does.

        Args:
            membership: The agents.
            writer: Writes reports to the ledger of the run.
            resources: Resources of each worker.
        """
        from agents.turn_worker import TurnWorker

        self._membership, self._writer = membership, writer
        self._recorder = ReportRecorder(writer, lambda: membership.members)
        self._folder, self._resources = membership.folder, resources
        self._processes = AgentProcesses(self._folder, self._folder.namespace, resources, TurnWorker)
        self._gpus = membership.config.agents.gpus
        self._starting: dict[str, Any] = {}  # handles of workers that have not answered yet, by name
        self._workers: dict[str, Any] = {}  # handles of those that have
        self._busy: dict[str, str] = {}  # agent that has its turn, by worker
        self._trained_by: dict[str, Any] = {}  # handle of the worker that an agent has, or had, its turn on
        self._sides: dict[str, Side] = {}
        self._partners = partners_of(membership.topology, membership.members.values())
        self._unsettled = {name: set(peers) for name, peers in self._partners.items()}
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []
        self.seen = Observations()

    @property
    def begun(self) -> bool:
        """Whether `begin` was called."""
        return bool(self._tasks)

    def begin(self) -> None:
        """Begin on the running event loop."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._run()), loop.create_task(self._watch())]

    async def _run(self) -> None:
        try:
            count = self._membership.config.agents.processes
            workers = [f"worker-{number}" for number in range(count)]
            turns = [Job(name, partial(self._train, name)) for name in self._membership.members]
            await self._do_all(turns, workers)
            if not self.seen.failures:
                blocks = blocks_of(self._partners)
                negotiations = [Job(min(block), partial(self._negotiate, block)) for block in blocks]
                here = ray.get_runtime_context().get_node_id()
                await self._do_all(negotiations, key_holders(workers, self._processes.placed, here))
        except Exception as error:  # this task has no caller to raise it to: `status` shows it
            name = next(iter(self._unsettled))
            self._fail(Failure.of(error, name, *self.seen.phase_and_step(name)))

    async def _do_all(self, jobs: Iterable[Job], workers: Sequence[str]) -> None:
        """Do jobs on workers; those that have not started when the last one is done are given up."""
        left = deque(jobs)
        working = {asyncio.ensure_future(self._work(worker, left)) for worker in workers[: len(left)]}
        try:
            while working and (left or self._busy):
                done, working = await asyncio.wait(working, return_when=asyncio.FIRST_COMPLETED)
                for each in done:
                    each.result()  # raises what ended it
                if self._ends:
                    left.clear()
        finally:
            for each in working:
                each.cancel()
        for worker in list(self._starting):
            ray.kill(self._starting.pop(worker))
            self._processes.forget(worker)

    @property
    def _ends(self) -> bool:
        """Whether no job is begun any more: the run stops, or an agent has failed."""
        return self._stopping or bool(self.seen.failures)

    async def _work(self, worker: str, jobs: "deque[Job]") -> None:
        """Do jobs on one worker until none is left, the run stops, or an agent has failed.

        It takes a job once it has started: until then other workers do them.
        """
        while jobs and not self._ends:
            handle = await self._ready(worker, jobs[0].agent)
            if handle is None or not jobs or self._ends:
                continue
            job = jobs.popleft()
            self._busy[worker] = job.agent
            try:
                death = await self._do(worker, handle, job)
                if death is not None:
                    jobs.appendleft(job)
            finally:
                self._busy.pop(worker, None)
            if death is not None:
                await self._pause(worker, job.agent, death)

    async def _do(self, worker: str, handle: Any, job: Job) -> Death | None:
        """Do a job, again while the worker only does not answer; return how the worker died meanwhile."""
        while True:
            try:
                await job.run(worker, handle)
            except RayTaskError as error:
                cause, at = error.cause or error, self.seen.phase_and_step(job.agent)
                self._fail(Failure.of(cause, job.agent, *at))
            except (RayError, OSError) as error:  # OSError: a lost connection
                if death := self._read_death(worker, error):
                    return death
                await asyncio.sleep(RETRY_SECONDS)
                if not self._stopping:
                    continue
            return None

    async def _ready(self, worker: str, next_agent: str) -> Any:
        """Return the handle of a worker that has started; None where it did not start this time.

        Args:
            worker: Name of the worker.
            next_agent: Agent that has the next turn: it has failed where no worker can be kept alive.
        """
        try:
            return await self._started(worker)
        except (RayError, ClusterError, OSError) as error:
            if death := self._read_death(worker, error):
                await self._pause(worker, next_agent, death)
            else:
                await asyncio.sleep(RETRY_SECONDS)
            return None

    async def _started(self, worker: str) -> Any:
        """Return the handle of a worker, which is started if it has no process."""
        if worker not in self._workers:
            if worker not in self._starting:
                self._starting[worker] = await self._start(worker)
            self._processes.placed[worker] = await self._starting[worker].node.remote()
            self._processes.registered(worker)
            self._workers[worker] = self._starting.pop(worker)
        return self._workers[worker]

    async def _start(self, worker: str) -> Any:
        while True:
            try:
                return self._processes.start(worker, self._gpus)
            except ValueError as error:  # Ray takes its predecessor for alive
                logger.warning("%s cannot be started yet: %s", worker, one_line(error))
                await asyncio.sleep(RETRY_SECONDS)

    def _read_death(self, worker: str, error: Exception) -> Death | None:
        """Return the death of a worker by an error of a call to it; None: it only does not answer."""
        death = self._processes.read_death(worker, error)
        if death is None:
            logger.warning("%s does not answer: %s", worker, one_line(error))
            return None
        self._starting.pop(worker, None)
        self._workers.pop(worker, None)
        return death

    async def _pause(self, worker: str, name: str, death: Death) -> None:
        """Wait until a worker that died may be started again; fail where an agent has ended too many."""
        if self._stopping or name in self.seen.failures:
            return
        phase, step = self.seen.phase_and_step(name)
        pause = self._processes.pause_after(name, death, step)
        if pause is None:
            self._record_failure(self._processes.failure(name, phase, step))
            return
        logger.warning("%s, with %s: %s; it is started again in %g s", worker, name, death.text, pause)
        await asyncio.sleep(pause)
        self._processes.returned(name)

    async def _train(self, name: str, worker: str, handle: Any) -> None:
        """Give an agent its turn, and record what it publishes."""
        from agents.side_negotiation import Side

        logger.info("%s has its turn on %s", name, worker)
        if self._trained_by.get(name) is not handle:  # a lost connection does not end the turn
            death = self._processes.deaths.get(name)
            self._membership.next_incarnation(name, death.text if death else "")
            self._trained_by[name] = handle
        incarnation = self._membership.incarnations[name]
        spec = self._membership.spec(name, self._resources.threads)
        report: AgentReport = await handle.train.remote(spec, incarnation, self._membership.session)
        if report.failure is not None:
            self._fail(report.failure)
        elif report.snapshot is not None:
            self._sides[name] = Side.of(spec, incarnation, report.snapshot)
            known = report.checkpoint == self._writer.written_versions.get(name)  # read from its folder
            await self._record(name, replace_fields(report, snapshot=None) if known else report)
        self._see(name, report)

    async def _negotiate(self, block: Peers, worker: str, handle: Any) -> None:
        """Negotiate the pairs of some agents with the peers given for each, and record their edges."""
        here = self._processes.placed[worker] == ray.get_runtime_context().get_node_id()
        sides = [replace_fields(self._sides[name], peers=peers) for name, peers in block.items()]
        found: Negotiated = await handle.negotiate.remote(sides, self._membership.session, here)
        for name, key in found.public_keys.items():
            self._membership.set_public_key(name, key)
        reports = {
            name: replace_fields(self.seen.reports[name], events=events)
            for name, events in found.events.items()
        }
        await asyncio.gather(*(self._record(name, report) for name, report in reports.items()))
        for name in reports:
            self._unsettled[name] -= block[name]

    async def _record(self, name: str, report: AgentReport) -> None:
        """Write a report to the ledger, again and again while the disk does not take it."""
        while True:
            try:
                self._membership.record_incarnations()
                await self._recorder.record(name, report)
            except (LedgerUnavailableError, OSError) as error:
                self.seen.note_unrecorded(name, self._folder.agent(name), error)
                await asyncio.sleep(RETRY_SECONDS)
            else:
                self.seen.unrecorded.pop(name, None)
                return

    def _see(self, name: str, report: AgentReport) -> None:
        """Keep a report without what is recorded of it: that of a thousand agents would fill the memory."""
        events = replace_fields(report.events, edges=(), sent=(), refused=())
        self.seen.receive(name, replace_fields(report, snapshot=None, events=events))

    async def _watch(self) -> None:
        """Keep up to date what has its turn, and what workers wait for."""
        while True:
            for worker, name in list(self._busy.items()):
                handle = self._workers.get(worker)
                if handle is not None and name not in self._sides:
                    await self._look(worker, name, handle)
            waiting = {name: self._gpus for name in self._starting if self._processes.is_starting(name)}
            if waiting:
                await asyncio.to_thread(self._processes.refresh_shortages, waiting)
            await asyncio.sleep(POLL_SECONDS)

    async def _look(self, worker: str, name: str, handle: Any) -> None:
        try:
            report: AgentReport | None = await asyncio.wait_for(handle.report.remote(), REPORT_TIMEOUT)
        except (RayError, OSError) as error:  # its job finds out how it died
            logger.debug("%s does not report: %s", worker, one_line(error))
            return
        if report is None or self._busy.get(worker) != name or name in self._sides:
            return
        self._see(name, report)
        if name not in self.seen.failures and (hang := find_hang(name, report)):
            self._record_failure(record_error(self._folder, hang, "hung"))

    def _fail(self, failure: Failure) -> None:
        if failure.agent not in self.seen.failures:  # one that hung may raise an error later
            self._record_failure(record_error(self._folder, failure))

    def _record_failure(self, failure: FailureRecord) -> None:
        self.seen.failures[failure.agent] = failure
        logger.error("%s failed: %s", failure.agent, failure.summary)
        with contextlib.suppress(LedgerError):  # `status` still shows it
            self._writer.event("failed", agent=failure.agent, failure=as_dict(failure))

    def status(self, name: str) -> AgentStatus:
        """Return the status of an agent."""
        worker = next((each for each, agent in self._busy.items() if agent == name), "")
        queued = not worker and name not in self.seen.reports
        shortage = self._shortage() if queued else None
        incarnation = self._membership.incarnations.get(name, 0)
        found = self.seen.status(
            self._membership.members[name], incarnation, str(shortage or ""), self._processes.remark(name)
        )
        settled = name in self._sides and not self._unsettled[name] and name not in self.seen.unrecorded
        return replace(found, settled=settled, phase="waiting" if queued else found.phase)

    def _shortage(self) -> Shortage | None:
        """Return the resources that workers, and so all agents, wait for while none has started."""
        found = (self._processes.shortage(worker) for worker in self._starting)
        return None if self._workers else next(filter(None, found), None)

    async def stop(self) -> list[str]:
        """Have agents that have their turn save their checkpoints, and end all workers.

        Returns:
            What could not be saved, or not within STOP_TIMEOUT, one sentence each.
        """
        self._stopping = True
        for handle in self._workers.values():
            handle.stop.remote()
        for handle in self._starting.values():  # one may wait for resources for ever, and has nothing to save
            ray.kill(handle)
        late: set[str] = set()
        if self._tasks:
            await asyncio.wait(self._tasks[:1], timeout=STOP_TIMEOUT)
            late = set(self._busy.values()) - self._sides.keys()  # who negotiates has saved
        self.release()
        unsaved = [f"{name} did not save within {STOP_TIMEOUT:g} s" for name in sorted(late)]
        return unsaved + [f"{name} {each}" for name in self.seen.reports for each in self.seen.unsaved(name)]

    def release(self) -> None:
        """End all workers."""
        for task in self._tasks:
            task.cancel()
        for handles in (self._starting, self._workers):
            while handles:
                ray.kill(handles.popitem()[1])


def key_holders(workers: Sequence[str], placed: Mapping[str, str], node: str) -> list[str]:
    """Return the workers that negotiate: an agent signs, and adds noise, with one key in all of its edges.

    The keys are in the run folder, so those on its node. Where there is none, one worker, which makes keys.

    Args:
        workers: All workers.
        placed: Node of each that has started.
        node: Node of the run folder.
    """
    return [worker for worker in workers if placed.get(worker) == node] or list(workers[:1])


def blocks_of(partners: Peers, size: int = BLOCK) -> list[Peers]:
    """Return all pairs of partners in blocks, each once: for each block, the peers of its agents in it.

    Args:
        partners: The peers of each agent.
        size: Agents of a block hold at most the pairs of twice as many.
    """
    block = {name: number // size for number, name in enumerate(partners)}
    found: defaultdict[tuple[int, int], defaultdict[str, set[str]]]
    found = defaultdict(lambda: defaultdict(set))
    for name, peers in partners.items():
        for peer in peers:
            first, second = sorted((block[name], block[peer]))
            found[first, second][name].add(peer)
    return [{name: frozenset(peers) for name, peers in each.items()} for _, each in sorted(found.items())]
