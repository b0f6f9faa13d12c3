"""One agent of an actor: its thread, its exchange with peers, its files, its reports to the supervisor."""

import asyncio
import gc
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agents.common.device import select_device
from agents.common.versions import process_versions
from agents.compute_share import FairLock
from agents.failure import Failure
from agents.file_access import FileAccess, SupervisorCall
from agents.logs import work_for
from agents.protocol.events import AgentEvents
from agents.protocol.identity import load_identity
from agents.protocol.peer_list import PeerList
from agents.protocol.peer_protocol import PeerProtocol
from agents.protocol.transports.ray_actors import RayTransport
from agents.protocol.verifier import LocalPeer
from agents.report import AgentReport, news_of, report_of
from agents.request_queue import AgentStoppedError
from agents.runner import AgentRunner
from agents.spec import AgentSpec
from env.camera import Pose

logger = logging.getLogger(__name__)

NEWS_SECONDS = 0.05  # between two looks for news while the supervisor waits for them
RETRY_STALLED_SECONDS = 15.0  # between two looks for negotiations that do not go on
CLOSE_TIMEOUT = 45.0  # seconds in which the last checkpoint should reach the supervisor


@dataclass(frozen=True)
class ActorProcess:
    """What all agents of a process have in common.

    Attributes:
        call: Calls a method of the supervisor.
        lock: Held by the agent that computes.
        on_local: Called once it is known that this machine sees the run folder.
        node: Ray's id of this machine.
        has_gpu: Whether Ray has assigned a GPU, or a share of one, to the process.
    """

    call: SupervisorCall
    lock: FairLock
    on_local: Callable[[], object]
    node: str
    has_gpu: bool


class HostedAgent:
    """An agent that runs on a thread, so that the event loop of its actor stays free for peers.

    Every incarnation starts in the same way: it registers with the supervisor, which numbers it and returns
    its specification and peers, then resumes from its checkpoint.
    """

    def __init__(self, name: str, process: ActorProcess, log_file: str) -> None:
        """Start the thread.

        Args:
            name: Name of the agent.
            process: Where it lives.
            log_file: File to append log records to, see `agents.logs.log_to_file`; empty for none.
        """
        self._name, self._process, self._log_file = name, process, log_file
        self._transport = RayTransport()
        self._files: FileAccess | None = None
        self._runner: AgentRunner | None = None
        self._peer_list_version = -1
        self._device = ""
        self._constructed = threading.Event()
        self._dropped = self._stopping = False
        self._protocol: PeerProtocol | None = None
        self._failure: Failure | None = None  # why it could not start
        self._told: tuple[Any, ...] = ()  # what was new in the last report
        self._retried_at = time.monotonic()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        work_for(self._name)
        try:
            spec = self._register()
        except BaseException as error:  # this thread has no caller to raise it to: a report carries it
            self._failure = Failure.of(error, self._name)
            logger.exception("%s could not start", self._name)
            return
        finally:
            self._constructed.set()
        assert self._runner is not None
        self._runner.run(spec)

    def _register(self) -> AgentSpec:
        """Register with the supervisor, prepare files, protocol and runner; return the specification."""
        call, process = self._process.call, self._process
        spec, incarnation, session = call("register", self._name, process_versions(), timeout=None)
        files = FileAccess(call, self._name, incarnation, spec.folder, self._log_file)
        self._files = files
        if not files.remote:
            process.on_local()
        self._device = select_device(spec.device, process.has_gpu)
        _log_start(self._name, incarnation, self._device)
        local = LocalPeer(self._name, load_identity(Path(files.folder)), incarnation, session)
        self._protocol = PeerProtocol(local, self._transport)
        self._runner = AgentRunner(self._protocol, files.saved, process.lock)
        if self._dropped:
            self._runner.drop()
        peer_list = call("enroll", self._name, incarnation, local.identity.public_key)
        self._apply_peer_list(peer_list)
        return replace(spec, folder=files.folder, device=self._device, events=peer_list.body_events)

    async def update_peers(self, peer_list: PeerList) -> None:
        """Take a new peer list from the supervisor."""
        await asyncio.to_thread(self._constructed.wait)
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

    def deliver(self, data: bytes) -> None:
        """Process one envelope from a peer; what is not valid is refused and reported."""
        if self._protocol is not None and self._constructed.is_set():  # before, it knows no peer yet
            self._protocol.receive(data)

    async def report(
        self, incarnation: int, since: int, known_checkpoint: str, heartbeat: float
    ) -> AgentReport | None:
        """Return the state of the agent once there is news, see `AgentActor.report`."""
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
            node=self._process.node, device=self._device,
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
            failure=failure, note="", node=self._process.node,
            host=socket.gethostname(), device=self._device, pid=os.getpid(), activity=None, unanswered={},
        )  # fmt: skip

    def _retry_stalled(self) -> None:
        """Restart negotiations whose messages were lost, from time to time."""
        if self._protocol is not None and time.monotonic() - self._retried_at > RETRY_STALLED_SECONDS:
            self._retried_at = time.monotonic()
            self._protocol.retry_stalled()

    async def move(self, pose: Pose, pose_version: int) -> None:
        """Move the camera after the current training step; return at once, since a step may never end."""
        if runner := await self._started_runner():
            runner.move(pose, pose_version)

    async def pause(self, paused: bool) -> None:
        """Let training wait after the current step, or continue; return at once."""
        if runner := await self._started_runner():
            runner.pause(paused)

    async def encode_core(self, ticks: Sequence[int]) -> list[list[float]]:
        """Return core latents of ticks by the published model, [K, core_dim]."""
        runner = await self._started_runner()
        if runner is None:
            raise AgentStoppedError(str(self._failure or "it is dropped"))
        return await asyncio.wrap_future(runner.submit(lambda agent: agent.encode_core(ticks).tolist()))

    async def _started_runner(self) -> AgentRunner | None:
        """Return the runner once it runs; None: the agent could not start, and nothing serves requests."""
        await asyncio.to_thread(self._constructed.wait)
        return self._runner if self._failure is None else None

    async def stop(self) -> None:
        """Stop after the current training step, and return once the checkpoint is in the run folder."""
        if self._runner is not None:
            self._stopping = True
            self._runner.stop()
            await asyncio.to_thread(self._finish)

    def _finish(self) -> None:
        self._thread.join()
        if self._files is not None:
            self._files.close(CLOSE_TIMEOUT)

    def drop(self) -> None:
        """End the agent after its current step, without a checkpoint; returns at once."""
        self._dropped = True  # first: the thread may make the runner now
        if self._runner is not None:
            self._runner.drop()
        if not self._stopping:  # else files that could not be sent are kept
            threading.Thread(target=self._discard, daemon=True).start()

    def _discard(self) -> None:
        """Free what the agent holds, once its thread has ended, which it may have done long ago."""
        self._thread.join()
        if self._files is not None:
            self._files.discard()
        self._runner = None
        gc.collect()  # its frames, at once: the agent and its callbacks refer to each other


def _log_start(name: str, incarnation: int, device: str) -> None:
    cause = "its former process ended, or the run was resumed" if incarnation > 1 else "it is new"
    logger.info(
        "%s starts as incarnation %d on %s, process %d: %s", name, incarnation, device, os.getpid(), cause
    )
