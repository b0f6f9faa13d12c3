"""A simulation that stays up: agents join, move and leave, and its graph can be queried at any time."""

import contextlib
import logging
import math
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from social_jepa.config.run_config import RunConfig
from social_jepa.records import AgentStatus, ProgressRecord
from social_jepa.runtime.control import ControlClient
from social_jepa.runtime.errors import (
    AlreadyUpError,
    ClusterError,
    NotSettledError,
    NotUpError,
    SupervisorUnavailableError,
)
from social_jepa.runtime.member_errors import UnknownMemberError
from social_jepa.runtime.membership import record_start
from social_jepa.runtime.new_run import check_stays_up, cluster_address, new_run
from social_jepa.runtime.preflight import check_before_start
from social_jepa.runtime.presence import end_remaining, find_simulation, remove_leftovers
from social_jepa.runtime.run import Run
from social_jepa.runtime.settling import Settling
from social_jepa.runtime.start import STATUS_TIMEOUT, end_on_cluster, poll_pause, started, status_of
from social_jepa.runtime.wait_progress import make_progress
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.run_folder import AnyPath, RunFolder, find, find_running
from social_jepa.storage.run_folder_errors import RunFolderError

logger = logging.getLogger(__name__)

MIN_STATUS_SECONDS = 2.0  # that a supervisor may take to reply to `wait`, however little time is left
WAIT_POLL_SECONDS = 0.1  # seconds between two polls while waiting for an agent; more for many agents
STOP_TIMEOUT = 120.0  # seconds that agents may take to save
START_TIMEOUT = 15.0  # seconds in which a joiner's process should start, unless it waits for resources


