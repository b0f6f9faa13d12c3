"""The supervisor actor of a simulation: it starts, watches and restarts agents, and records what they report.

It takes no part in training or negotiation: agents continue while it is away. When it restarts, it reads the
members from the ledger and finds the agents by name.
"""

import agents.common.ray_environment  # noqa: F401

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import ray
from ray.exceptions import RayError, RayTaskError

from agents.common.versions import differences, process_versions
from agents.failure import Failure
from agents.file_transfer import AgentFiles, FileChunk
from agents.logs import append_lines
from agents.protocol.peer_list import PeerList
from agents.report import AgentReport
from agents.spec import AgentSpec
from social_jepa.records import AgentStatus, FailureRecord, as_dict
from social_jepa.runtime.agent_processes import AgentProcesses
from social_jepa.runtime.agent_status import Observations
from social_jepa.runtime.cluster import SUPERVISOR, ResourceShare, names_in
from social_jepa.runtime.control import ControlServer
from social_jepa.runtime.deaths import one_line
from social_jepa.runtime.errors import ClusterError, NotEnoughMemoryError, StartFailedError
from social_jepa.runtime.failures import find_hang, record_error
from social_jepa.runtime.logs import log_path, log_to_file
from social_jepa.runtime.membership import Membership
from social_jepa.runtime.ray_metrics import Metrics
from social_jepa.storage.agent_files import AgentFileStore
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.ledger_errors import LedgerError, LedgerUnavailableError
from social_jepa.storage.run_folder import RunFolder

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.1  # seconds between two polls of an agent; more for many agents
REPORT_TIMEOUT = 10.0  # seconds that an agent may take to report; fitting many maps keeps it busy
STOP_TIMEOUT = 60.0  # seconds that agents may take to save their checkpoints
SHORTAGE_SECONDS = 0.5  # seconds between two looks at what agents wait for
BEGIN_RETRY_SECONDS = 1.0  # seconds between two tries to find the agents after a restart
REGISTER_SECONDS = 80.0  # seconds that a joiner which has registered may take to its first report
RECORD_RETRY_SECONDS = 2.0  # seconds between two attempts to record a report that the disk does not take
RETRY_SECONDS = 15.0  # seconds between two requests to restart stalled negotiations
RESTART_RETRY_SECONDS = 0.5  # seconds between two attempts to start a process whose name is still taken


