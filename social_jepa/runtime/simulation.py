"""A simulation that stays up: agents join, move and leave, and its graph can be queried at any time."""

from agents.common.ray_environment import RAY_SETTINGS

import contextlib
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from social_jepa.config.run_config import RunConfig
from social_jepa.config.time_parsing import FOREVER
from social_jepa.records import AgentStatus
from social_jepa.runtime import cluster
from social_jepa.runtime.errors import AddressError, AgentLostError, AlreadyUpError, ClusterError, NotUpError
from social_jepa.runtime.local_ray import start_local_ray, stop_local_ray
from social_jepa.runtime.membership import record_start
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.run_folder import RunFolder, create, write_json
from social_jepa.system.machine import usable_cpus

if TYPE_CHECKING:
    from social_jepa.graph.results import Results

logger = logging.getLogger(__name__)

MIN_CAPACITY = (
    16  # least number of agents that a cluster's resources are divided for, so that others may join
)
WAIT_POLL_SECONDS = 0.1  # seconds between two polls while waiting for an agent
START_TIMEOUT = 15.0  # seconds in which a joiner's process should start, unless it waits for resources


@dataclass(frozen=True)
class Simulation:
    """A simulation that is up. Made by `up`, `resume` or `attach`; several programs may hold the same one.

    ::

        simulation = Simulation.up(load_config())
        simulation.wait()
        simulation.add_agent(wait=True)
        path = simulation.results().graph.best_path("agent-0", "agent-4")
        simulation.down()

    Attributes:
        folder: Its run folder.
        supervisor: Ray handle of its supervisor.
    """

    folder: RunFolder
    supervisor: Any

    @classmethod
    def up(
        cls, config: RunConfig, folder: RunFolder | None = None, address: str | None = None
    ) -> "Simulation":
        """Start a simulation; return while its agents are starting.

        Args:
            config: Its settings.
            folder: New run folder of `run_folder.create`; default: one in ./runs.
            address: Ray cluster to join; default: a local Ray is started, which outlives this process.

        Raises:
            AddressError, ClusterError, LocalRayError: Ray does not answer.
            AlreadyUpError: The simulation of the folder is up.
        """
        return cls._start(config, folder or create(config, None), address, "started")

    @classmethod
    def resume(cls, folder: RunFolder, address: str | None = None) -> "Simulation":
        """Bring a simulation up again, every agent from its newest checkpoint; see `up`."""
        return cls._start(folder.config(), folder, address, "resumed")

    @classmethod
    def attach(cls, folder: RunFolder) -> "Simulation":
        """Return the simulation of a folder, which another program may have started.

        Raises:
            NotUpError: It is not up.
        """
        location = folder.simulation_address()
        if location is None:
            raise NotUpError(folder.path)
        connected, supervisor = False, None
        with contextlib.suppress(AddressError, ClusterError):
            connected = cluster.connect(location.address)
            supervisor = cluster.find_supervisor(folder.namespace)
        if supervisor is None:
            if connected:
                cluster.disconnect()
            raise NotUpError(folder.path, location.address or "this process")
        return cls(folder, supervisor)

    @classmethod
    def _start(
        cls, config: RunConfig, folder: RunFolder, address: str | None, event_type: str
    ) -> "Simulation":
        with folder.lock():
            _check_not_up(folder)
            with contextlib.closing(Ledger(folder.ledger_file, create=True)) as ledger:
                record_start(ledger, config, folder, event_type, online=True)
            local_ray = None
            if not address and not cluster.is_connected():
                local_ray = start_local_ray(usable_cpus(), folder.path / "ray.log", RAY_SETTINGS)
                address = local_ray.address
            try:
                supervisor = _start_supervisor(config, folder, address)
            except BaseException:
                if local_ray is not None:
                    cluster.disconnect()
                    stop_local_ray(local_ray.session)
                raise
            session = local_ray.session if local_ray else 0
            write_json(folder.simulation_file, {"address": address or "", "session": session})
        logger.info("%s is up: %s", folder.path, event_type)
        return cls(folder, supervisor)

    def status(self) -> list[AgentStatus]:
        """Return the status of every agent.

        Raises:
            ClusterError: The supervisor does not answer.
        """
        agents: list[AgentStatus] = cluster.call(self.supervisor, "status", idempotent=True)
        return agents

    def add_agent(
        self, pose: str = "", *, name: str = "", kind: str = "", teacher: str = "",
        settings: Iterable[str] = (), wait: bool = False,
    ) -> AgentStatus:  # fmt: skip
        """Add an agent; return its status once it has joined, or once it waits for resources.

        Args:
            pose: "x,y,z,yaw,pitch[,fov]"; default: the next place on the ring.
            name: Name; default: "agent-" and the next free number.
            kind: Kind of world model; default: that of the other agents.
            teacher: Peer that it distills from first.
            settings: Settings of this agent alone, for example "model.dim=8".
            wait: Return only when all of its edges are settled.

        Raises:
            MembershipError, ConfigError, ValueError: The request cannot be met; nothing has changed.
            StartFailedError: The agent failed before it joined; it is removed again.
        """
        request = {
            "pose": pose, "name": name, "kind": kind, "teacher": teacher, "settings": tuple(settings),
        }  # fmt: skip
        agent: AgentStatus = cluster.call(self.supervisor, "add", request, START_TIMEOUT, timeout=120.0)
        return self.wait(agent.name) if wait else agent

    def move_agent(self, name: str, pose: str, wait: bool = False) -> AgentStatus:
        """Move an agent's camera; its edges go stale until it has trained on the new view.

        Args:
            name: The agent.
            pose: "x,y,z,yaw,pitch[,fov]".
            wait: Return only when all of its edges are settled again.

        Raises:
            UnknownMemberError: No agent has that name.
            ConfigError, ValueError: The camera cannot work at that pose.
        """
        agent: AgentStatus = cluster.call(self.supervisor, "move", name, pose)
        return self.wait(name) if wait else agent

    def remove_agent(self, name: str) -> None:
        """Remove an agent; its edges end with a tombstone.

        Raises:
            UnknownMemberError: No agent has that name.
            LastAgentError: It is the only one.
        """
        cluster.call(self.supervisor, "remove", name)

    def wait(self, name: str = "", timeout: float = float("inf")) -> AgentStatus:
        """Wait until an agent, or every agent, has settled its edges with all peers; return its status.

        Args:
            name: The agent; default: all, and the status of the first is returned.
            timeout: Seconds to wait.

        Raises:
            AgentLostError: It failed.
            TimeoutError: It has not settled in time.
        """
        deadline = time.monotonic() + timeout
        while True:
            agents = [agent for agent in self.status() if name in ("", agent.name)]
            for agent in agents:
                if agent.failure:
                    raise AgentLostError(agent.failure)
            if agents and all(agent.settled for agent in agents) and not self._missing_edges(agents):
                return agents[0]
            if time.monotonic() > deadline:
                raise TimeoutError(f"{name or 'the simulation'} has not settled within {timeout:g} s")
            time.sleep(WAIT_POLL_SECONDS)

    def _missing_edges(self, agents: Iterable[AgentStatus]) -> bool:
        """Return whether the ledger lacks an edge of these agents, which is about to be recorded."""
        with contextlib.closing(Ledger(self.folder.ledger_file)) as ledger:
            return bool(ledger.missing_edges(agent.name for agent in agents))

    def results(self, as_of: float = FOREVER) -> "Results":
        """Return the translation graph: the newest, or that at a time in seconds since the epoch."""
        from social_jepa.graph.results import load_results

        return load_results(self.folder, as_of)

    def down(self) -> None:
        """Save checkpoints, end all processes of the simulation and export its graph; `resume` undoes it."""
        from social_jepa.graph.results import export

        cluster.call(self.supervisor, "stop", timeout=120.0)
        cluster.end(self.supervisor, self.folder.namespace)
        location = self.folder.simulation_address()
        if location and location.session:
            cluster.disconnect()
            stop_local_ray(location.session)
        self.folder.simulation_file.unlink(missing_ok=True)
        if (results := self.results()).document.agents:
            export(results)
        logger.info("%s is down", self.folder.path)


