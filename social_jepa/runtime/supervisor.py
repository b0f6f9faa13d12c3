"""The supervisor actor of a simulation: agents register with it, and commands change its members through it.

It takes no part in training or negotiation: agents continue while it is away. When it restarts, it reads the
members from the ledger and finds the agents by name.
"""

import agents.common.ray_environment  # noqa: F401

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

import ray

from agents.common.versions import differences, process_versions
from agents.protocol.peer_list import PeerList
from agents.spec import AgentSpec
from social_jepa.records import AgentStatus, replace
from social_jepa.runtime.agent_processes import AgentProcesses
from social_jepa.runtime.agent_status import Observations
from social_jepa.runtime.agent_watch import AgentWatch
from social_jepa.runtime.cluster import SUPERVISOR, ResourceShare, names_in
from social_jepa.runtime.errors import StartFailedError
from social_jepa.runtime.supervisor_base import SupervisorBase
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.ledger_errors import LedgerUnavailableError

logger = logging.getLogger(__name__)

SHORTAGE_SECONDS = 0.5  # seconds between two looks at what agents wait for
METHODS = (
    "add",
    "end",
    "move",
    "pause",
    "progress",
    "remove",
    "set_topology",
    "status",
    "stop",
)  # of commands
REGISTER_SECONDS = 80.0  # seconds that a joiner which has registered may take to its first report


