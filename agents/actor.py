"""The Ray actor around one agent: it passes bytes and calls between peers, the supervisor and the runner."""

import agents.common.ray_environment  # noqa: F401

import asyncio
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, RayTaskError

from agents.common.device import select_device
from agents.common.niceness import raise_niceness
from agents.common.versions import process_versions
from agents.exit_file import exit_path, record_exit
from agents.failure import Failure
from agents.file_transfer import FileAccess
from agents.protocol.events import AgentEvents
from agents.protocol.identity import load_identity
from agents.protocol.peer_list import PeerList
from agents.protocol.peer_protocol import PeerProtocol
from agents.protocol.transports.ray_actors import RayTransport
from agents.protocol.verifier import LocalPeer
from agents.report import AgentReport, news_of, report_of
from agents.runner import SWITCH_INTERVAL, AgentRunner
from env.camera import Pose

logger = logging.getLogger(__name__)

TRANSFER_TIMEOUT = 60.0  # seconds that the supervisor may take to store or return a part of a file
RESTART_TIMEOUT = 60.0  # seconds that the supervisor may take to restart during a call
RETRY_SECONDS = 0.5  # between two tries of such a call
NEWS_SECONDS = 0.05  # between two looks for news while the supervisor waits for them
RETRY_STALLED_SECONDS = 15.0  # between two looks for negotiations that do not go on
CLOSE_TIMEOUT = 45.0  # seconds in which the last checkpoint should reach the supervisor