def was_simulation(folder: RunFolder) -> bool:
    """Return whether a run folder was last used by a simulation, not by a batch run."""
    with contextlib.closing(Ledger(folder.ledger_file)) as ledger:
        starts = ledger.events_of("started", "resumed")
        return bool(starts and starts[-1].details.get("online"))


def clean_up(folder: RunFolder) -> None:
    """End the remaining processes of a simulation whose supervisor cannot be reached."""
    location = folder.simulation_address()
    if location and location.session:
        stop_local_ray(location.session)
    folder.simulation_file.unlink(missing_ok=True)


def _check_not_up(folder: RunFolder) -> None:
    try:
        Simulation.attach(folder)
    except NotUpError:
        clean_up(folder)
    else:
        raise AlreadyUpError(folder.path)


def _start_supervisor(config: RunConfig, folder: RunFolder, address: str | None) -> Any:
    from social_jepa.runtime.supervisor import Supervisor  # only the process that starts it needs it

    cluster.connect(address)
    resources = cluster.share(config.agents.count, config.agents.threads, capacity=MIN_CAPACITY)
    arguments = (str(folder.path), folder.namespace, True, resources)
    supervisor = cluster.start_supervisor(Supervisor, folder.namespace, True, *arguments)
    cluster.call(supervisor, "begin", idempotent=True)
    return supervisor