@ray.remote
class Supervisor(SupervisorBase):
    """Supervisor of one simulation."""

    def __init__(
        self, folder: str, namespace: str, online: bool, resources: ResourceShare, control: str
    ) -> None:
        """Take the folder's lock, read the ledger, and call `begin`: after a death Ray runs only this again.

        Args:
            folder: Path of the run folder.
            namespace: Ray namespace of the simulation.
            online: Whether agents keep training after their schedule.
            resources: Resources of each process that agents live in.
            control: Path of the control socket.

        Raises:
            RunFolderInUseError: Another process runs in the folder.
        """
        from social_jepa.graph.judged_edges import FlagReader  # it imports torch, which callers do without

        super().__init__(folder, namespace, online)
        # another connection: a thread reads it, while this one may be in the midst of a write
        self._flags = FlagReader(Ledger(self._folder.ledger_file, read_only=True))
        self._online, self._resources = online, resources
        self._processes = AgentProcesses(self._folder, namespace, resources, stays_up=online)
        self._watch = AgentWatch(self._membership, self._processes, self._ledger, self._ledger_writer)
        self._shortages: asyncio.Task[None] | None = None
        self._serve(control, METHODS)

    async def begin(self) -> None:
        """Start or find the agents of all members and poll them; end joiners of a supervisor that died."""
        await self._control.start(None if self._online else self._end_without_owner)
        present = [*self._membership.members, *self._membership.pending]
        known, alive = {SUPERVISOR, *map(self._membership.actor, present)}, set(names_in(self._namespace))
        for name in alive - known:
            logger.warning("%s ended: it had not joined when the supervisor restarted", name)
            with contextlib.suppress(ValueError):
                ray.kill(ray.get_actor(name, self._namespace))
        found = [
            name for name in self._membership.members
            if name not in self._watch.handles and self._membership.actor(name) in alive
        ]  # fmt: skip
        for name in self._membership.members:
            self._watch.start(name)
        for name in found:  # they have not heard of what came while they were not found
            handle, spec = self._watch.handles[name], self._membership.spec(name, self._resources.threads)
            handle.pause.remote(name, spec.paused)
            handle.move.remote(name, spec.pose, spec.pose_version)
            self._watch.keep_agents(handle)
        if found:
            self._watch.broadcast_peers()
        if self._shortages is None:
            self._shortages = asyncio.get_running_loop().create_task(self._watch_shortages())

    async def _watch_shortages(self) -> None:
        """Keep up to date what agents wait for, on a thread: Ray's answer may take long."""
        while True:
            gpus = {self._membership.actor(name): self._membership.gpus(name) for name in self._watch.handles}
            waiting = {actor: each for actor, each in gpus.items() if self._processes.is_starting(actor)}
            if waiting:
                await asyncio.to_thread(self._processes.refresh_shortages, waiting)
            await asyncio.sleep(SHORTAGE_SECONDS)

    async def register(self, name: str, versions: dict[str, str]) -> tuple[AgentSpec, int, bytes]:
        """Count an incarnation of an agent; return its specification, the incarnation and the session.

        Args:
            name: Name of the agent.
            versions: What its process runs, see `agents.common.versions`.
        """
        self._processes.registered(self._membership.actor(name))
        self._watch.seen.versions[name] = versions
        if unequal := differences(process_versions(), versions):
            logger.warning("%s runs other versions than its supervisor: %s", name, unequal)
        death = self._processes.deaths.get(name)
        incarnation = self._membership.next_incarnation(name, death.text if death else "")
        if death:
            report = self._watch.seen.reports.get(name)
            process = f"process {report.pid} ended" if report else "its process ended"
            logger.warning("%s restarted as incarnation %d: %s (%s)", name, incarnation, process, death.text)
        spec = self._membership.spec(name, self._resources.threads)
        self._watch.broadcast_peers(but=name)
        return spec, incarnation, self._membership.session

    async def enroll(self, name: str, incarnation: int, public_key: bytes) -> PeerList:
        """Take the public key that an agent signs with; tell its peers if it is another; return the list."""
        newest = incarnation == self._membership.incarnations.get(name)
        if newest and self._membership.set_public_key(name, public_key):
            self._watch.broadcast_peers(but=name)
        return self._watch.peer_list(name)

    async def add(self, request: Mapping[str, Any], timeout: float) -> AgentStatus:
        """Add an agent; return its status once it has joined, or once it waits for resources.

        Args:
            request: Keyword arguments of `membership.new_member`.
            timeout: Seconds in which its process should start, unless it waits for resources.

        Raises:
            MembershipError, ConfigError, ValueError: The request cannot be met.
            NotEnoughMemoryError, NotEnoughDiskError: This machine has no room for another agent.
            RayUnavailableError: Ray does not answer; there is no joiner.
            StartFailedError: The agent failed before it joined; it is removed again.
            LedgerUnavailableError: The ledger cannot be written now; the agent is removed again.
        """
        membership = self._membership
        name = membership.propose(**request).name
        try:
            self._processes.check_room(membership.get(name).config(self._config))
            self._watch.start(name)
        except BaseException:  # Ray may not answer, too: a joiner without a process would never join
            self._drop_joiner(name)
            raise
        deadline = time.monotonic() + timeout
        while name in membership.pending:
            if name in self._watch.seen.failures:
                failure = self._watch.seen.failures[name]
                self._drop_joiner(name)
                raise StartFailedError(failure)
            if name in self._watch.seen.unrecorded:
                unrecorded = self._watch.seen.unrecorded[name]
                self._drop_joiner(name)
                raise LedgerUnavailableError(self._ledger.path, unrecorded.reason)
            extra = REGISTER_SECONDS if membership.incarnations.get(name) else 0.0
            if time.monotonic() > deadline + extra or self._stopping:
                break
            if shortage := self._processes.shortage(membership.actor(name)):
                logger.info("%s waits for %s", name, shortage)
                break
            await asyncio.sleep(0.02)
        return (await self._statuses([name]))[0]

    def _drop_joiner(self, name: str) -> None:
        self._watch.release(name)
        self._membership.reject(name)

    async def move(self, name: str, pose: str) -> AgentStatus:
        """Move an agent's camera; return its status.

        Raises:
            MembershipError, ConfigError, ValueError: See `Membership.move`.
        """
        member = self._membership.move(name, pose, self._watch.next_unrendered_tick())
        logger.info("%s moved to %s; its edges are stale until it has trained there", name, member.pose)
        self._ledger_writer.written_versions.pop(name, None)
        self._processes.begin_anew(name)
        spec = self._membership.spec(name, self._resources.threads)
        if handle := self._watch.handles.get(name):  # an agent that is not found yet is told by `begin`
            handle.move.remote(name, spec.pose, member.pose_version)
        self._watch.broadcast_peers()
        return (await self._statuses([name]))[0]

    async def pause(self, name: str, paused: bool) -> list[AgentStatus]:
        """Let training of a member, or of all ("" as the name), wait or continue; return their status.

        Raises:
            UnknownMemberError: There is none of that name.
        """
        for each in self._membership.pause(name, paused):
            logger.info("%s %s training", each, "pauses" if paused else "resumes")
            if handle := self._watch.handles.get(each):
                handle.pause.remote(each, paused)
        return await self._statuses([each for each in self._membership.members if name in ("", each)])

    async def set_topology(self, topology: str) -> int:
        """Change which pairs negotiate; return the number of their edges.

        Raises:
            ValueError: It names no topology.
        """
        edges = self._membership.set_topology(topology)
        logger.info("the topology is %s: %d edges", topology, edges)
        self._watch.broadcast_peers()
        return edges

    async def remove(self, name: str) -> None:
        """Remove an agent, or cancel a joiner.

        Raises:
            MembershipError: See `Membership.remove`.
        """
        if name in self._membership.pending:
            self._membership.reject(name)
        else:
            self._membership.remove(name, self._watch.next_unrendered_tick())
        logger.info("%s left", name)
        self._watch.release(name)
        self._watch.broadcast_peers()

    async def status(self) -> list[AgentStatus]:
        """Return the status of all members and joiners; their loss curves are left out, see `progress`."""
        return await self._statuses([*self._membership.members, *self._membership.pending])

    async def _statuses(self, names: Sequence[str]) -> list[AgentStatus]:
        """Return the status of agents; who is flagged is read on a thread: 64 agents have 4,032 edges."""
        found = [self._status(name) for name in names]
        reasons = await asyncio.to_thread(self._flags.reasons)
        return [replace(each, flagged=reasons[each.name]) if each.name in reasons else each for each in found]

    def _status(self, name: str) -> AgentStatus:
        shortage = self._processes.shortage(self._membership.actor(name))
        waiting_for = str(shortage) if shortage else ""
        incarnation, remark = self._membership.incarnations.get(name, 0), self._processes.remark(name)
        status = self._watch.seen.status(self._membership.get(name), incarnation, waiting_for, remark)
        return replace(status, paused=True) if name in self._membership.paused else status

    @property
    def _seen(self) -> Observations:
        return self._watch.seen

    async def _save_all(self) -> list[str]:
        return await self._watch.save_all()

    def _release_all(self) -> None:
        for name in list(self._watch.handles):
            self._watch.release(name)

    async def stop(self, reason: str) -> list[str]:
        """Have all agents save their checkpoints, end them and return, see `AgentWatch.save_all`."""
        self._watch.stopping = True
        return await super().stop(reason)