@ray.remote
class Supervisor:
    """Supervisor of one simulation."""

    def __init__(
        self, folder: str, namespace: str, online: bool, resources: ResourceShare, control: str
    ) -> None:
        """Take the folder's lock, read the ledger, and call `begin`: after a death Ray runs only this again.

        Args:
            folder: Path of the run folder.
            namespace: Ray namespace of the simulation.
            online: Whether agents keep training after their schedule.
            resources: Resources of each agent.
            control: Path of the control socket.

        Raises:
            RunFolderInUseError: Another process runs in the folder.
        """
        from social_jepa.runtime.ledger_writer import LedgerWriter  # imports torch, which callers do without

        self._folder = RunFolder.at(folder)
        self._lock = self._folder.acquire_lock()  # until this process ends
        log_to_file(self._folder.path, "supervisor")
        self._config = self._folder.config()
        self._ledger = Ledger(self._folder.ledger_file, create=True)
        self._membership = Membership(self._config, self._folder, self._ledger, online)
        self._ledger_writer = LedgerWriter(self._config, self._folder, self._ledger)
        self._files = AgentFileStore(self._folder)
        self._metrics = Metrics(self._folder.path.name)
        self._namespace, self._online, self._resources = namespace, online, resources
        self._handles: dict[str, Any] = {}
        self._seen = Observations()
        self._acknowledged: dict[str, tuple[int, int]] = {}  # newest event recorded of an agent, by name
        self._processes = AgentProcesses(self._folder, namespace, resources)
        self._polls: dict[str, asyncio.Task[None]] = {}
        self._stopping: asyncio.Task[list[str]] | None = None
        self._shortages: asyncio.Task[None] | None = None
        methods = ("add", "end", "move", "remove", "status", "stop")
        self._control = ControlServer(Path(control), {name: getattr(self, name) for name in methods})
        logger.info("supervisor of %s started, namespace %s", self._folder.path, namespace)
        threading.Thread(target=self._call_begin, daemon=True).start()

    def _call_begin(self) -> None:
        while True:
            try:
                supervisor: Any = ray.get_actor(SUPERVISOR, self._namespace)
                ray.get(supervisor.begin.remote())
                return
            except Exception:  # this thread has no caller; without it nothing is polled
                logger.exception("the agents cannot be started or found yet")
                time.sleep(BEGIN_RETRY_SECONDS)

    async def begin(self) -> None:
        """Start or find the agents of all members and poll them; end joiners of a supervisor that died."""
        await self._control.start(None if self._online else self._end_without_owner)
        known = {SUPERVISOR, *self._membership.members, *self._membership.pending}
        for name in set(names_in(self._namespace)) - known:
            logger.warning("%s ended: it had not joined when the supervisor restarted", name)
            with contextlib.suppress(ValueError):
                ray.kill(ray.get_actor(name, self._namespace))
        for name in self._membership.members:
            if name not in self._polls:
                self._start_agent(name)
        if self._shortages is None:
            self._shortages = asyncio.get_running_loop().create_task(self._watch_shortages())

    async def _watch_shortages(self) -> None:
        """Keep up to date what agents wait for, on a thread: Ray's answer may take long."""
        while True:
            waiting = {name: self._gpus(name) for name in self._handles if self._processes.is_starting(name)}
            if waiting:
                await asyncio.to_thread(self._processes.refresh_shortages, waiting)
            await asyncio.sleep(SHORTAGE_SECONDS)

    def _start_agent(self, name: str) -> None:
        if name not in self._handles:
            try:
                self._handles[name] = ray.get_actor(name, self._namespace)
                logger.info("%s found: its process outlived the supervisor", name)
            except ValueError:
                self._handles[name] = self._processes.start(name, self._gpus(name))
        self._polls[name] = asyncio.get_running_loop().create_task(self._poll_agent(name))

    def _gpus(self, name: str) -> float:
        return self._membership.get(name).config(self._config).agents.gpus

    async def register(self, name: str, versions: dict[str, str]) -> tuple[AgentSpec, int, PeerList]:
        """Count an incarnation of an agent; return its specification, the incarnation and the peer list.

        Args:
            name: Name of the agent.
            versions: What its process runs, see `agents.common.versions`.
        """
        self._processes.registered(name)
        self._seen.versions[name] = versions
        if unequal := differences(process_versions(), versions):
            logger.warning("%s runs other versions than its supervisor: %s", name, unequal)
        incarnation = self._membership.next_incarnation(name)
        if death := self._processes.deaths.get(name):
            report = self._seen.reports.get(name)
            process = f"process {report.pid} ended" if report else "its process ended"
            logger.warning("%s restarted as incarnation %d: %s (%s)", name, incarnation, process, death.text)
        spec = self._membership.spec(name, self._resources.threads)
        self._broadcast_peers(but=name)
        return spec, incarnation, self._membership.peer_list(self._handles)

    async def enroll(self, name: str, incarnation: int, public_key: bytes) -> PeerList:
        """Take the public key that an agent signs with, tell its peers, and return the peer list."""
        if incarnation == self._membership.incarnations.get(name):
            self._membership.set_public_key(name, public_key)
            self._broadcast_peers(but=name)
        return self._membership.peer_list(self._handles)

    def _note_unrecorded(self, name: str, error: LedgerUnavailableError | OSError) -> None:
        path = self._ledger.path if isinstance(error, LedgerUnavailableError) else self._folder.agent(name)
        self._seen.note_unrecorded(name, path, error)

    async def locate_files(self, name: str) -> AgentFiles:
        """Return the path and the id of the run folder, and the files of an agent in it."""
        return await asyncio.to_thread(self._files.locate, name)

    async def read_file(self, name: str, file: str, offset: int) -> bytes:
        """Return a part of a file of an agent, see `AgentFileStore.read`."""
        return await asyncio.to_thread(self._files.read, name, file, offset)

    async def store_file(self, name: str, incarnation: int, chunk: FileChunk) -> bool:
        """Write a part of a file of an agent; return false to an incarnation that is not its newest."""
        if incarnation != self._membership.incarnations.get(name):
            logger.warning("refused %s of incarnation %d of %s", chunk.file, incarnation, name)
            return False
        await asyncio.to_thread(self._files.write, name, chunk)
        return True

    async def append_log(self, name: str, lines: Sequence[str]) -> None:
        """Append lines to the log file of an agent that does not see the run folder."""
        await asyncio.to_thread(append_lines, log_path(self._folder.path, name), lines)

    def _broadcast_peers(self, but: str = "") -> None:
        peer_list = self._membership.peer_list(self._handles)
        for name in peer_list.handles:
            if name != but:
                self._handles[name].update_peers.remote(peer_list)

    async def _poll_agent(self, name: str) -> None:
        """Poll an agent until it leaves or fails; a process that died is started again."""
        retried_at = time.monotonic()
        while name in self._handles:
            handle, report = self._handles[name], None
            try:
                report = await self._request_report(name)
            except RayTaskError as error:
                self._record_error(name, error.cause or error)
                return
            except (RayError, OSError) as error:  # OSError: a lost connection, or a timeout
                if not await self._survive(name, error):
                    return
            if report is not None and name in self._handles:
                try:
                    self._receive_report(name, report)
                except (LedgerUnavailableError, OSError) as error:
                    self._note_unrecorded(name, error)
                    await asyncio.sleep(RECORD_RETRY_SECONDS)
                except Exception as error:  # this task has no caller to raise it to: `status` shows it
                    self._record_error(name, error, "report")
                    return
            if time.monotonic() - retried_at > RETRY_SECONDS:
                retried_at = time.monotonic()
                handle.retry_stalled.remote()
            await asyncio.sleep(POLL_SECONDS * max(1, len(self._handles) / 10))

    async def _request_report(self, name: str) -> AgentReport | None:
        known = self._ledger_writer.written_versions.get(name, "")
        call = self._handles[name].report.remote(*self._acknowledged.get(name, (0, 0)), known)
        report: AgentReport | None = await asyncio.wait_for(call, REPORT_TIMEOUT)
        return report

    def _record_error(
        self, name: str, error: BaseException, cause: Literal["error", "report"] = "error"
    ) -> None:
        failure = Failure.of(error, name, *self._seen.phase_and_step(name))
        self._record_failure(record_error(self._folder, failure, cause))

    def _record_failure(self, failure: FailureRecord) -> None:
        self._seen.failures[failure.agent] = failure
        logger.error("%s failed for good: %s", failure.agent, failure.summary)
        with contextlib.suppress(LedgerError):  # `status` still shows it
            self._ledger_writer.event("failed", agent=failure.agent, failure=as_dict(failure))

    async def _survive(self, name: str, error: Exception) -> bool:
        """Restart an agent if its process died; return whether to continue polling it."""
        death = self._processes.read_death(name, error)
        if death is None:
            if not self._processes.is_starting(name) and name not in self._seen.outages:
                logger.warning("%s does not answer: %s", name, one_line(error))
                self._seen.outages[name] = time.time()
            return True
        self._seen.outages.pop(name, None)
        phase, step = self._seen.phase_and_step(name)
        pause = self._processes.pause_after(name, death, step)
        if self._stopping or name in self._seen.failures:
            return False
        if pause is None:
            self._record_failure(self._processes.failure(name, phase, step))
            return False
        logger.warning("%s: %s; the next process starts in %g s", name, death.text, pause)
        await asyncio.sleep(pause)
        return await self._restart(name)

    async def _restart(self, name: str) -> bool:
        """Start another process of an agent; return whether it is still wanted."""
        while name in self._handles and not self._stopping:
            try:
                self._handles[name] = self._processes.start(name, self._gpus(name))
                return True
            except (ValueError, ClusterError, RayError) as error:  # Ray takes its predecessor for alive
                logger.warning("%s cannot be restarted yet: %s", name, one_line(error))
                await asyncio.sleep(RESTART_RETRY_SECONDS)
        return False

    def _receive_report(self, name: str, report: AgentReport) -> None:
        if report.failure is not None and name not in self._seen.failures:
            self._record_failure(record_error(self._folder, report.failure))
        if report.events.incarnation != self._membership.incarnations.get(name):
            return  # of an earlier incarnation, or of none because it could not register
        if name in self._membership.pending:
            if report.progress is None:
                self._seen.reports[name] = report
                return
            self._membership.admit(name, self._next_unrendered_tick())
            logger.info("%s joined at %s", name, self._membership.members[name].pose)
            self._broadcast_peers()
        self._seen.receive(name, report)
        self._processes.placed[name] = report.node
        self._membership.record_incarnations()
        self._ledger_writer.write(name, self._membership.members, report)
        self._acknowledged[name] = report.events.incarnation, report.events.last_number
        self._seen.unrecorded.pop(name, None)
        self._metrics.record(name, report)
        if not self._online and name not in self._seen.failures and (hang := find_hang(name, report)):
            self._record_failure(record_error(self._folder, hang, "hung"))

    def _next_unrendered_tick(self) -> int:
        """Return the first tick that no camera has rendered."""
        return max((r.progress.next_tick for r in self._seen.reports.values() if r.progress), default=0)

    async def add(self, request: Mapping[str, Any], timeout: float) -> AgentStatus:
        """Add an agent; return its status once it has joined, or once it waits for resources.

        Args:
            request: Keyword arguments of `membership.new_member`.
            timeout: Seconds in which its process should start, unless it waits for resources.

        Raises:
            MembershipError, ConfigError, ValueError: The request cannot be met.
            NotEnoughMemoryError: This machine has no memory for another agent.
            StartFailedError: The agent failed before it joined; it is removed again.
            LedgerUnavailableError: The ledger cannot be written now; the agent is removed again.
        """
        membership = self._membership
        name = membership.propose(**request).name
        try:
            self._processes.check_memory(membership.get(name).config(self._config))
        except NotEnoughMemoryError:
            membership.reject(name)
            raise
        self._start_agent(name)
        deadline = time.monotonic() + timeout
        while name in membership.pending:
            if name in self._seen.failures:
                failure = self._seen.failures[name]
                self._drop_joiner(name)
                raise StartFailedError(failure)
            if name in self._seen.unrecorded:
                unrecorded = self._seen.unrecorded[name]
                self._drop_joiner(name)
                raise LedgerUnavailableError(self._ledger.path, unrecorded.reason)
            if time.monotonic() > deadline and not membership.incarnations.get(name):
                break
            if time.monotonic() > deadline + REGISTER_SECONDS or self._stopping:
                break
            if shortage := self._processes.shortage(name):
                logger.info("%s waits for %s", name, shortage)
                break
            await asyncio.sleep(0.02)
        return self._status(name)

    def _drop_joiner(self, name: str) -> None:
        self._release(name)
        self._membership.reject(name)

    async def move(self, name: str, pose: str) -> AgentStatus:
        """Move an agent's camera; return its status.

        Raises:
            MembershipError, ConfigError, ValueError: See `Membership.move`.
        """
        member = self._membership.move(name, pose, self._next_unrendered_tick())
        logger.info("%s moved to %s; its edges are stale until it has trained there", name, member.pose)
        self._ledger_writer.written_versions.pop(name, None)
        spec = self._membership.spec(name, self._resources.threads)
        self._handles[name].move.remote(spec.pose, member.pose_version)
        self._broadcast_peers()
        return self._status(name)

    async def remove(self, name: str) -> None:
        """Remove an agent, or cancel a joiner.

        Raises:
            MembershipError: See `Membership.remove`.
        """
        if name in self._membership.pending:
            self._membership.reject(name)
        else:
            self._membership.remove(name, self._next_unrendered_tick())
        logger.info("%s left", name)
        self._release(name)
        self._broadcast_peers()

    def _release(self, name: str) -> None:
        ray.kill(self._handles.pop(name))
        self._polls.pop(name).cancel()
        self._seen.forget(name)
        self._acknowledged.pop(name, None)
        self._processes.forget(name)
        self._ledger_writer.written_versions.pop(name, None)

    async def status(self) -> list[AgentStatus]:
        """Return the status of all members and joiners."""
        return [self._status(name) for name in [*self._membership.members, *self._membership.pending]]

    def _status(self, name: str) -> AgentStatus:
        shortage = self._processes.shortage(name)
        waiting_for = str(shortage) if shortage else ""
        incarnation, remark = self._membership.incarnations.get(name, 0), self._processes.remark(name)
        return self._seen.status(self._membership.get(name), incarnation, waiting_for, remark)

    async def stop(self, reason: str) -> list[str]:
        """Have all agents save their checkpoints and end; return when they have, or after STOP_TIMEOUT.

        Args:
            reason: Why, for the ledger.

        Returns:
            What could not be saved, one sentence each.
        """
        if self._stopping is None:
            self._stopping = asyncio.get_running_loop().create_task(self._stop(reason))
        return await asyncio.shield(self._stopping)

    async def _stop(self, reason: str) -> list[str]:
        stopping = {
            asyncio.ensure_future(handle.stop.remote()): name
            for name, handle in self._handles.items()
            if not self._processes.is_starting(name)  # else it has nothing to save, and no process perhaps
        }
        unsaved = []
        if stopping:
            _, late = await asyncio.wait(stopping, timeout=STOP_TIMEOUT)
            unsaved = [f"{stopping[call]} did not save within {STOP_TIMEOUT:g} s" for call in late]
            for call, name in stopping.items():
                if call not in late and (error := call.exception()):
                    unsaved.append(f"{name} did not save: {one_line(error)}")
        unsaved += await self._record_last_reports()
        for name in list(self._handles):
            self._release(name)
        if not self._ledger_writer.event("stopped", reason=reason):
            unsaved.append(f"{self._ledger.path} does not say that the simulation has stopped")
        for sentence in unsaved:
            logger.warning("%s", sentence)
        logger.info("stopped: %s", reason)
        return unsaved

    async def _record_last_reports(self) -> list[str]:
        """Record what stopped agents report; return what could not be saved, one sentence each."""
        for poll in self._polls.values():
            poll.cancel()
        names = [name for name in self._handles if name in self._membership.members]
        reports = await asyncio.gather(*map(self._request_report, names), return_exceptions=True)
        unsaved = []
        for name, report in zip(names, reports, strict=True):
            try:
                if isinstance(report, AgentReport):
                    self._receive_report(name, report)
            except (LedgerUnavailableError, OSError) as error:
                self._note_unrecorded(name, error)
            except Exception as error:  # the others are recorded, and the simulation ends
                logger.exception("the last report of %s cannot be recorded", name)
                unsaved.append(f"the last report of {name} cannot be recorded: {one_line(error)}")
            unsaved += [f"{name} {each}" for each in self._seen.unsaved(name)]
        return unsaved

    async def end(self) -> None:
        """End all agents, and this process without restart once the reply has been sent."""
        if self._stopping is not None:  # agents are saving
            with contextlib.suppress(Exception):  # `stop` raises it
                await asyncio.shield(self._stopping)
        for name in list(self._handles):
            self._release(name)
        await self._control.close()
        self._lock.release()
        supervisor = ray.get_actor(SUPERVISOR, self._namespace)
        asyncio.get_running_loop().call_later(0.1, lambda: ray.kill(supervisor))

    async def _end_without_owner(self) -> None:
        try:
            await self.stop("the command that ran it has ended")
        finally:
            await self.end()