class Simulation(Run):
    """A run that is up: agents join, move and leave. Made by `up`, `resume` or `attach`.

    Several programs may hold the same one, and one that is down can still be read. In a ``with`` block it
    goes down at the end::

        with sj.up("agents.count=3") as sim:
            sim.wait()
            sim.add_agent(wait=True)
            sim.map("agent-0", "agent-3")
    """

    @classmethod
    def up(
        cls, *settings: str, config: RunConfig | AnyPath | None = None, folder: AnyPath | None = None,
        address: str | None = None, quick: bool = False,
    ) -> "Simulation":  # fmt: skip
        """Start a simulation; return while its agents are starting.

        This process does not join Ray: it may end, and start others, without effect on this simulation.

        Args:
            settings: "key.sub=value" each, for example "agents.count=3"; over those of config.
            config: TOML file with settings, or what `load_config` returns.
            folder: Folder to create; default: a new one in ./runs.
            address: Ray cluster to join; default: RAY_ADDRESS, else a local Ray is started, which outlives
                this process and which no other program joins.
            quick: Smaller agents that train faster.

        Raises:
            AddressError, ClusterError, LocalRayError: Ray does not answer.
            RunFolderError: The folder cannot be used.
            UnfitMachineError, NotEnoughMemoryError, NotEnoughDiskError, ConfigError: This machine cannot run
                it; no folder is created.
        """
        return cls.start(*new_run(settings, config, folder, address, quick))

    @classmethod
    def start(cls, folder: RunFolder, address: str | None = None) -> "Simulation":
        """Start the simulation of a new run folder, which `new_run` has made; see `up`."""
        return cls._start(folder.config(), folder, address, "started")

    @classmethod
    def resume(cls, folder: AnyPath | None = None, address: str | None = None) -> "Simulation":
        """Bring a simulation up again, every agent from its newest checkpoint; see `up`.

        Args:
            folder: Its folder; default: the latest one below ./runs.
            address: Ray cluster to join.
        """
        found = find(folder)
        config, address = found.config(), cluster_address(address)
        check_stays_up(config)
        check_before_start(config, address)
        return cls._start(config, found, address, "resumed")

    @classmethod
    def attach(cls, folder: AnyPath | None = None) -> "Simulation":
        """Return the simulation of a folder, which another program may have started.

        Args:
            folder: Its folder; default: the latest one below ./runs that is up.

        Raises:
            NoRunError, NotARunFolderError: There is none.
            NotUpError: It is not up.
            ElsewhereError, CopiedFolderError: It is up, but not within reach of this process.
        """
        found = find_running(folder)
        find_simulation(found)
        return cls(found)

    def __enter__(self) -> "Simulation":
        """Return itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Shut it down, unless it is down already."""
        with contextlib.suppress(NotUpError):
            for sentence in self.down():
                logger.warning("%s", sentence)

    @property
    def control(self) -> ControlClient:
        """Client of its supervisor.

        Raises:
            NotUpError: It is not up.
        """
        return ControlClient(Path(find_simulation(self.folder).control))

    def _state(self) -> str:
        try:
            find_simulation(self.folder)
        except NotUpError:
            return "not up"
        except RunFolderError as error:
            return type(error).__name__
        return "up"

    @classmethod
    def _start(
        cls, config: RunConfig, folder: RunFolder, address: str | None, event_type: str
    ) -> "Simulation":
        with folder.command_lock():
            check_not_up(folder)
            with contextlib.closing(Ledger(folder.ledger_file, create=True)) as ledger:
                record_start(ledger, config, folder, event_type, online=True)
            with started(folder, address, online=True) as found:
                if found.local_ray is not None:
                    found.local_ray.keep()
        logger.info("%s is up: %s", folder.path, event_type)
        return cls(folder)

    def progress(self, name: str) -> ProgressRecord | None:
        """Return the newest progress of an agent with its loss curves; None where it has reported none.

        Raises:
            NotUpError: The simulation is not up any more.
            SupervisorUnavailableError: It does not answer.
        """
        found: ProgressRecord | None = self._call("progress", name, kind=ProgressRecord | None)
        return found

    def status(self, timeout: float = STATUS_TIMEOUT) -> list[AgentStatus]:
        """Return the status of every agent; see `progress` for loss curves, which are left out here.

        Args:
            timeout: Seconds that the supervisor may take to reply, or to restart.

        Raises:
            NotUpError: The simulation is not up any more.
            SupervisorUnavailableError: It does not answer.
        """
        return status_of(self.control, timeout, lambda: find_simulation(self.folder))

    def _call(self, method: str, *arguments: Any, kind: Any = None, timeout: float = 60.0) -> Any:
        """Call the supervisor as `ControlClient.call` does; say so if the simulation is down.

        Raises:
            NotUpError: It is not up any more.
        """
        try:
            return self.control.call(method, *arguments, kind=kind, timeout=timeout)
        except SupervisorUnavailableError:
            find_simulation(self.folder)
            raise

    def add_agent(
        self, pose: str = "", *, name: str = "", kind: str = "", teacher: str = "",
        settings: Iterable[str] = (), wait: bool = False, timeout: float = math.inf,
        progress: bool | None = None,
    ) -> AgentStatus:  # fmt: skip
        """Add an agent; return its status once it has joined, or once it waits for resources.

        Args:
            pose: "x,y,z,yaw,pitch[,fov]"; default: the next place on the ring.
            name: Name; default: "agent-" and the next free number.
            kind: Kind of world model; default: that of the other agents.
            teacher: Peer that it distills from first.
            settings: Settings of this agent alone, for example "model.dim=8".
            wait: Return only when all of its edges are settled.
            timeout: Seconds to wait.
            progress: Whether to show the progress of the wait, see `wait`.

        Raises:
            MembershipError, ConfigError, ValueError: The request cannot be met; nothing has changed.
            AgentLostError, AgentLeftError, PeerLostError, NotSettledError: See `wait`.
            StartFailedError: The agent failed before it joined; it is removed again.
        """
        request = {
            "pose": pose, "name": name, "kind": kind, "teacher": teacher, "settings": tuple(settings),
        }  # fmt: skip
        agent: AgentStatus = self._call("add", request, START_TIMEOUT, kind=AgentStatus, timeout=120.0)
        return self._wait(agent.name, timeout, progress, known=True) if wait else agent

    def move_agent(
        self, name: str, pose: str, wait: bool = False, timeout: float = math.inf,
        progress: bool | None = None,
    ) -> AgentStatus:  # fmt: skip
        """Move an agent's camera; its edges go stale until it has trained on the new view.

        Args:
            name: The agent.
            pose: "x,y,z,yaw,pitch[,fov]".
            wait: Return only when all of its edges are settled again.
            timeout: Seconds to wait.
            progress: Whether to show the progress of the wait, see `wait`.

        Raises:
            UnknownMemberError: No agent has that name.
            ConfigError, ValueError: The camera cannot work at that pose.
            AgentLostError, AgentLeftError, PeerLostError, NotSettledError: See `wait`.
        """
        agent: AgentStatus = self._call("move", name, pose, kind=AgentStatus)
        return self._wait(name, timeout, progress, known=True) if wait else agent

    def pause(self, name: str = "") -> list[AgentStatus]:
        """Let training of an agent wait until `resume_learning`, also if the simulation goes down meanwhile.

        A paused agent still replies to its peers and to queries.

        Args:
            name: The agent; default: all.

        Raises:
            UnknownMemberError: No agent has that name.
        """
        return list(self._call("pause", name, True, kind=list[AgentStatus]))

    def resume_learning(self, name: str = "") -> list[AgentStatus]:
        """Let a paused agent, or all, train on; for arguments and errors see `pause`."""
        return list(self._call("pause", name, False, kind=list[AgentStatus]))

    def set_topology(self, topology: str) -> int:
        """Change which pairs negotiate; edges of pairs that no longer do end. Return the number of edges.

        Args:
            topology: See `negotiation.topology`.

        Raises:
            ValueError: It names no topology.
        """
        return int(self._call("set_topology", topology, kind=int))

    def remove_agent(self, name: str) -> None:
        """Remove an agent; its edges end with a tombstone.

        Raises:
            UnknownMemberError: No agent has that name.
            LastAgentError: It is the only one.
        """
        self._call("remove", name)

    def wait(self, name: str = "", timeout: float = math.inf, progress: bool | None = None) -> AgentStatus:
        """Wait until an agent, or every agent, has settled its edges with all peers; return its status.

        Args:
            name: The agent; default: all, and the status of the first is returned.
            timeout: Seconds to wait.
            progress: Whether to show steps and phases on stderr; None: on a terminal and in a notebook, and
                elsewhere what agents wait for, or why they make no step, is logged.

        Raises:
            UnknownMemberError: No agent has, or had, that name.
            AgentLostError: It failed.
            AgentLeftError: It was removed, perhaps meanwhile.
            PeerLostError: All edges that it lacks are with peers that have failed.
            NotSettledError: It has not settled in time.
            SupervisorUnavailableError: The supervisor does not answer in that time, or in 60 s.
        """
        return self._wait(name, timeout, progress)

    def _wait(self, name: str, timeout: float, progress: bool | None, known: bool = False) -> AgentStatus:
        """Wait as `wait` does; `known`: whether there certainly is, or was, an agent of that name."""
        deadline, settling = time.monotonic() + timeout, Settling(self.folder, name)
        with contextlib.closing(make_progress(progress)) as shown:
            while True:
                left = max(MIN_STATUS_SECONDS, deadline - time.monotonic())
                every = self.status(min(STATUS_TIMEOUT, left))
                agents = [agent for agent in every if name in ("", agent.name)]
                known = known or bool(agents)
                if not known:
                    self._check_known(name, every)
                shown.progress(agents)
                if settling.is_done(every):
                    return agents[0]
                if time.monotonic() > deadline:
                    raise NotSettledError(tuple(agent.name for agent in agents if not agent.settled), timeout)
                pause = poll_pause(WAIT_POLL_SECONDS, len(every))
                time.sleep(max(WAIT_POLL_SECONDS, min(pause, deadline - time.monotonic())))

    def _check_known(self, name: str, agents: Iterable[AgentStatus]) -> None:
        """Raise UnknownMemberError unless an agent of a name has been a member."""
        with contextlib.closing(Ledger(self.folder.ledger_file)) as ledger:
            if name not in ledger.names():
                raise UnknownMemberError(name, tuple(agent.name for agent in agents))

    def down(self) -> list[str]:
        """Save checkpoints, end all processes of the simulation and export its graph; `resume` undoes it.

        Returns:
            What could not be saved, one sentence each.
        """
        with self.folder.command_lock():
            find_simulation(self.folder)
            unsaved = self._stop()
            end_remaining(self.folder)
        logger.info("%s is down", self.folder.path)
        return unsaved + self._export()

    def _export(self) -> list[str]:
        """Export the graph, if there is one; return what could not be saved, one sentence each."""
        from social_jepa.graph.results import export

        results = self.results()
        try:
            if results.document.agents:
                export(results)
        except OSError as error:
            return [f"the graph cannot be written to {self.folder.graph_file} ({error.strerror or error})"]
        return []

    def _stop(self) -> list[str]:
        """Have the supervisor save and end everything; without a reply, have Ray end it."""
        unsaved: list[str]
        try:
            unsaved = self.control.call("stop", "requested", kind=list[str], timeout=STOP_TIMEOUT)
        except (ClusterError, ValueError, LookupError) as error:
            unsaved = [f"{error}: agents continue from the checkpoints that they had"]
        try:
            self.control.call("end")
        except (ClusterError, ValueError, LookupError) as error:
            logger.warning("%s is ended without its supervisor: %s", self.folder.path, error)
            found = find_simulation(self.folder)
            if found.leader is None:
                end_on_cluster(self.folder, found.address)
        return unsaved


def open_run(folder: AnyPath | None = None) -> Run:
    """Return a run that can be read; one that is up is a `Simulation`.

    Args:
        folder: Its folder; default: the latest one below ./runs.

    Raises:
        NoRunError, NotARunFolderError: There is none.
        ElsewhereError, CopiedFolderError: It is up, but not within reach of this process.
    """
    found = find(folder)
    try:
        return Simulation.attach(found)
    except NotUpError:
        return Run(found)


def check_not_up(folder: RunFolder) -> None:
    """Remove what a simulation has left that ended without `down`.

    Raises:
        AlreadyUpError: It is up.
        ElsewhereError, CopiedFolderError, SimulationFileError: It may be up.
    """
    try:
        found = find_simulation(folder)
    except NotUpError:
        remove_leftovers(folder)
        return
    if found.leader is not None:
        raise AlreadyUpError(folder.path)
    try:
        status_of(ControlClient(Path(found.control)))  # waits for a supervisor that is restarting
    except SupervisorUnavailableError as error:
        if error.timed_out:
            raise AlreadyUpError(folder.path) from error
        end_on_cluster(folder, found.address)  # agents may have outlived it
    else:
        raise AlreadyUpError(folder.path)
