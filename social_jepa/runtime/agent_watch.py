"""Watch the agents of a simulation: take their reports, record them, restart those whose process died.

Every agent has one call waiting for it, which it answers when there is news, and otherwise after a heartbeat.
The next call follows when its report is recorded: so many reports cannot pile up, and an agent whose events
wait keeps them. What the supervisor has to do depends on what happens, and not on the number of agents.
"""

import agents.common.ray_environment  # noqa: F401

import asyncio
import contextlib
import logging
import math
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import ray
from ray.exceptions import RayError, RayTaskError

from agents.errors import UnknownAgentError
from agents.failure import Failure
from agents.protocol.peer_list import PeerList
from agents.report import AgentReport
from social_jepa.records import FailureRecord, as_dict
from social_jepa.runtime.agent_processes import AgentProcesses
from social_jepa.runtime.agent_status import Observations
from social_jepa.runtime.deaths import one_line
from social_jepa.runtime.errors import ClusterError
from social_jepa.runtime.failures import find_hang, record_error
from social_jepa.runtime.logs import log_path
from social_jepa.runtime.membership import Membership
from social_jepa.runtime.orders import Orders
from social_jepa.runtime.pace import Pace
from social_jepa.runtime.ray_metrics import Metrics
from social_jepa.runtime.report_recorder import ReportRecorder
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.ledger_errors import LedgerError, LedgerUnavailableError

if TYPE_CHECKING:
    from social_jepa.runtime.ledger_writer import LedgerWriter  # imports torch

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 1.0  # after which an agent reports its progress though nothing has happened; more for ...
HEARTBEATS_PER_SECOND = 25.0  # ... more agents than this
REPORT_SECONDS = 0.1  # least seconds between two reports of an agent
REPORTS_PER_SECOND = 200.0  # of all agents together, beyond which they wait for one another
REPORT_TIMEOUT = 10.0  # seconds that an agent may take longer; fitting many maps keeps it busy
STOP_TIMEOUT = 60.0  # seconds that agents may take to save their checkpoints
RECORD_RETRY_SECONDS = 2.0  # seconds between two attempts to record a report that the disk does not take
RESTART_RETRY_SECONDS = 0.5  # seconds between two attempts to start a process whose name is still taken


