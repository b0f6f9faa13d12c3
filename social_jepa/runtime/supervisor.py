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

from agents.protocol.peer_list import AgentReport, PeerList
from social_jepa.runtime.cluster import KEEPER, Share, agent_options, names_in, shortage
from social_jepa.runtime.membership import newcomer
from social_jepa.runtime.ray_metrics import Metrics
from social_jepa.runtime.registry import Registry
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.run_folder import RunFolder

POLL = 0.1  # seconds between two questions to an agent
ANSWER = 10.0  # seconds that an agent may take to answer; one that fits many maps is busy for a while
STOP_PATIENCE = 60.0  # seconds that agents may take to save when they are asked to stop
REMIND_EVERY = 15.0  # seconds between two looks at whether a conversation has died


@ray.remote
class Supervisor:
    """Registry and observer of one simulation."""

    def __init__(self, folder: str, namespace: str, living: bool, parts: Share) -> None:
        """Begin, or go on from the ledger; agents that are alive are found again by name."""
        from social_jepa.runtime.ledger_writer import (
            LedgerWriter,  # brings torch, which whoever only asks does without
        )

        self._folder = RunFolder.at(folder)
        self._config = self._folder.config()
        self._ledger = Ledger(self._folder.ledger_file, create=True)
        self._registry = Registry(self._config, self._folder, self._ledger, living)
        self._chronicle = LedgerWriter(self._config, self._folder, self._ledger)
        self._metrics = Metrics(self._folder.path.name)
        self._namespace, self._living, self._parts = namespace, living, parts
        self._handles: dict[str, Any] = {}
        self._reports: dict[str, AgentReport] = {}
        self._dead: dict[str, str] = {}
        self._watches: dict[str, asyncio.Task[None]] = {}
        # the constructor runs again when this process dies, and nobody else would begin then
        threading.Thread(target=self._wake, daemon=True).start()

    def _wake(self) -> None:
        ray.get_actor(KEEPER, self._namespace).begin.remote()

    async def begin(self) -> None:
        """Place who is not there, and start to watch; a newcomer that was half in is sent away."""
        known = {KEEPER, *self._registry.members, *self._registry.pending}
        for name in set(names_in(self._namespace)) - known:
            with contextlib.suppress(ValueError):
                ray.kill(ray.get_actor(name, self._namespace))
        for name in self._registry.members:
            if name not in self._watches:
                self._place(name)

    def _place(self, name: str) -> None:
        if name not in self._handles:
            try:
                self._handles[name] = ray.get_actor(name, self._namespace)
            except ValueError:
                from agents.actor import AgentActor

                me = ray.get_actor(KEEPER, self._namespace)
                member = self._registry.pending.get(name) or self._registry.members[name]
                options = agent_options(self._parts, member.config(self._config).agents.gpus, self._living)
                actor: Any = AgentActor  # ray.remote leaves the class without types
                self._handles[name] = actor.options(
                    name=name, namespace=self._namespace, **options
                ).remote(name, me)  # fmt: skip
        self._watches[name] = asyncio.get_running_loop().create_task(self._watch(name))

    async def enlist(self, name: str) -> tuple[Any, int, PeerList]:
        """Tell an agent that begins a life what makes it, which life this is, and who is there."""
        life = self._registry.begin_life(name)
        spec = self._registry.spec(name, self._parts.threads)
        self._call_roll(but=name)
        return spec, life, PeerList(**self._registry.roll(self._handles))

    def _call_roll(self, but: str = "") -> None:
        roll = PeerList(**self._registry.roll(self._handles))
        for name in roll.handles:
            if name != but:
                self._handles[name].meet.remote(roll)

    async def _watch(self, name: str) -> None:
        """Ask an agent for news until it leaves, whatever happens to its process."""
        life, since, reminded = 0, 0, time.monotonic()
        while name in self._handles:
            handle = self._handles[name]
            with contextlib.suppress(RayError, asyncio.TimeoutError):
                try:
                    known = self._chronicle.known.get(name, "")
                    report = await asyncio.wait_for(handle.report.remote(life, since, known), ANSWER)
                except ActorDiedError as error:
                    self._dead[name] = " ".join(str(error).split())
                    return
                except RayTaskError as error:
                    self._dead[name] = str(error.cause or error)
                    return
                if report is not None and name in self._handles:
                    try:
                        self._hear(name, report)
                    except Exception as error:  # nobody waits for this task: keep it for who asks
                        self._dead[name] = f"what it reports cannot be written ({error})"
                        return
                    life, since = report.news.incarnation, report.news.upto
                if time.monotonic() - reminded > REMIND_EVERY:
                    reminded = time.monotonic()
                    handle.remind.remote()
            await asyncio.sleep(POLL * max(1, len(self._handles) / 10))

    def _hear(self, name: str, report: AgentReport) -> None:
        if report.news.incarnation != self._registry.lives[name]:
            return  # a former life that has not noticed its end
        if name in self._registry.pending:
            if report.progress is None:
                self._reports[name] = report
                return
            self._registry.admit(name, self._reach())
            self._call_roll()
        if self._registry.lives[name] != report.news.incarnation:
            return
        self._chronicle.write(name, self._registry.members, report)
        self._reports[name] = report
        self._metrics.tell(name, report)

    def _reach(self) -> int:
        """Return the first tick that no camera has come to."""
        return max((r.progress.reach for r in self._reports.values() if r.progress), default=0)

    async def add(self, request: Mapping[str, Any], patience: float) -> dict[str, Any]:
        """Let somebody join, and return what there is to say once it lives or waits for something.

        Raises:
            ValueError: It cannot come; nothing is left of it.
        """
        registry = self._registry
        present = [*registry.members.values(), *registry.pending.values()]
        member = newcomer(self._config, present, registry.taken(), **request)
        registry.pending[member.name] = member
        self._place(member.name)
        until = time.monotonic() + patience
        while member.name in registry.pending:
            report, why = self._reports.get(member.name), self._dead.get(member.name, "")
            if why or (report is not None and report.failure):
                self._let_go(member.name)
                registry.turn_away(member.name)
                raise ValueError(f"{member.name} could not start: {why or (report and report.failure)}")
            if time.monotonic() > until and not registry.lives.get(member.name):
                break  # no process yet: it waits for a place
            await asyncio.sleep(0.02)
        return self._entry(member.name)

    async def move(self, name: str, pose: str) -> dict[str, Any]:
        """Turn an agent's camera to another view."""
        member = self._registry.move(name, pose, self._reach())
        self._chronicle.known.pop(name, None)
        spec = self._registry.spec(name, self._parts.threads)
        self._handles[name].move.remote(spec.pose, member.era)
        self._call_roll()
        return self._entry(name)

    async def remove(self, name: str) -> None:
        """Let an agent leave."""
        if name in self._registry.pending:
            self._registry.turn_away(name)
        else:
            self._registry.remove(name, self._reach())
        self._let_go(name)
        self._call_roll()

    def _let_go(self, name: str) -> None:
        ray.kill(self._handles.pop(name))
        self._watches.pop(name).cancel()
        self._reports.pop(name, None)
        self._dead.pop(name, None)
        self._chronicle.known.pop(name, None)

    async def status(self) -> list[dict[str, Any]]:
        """Return how every agent is doing."""
        return [self._entry(name) for name in [*self._registry.members, *self._registry.pending]]

    def _entry(self, name: str) -> dict[str, Any]:
        registry, report = self._registry, self._reports.get(name)
        member = registry.pending.get(name) or registry.members[name]
        progress = report.progress if report else None
        life = registry.lives.get(name, 0)
        waiting = ""
        if not life:
            waiting = shortage(agent_options(self._parts, member.config(self._config).agents.gpus, True))
        fresh = report is not None and report.news.incarnation == life
        return {
            "name": name, "kind": member.kind, "pose": member.pose, "taught_by": member.taught_by,
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
            await asyncio.wait_for(wait, STOP_PATIENCE)
        for name in list(self._handles):
            self._let_go(name)
        self._ledger.event("stopped", why="asked to")


def _phase(progress: Any, life: int, fresh: bool, waiting: str) -> str:
    if waiting:
        return "waiting"
    if life > 1 and not fresh:
        return "returning"
    return progress.phase if progress else "starting"
