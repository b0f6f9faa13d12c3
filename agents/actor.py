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
from agents.protocol.peer_list import AgentReport, PeerList
from agents.protocol.peer_protocol import PeerProtocol
from agents.runner import AgentRunner
from env.camera import Pose

SWITCH = 0.0005  # seconds that learning may keep Python from peers; by default ten times that
NICENESS = 10  # by how much learning gives way to peers that talk, to newcomers, and to whoever asks


@ray.remote
class AgentActor:
    """One agent in a process of its own: it lives on one thread, while the event loop stays free for peers.

    Ray runs the constructor again when the process dies, so that every life begins in the same way: enlist,
    which numbers the life and tells who is there, then go on from what the last one saved.
    """

    def __init__(self, name: str, registry: Any) -> None:
        """Begin a life."""
        sys.setswitchinterval(SWITCH)
        self._name, self._registry = name, registry
        self._transport = RayTransport()
        self._life: AgentRunner | None = None
        self._roll = -1
        self._device = ""
        self._born = threading.Event()
        self._voice: PeerProtocol | None = None
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()

    def _live(self) -> None:
        try:
            spec, life, roll = ray.get(self._registry.enlist.remote(self._name))
            self._device = _device(spec.device)
            self._voice = PeerProtocol(self._name, self._transport, life)
            self._life = AgentRunner(self._voice)
            self._take(roll)
        except Exception as error:  # nobody waits for this thread: keep it for who asks
            self._failure = error
            return
        finally:
            self._born.set()
        self._life.live(lambda: replace(spec, device=self._device, events=roll.events), _give_way)

    async def meet(self, roll: PeerList) -> None:
        """Learn who is there."""
        await asyncio.get_running_loop().run_in_executor(None, self._born.wait)
        self._take(roll)

    def _take(self, roll: PeerList) -> None:
        assert self._voice is not None
        assert self._life is not None
        if roll.number <= self._roll:
            return
        self._roll = roll.number
        peers = {name: life for name, life in roll.lives.items() if name != self._name}
        self._transport.reach({name: roll.handles[name] for name in peers})
        self._voice.meet(peers)
        self._life.errand(lambda agent: agent.witness(roll.events))

    async def deliver(self, frame: bytes) -> None:
        """Take one frame; what cannot be read is refused and remembered."""
        if self._voice is not None:
            self._voice.hear(frame)

    async def report(self, incarnation: int, since: int, known: str) -> AgentReport | None:
        """Return what is new since a piece of news of a life, or None while it is being born.

        Raises:
            Exception: It could not be born.
        """
        if self._failure is not None:
            raise self._failure
        life, voice = self._life, self._voice
        if life is None or voice is None:
            return None
        agent, memory = life.agent, life.memory
        checkpoint = memory.card.checkpoint if memory else ""
        return AgentReport(
            voice.news(incarnation, since), agent.progress() if agent else None,
            memory if checkpoint != known else None, checkpoint, voice.settled(),
            str(life.failure) if life.failure else "", life.note, ray.get_runtime_context().get_node_id(),
            self._device, os.getpid(),
        )  # fmt: skip

    async def remind(self) -> None:
        """Start conversations anew that died on the way."""
        if self._voice is not None:
            self._voice.remind()

    async def move(self, pose: Pose, era: int) -> None:
        """Turn the camera to another view."""
        await asyncio.get_running_loop().run_in_executor(None, self._born.wait)
        assert self._life is not None
        await asyncio.wrap_future(self._life.move(pose, era))

    async def speak(self, ticks: Sequence[int]) -> list[list[float]]:
        """Return the core codes of ticks by the published model, [K, core_dim]."""
        assert self._life is not None
        return await asyncio.wrap_future(self._life.errand(lambda agent: agent.speak(ticks).tolist()))

    async def stop(self) -> None:
        """Stop after the step it is in, save, and return when that is done."""
        if self._life is not None:
            self._life.stop()
            await asyncio.get_running_loop().run_in_executor(None, self._thread.join)


def _give_way() -> None:
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