class AgentWatch:
    """Watches the agents of one simulation, each by a task of its own on the running event loop.

    Attributes:
        handles: Handle of the actor that each agent lives in, by the agent's name. Agents of one actor have
            the same one; after its death, each has it until it starts again.
        seen: What has been seen of the agents.
        stopping: Whether the simulation stops: then no process is started again.
    """

    def __init__(
        self, membership: Membership, processes: AgentProcesses, ledger: Ledger, writer: "LedgerWriter"
    ) -> None:
        """Watch none; `start` begins.

        Args:
            membership: Members and joiners.
            processes: Starts the processes of the agents.
            ledger: The ledger of the run.
            writer: Writes reports to it.
        """
        self._membership, self._processes, self._ledger, self._writer = membership, processes, ledger, writer
        self._folder, self._namespace = membership.folder, membership.folder.namespace
        self._metrics = Metrics(self._folder.path.name)
        self._acknowledged: dict[str, tuple[int, int]] = {}  # newest event recorded of an agent, by name
        self._recording: set[asyncio.Future[None]] = set()  # reports that are being written
        self._recorder = ReportRecorder(writer, lambda: membership.members)
        self._pace = Pace(REPORTS_PER_SECOND)
        self._polls: dict[str, asyncio.Task[None]] = {}
        self._sent: dict[str, PeerList] = {}  # newest peer list that an agent was sent, by name
        self._actors: dict[str, Any] = {}  # handle of the newest process of each actor, by its name
        self._orders = Orders()
        self.handles: dict[str, Any] = {}
        self.seen = Observations()
        self.stopping = False

    def start(self, name: str) -> None:
        """Find or start the process of an agent, start the agent there, and poll it; not if it is polled."""
        if name in self._polls:
            return
        if name not in self.handles:
            self._start_in_actor(name)
        self._polls[name] = asyncio.get_running_loop().create_task(self._poll(name))

    def _start_in_actor(self, name: str, find: bool = True) -> None:
        """Start an agent in its actor, unless it lives there.

        Args:
            name: The agent.
            find: Whether an earlier supervisor may have started the actor; one that died can be found, too.
        """
        actor = self._membership.actor(name)
        if actor not in self._actors:
            handle = self._find(actor) if find else None
            self._actors[actor] = handle or self._processes.start(actor, self._membership.gpus(name))
        self.handles[name] = self._actors[actor]
        self._membership.version += 1  # a list names those alone that have a handle
        self._start_again(name)
        logger.info("%s started in %s", name, actor)

    def _find(self, actor: str) -> Any | None:
        with contextlib.suppress(ValueError):
            handle = ray.get_actor(actor, self._namespace)
            logger.info("%s found: its process outlived the supervisor", actor)
            return handle
        return None

    def _start_again(self, name: str) -> None:
        self.handles[name].start_agent.remote(name, str(log_path(self._folder.path, name)))

    def release(self, name: str) -> None:
        """End an agent, and its process if no other agent lives there, and forget the agent."""
        if handle := self.handles.pop(name, None):
            self._membership.version += 1
            self.keep_agents(handle)
        if poll := self._polls.pop(name, None):
            poll.cancel()
        self.seen.forget(name)
        self._acknowledged.pop(name, None)
        self._sent.pop(name, None)
        self._orders.forget(name)
        self._processes.forget(name)
        self._writer.written_versions.pop(name, None)

    def keep_agents(self, handle: Any) -> None:
        """End agents of an actor that are not known to live there, and an actor without agents."""
        if names := [name for name, each in self.handles.items() if each is handle]:
            handle.keep_agents.remote(names)
            return
        ray.kill(handle)
        for actor in [actor for actor, each in self._actors.items() if each is handle]:
            del self._actors[actor]
            self._processes.forget(actor)

    def broadcast_peers(self, but: str = "") -> None:
        """Send all agents but one their peer lists where these have changed."""
        for name in self._membership.registered(self.handles):
            if name != but:
                before = self._sent.get(name)
                after = self.peer_list(name)
                if before is None or _content(before) != _content(after):
                    self.handles[name].update_peers.remote(name, after)

    def peer_list(self, name: str) -> PeerList:
        """Return the peer list of an agent, which it is about to be sent."""
        self._sent[name] = self._membership.peer_list(self.handles, name)
        return self._sent[name]

    def next_unrendered_tick(self) -> int:
        """Return the first tick that no camera has rendered."""
        return max((r.progress.next_tick for r in self.seen.reports.values() if r.progress), default=0)

    async def _poll(self, name: str) -> None:
        """Take reports of an agent until it leaves or fails; it starts again when its process dies."""
        while name in self.handles:
            report = None
            try:
                report = await self._request_report(name, self._heartbeat())
            except RayTaskError as error:
                if not isinstance(error.cause, UnknownAgentError):
                    self._record_error(name, error.cause or error)
                    return
                self._start_again(name)  # that call was lost with a connection
            except (RayError, OSError) as error:  # OSError: a lost connection, or a timeout
                if not await self._survive(name, error):
                    return
            if report is not None and name in self.handles:
                try:
                    await self._receive(name, report)
                except (LedgerUnavailableError, OSError) as error:
                    self.seen.note_unrecorded(name, self._folder.agent(name), error)
                    await asyncio.sleep(RECORD_RETRY_SECONDS)
                except Exception as error:  # this task has no caller to raise it to: `status` shows it
                    self._record_error(name, error, "report")
                    return
            await asyncio.sleep(max(REPORT_SECONDS, self._pace.take(time.monotonic())))

    def _heartbeat(self) -> float:
        return max(HEARTBEAT_SECONDS, len(self.handles) / HEARTBEATS_PER_SECOND)

    async def _request_report(self, name: str, heartbeat: float = 0.0) -> AgentReport | None:
        """Return the next report of an agent, as `AgentActor.report` does."""
        known = self._writer.written_versions.get(name, "")
        call = self.handles[name].report.remote(name, *self._acknowledged.get(name, (0, 0)), known, heartbeat)
        report: AgentReport | None = await asyncio.wait_for(call, heartbeat + REPORT_TIMEOUT)
        return report

    def _record_error(
        self, name: str, error: BaseException, cause: Literal["error", "report"] = "error"
    ) -> None:
        failure = Failure.of(error, name, *self.seen.phase_and_step(name))
        self._record_failure(record_error(self._folder, failure, cause))

    def _record_failure(self, failure: FailureRecord) -> None:
        self.seen.failures[failure.agent] = failure
        logger.error("%s failed for good: %s", failure.agent, failure.summary)
        with contextlib.suppress(LedgerError):  # `status` still shows it
            self._writer.event("failed", agent=failure.agent, failure=as_dict(failure))

    async def _survive(self, name: str, error: Exception) -> bool:
        """Restart an agent if its process died; return whether to continue polling it."""
        death = self._processes.read_death(self._membership.actor(name), error)
        if death is None:
            if not self._is_starting(name) and name not in self.seen.outages:
                logger.warning("%s does not answer: %s", name, one_line(error))
                self.seen.outages[name] = time.time()
            self._sent.pop(name, None)  # a list may have been lost with the connection
            return True
        self.seen.outages.pop(name, None)
        phase, step = self.seen.phase_and_step(name)
        member, report = self._membership.members.get(name), self.seen.reports.get(name)
        if member and report and report.pose_version < member.pose_version:
            step = 0  # that of the view before a move, after which it began anew
        pause = self._processes.pause_after(name, death, step)
        if self.stopping or name in self.seen.failures:
            return False
        if pause is None:
            self._record_failure(self._processes.failure(name, phase, step))
            return False
        logger.warning("%s: %s; it starts again in %g s", name, death.text, pause)
        await asyncio.sleep(pause)
        return await self._restart(name)

    async def _restart(self, name: str) -> bool:
        """Start an agent again, in a process that another agent may have started; return if it is wanted."""
        dead = self.handles.get(name)
        while name in self.handles and not self.stopping:
            actor = self._membership.actor(name)
            if self._actors.get(actor) is dead:
                self._actors.pop(actor, None)
            try:
                self._start_in_actor(name, find=False)
                self._processes.returned(name)
                return True
            except (ValueError, ClusterError, RayError) as error:  # Ray takes its predecessor for alive
                logger.warning("%s cannot be restarted yet: %s", name, one_line(error))
                await asyncio.sleep(RESTART_RETRY_SECONDS)
        return False

    def _is_starting(self, name: str) -> bool:
        """Return whether the process of an agent has not started yet."""
        return self._processes.is_starting(self._membership.actor(name))

    async def _receive(self, name: str, report: AgentReport) -> None:
        """Record a report; admit a joiner that reports for the first time.

        Raises:
            LedgerUnavailableError, OSError: The ledger or the anchors cannot be written now.
        """
        if report.failure is not None and name not in self.seen.failures:
            self._record_failure(record_error(self._folder, report.failure))
        if report.events.incarnation != self._membership.incarnations.get(name):
            return  # of an earlier incarnation, or of none because it could not register
        if name in self._membership.pending:
            if report.progress is None:
                self.seen.reports[name] = report
                return
            self._membership.admit(name, self.next_unrendered_tick())
            logger.info("%s joined at %s", name, self._membership.members[name].pose)
            self.broadcast_peers()
        if name not in self._sent:
            self.handles[name].update_peers.remote(name, self.peer_list(name))
        self.seen.receive(name, report)
        self._processes.placed[self._membership.actor(name)] = report.node
        self._membership.record_incarnations()
        recording = asyncio.ensure_future(self._record_events(name, report))
        self._recording.add(recording)
        recording.add_done_callback(self._recording.discard)
        await asyncio.shield(recording)
        if name not in self.handles:
            return
        self.seen.unrecorded.pop(name, None)
        self._metrics.record(name, report)
        if member := self._membership.members.get(name):
            self._orders.check(member, name in self._membership.paused, report, self.handles[name])
        if (
            not self._membership.online
            and name not in self.seen.failures
            and (hang := find_hang(name, report))
        ):
            self._record_failure(record_error(self._folder, hang, "hung"))

    async def _record_events(self, name: str, report: AgentReport) -> None:
        """Record a report and acknowledge its events: both or none, or the next report holds them again."""
        await self._recorder.record(name, self._of_known_processes(report))
        if name in self.handles:
            self._acknowledged[name] = _last_event(report)

    def _of_known_processes(self, report: AgentReport) -> AgentReport:
        """Return a report without edges from incarnations that never registered.

        A source could otherwise name another one to each peer, so that its replies contradict none.
        """
        newest, known, refused = self._membership.incarnations, [], list(report.events.refused)
        for edge in report.events.edges:
            number = edge.incarnations[0]
            if number <= newest.get(edge.source, math.inf):
                known.append(edge)
            else:
                registered = newest[edge.source]
                refused.append(
                    f"{edge.source} negotiated as incarnation {number}, and {registered} registered"
                )
        if len(known) == len(report.events.edges):
            return report
        return replace(report, events=replace(report.events, edges=tuple(known), refused=tuple(refused)))

    async def save_all(self) -> list[str]:
        """Have all agents save their checkpoints, and record their last reports.

        Returns:
            What could not be saved, or not within STOP_TIMEOUT, one sentence each.
        """
        stopping = {
            asyncio.ensure_future(handle.stop.remote(name)): name
            for name, handle in self.handles.items()
            if not self._is_starting(name)  # it has nothing to save, and perhaps no process to ask
        }
        unsaved = []
        if stopping:
            _, late = await asyncio.wait(stopping, timeout=STOP_TIMEOUT)
            unsaved = [f"{stopping[call]} did not save within {STOP_TIMEOUT:g} s" for call in late]
            for call, name in stopping.items():
                if call not in late and (error := call.exception()):
                    unsaved.append(f"{name} did not save: {one_line(error)}")
        return unsaved + await self._record_last_reports()

    async def _record_last_reports(self) -> list[str]:
        """Record what stopped agents report; return what could not be saved, one sentence each."""
        for poll in self._polls.values():
            poll.cancel()
        if self._recording:
            await asyncio.wait(self._recording)  # a thread writes what a poll has received, cancelled or not
        names = [
            name for name in self.handles
            if name in self._membership.members and not self._is_starting(name)
        ]  # fmt: skip
        found = await asyncio.gather(*map(self._record_last_report, names))
        return [each for of_agent in found for each in of_agent]

    async def _record_last_report(self, name: str) -> list[str]:
        """Record all that waits at a stopped agent; return what could not be saved, one sentence each."""
        unsaved, more = [], True
        while more:
            try:
                report = await self._request_report(name)
            except (RayError, OSError):  # its process has ended: there is nothing to record
                break
            try:
                if report is not None:
                    await self._receive(name, report)
            except (LedgerUnavailableError, OSError) as error:
                self.seen.note_unrecorded(name, self._folder.agent(name), error)
                break
            except Exception as error:  # the others are recorded, and the simulation ends
                logger.exception("the last report of %s cannot be recorded", name)
                unsaved.append(f"the last report of {name} cannot be recorded: {one_line(error)}")
                break
            if report is None or self._acknowledged.get(name) != _last_event(report):
                break  # nothing waits, or it is of another incarnation
            more = report.events.more  # it holds a part of what waits
        unsaved += [f"{name} {each}" for each in self.seen.unsaved(name)]
        return unsaved


def _content(peer_list: PeerList) -> tuple[Any, ...]:
    """Return peers, handles and the number of bodies of a peer list; bodies are only ever added."""
    return peer_list.peers, peer_list.handles, len(peer_list.body_events)


def _last_event(report: AgentReport) -> tuple[int, int]:
    return report.events.incarnation, report.events.last_number
