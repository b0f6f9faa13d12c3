"""Processes of agents: where they are started, what they wait for, how they died, when they start again."""

import agents.common.ray_environment  # noqa: F401

import logging
import math
import time
from collections.abc import Mapping
from typing import Any

import ray

from agents.exit_file import exit_path
from social_jepa.config.run_config import RunConfig
from social_jepa.records import FailureRecord
from social_jepa.runtime import capacity
from social_jepa.runtime.capacity import Reservation, Shortage
from social_jepa.runtime.cluster import (
    SUPERVISOR,
    ResourceShare,
    agent_options,
    has_process,
    placement_options,
    read_nodes,
)
from social_jepa.runtime.deaths import Death, DeathCause, read_death
from social_jepa.runtime.errors import ClusterError
from social_jepa.runtime.logs import log_path
from social_jepa.runtime.memory import check_room
from social_jepa.runtime.restarts import FORGIVEN_AFTER, Restarts
from social_jepa.storage.run_folder import RunFolder
from social_jepa.system import cgroups

logger = logging.getLogger(__name__)

OOM_BURST_SECONDS = 3.0  # in which the kernel may kill several processes before the first death is noticed
START_SECONDS = 30.0  # that a process may take to start on the node that was chosen for it


class AgentProcesses:
    """Starts the processes that agents live in, each on the node with the fewest of them.

    A process is known by the name of its actor. What a death means for an agent is known by the agent's name.

    Attributes:
        placed: Node that each process was placed on; "" where no node had room and Ray chooses.
        deaths: How the process of each agent died the last time.
        restart_at: When an agent that has lost its process starts again, in seconds since the epoch.
    """

    def __init__(
        self, folder: RunFolder, namespace: str, resources: ResourceShare, actor_class: Any = None,
        stays_up: bool = False,
    ) -> None:  # fmt: skip
        """Start none.

        Args:
            folder: The run folder.
            namespace: Ray namespace of the simulation.
            resources: Resources of each process.
            actor_class: Ray actor of each process, built as `AgentActor` is; by default that one.
            stays_up: Whether the simulation goes on until it is taken down.
        """
        self._folder, self._namespace, self._resources = folder, namespace, resources
        self._actor_class = actor_class
        self.placed: dict[str, str] = {}
        self.deaths: dict[str, Death] = {}
        self.restart_at: dict[str, float] = {}
        self._handles: dict[str, Any] = {}  # of processes that have not registered
        self._started: dict[str, float] = {}  # when they were started, on the monotonic clock
        self._shortages: dict[str, Shortage | None] = {}
        self._reserved: dict[str, tuple[float, float]] = {}  # CPUs and GPUs
        self._restarts = Restarts(FORGIVEN_AFTER if stays_up else math.inf)
        self._node = ray.get_runtime_context().get_node_id()
        self._oom_kills, self._oom_until = cgroups.oom_kills(), 0.0

    def start(self, name: str, gpus: float) -> Any:
        """Start a process and return its handle.

        Args:
            name: Name of its actor.
            gpus: GPUs that it reserves; 0: those of every process.

        Raises:
            ValueError: Ray still knows a process of that name.
        """
        from agents.actor import AgentActor

        actor_class: Any = self._actor_class or AgentActor  # ray.remote leaves the class without types
        supervisor = ray.get_actor(SUPERVISOR, self._namespace)
        options = agent_options(self._resources, gpus)
        nodes, cpus, gpus = read_nodes(), options["num_cpus"], options["num_gpus"]
        others = self._others(name)
        node = capacity.choose_node(nodes, others, cpus, gpus)
        placed = actor_class.options(
            name=name, namespace=self._namespace, **options, **placement_options(node)
        )
        log = str(log_path(self._folder.path, name))
        handle = placed.remote(name, supervisor, log, self._resources.nice)
        self.placed[name], self._handles[name], self._started[name] = node, handle, time.monotonic()
        self._reserved[name] = cpus, gpus
        self._shortages[name] = (
            None if node else capacity.find_shortage(nodes, cpus, gpus, self._others(name))
        )
        logger.info("%s started%s", name, f" on node {node[:6]}" if node else "")
        return handle

    def check_room(self, config: RunConfig) -> None:
        """Raise an error for a joiner that does not fit; in a cluster, any node may have room."""
        if len(read_nodes()) == 1:
            check_room(config, 1)

    def _others(self, name: str) -> list[Reservation]:
        """Return the reservations of other processes; the usual one where another supervisor started it."""
        usual = self._resources.cpus, self._resources.gpus
        return [
            Reservation(node, *self._reserved.get(each, usual))
            for each, node in self.placed.items()
            if each != name
        ]

    def registered(self, name: str) -> None:
        """Note that a process has started: an agent of it has registered."""
        self._handles.pop(name, None)
        self._started.pop(name, None)

    def is_starting(self, name: str) -> bool:
        """Return whether no agent of a process has registered: it starts, or waits for resources."""
        return name in self._handles

    def shortage(self, name: str) -> Shortage | None:
        """Return the resources that a process waits for; None: it runs, starts, or Ray is silent."""
        return self._shortages.get(name) if name in self._handles else None

    def refresh_shortages(self, gpus: Mapping[str, float]) -> None:
        """Look up what processes that are starting wait for; blocks while Ray is silent.

        Args:
            gpus: GPUs that each of them reserves; 0: those of every process.
        """
        for name, each in gpus.items():
            self._shortages[name] = self._find_shortage(name, each)

    def _find_shortage(self, name: str, gpus: float) -> Shortage | None:
        handle, started = self._handles.get(name), self._started.get(name)
        if handle is None or started is None:
            return None
        waited = time.monotonic() - started
        options = agent_options(self._resources, gpus)
        try:
            if (self.placed.get(name) and waited < START_SECONDS) or has_process(handle):
                return None
            cpus, gpus = options["num_cpus"], options["num_gpus"]
            return capacity.find_shortage(read_nodes(), cpus, gpus, self._others(name))
        except ClusterError as error:
            logger.warning("the nodes of the cluster are unknown: %s", error)
            return None

    def read_death(self, name: str, error: Exception) -> Death | None:
        """Return the death of a process, or None for an error that does not say that it is dead."""
        exit_file = exit_path(log_path(self._folder.path, name))
        here = self.placed.get(name, "") in ("", self._node)
        return read_death(error, exit_file, here and self._oom_killed())

    def _oom_killed(self) -> bool:
        kills = cgroups.oom_kills()
        if kills > self._oom_kills:
            self._oom_kills, self._oom_until = kills, time.monotonic() + OOM_BURST_SECONDS
        return time.monotonic() < self._oom_until

    def pause_after(self, name: str, death: Death, step: int) -> float | None:
        """Return seconds until an agent whose process died should start again, or None to give it up.

        Args:
            name: Name of the agent.
            death: How its process died.
            step: Training steps that it had done.
        """
        self.deaths[name] = death
        may_be_cause = death.cause is not DeathCause.NODE and death.agent in ("", name)
        pause = self._restarts.after_death(name, step, may_be_cause)
        if pause is not None:
            self.restart_at[name] = time.time() + pause
        return pause

    def failure(self, name: str, phase: str, step: int) -> FailureRecord:
        """Return the record of an agent whose process died too often."""
        death, count = self.deaths[name], self._restarts.own_deaths(name)
        times = f"; it died {count} times without gaining a training step" if count > 1 else ""
        return FailureRecord(
            agent=name, cause="process_died", phase=phase, step=step, type=death.cause.value,
            message=death.text + times, file=death.file, line=death.line, traceback_file="",
        )  # fmt: skip

    def remark(self, name: str) -> str:
        """Return a remark for the observer while an agent waits for its next process; else ""."""
        if name not in self.restart_at:
            return ""
        seconds = max(0.0, self.restart_at[name] - time.time())
        return f"is restarted in {seconds:.0f} s: {self.deaths[name].text}"

    def begin_anew(self, name: str) -> None:
        """Note that an agent trains from step 0 again: steps that it gains count though it had more."""
        self._restarts.forget(name)

    def returned(self, name: str) -> None:
        """Note that an agent whose process died has started again."""
        self.restart_at.pop(name, None)

    def forget(self, name: str) -> None:
        """Drop what is known of an agent that left, or of a process that was ended."""
        for known in (
            self.placed,
            self.deaths,
            self.restart_at,
            self._handles,
            self._started,
            self._shortages,
            self._reserved,
        ):
            known.pop(name, None)
        self._restarts.forget(name)