@ray.remote
class AgentActor:
    """One agent in its own process: it runs on one thread, so the event loop stays free for peers.

    The supervisor starts another one when the process dies. Every incarnation starts in the same way: it
    registers with the supervisor, which numbers it and returns its specification and peers, then resumes from
    its checkpoint.
    """

    def __init__(self, name: str, supervisor: Any, log_file: str = "", nice: int = 0) -> None:
        """Start the agent's thread.

        Args:
            name: Name of the agent.
            supervisor: Handle of the actor to register with.
            log_file: File to append log records to, see `agents.logs.log_to_file`; empty for none.
            nice: Least niceness of its process.
        """
        raise_niceness(nice)
        sys.setswitchinterval(SWITCH_INTERVAL)
        self._name, self._supervisor = name, supervisor
        self._log_file = log_file
        self._transport = RayTransport()
        self._files: FileAccess | None = None
        self._runner: AgentRunner | None = None
        self._peer_list_version = -1
        self._device = ""
        self._constructed = threading.Event()
        self._protocol: PeerProtocol | None = None
        self._failure: Failure | None = None  # why it could not start
        self._told: tuple[Any, ...] = ()  # what was new in the last report
        self._retried_at = time.monotonic()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            registered = self._call_supervisor("register", self._name, process_versions(), timeout=None)
            spec, incarnation, session = registered
            files = FileAccess(self._call_supervisor, self._name, incarnation, spec.folder, self._log_file)
            self._files = files
            if self._log_file and not files.remote:  # elsewhere its supervisor could not read it
                record_exit(exit_path(Path(self._log_file)))
            # an actor without GPUs may still see every GPU, so only Ray's own list counts; Ray has already
            # narrowed CUDA_VISIBLE_DEVICES to it, so the first visible one is ours
            self._device = select_device(spec.device, bool(ray.get_gpu_ids()))
            _log_start(self._name, incarnation, self._device)
            local = LocalPeer(self._name, load_identity(Path(files.folder)), incarnation, session)
            self._protocol = PeerProtocol(local, self._transport)
            self._runner = AgentRunner(self._protocol, files.saved)
            peer_list = self._call_supervisor("enroll", self._name, incarnation, local.identity.public_key)
            self._apply_peer_list(peer_list)
        except BaseException as error:  # this thread has no caller to raise it to: a report carries it
            self._failure = Failure.of(error, self._name)
            logger.exception("%s could not start", self._name)
            return
        finally:
            self._constructed.set()
        spec = replace(spec, folder=files.folder, device=self._device, events=peer_list.body_events)
        self._runner.run(spec)

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
                logger.warning("%s: %s is repeated, the supervisor restarts: %s", self._name, method, error)
                time.sleep(RETRY_SECONDS)

    async def update_peers(self, peer_list: PeerList) -> None:
        """Take a new peer list from the supervisor."""
        await asyncio.get_running_loop().run_in_executor(None, self._constructed.wait)
        if self._failure is None:
            self._apply_peer_list(peer_list)

    def _apply_peer_list(self, peer_list: PeerList) -> None:
        assert self._protocol is not None
        assert self._runner is not None
        if peer_list.version <= self._peer_list_version:
            return
        self._peer_list_version = peer_list.version
        peers = {name: peer for name, peer in peer_list.peers.items() if name != self._name}
        self._transport.set_peers({name: peer_list.handles[name] for name in peers})
        self._protocol.update_peers(peers)
        self._runner.submit(lambda agent: agent.set_body_events(peer_list.body_events))

    async def deliver(self, data: bytes) -> None:
        """Process one envelope from a peer; what is not valid is refused and reported."""
        if self._protocol is not None and self._constructed.is_set():  # before, it knows no peer yet
            self._protocol.receive(data)

    async def report(
        self, incarnation: int, since: int, known_checkpoint: str, heartbeat: float = 0.0
    ) -> AgentReport | None:
        """Return the state of the agent once there is news, or None while it is being constructed.

        So the supervisor hears of news as if it were pushed, and a call that it waits for also tells it when
        this process dies.

        Args:
            incarnation: Incarnation of the last report that the supervisor has.
            since: Number of the last event in that report; events up to it are dropped here.
            known_checkpoint: Published checkpoint that the supervisor has; its snapshot is not sent again.
            heartbeat: Seconds after which it returns without news.
        """
        deadline = time.monotonic() + heartbeat
        while not self._has_news(incarnation, since) and (left := deadline - time.monotonic()) > 0:
            await asyncio.sleep(min(left, NEWS_SECONDS))
            self._retry_stalled()
        self._told = self._news()
        runner, protocol, files = self._runner, self._protocol, self._files
        if self._failure is not None:
            return self._failed_report(self._failure)
        if runner is None or protocol is None or files is None:
            return None
        return report_of(
            runner, protocol, incarnation, since, known_checkpoint,
            node=ray.get_runtime_context().get_node_id(), device=self._device,
            arrived=files.published_arrived(), unsaved=files.unsaved(),
        )  # fmt: skip

    def _news(self) -> tuple[Any, ...]:
        runner, protocol, files = self._runner, self._protocol, self._files
        if runner is None or protocol is None or files is None:
            return (self._failure,)
        return (self._failure, *news_of(runner, protocol, files.published_arrived(), files.unsaved()))

    def _has_news(self, incarnation: int, since: int) -> bool:
        """Return whether anything is new since the last report, or the caller lacks events of that one."""
        unheard = self._protocol is not None and self._protocol.newest_event != (incarnation, since)
        return unheard or self._news() != self._told

    def _failed_report(self, failure: Failure) -> AgentReport:
        """Return the report of an agent that could not start; before it registered, of incarnation 0."""
        incarnation = self._protocol.channel.incarnation if self._protocol else 0
        return AgentReport(
            events=AgentEvents(incarnation, 0), progress=None, snapshot=None, checkpoint="", settled=False,
            failure=failure, note="", node=ray.get_runtime_context().get_node_id(),
            host=socket.gethostname(), device=self._device, pid=os.getpid(), activity=None, unanswered={},
        )  # fmt: skip

    def _retry_stalled(self) -> None:
        """Restart negotiations whose messages were lost, from time to time."""
        if self._protocol is not None and time.monotonic() - self._retried_at > RETRY_STALLED_SECONDS:
            self._retried_at = time.monotonic()
            self._protocol.retry_stalled()

    async def move(self, pose: Pose, pose_version: int) -> None:
        """Move the camera."""
        await asyncio.get_running_loop().run_in_executor(None, self._constructed.wait)
        assert self._runner is not None
        await asyncio.wrap_future(self._runner.move(pose, pose_version))

    async def pause(self, paused: bool) -> None:
        """Let training wait, or continue."""
        await asyncio.get_running_loop().run_in_executor(None, self._constructed.wait)
        if self._runner is not None:
            await asyncio.wrap_future(self._runner.pause(paused))

    async def encode_core(self, ticks: Sequence[int]) -> list[list[float]]:
        """Return core latents of ticks by the published model, [K, core_dim]."""
        assert self._runner is not None
        return await asyncio.wrap_future(self._runner.submit(lambda agent: agent.encode_core(ticks).tolist()))

    async def stop(self) -> None:
        """Stop after the current training step, and return once the checkpoint is in the run folder."""
        if self._runner is not None:
            self._runner.stop()
            await asyncio.get_running_loop().run_in_executor(None, self._finish)

    def _finish(self) -> None:
        self._thread.join()
        if self._files is not None:
            self._files.close(CLOSE_TIMEOUT)


def _log_start(name: str, incarnation: int, device: str) -> None:
    cause = "its former process ended, or the run was resumed" if incarnation > 1 else "it is new"
    logger.info(
        "%s starts as incarnation %d on %s, process %d: %s", name, incarnation, device, os.getpid(), cause
    )
