"""Agents with planted spaces, and agents small enough to train in a second: what tests of agents/ share."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from agents.models.settings import ModelConfig
from agents.protocol.channel import Channel, MemoryTransport
from agents.protocol.edge import AnchorPools, EdgeResult, PeerInfo
from agents.protocol.messages import AnyMessage, Offer, decode
from agents.protocol.negotiation import Negotiation
from agents.protocol.peer_protocol import PeerProtocol
from agents.protocol.settings import NegotiationConfig
from agents.protocol.wire import unpack
from agents.spec import AgentSpec
from agents.training.settings import TrainingConfig
from alignment.anchors import AnchorSet
from env.camera import RingConfig, ring_pose
from env.scene import BodyEvent, SceneConfig

CONFIG = NegotiationConfig(anchors=16, heldout=32, pool_ticks=48)
HELD, FIT = range(0, 48), range(1000, 1048)  # ticks of the two stretches
CORE, DIM = 3, 5


def vectors(index: int, ticks: Iterable[int], core: int = CORE, noise: float = 0.05) -> torch.Tensor:
    """What a planted agent makes of ticks, [K, DIM]: the shared core turned its own way, then fancies."""
    own = np.random.default_rng([7, index])
    turn = np.linalg.qr(own.normal(size=(CORE, CORE)))[0]
    truth = np.stack([np.random.default_rng([3, tick]).normal(size=CORE) for tick in ticks]) @ turn
    rest = own.normal(size=(2000, DIM))[list(ticks)]
    rest[:, :core] = truth[:, :core] + noise * rest[:, :core]
    return torch.from_numpy(rest.astype(np.float32))


def agent(index: int, config: NegotiationConfig = CONFIG, core: int = CORE, **card: object) -> Negotiation:
    """A planted agent's side of its negotiations."""
    pools = AnchorPools(
        *(AnchorSet(tuple(ticks), vectors(index, ticks, core), core) for ticks in (FIT, HELD))
    )
    who = PeerInfo(f"agent-{index}", "5ce9e", "planted", f"c0de{index}", DIM, core, False)
    return Negotiation(replace(who, **card), pools, config, np.random.default_rng([0, index]))


def swarm(count: int = 3) -> dict[str, Negotiation]:
    return {f"agent-{index}": agent(index) for index in range(count)}


def connect(agents: dict[str, Negotiation], transport: MemoryTransport) -> dict[str, Channel]:
    """Give every agent a mailbox on one transport."""
    boxes = {name: Channel(transport) for name in agents}

    def reader(name: str) -> Callable[[bytes], None]:
        return lambda frame: boxes[name].send(agents[name].receive(boxes[name].receive(frame)))

    for name in agents:
        transport.listen(name, reader(name))
    return boxes


def negotiate(agents: dict[str, Negotiation], transport: MemoryTransport | None = None) -> dict[str, Channel]:
    """Let all agents talk with all until nobody has more to say."""
    transport = transport or MemoryTransport()
    boxes = connect(agents, transport)
    for name, box in boxes.items():
        box.send(agents[name].make_offers([peer for peer in agents if peer != name]))
    transport.run()
    return boxes


class Lossy(MemoryTransport):
    """Frames between agents of one process, some of which never arrive; what was said can be read again."""

    def __init__(self, lost: Callable[[AnyMessage], bool] = lambda _: False) -> None:
        """Lose every message that this is true of."""
        super().__init__()
        self.lost = lost
        self.said: list[AnyMessage] = []

    def send(self, receiver: str, frame: bytes) -> None:
        """Queue a frame, or lose it; both look the same to who sends."""
        if receiver not in self._listeners:
            raise LookupError(f"nobody called {receiver} can be reached")
        message = decode(unpack(frame).body)
        self.said.append(message)
        if not self.lost(message):
            super().send(receiver, frame)


def gather(
    names: Iterable[str], lost: Callable[[AnyMessage], bool] = lambda _: False
) -> tuple[dict[str, PeerProtocol], Lossy]:
    """Voices in their first life that know each other, with nothing to show yet."""
    transport, protocols = Lossy(lost), {}
    for name in names:
        protocols[name] = PeerProtocol(name, transport, incarnation=1)
        transport.listen(name, protocols[name].receive)
    for name, protocol in protocols.items():
        protocol.update_peers({peer: 1 for peer in protocols if peer != name})
    return protocols, transport


def publish(protocols: dict[str, PeerProtocol], agents: dict[str, Negotiation]) -> None:
    """Have every voice show its agent's model."""
    for name, protocol in protocols.items():
        protocol.publish(agents[name])


def overheard(agents: dict[str, Negotiation]) -> list[AnyMessage]:
    """Let all agents talk with all and return every message, in order."""
    heard: list[AnyMessage] = []
    negotiate(agents, MemoryTransport(tap=lambda _, frame: heard.append(decode(unpack(frame).body))))
    return heard


def offer(**fields: object) -> Offer:
    """An offer of agent-0 to agent-1 as agent-0 would make it, with fields changed."""
    known = {"source": "agent-0", "target": "agent-1", "round": 0, "scene": "5ce9e", "kind": "planted",
             "checkpoint": "c0de0", "dim": DIM, "core_dim": CORE, "collapsed": False, "nonce": 1}  # fmt: skip
    return Offer(**{**known, **fields})


def figures(edge: EdgeResult) -> tuple[object, ...]:
    """Everything that an edge holds, in a form that == compares bit for bit."""
    maps = [part for found in (edge.map, edge.core_map) if found for part in (found.weight, found.bias)]
    plain = replace(edge, map=None, core_map=None, budget=())
    return plain, tuple(part.numpy().tobytes() for part in maps), [dict(row) for row in edge.budget]


def tiny_spec(index: int, folder: Path, agents: int = 2, **training: object) -> AgentSpec:
    """What makes an agent that sees one object in the toy scene and trains in a second."""
    names = [(f"agent-{k}", ring_pose(k, RingConfig())) for k in range(agents)]
    options = {"steps": 40, "segments": 24, "replay_ticks": 1024, "core_eval_ticks": 512, **training}
    return AgentSpec(
        name=f"agent-{index}", index=index, seed=0, kind="jepa", pose=ring_pose(index, RingConfig()),
        scene=SceneConfig(renderer="toy", objects=1, frame_size=32),
        events=tuple(BodyEvent(0, name, pose) for name, pose in names),
        model=ModelConfig(dim=6, width=8, hidden=32, precision="fp32"), training=TrainingConfig(**options),
        negotiation=NegotiationConfig(anchors=32, heldout=64, pool_ticks=96, pool_stride=2),
        folder=str(folder / f"agent-{index}"),
    )  # fmt: skip
