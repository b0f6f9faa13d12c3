"""Negotiations between planted embedding spaces, and agents small enough to train in a second."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from agents.models.settings import ModelConfig
from agents.protocol.channel import Channel, UnreachablePeerError
from agents.protocol.edge import AnchorPools, EdgeResult, PeerInfo
from agents.protocol.envelope import parse
from agents.protocol.messages import AnyMessage, Offer, decode
from agents.protocol.negotiation import Negotiation
from agents.protocol.peer_protocol import PeerProtocol
from agents.protocol.settings import NegotiationConfig
from agents.protocol.transports.memory import MemoryTransport
from agents.spec import AgentSpec
from agents.training.settings import TrainingConfig
from alignment.anchors import AnchorSet
from env.camera import RingConfig, ring_pose
from env.scene import BodyEvent, SceneConfig
from tests.support.keys import known_peers, local_peer

CONFIG = NegotiationConfig(anchors=16, heldout=32, pool_ticks=48)
HELDOUT, FIT = range(0, 48), range(1000, 1048)  # ticks of the two stretches
CORE, DIM = 3, 5


def planted_embeddings(
    index: int, ticks: Iterable[int], core: int = CORE, noise: float = 0.05
) -> torch.Tensor:
    """Return embeddings of a planted agent, [K, DIM]: the shared factors rotated its own way, then noise."""
    rng = np.random.default_rng([7, index])
    rotation = np.linalg.qr(rng.normal(size=(CORE, CORE)))[0]
    factors = np.stack([np.random.default_rng([3, tick]).normal(size=CORE) for tick in ticks]) @ rotation
    embeddings = rng.normal(size=(2000, DIM))[list(ticks)]
    embeddings[:, :core] = factors[:, :core] + noise * embeddings[:, :core]
    return torch.from_numpy(embeddings.astype(np.float32))


def planted_negotiation(
    index: int, config: NegotiationConfig = CONFIG, core: int = CORE, **changes: object
) -> Negotiation:
    """Return the negotiations of a planted agent; `changes` replace fields of its PeerInfo."""
    pools = AnchorPools(
        *(AnchorSet(tuple(ticks), planted_embeddings(index, ticks, core), core) for ticks in (FIT, HELDOUT))
    )
    info = PeerInfo(f"agent-{index}", "5ce9e", "planted", f"c0de{index}", DIM, core, False)
    return Negotiation(
        replace(info, **changes), pools, config, np.random.default_rng([0, index]), memory_rows=1
    )


def planted_negotiations(count: int = 3) -> dict[str, Negotiation]:
    """Return the negotiations of several planted agents, by name."""
    return {f"agent-{index}": planted_negotiation(index) for index in range(count)}


def connect_channels(agents: dict[str, Negotiation], transport: MemoryTransport) -> dict[str, Channel]:
    """Return one channel per agent, which answers what arrives on the transport."""
    channels = {name: Channel(transport, local_peer(name)) for name in agents}
    for name, channel in channels.items():
        channel.set_peers(known_peers({peer: 1 for peer in agents if peer != name}))

    def receiver(name: str) -> Callable[[bytes], None]:
        return lambda data: channels[name].send(agents[name].receive(channels[name].receive(data)))

    for name in agents:
        transport.listen(name, receiver(name))
    return channels


def negotiate_all(
    agents: dict[str, Negotiation], transport: MemoryTransport | None = None
) -> dict[str, Channel]:
    """Negotiate every ordered pair to its end and return the channels."""
    transport = transport or MemoryTransport()
    channels = connect_channels(agents, transport)
    for name, channel in channels.items():
        channel.send(agents[name].make_offers([peer for peer in agents if peer != name]))
    transport.run()
    return channels


class LossyTransport(MemoryTransport):
    """Transport in one process that drops some messages and keeps a list of all that were sent."""

    def __init__(self, drops: Callable[[AnyMessage], bool] = lambda _: False) -> None:
        """Drop every message for which `drops` is true."""
        super().__init__()
        self.drops = drops
        self.messages: list[AnyMessage] = []

    def send(self, receiver: str, data: bytes) -> None:
        """Queue an envelope or drop it; the sender cannot tell which."""
        if receiver not in self._listeners:
            raise UnreachablePeerError(receiver)
        message = decode(parse(data).body)
        self.messages.append(message)
        if not self.drops(message):
            super().send(receiver, data)


def connect_protocols(
    names: Iterable[str], drops: Callable[[AnyMessage], bool] = lambda _: False
) -> tuple[dict[str, PeerProtocol], LossyTransport]:
    """Return protocols in incarnation 1 that are peers of each other and have published nothing."""
    transport, protocols = LossyTransport(drops), {}
    for name in names:
        protocols[name] = PeerProtocol(local_peer(name), transport)
        transport.listen(name, protocols[name].receive)
    for name, protocol in protocols.items():
        protocol.update_peers(known_peers({peer: 1 for peer in protocols if peer != name}))
    return protocols, transport


def publish_all(protocols: dict[str, PeerProtocol], agents: dict[str, Negotiation]) -> None:
    """Publish each agent's model."""
    for name, protocol in protocols.items():
        protocol.publish(agents[name])


def negotiation_messages(agents: dict[str, Negotiation]) -> list[AnyMessage]:
    """Negotiate every ordered pair and return all messages, in order."""
    messages: list[AnyMessage] = []
    negotiate_all(agents, MemoryTransport(tap=lambda _, data: messages.append(decode(parse(data).body))))
    return messages


def example_offer(**changes: object) -> Offer:
    """Return the offer that planted agent-0 makes to agent-1, with fields changed."""
    fields = {
        "source": "agent-0", "target": "agent-1", "round": 0, "scene": "5ce9e", "kind": "planted",
        "checkpoint": "c0de0", "dim": DIM, "core_dim": CORE, "collapsed": False,
        "pool_ticks": len(FIT), "pool_stride": 1, "nonce": 1,
    }  # fmt: skip
    return Offer(**{**fields, **changes})


def comparable(edge: EdgeResult) -> tuple[object, ...]:
    """Return the fields of an edge, but its signed reply, in a form that == compares bit for bit."""
    tensors = [
        tensor
        for found in (edge.map, edge.shared_map, edge.regression_map)
        if found
        for tensor in (found.weight, found.bias)
    ]
    scalars = replace(
        edge, map=None, shared_map=None, regression_map=None, budget=(), reply=b"", source_key=b""
    )
    return scalars, tuple(tensor.numpy().tobytes() for tensor in tensors), [dict(row) for row in edge.budget]


def tiny_spec(index: int, folder: Path, agents: int = 2, **training: object) -> AgentSpec:
    """Return the spec of an agent that sees one object in the toy scene and trains in a second."""
    names = [(f"agent-{k}", ring_pose(k, RingConfig())) for k in range(agents)]
    options = {"steps": 40, "segments": 24, "replay_ticks": 1024, "core_eval_ticks": 512, **training}
    return AgentSpec(
        name=f"agent-{index}", index=index, seed=0, kind="jepa", pose=ring_pose(index, RingConfig()),
        scene=SceneConfig(renderer="toy", objects=1, frame_size=32),
        events=tuple(BodyEvent(0, name, pose) for name, pose in names),
        model=ModelConfig(dim=6, width=8, hidden=32, precision="fp32"), training=TrainingConfig(**options),
        negotiation=NegotiationConfig(anchors=32, heldout=64, pool_ticks=96),
        folder=str(folder / f"agent-{index}"),
    )  # fmt: skip
