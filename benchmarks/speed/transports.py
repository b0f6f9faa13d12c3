"""Transports: the same negotiation of eight agents over TCP on the loopback interface and in memory."""

import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from agents.models.settings import ModelConfig
from agents.protocol.channel import Deliver, Transport
from agents.protocol.edge import AnchorPools, PeerInfo
from agents.protocol.envelope import session_id
from agents.protocol.identity import Identity
from agents.protocol.messages import AnchorReply
from agents.protocol.negotiation import Negotiation
from agents.protocol.peer_protocol import PeerProtocol
from agents.protocol.settings import NegotiationConfig
from agents.protocol.transports.address import PeerAddress
from agents.protocol.transports.memory import MemoryTransport
from agents.protocol.transports.tcp import TcpOptions, TcpTransport
from agents.protocol.trust import TrustStore
from agents.protocol.verifier import KnownPeer, LocalPeer
from benchmarks.harness import Effort, Metric, alternate, at_most
from benchmarks.processes import Worker
from benchmarks.speed.wire import CORE, MEMORY_ROWS, pools

AGENTS = 8
PAIRS = AGENTS * (AGENTS - 1) // 2
MAX_RATIO = 2.0
PATIENCE = 120.0  # seconds for all connections, and for all edges
Begin = Mapping[str, Callable[[PeerProtocol], None]]  # what each agent does first, by name
Ends = Callable[[PeerProtocol], bool]  # whether an agent has everything
LOOPBACK = (PeerAddress("127.0.0.1", 0),)


class EightAgents:
    """Eight agents of one process with planted embeddings, which exchange messages on request."""

    def __init__(self, pool_ticks: int, anchors: int, heldout: int) -> None:
        """Plant the embeddings, and make the keys."""
        torch.set_num_threads(1)
        self.config = NegotiationConfig(pool_ticks=pool_ticks, anchors=anchors, heldout=heldout)
        self.pools = [pools(index, self.config) for index in range(AGENTS)]
        session = session_id("benchmark")
        self.locals = [LocalPeer(f"agent-{k}", Identity.generate(), 1, session) for k in range(AGENTS)]
        self.known = {each.name: KnownPeer(each.identity.public_key, 1) for each in self.locals}

    def __call__(self, transport: str, work: str) -> dict[str, float]:
        """Return the seconds of some work on connected agents.

        Args:
            transport: "memory" or "tcp".
            work: "negotiate" both edges of all pairs, or only "send" the anchors of each edge.
        """
        run = {"memory": self._in_memory, "tcp": self._over_tcp}[transport]
        begin, ends = {
            "negotiate": (self._models, PeerProtocol.settled), "send": (self._replies, _has_all_anchors),
        }[work]  # fmt: skip
        return {"seconds": run(begin(), ends)}

    def _in_memory(self, begin: Begin, ends: Ends) -> float:
        memory = MemoryTransport()
        protocols = self._protocols({each.name: memory for each in self.locals})
        for name, protocol in protocols.items():
            memory.listen(name, protocol.receive)
        began = time.perf_counter()
        for name, protocol in protocols.items():
            begin[name](protocol)
        memory.run()
        took = time.perf_counter() - began
        _check(protocols, ends)
        return took

    def _over_tcp(self, begin: Begin, ends: Ends) -> float:
        ended = threading.Event()
        protocols: dict[str, PeerProtocol] = {}
        left = {each.name for each in self.locals}

        def deliver(name: str, data: bytes) -> None:
            protocols[name].receive(data)
            if ends(protocols[name]):
                left.discard(name)
            if not left:
                ended.set()

        with self._connected(lambda name: partial(deliver, name)) as transports:
            protocols |= self._protocols(transports)
            began = time.perf_counter()
            for name, protocol in protocols.items():
                begin[name](protocol)
            ended.wait(PATIENCE)
            took = time.perf_counter() - began
        _check(protocols, ends)
        return took

    def _protocols(self, transports: Mapping[str, Transport]) -> dict[str, PeerProtocol]:
        protocols = {each.name: PeerProtocol(each, transports[each.name]) for each in self.locals}
        for name, protocol in protocols.items():
            protocol.update_peers({peer: known for peer, known in self.known.items() if peer != name})
        return protocols

    def _models(self) -> Begin:
        """Return the functions that publish the model of each agent."""
        return {each.name: self._publish(index) for index, each in enumerate(self.locals)}

    def _publish(self, index: int) -> Callable[[PeerProtocol], None]:
        name, dim = self.locals[index].name, ModelConfig().dim
        info = PeerInfo(name, "scene", "jepa", f"{index}" * 16, dim, CORE, False)
        rng = np.random.default_rng([2, index])
        negotiation = Negotiation(info, self.pools[index], self.config, rng, MEMORY_ROWS)
        return lambda protocol: protocol.publish(negotiation)

    def _replies(self) -> Begin:
        """Return functions that send the anchors of each agent to all others, which publish no model."""
        return {
            each.name: lambda protocol, own=self.pools[index]: protocol.send(  # type: ignore[misc]
                self._reply(protocol.name, peer, own) for peer in sorted(protocol.peers)
            )
            for index, each in enumerate(self.locals)
        }

    def _reply(self, source: str, target: str, own: AnchorPools) -> AnchorReply:
        vectors = own.anchors.vectors.numpy()
        rows = np.resize(vectors, (self.config.anchors + self.config.heldout, vectors.shape[1]))
        return AnchorReply(
            source=source, target=target, round=0, digest=bytes(8), rows=len(rows), dim=rows.shape[1],
            precision="float32", noise=0, data=rows.astype("<f4").tobytes(), metric=b"",
        )  # fmt: skip

    @contextmanager
    def _connected(self, deliver: Callable[[str], Deliver]) -> Iterator[dict[str, TcpTransport]]:
        """Open the transports of all agents; each dials those before it."""
        transports: dict[str, TcpTransport] = {}
        with tempfile.TemporaryDirectory(prefix="social-jepa-bench-") as folder, ExitStack() as stack:
            for each in self.locals:
                options = TcpOptions(LOOPBACK, tuple(other.addresses[0] for other in transports.values()))
                trust = TrustStore(Path(folder) / f"{each.name}.toml", first_use=True)
                transports[each.name] = transport = TcpTransport(each, trust, options)
                transport.start(deliver(each.name))
                stack.callback(transport.close)
            deadline = time.monotonic() + PATIENCE
            while any(len(each.connected()) < AGENTS - 1 for each in transports.values()):
                if time.monotonic() > deadline:
                    raise TimeoutError("the agents are not connected")
                time.sleep(0.01)
            yield transports


