"""The living simulation: it stays up, agents come, move and go, and anybody may ask its graph."""

import contextlib
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from social_jepa.config.run_config import RunConfig
from social_jepa.config.time_parsing import FOREVER
from social_jepa.doctor import usable_cpus
from social_jepa.runtime import cluster
from social_jepa.runtime.errors import AddressError, AgentLostError, AlreadyUpError, ClusterError, NotUpError
from social_jepa.runtime.local_ray import start_local_ray, stop_local_ray
from social_jepa.runtime.registry import record_start
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.run_folder import RunFolder, create, write_json

if TYPE_CHECKING:
    from social_jepa.graph.results import Results

MIN_CAPACITY = 16  # agents that a cluster's cores and GPUs are divided for, at least, so that others may join
WAIT_POLL_SECONDS = 0.1  # seconds between two looks while waiting for an agent
START_TIMEOUT = 15.0  # seconds in which a newcomer's process should start, unless it waits for something


@dataclass(frozen=True)
class Simulation:
    """A simulation that is up. Made by `up`, `resume` or `reach`; several programs may hold one.

    ::

        simulation = Simulation.up(load_config())
        simulation.add_agent(wait=True)
        simulation.results().graph.best_path("agent-0", "agent-4")
    """

    folder: RunFolder
    supervisor: Any

    @classmethod
    def up(
        cls, config: RunConfig, folder: RunFolder | None = None, address: str | None = None
    ) -> "Simulation":
        """Start a simulation and return as soon as its agents are being placed.

        Args:
            config: What to simulate.
            folder: Fresh from `store.create`; by default a new one below ./runs.
            address: Ray cluster to join; by default one is started, which outlives this process.

        Raises:
            ClusterError, HeadError, AddressError: Ray does not answer.
            StoreError: The folder is up already.
        """
        return cls._start(config, folder or create(config, None), address, "started")

    @classmethod
    def resume(cls, folder: RunFolder, address: str | None = None) -> "Simulation":
        """Bring a simulation back that went down, every agent from its newest checkpoint; see `up`."""
        return cls._start(folder.config(), folder, address, "resumed")

    @classmethod
    def attach(cls, folder: RunFolder) -> "Simulation":
        """Return the simulation of a folder, which another program may have started.

        Raises:
            NotUpError: It is not up.
        """
        living = folder.simulation_address()
        if living is None:
            raise NotUpError(folder.path)
        joined, keeper = False, None
        with contextlib.suppress(AddressError, ClusterError):
            joined = cluster.connect(living.address)
            keeper = cluster.find_supervisor(folder.namespace)
        if keeper is None:
            if joined:
                cluster.disconnect()
            raise NotUpError(folder.path, living.address or "this process")
        return cls(folder, keeper)

    @classmethod
    def _start(cls, config: RunConfig, folder: RunFolder, address: str | None, what: str) -> "Simulation":
        from social_jepa.runtime.supervisor import (
            Supervisor,  # brings torch, which asking a simulation does without
        )

        with folder.lock():
            _refuse_twice(folder)
            ledger = Ledger(folder.ledger_file, create=True)
            try:
                record_start(ledger, config, folder, what, online=True)
            finally:
                ledger.close()
            head = None
            if not address and not cluster.is_connected():
                head = start_local_ray(usable_cpus(), folder.path / "ray.log", cluster.RAY_SETTINGS)
                address = head.address
            try:
                cluster.connect(address)
                parts = cluster.share(config.agents.count, config.agents.threads, capacity=MIN_CAPACITY)
                arguments = (str(folder.path), folder.namespace, True, parts)
                keeper = cluster.start_supervisor(Supervisor, folder.namespace, True, *arguments)
                cluster.call(keeper, "begin", idempotent=True)
            except BaseException:
                if head is not None:
                    cluster.disconnect()
                    stop_local_ray(head.session)
                raise
            session = head.session if head else 0
            write_json(folder.simulation_file, {"address": address or "", "session": session})
        return cls(folder, keeper)

    def status(self) -> list[dict[str, Any]]:
        """Return how every agent is doing: phase, step, loss, device, node, last checkpoint, incarnation."""
        return [_plain(agent) for agent in cluster.call(self.supervisor, "status", idempotent=True)]

    def add_agent(
        self, pose: str = "", *, name: str = "", kind: str = "", teacher: str = "",
        settings: Iterable[str] = (), wait: bool = False,
    ) -> dict[str, Any]:  # fmt: skip
        """Let an agent join, and return how it is doing.

        Args:
            pose: "x,y,z,yaw,pitch[,fov]"; by default the next place on the ring.
            name: By default "agent-" and a number that is free.
            kind: Kind of world model; by default that of the others.
            teacher: Peer from whose embeddings it learns first.
            settings: What it has otherwise than the others, for example "model.dim=8".
            wait: Return only when all of its edges are settled.

        Raises:
            ValueError: It cannot come; nothing is left of it.
        """
        request = {
            "pose": pose, "name": name, "kind": kind, "teacher": teacher, "settings": tuple(settings),
        }  # fmt: skip
        agent = cluster.call(self.supervisor, "add", request, START_TIMEOUT, timeout=120.0)
        return self.wait(agent["name"]) if wait else _plain(agent)

    def move_agent(self, name: str, pose: str, wait: bool = False) -> dict[str, Any]:
        """Turn an agent's camera to another view; its edges go stale and are negotiated anew.

        Raises:
            ValueError: Nobody has that name, or a camera cannot stand there.
        """
        agent = cluster.call(self.supervisor, "move", name, pose)
        return self.wait(name) if wait else _plain(agent)

    def remove_agent(self, name: str) -> None:
        """Let an agent leave; its edges end with a tombstone.

        Raises:
            ValueError: Nobody has that name, or nobody would be left.
        """
        cluster.call(self.supervisor, "remove", name)

    def wait(self, name: str = "", timeout: float = float("inf")) -> dict[str, Any]:
        """Wait until an agent, or everybody, has settled both edges with every peer; return how it is doing.

        Raises:
            AgentLostError: It failed.
            TimeoutError: Patience ended.
        """
        until = time.monotonic() + timeout
        while True:
            agents = [agent for agent in self.status() if name in ("", agent["name"])]
            for agent in agents:
                if agent["failure"]:
                    raise AgentLostError(agent["name"], agent["failure"])
            if agents and all(agent["settled"] for agent in agents) and not self._unwritten(agents):
                return agents[0]
            if time.monotonic() > until:
                raise TimeoutError(f"{name or 'the simulation'} has not settled within {timeout:g} s")
            time.sleep(WAIT_POLL_SECONDS)

    def _unwritten(self, agents: Iterable[Mapping[str, Any]]) -> bool:
        with contextlib.closing(Ledger(self.folder.ledger_file)) as ledger:
            return bool(ledger.missing_edges(agent["name"] for agent in agents))

    def results(self, as_of: float = FOREVER) -> "Results":
        """Return the translation graph as it stands, or as it stood at a time."""
        from social_jepa.graph.results import load_results

        return load_results(self.folder, as_of)

    def down(self) -> None:
        """Save and end everything that belongs to the simulation; `resume` brings it back."""
        cluster.call(self.supervisor, "stop", timeout=120.0)
        living = self.folder.simulation_address()
        cluster.end(self.supervisor, self.folder.namespace)
        if living and living.session:
            cluster.disconnect()
            stop_local_ray(living.session)
        self.folder.simulation_file.unlink(missing_ok=True)
        from social_jepa.graph.results import export

        if (results := self.results()).document.agents:
            export(results)


def was_simulation(folder: RunFolder) -> bool:
    """Whether a run folder was last used by `up`, not by `run`."""
    ledger = Ledger(folder.ledger_file)
    try:
        starts = ledger.events_of("started", "resumed")
        return bool(starts and starts[-1].details.get("online"))
    finally:
        ledger.close()


def clean_up(folder: RunFolder) -> None:
    """End what is left of a simulation whose keeper cannot be reached any more."""
    living = folder.simulation_address()
    if living and living.session:
        stop_local_ray(living.session)
    folder.simulation_file.unlink(missing_ok=True)


def _refuse_twice(folder: RunFolder) -> None:
    try:
        Simulation.attach(folder)
    except NotUpError:
        clean_up(folder)
    else:
        raise AlreadyUpError(folder.path)


def _plain(agent: Mapping[str, Any]) -> dict[str, Any]:
    """Return an agent's entry without objects."""
    return {**agent, "progress": agent["progress"].as_plain() if agent["progress"] else None}
