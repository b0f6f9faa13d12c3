"""The Ray shell around one agent's life: it carries bytes and calls, the agent thinks."""

import asyncio
import os
import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import ray

from agents.protocol.channel import RayTransport
from agents.protocol.peer_list import PeerList
from agents.protocol.peer_protocol import PeerProtocol
from agents.report import AgentReport
from agents.runner import AgentRunner
from env.camera import Pose

SWITCH_INTERVAL = 0.0005  # seconds that learning may keep Python from peers; by default ten times that
NICENESS = 10  # by how much learning gives way to peers that talk, to newcomers, and to whoever asks


@ray.remote
class AgentActor:
    """One agent in a process of its own: it lives on one thread, while the event loop stays free for peers.

    Ray runs the constructor again when the process dies, so that every life begins in the same way: enlist,
    which numbers the life and tells who is there, then go on from what the last one saved.
    """

    def __init__(self, name: str, supervisor: Any) -> None:
        """Begin a life."""
        sys.setswitchinterval(SWITCH_INTERVAL)
        self._name, self._supervisor = name, supervisor
        self._transport = RayTransport()
        self._runner: AgentRunner | None = None
        self._peer_list_version = -1
        self._device = ""
        self._constructed = threading.Event()
        self._protocol: PeerProtocol | None = None
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            spec, life, roll = ray.get(self._supervisor.register.remote(self._name))
            self._device = _device(spec.device)
            self._protocol = PeerProtocol(self._name, self._transport, life)
            self._runner = AgentRunner(self._protocol)
            self._apply_peer_list(roll)
        except Exception as error:  # nobody waits for this thread: keep it for who asks
            self._failure = error
            return
        finally:
            self._constructed.set()
        self._runner.run(lambda: replace(spec, device=self._device, events=roll.body_events), _lower_priority)

    async def update_peers(self, roll: PeerList) -> None:
        """Learn who is there."""
        await asyncio.get_running_loop().run_in_executor(None, self._constructed.wait)
        self._apply_peer_list(roll)

    def _apply_peer_list(self, roll: PeerList) -> None:
        assert self._protocol is not None
        assert self._runner is not None
        if roll.version <= self._peer_list_version:
            return
        self._peer_list_version = roll.version
        peers = {name: life for name, life in roll.incarnations.items() if name != self._name}
        self._transport.set_peers({name: roll.handles[name] for name in peers})
        self._protocol.update_peers(peers)
        self._runner.submit(lambda agent: agent.set_body_events(roll.body_events))

    async def deliver(self, frame: bytes) -> None:
        """Take one frame; what cannot be read is refused and remembered."""
        if self._protocol is not None:
            self._protocol.receive(frame)

    async def report(self, incarnation: int, since: int, known: str) -> AgentReport | None:
        """Return what is new since a piece of news of a life, or None while it is being born.

        Raises:
            Exception: It could not be born.
        """
        if self._failure is not None:
            raise self._failure
        life, protocol = self._runner, self._protocol
        if life is None or protocol is None:
            return None
        agent, memory = life.agent, life.snapshot
        checkpoint = memory.peer_info.checkpoint if memory else ""
        return AgentReport(
            protocol.events(incarnation, since), agent.progress() if agent else None,
            memory if checkpoint != known else None, checkpoint, protocol.settled(),
            str(life.failure) if life.failure else "", life.note, ray.get_runtime_context().get_node_id(),
            self._device, os.getpid(),
        )  # fmt: skip

    async def retry_stalled(self) -> None:
        """Start conversations anew that died on the way."""
        if self._protocol is not None:
            self._protocol.retry_stalled()

    async def move(self, pose: Pose, era: int) -> None:
        """Turn the camera to another view."""
        await asyncio.get_running_loop().run_in_executor(None, self._constructed.wait)
        assert self._runner is not None
        await asyncio.wrap_future(self._runner.move(pose, era))

    async def encode_core(self, ticks: Sequence[int]) -> list[list[float]]:
        """Return the core codes of ticks by the published model, [K, core_dim]."""
        assert self._runner is not None
        return await asyncio.wrap_future(self._runner.submit(lambda agent: agent.encode_core(ticks).tolist()))

    async def stop(self) -> None:
        """Stop after the step it is in, save, and return when that is done."""
        if self._runner is not None:
            self._runner.stop()
            await asyncio.get_running_loop().run_in_executor(None, self._thread.join)


def _lower_priority() -> None:
    """Let this thread alone, which learns, run after those of all processes that answer."""
    me = threading.get_native_id()
    os.setpriority(os.PRIO_PROCESS, me, min(19, os.getpriority(os.PRIO_PROCESS, me) + NICENESS))


def _device(wanted: str) -> str:
    """Return the torch device that Ray gave this actor, unless one was asked for by name."""
    if wanted != "auto":
        return wanted
    # an actor without GPUs may still see every GPU, so only Ray's own list counts; Ray has already
    # narrowed CUDA_VISIBLE_DEVICES to it, so the first visible one is ours
    return "cuda:0" if ray.get_gpu_ids() else "cpu"