def _has_all_anchors(protocol: PeerProtocol) -> bool:
    """Return whether the anchors of every edge to an agent have arrived."""
    return len(protocol.channel.received) == AGENTS - 1


def _check(protocols: Mapping[str, PeerProtocol], ends: Ends) -> None:
    """Raise AssertionError unless every agent finished the work, without a refusal or an unfitted edge."""
    for protocol in protocols.values():
        assert ends(protocol), f"{protocol.name} has not finished"
        assert not protocol.refusals(), protocol.refusals()
        if protocol.negotiation is not None:
            assert all(edge.score for edge in protocol.negotiation.edges.values())


def metrics(effort: Effort) -> list[Metric]:
    """Measure both transports in turns."""
    config = NegotiationConfig()
    names = ("pool_ticks", "anchors", "heldout")
    sizes: dict[str, Any] = {name: max(16, effort.of(getattr(config, name))) for name in names}
    with Worker("benchmarks.speed.transports:EightAgents", {"OMP_NUM_THREADS": "1"}, **sizes) as agents:
        found = alternate(
            {
                f"{work} {transport}": partial(agents, transport=transport, work=work)
                for work in ("negotiate", "send") for transport in ("memory", "tcp")
            },
            effort.rounds,
        )  # fmt: skip
    rows = sizes["anchors"] + sizes["heldout"]
    return [
        Metric(
            name, found[f"{work} tcp"]["seconds"], "s", "the same in memory",
            found[f"{work} memory"]["seconds"], threshold,
        )
        for work, name, threshold in (
            (
                "negotiate", f"both edges of {PAIRS} pairs negotiated over TCP, loopback",
                at_most(MAX_RATIO, of_ratio=True),
            ),
            ("send", f"of these, {2 * PAIRS} x {rows} anchors sent, received and checked", None),
        )
    ]  # fmt: skip
