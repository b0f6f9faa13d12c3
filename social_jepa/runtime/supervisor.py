"""The actor that keeps a simulation: the registry that agents ask, and the observer that writes down.

It takes no part in learning or in negotiation: were it gone, agents would go on learning and talking. When it
comes back it reads the ledger and finds them by name.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import Mapping
from typing import Any

import ray
from ray.exceptions import ActorDiedError, RayError, RayTaskError

from agents.protocol.peer_list import PeerList
from agents.report import AgentReport
from social_jepa.runtime.cluster import SUPERVISOR, ResourceShare, agent_options, names_in, shortage
from social_jepa.runtime.membership import new_member
from social_jepa.runtime.ray_metrics import Metrics
from social_jepa.runtime.registry import Registry
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.run_folder import RunFolder

POLL_SECONDS = 0.1  # seconds between two questions to an agent
REPORT_TIMEOUT = 10.0  # seconds that an agent may take to answer; one that fits many maps is busy for a while
STOP_TIMEOUT = 60.0  # seconds that agents may take to save when they are asked to stop
RETRY_EVERY = 15.0  # seconds between two looks at whether a conversation has died


@ray.remote
class Supervisor:
    """Registry and observer of one simulation."""

    def __init__(self, folder: str, namespace: str, living: bool, parts: ResourceShare) -> None:
        """Begin, or go on from the ledger; agents that are alive are found again by name."""
        from social_jepa.runtime.ledger_writer import (
            LedgerWriter,  # brings torch, which whoever only asks does without
        )

        self._folder = RunFolder.at(folder)
        self._config = self._folder.config()
        self._ledger = Ledger(self._folder.ledger_file, create=True)
        self._membership = Registry(self._config, self._folder, self._ledger, living)
        self._ledger_writer = LedgerWriter(self._config, self._folder, self._ledger)
        self._metrics = Metrics(self._folder.path.name)
        self._namespace, self._online, self._resources = namespace, living, parts
        self._handles: dict[str, Any] = {}
        self._reports: dict[str, AgentReport] = {}
        self._dead: dict[str, str] = {}
        self._polls: dict[str, asyncio.Task[None]] = {}
        # the constructor runs again when this process dies, and nobody else would begin then
        threading.Thread(target=self._begin_again, daemon=True).start()

    def _begin_again(self) -> None:
        ray.get_actor(SUPERVISOR, self._namespace).begin.remote()

    async def begin(self) -> None:
        """Place who is not there, and start to watch; a newcomer that was half in is sent away."""
        known = {SUPERVISOR, *self._membership.members, *self._membership.pending}
        for name in set(names_in(self._namespace)) - known:
            with contextlib.suppress(ValueError):
                ray.kill(ray.get_actor(name, self._namespace))
        for name in self._membership.members:
            if name not in self._polls:
                self._start_agent(name)

    def _start_agent(self, name: str) -> None:
        if name not in self._handles:
            try:
                self._handles[name] = ray.get_actor(name, self._namespace)
            except ValueError:
                from agents.actor import AgentActor

                me = ray.get_actor(SUPERVISOR, self._namespace)
                member = self._membership.pending.get(name) or self._membership.members[name]
                options = agent_options(
                    self._resources, member.config(self._config).agents.gpus, self._online
                )
                actor: Any = AgentActor  # ray.remote leaves the class without types
                self._handles[name] = actor.options(
                    name=name, namespace=self._namespace, **options
                ).remote(name, me)  # fmt: skip
        self._polls[name] = asyncio.get_running_loop().create_task(self._poll_agent(name))

    async def register(self, name: str) -> tuple[Any, int, PeerList]:
        """Tell an agent that begins a life what makes it, which life this is, and who is there."""
        life = self._membership.next_incarnation(name)
        spec = self._membership.spec(name, self._resources.threads)
        self._broadcast_peers(but=name)
        return spec, life, PeerList(**self._membership.peer_list(self._handles))

    def _broadcast_peers(self, but: str = "") -> None:
        roll = PeerList(**self._membership.peer_list(self._handles))
        for name in roll.handles:
            if name != but:
                self._handles[name].update_peers.remote(roll)

    async def _poll_agent(self, name: str) -> None:
        """Ask an agent for news until it leaves, whatever happens to its process."""
        life, since, reminded = 0, 0, time.monotonic()
        while name in self._handles:
            handle = self._handles[name]
            with contextlib.suppress(RayError, asyncio.TimeoutError):
                try:
                    known = self._ledger_writer.written_versions.get(name, "")
                    report = await asyncio.wait_for(handle.report.remote(life, since, known), REPORT_TIMEOUT)
                except ActorDiedError as error:
                    self._dead[name] = " ".join(str(error).split())
                    return
                except RayTaskError as error:
                    self._dead[name] = str(error.cause or error)
                    return
                if report is not None and name in self._handles:
                    try:
                        self._receive_report(name, report)
                    except Exception as error:  # nobody waits for this task: keep it for who asks
                        self._dead[name] = f"what it reports cannot be written ({error})"
                        return
                    life, since = report.events.incarnation, report.events.last_number
                if time.monotonic() - reminded > RETRY_EVERY:
                    reminded = time.monotonic()
                    handle.retry_stalled.remote()
            await asyncio.sleep(POLL_SECONDS * max(1, len(self._handles) / 10))

    def _receive_report(self, name: str, report: AgentReport) -> None:
        if report.events.incarnation != self._membership.incarnations[name]:
            return  # a former life that has not noticed its end
        if name in self._membership.pending:
            if report.progress is None:
                self._reports[name] = report
                return
            self._membership.admit(name, self._next_unrendered_tick())
            self._broadcast_peers()
        if self._membership.incarnations[name] != report.events.incarnation:
            return
        self._ledger_writer.write(name, self._membership.members, report)
        self._reports[name] = report
        self._metrics.record(name, report)

    def _next_unrendered_tick(self) -> int:
        """Return the first tick that no camera has come to."""
        return max((r.progress.next_tick for r in self._reports.values() if r.progress), default=0)

    async def add(self, request: Mapping[str, Any], patience: float) -> dict[str, Any]:
        """Let somebody join, and return what there is to say once it lives or waits for something.

        Raises:
            ValueError: It cannot come; nothing is left of it.
        """
        registry = self._membership
        present = [*registry.members.values(), *registry.pending.values()]
        member = new_member(self._config, present, registry.taken_names(), **request)
        registry.pending[member.name] = member
        self._start_agent(member.name)
        until = time.monotonic() + patience
        while member.name in registry.pending:
            report, why = self._reports.get(member.name), self._dead.get(member.name, "")
            if why or (report is not None and report.failure):
                self._release(member.name)
                registry.reject(member.name)
                raise ValueError(f"{member.name} could not start: {why or (report and report.failure)}")
            if time.monotonic() > until and not registry.incarnations.get(member.name):
                break  # no process yet: it waits for a place
            await asyncio.sleep(0.02)
        return self._entry(member.name)

    async def move(self, name: str, pose: str) -> dict[str, Any]:
        """Turn an agent's camera to another view."""
        member = self._membership.move(name, pose, self._next_unrendered_tick())
        self._ledger_writer.written_versions.pop(name, None)
        spec = self._membership.spec(name, self._resources.threads)
        self._handles[name].move.remote(spec.pose, member.pose_version)
        self._broadcast_peers()
        return self._entry(name)

    async def remove(self, name: str) -> None:
        """Let an agent leave."""
        if name in self._membership.pending:
            self._membership.reject(name)
        else:
            self._membership.remove(name, self._next_unrendered_tick())
        self._release(name)
        self._broadcast_peers()

    def _release(self, name: str) -> None:
        ray.kill(self._handles.pop(name))
        self._polls.pop(name).cancel()
        self._reports.pop(name, None)
        self._dead.pop(name, None)
        self._ledger_writer.written_versions.pop(name, None)

    async def status(self) -> list[dict[str, Any]]:
        """Return how every agent is doing."""
        return [self._entry(name) for name in [*self._membership.members, *self._membership.pending]]

    def _entry(self, name: str) -> dict[str, Any]:
        registry, report = self._membership, self._reports.get(name)
        member = registry.pending.get(name) or registry.members[name]
        progress = report.progress if report else None
        life = registry.incarnations.get(name, 0)
        waiting = ""
        if not life:
            waiting = shortage(agent_options(self._resources, member.config(self._config).agents.gpus, True))
        fresh = report is not None and report.events.incarnation == life
        return {
            "name": name, "kind": member.kind, "pose": member.pose, "teacher": member.teacher,
            "incarnation": life, "phase": _phase(progress, life, fresh, waiting),
            "waiting_for": waiting, "failure": self._dead.get(name, "") or (report.failure if report else ""),
            "dead": name in self._dead, "note": report.note if report else "",
            "progress": progress, "settled": bool(report and fresh and report.settled),
            "checkpoint": report.checkpoint if report else "", "node": report.node if report else "",
            "device": report.device if report else "", "pid": report.pid if report else 0,
        }  # fmt: skip

    async def stop(self) -> None:
        """Ask every agent to save and stop, and return when they have, or when patience ends."""
        calls = [handle.stop.remote() for handle in self._handles.values()]
        with contextlib.suppress(asyncio.TimeoutError):
            wait = asyncio.gather(*calls, return_exceptions=True)
            await asyncio.wait_for(wait, STOP_TIMEOUT)
        for name in list(self._handles):
            self._release(name)
        self._ledger.event("stopped", reason="requested")


def _phase(progress: Any, life: int, fresh: bool, waiting: str) -> str:
    if waiting:
        return "waiting"
    if life > 1 and not fresh:
        return "returning"
    return progress.phase if progress else "starting"
