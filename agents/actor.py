"""The Ray shell around one agent: it carries bytes and calls, the agent thinks."""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import ray

from agents.agent import Agent, AgentSpec, Memory, Progress
from agents.edge import SettledEdge
from agents.transport import Mailbox, Posted, RayTransport
from agents.wire import MessageError


@dataclass(frozen=True)
class Settled:
    """What an agent knows when nobody has anything more to say.

    Attributes:
        edges: Maps into its space, by source.
        sent: Bytes it put on the wire, by edge.
        log: Every message it sent, in order.
        refused: What it refused to read, one sentence each.
    """

    edges: Mapping[str, SettledEdge]
    sent: Counter[tuple[str, str]]
    log: list[Posted]
    refused: list[str]


@ray.remote
class AgentActor:
    """One agent in a process of its own.

    Rendering and training block, and OpenGL belongs to one thread, so both live on a single worker thread;
    the event loop stays free for questions and for peers.
    """

    def __init__(self, spec: AgentSpec, resume: bool = False) -> None:
        """Remember who to be; the agent itself is built by `start`, on the thread where it will live."""
        self._spec = replace(spec, device=_device(spec.device))
        self._resume = resume
        self._agent: Agent | None = None
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._stop = threading.Event()
        self._mailbox: Mailbox | None = None
        self._refused: list[str] = []
        self._failure: Exception | None = None
        self._peers: frozenset[str] = frozenset()

    async def start(self) -> tuple[str, str]:
        """Build the agent and return (node, device)."""
        await self._work(self._build)
        return ray.get_runtime_context().get_node_id(), self._spec.device

    async def train(self) -> bool:
        """Train to the end or until stopped; return whether it is finished."""
        return await self._work(lambda agent: agent.train(self._stop.is_set))

    async def settle(self) -> Memory:
        """Find the core and embed the ticks that may be compared."""
        return await self._work(lambda agent: agent.settle())

    async def progress(self) -> Progress | None:
        """Return how it is doing, or None while it is being built."""
        return self._agent.progress() if self._agent else None

    async def stop(self) -> None:
        """Ask training to stop after the step it is in; what was trained is saved."""
        self._stop.set()

    async def meet(self, peers: Mapping[str, Any]) -> None:
        """Learn how to reach the others."""
        self._mailbox = Mailbox(RayTransport(peers))
        self._peers = frozenset(peers)

    async def negotiate(self, peers: list[str]) -> None:
        """Offer this agent's space to its peers."""
        mailbox, negotiation = self._voice()
        mailbox.post(negotiation.open(peers))

    async def deliver(self, frame: bytes) -> None:
        """Take one frame and send the replies; what cannot be read is refused and remembered."""
        mailbox, negotiation = self._voice()
        try:
            message = mailbox.open(frame)
            if message.speaker not in self._peers:
                raise MessageError(f"{message.speaker} is nobody that {self._spec.name} has met")
            mailbox.post(negotiation.receive(message))
        except MessageError as error:
            self._refused.append(str(error))
        except Exception as error:  # nobody waits for this call's answer: keep it for who asks next
            self._failure = error

    async def settled(self, peers: int) -> Settled | None:
        """Return what came of it once all edges into and out of this agent are settled, else None.

        Raises:
            Exception: What went wrong on this side while peers talked.
        """
        if self._failure:
            raise self._failure
        mailbox, negotiation = self._voice()
        if len(negotiation.edges) < peers or len(negotiation.verdicts) < peers:
            return None
        return Settled(negotiation.edges, mailbox.sent, mailbox.log, self._refused)

    def _voice(self) -> tuple[Mailbox, Any]:
        if self._mailbox is None or self._agent is None or self._agent.negotiation is None:
            raise RuntimeError(f"{self._spec.name} has not settled yet: call settle and meet first")
        return self._mailbox, self._agent.negotiation

    def _build(self, _: None) -> None:
        import torch

        torch.set_num_threads(self._spec.threads)
        self._agent = Agent(self._spec)
        if self._resume and self._agent.path.exists():
            self._agent.load()

    async def _work(self, job: Callable[[Any], Any]) -> Any:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, lambda: job(self._agent))


def _device(wanted: str) -> str:
    """Return the torch device that Ray gave this actor, unless one was asked for by name."""
    if wanted != "auto":
        return wanted
    # an actor without GPUs may still see every GPU, so only Ray's own list counts; Ray has already
    # narrowed CUDA_VISIBLE_DEVICES to it, so the first visible one is ours
    return "cuda:0" if ray.get_gpu_ids() else "cpu"
