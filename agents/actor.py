"""The Ray actor in which agents live: it passes bytes and calls to the agent that they name."""

import agents.common.ray_environment  # noqa: F401

import logging
import sys
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, RayTaskError

from agents.common.niceness import raise_niceness
from agents.compute_share import FairLock
from agents.errors import UnknownAgentError
from agents.exit_file import exit_path, record_exit
from agents.hosted_agent import ActorProcess, HostedAgent
from agents.logs import work_for
from agents.protocol.peer_list import PeerList
from agents.report import AgentReport
from agents.runner import SWITCH_INTERVAL
from env.camera import Pose

logger = logging.getLogger(__name__)

TRANSFER_TIMEOUT = 60.0  # seconds that the supervisor may take to store or return a part of a file
RESTART_TIMEOUT = 60.0  # seconds that the supervisor may take to restart during a call
RETRY_SECONDS = 0.5  # between two tries of such a call


@ray.remote
class AgentActor:
    """A process with one agent, or with several that take turns to compute.

    The supervisor starts another one when the process dies, and its agents in that.
    """

    def __init__(self, name: str, supervisor: Any, log_file: str = "", nice: int = 0) -> None:
        """Have no agent yet.

        Args:
            name: Its own, as Ray knows it.
            supervisor: Handle of the actor that agents register with.
            log_file: File of the run folder whose `agents.exit_file.exit_path` says how the process ended;
                empty for none.
            nice: Least niceness of the process.
        """
        raise_niceness(nice)
        sys.setswitchinterval(SWITCH_INTERVAL)
        self._supervisor, self._log_file = supervisor, log_file
        self._agents: dict[str, HostedAgent] = {}
        # an actor without GPUs may still see every GPU, so only Ray's own list counts; Ray has already
        # narrowed CUDA_VISIBLE_DEVICES to it, so the first visible one is ours
        node, has_gpu = ray.get_runtime_context().get_node_id(), bool(ray.get_gpu_ids())
        self._process = ActorProcess(self._call_supervisor, FairLock(), self._record_exit, node, has_gpu)

    def _call_supervisor(self, method: str, *arguments: Any, timeout: float | None = TRANSFER_TIMEOUT) -> Any:
        """Call a method of the supervisor, which may be repeated; wait while its process restarts."""
        deadline = time.monotonic() + RESTART_TIMEOUT
        while True:
            try:
                return ray.get(getattr(self._supervisor, method).remote(*arguments), timeout=timeout)
            except RayTaskError as error:
                raise (error.cause or error) from None
            except ActorUnavailableError as error:
                if time.monotonic() > deadline:
                    raise
                logger.warning("%s is repeated, the supervisor restarts: %s", method, error)
                time.sleep(RETRY_SECONDS)

    def _record_exit(self) -> None:
        log_file, self._log_file = self._log_file, ""  # once for the process
        if log_file:
            record_exit(exit_path(Path(log_file)))

    def _agent(self, name: str) -> HostedAgent:
        """Return an agent; log records of the running call are its own from now on."""
        if name not in self._agents:
            raise UnknownAgentError(name)
        work_for(name)
        return self._agents[name]

    async def start_agent(self, name: str, log_file: str = "") -> None:
        """Start an agent; without effect if it lives here.

        Args:
            name: Its name.
            log_file: File to append its log records to, see `agents.logs.log_to_file`; empty for none.
        """
        if name not in self._agents:
            self._agents[name] = HostedAgent(name, self._process, log_file)

    async def keep_agents(self, names: Collection[str]) -> None:
        """Drop all agents but these, without checkpoints."""
        for name in self._agents.keys() - set(names):
            self._agents.pop(name).drop()

    async def update_peers(self, name: str, peer_list: PeerList) -> None:
        """Give an agent a new peer list from the supervisor."""
        await self._agent(name).update_peers(peer_list)

    async def deliver(self, name: str, data: bytes) -> None:
        """Have an agent process one envelope from a peer; what is not valid is refused and reported.

        Raises:
            UnknownAgentError: It does not live here.
        """
        self._agent(name).deliver(data)

    async def report(
        self, name: str, incarnation: int, since: int, known_checkpoint: str, heartbeat: float = 0.0
    ) -> AgentReport | None:
        """Return the state of an agent once there is news, or None while it is being constructed.

        So the supervisor hears of news as if it were pushed, and a call that it waits for also tells it when
        this process dies.

        Args:
            name: The agent.
            incarnation: Incarnation of the last report that the supervisor has.
            since: Number of the last event in that report; events up to it are dropped here.
            known_checkpoint: Published checkpoint that the supervisor has; its snapshot is not sent again.
            heartbeat: Seconds after which it returns without news.

        Raises:
            UnknownAgentError: It does not live here.
        """
        return await self._agent(name).report(incarnation, since, known_checkpoint, heartbeat)

    async def move(self, name: str, pose: Pose, pose_version: int) -> None:
        """Move the camera of an agent."""
        await self._agent(name).move(pose, pose_version)

    async def pause(self, name: str, paused: bool) -> None:
        """Let training of an agent wait, or continue."""
        await self._agent(name).pause(paused)

    async def encode_core(self, name: str, ticks: Sequence[int]) -> list[list[float]]:
        """Return core latents of ticks by the published model of an agent, [K, core_dim]."""
        return await self._agent(name).encode_core(ticks)

    async def stop(self, name: str) -> None:
        """Stop an agent after its current step, and return once its checkpoint is in the run folder."""
        await self._agent(name).stop()
