"""Agents that lie, among planted agents of one scene: six kinds of lie, through the messages of a run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import msgspec
import numpy as np
import torch
from torch import Tensor

from agents.protocol.edge import AnchorPools, EdgeResult, PeerInfo
from agents.protocol.envelope import session_id
from agents.protocol.evidence import ReplyHistory
from agents.protocol.identity import Identity
from agents.protocol.messages import AnchorReply, AnchorRequest, AnyMessage
from agents.protocol.negotiation import Negotiation
from agents.protocol.peer_protocol import PeerProtocol
from agents.protocol.settings import NegotiationConfig
from agents.protocol.transports.memory import MemoryTransport
from agents.protocol.verifier import KnownPeer, LocalPeer
from agents.tick_plan import TickPlan
from agents.training.settings import TrainingConfig
from alignment.anchors import AnchorSet
from alignment.linear_map import LinearMap
from alignment.status import Status
from env.scene import Scene, SceneConfig

LIES = ("noise", "shuffle", "rotation", "collusion", "replayed anchors", "another scene")
SPLIT = "two rotations"  # of the search alone: one for each half of the peers
CLAIMED = 0.97  # correlation that a liar claims for an edge into it
OTHER_SCENE = 10_000  # seeds of scenes that no honest agent sees
SCENE = SceneConfig(renderer="toy")
CONFIG = NegotiationConfig(anchors=128, heldout=256, pool_ticks=512)
FACTORS = 6  # of its three objects
NOISE = 0.2  # standard deviation beside that of a factor, 1: two agents correlate by 0.96


@dataclass(frozen=True)
class PlantedAgent:
    """What an agent without pixels sends.

    Attributes:
        name: Its name.
        pools: Its embeddings.
    """

    name: str
    pools: AnchorPools


def plant(seed: int, count: int) -> list[PlantedAgent]:
    """Return agents that see one scene, each its factors through a rotation of its own, with noise."""
    scene = Scene(SCENE, seed)
    plan = TickPlan.of(CONFIG, TrainingConfig(), SCENE.decorrelation_ticks)
    agents = []
    for index in range(count):
        rng = np.random.default_rng([seed, index])
        rotation, _ = np.linalg.qr(rng.standard_normal((FACTORS, FACTORS)))
        pools = []
        for ticks in (plan.fit, plan.heldout):
            rows = scene.factors(np.array(ticks)) @ rotation
            rows = (rows + NOISE * rng.standard_normal(rows.shape)) / np.hypot(1, NOISE)
            pools.append(AnchorSet(tuple(ticks), torch.from_numpy(rows).float(), FACTORS))
        agents.append(PlantedAgent(f"agent-{index}", AnchorPools(pools[0], pools[1])))
    return agents


@dataclass(frozen=True)
class Lie:
    """What a liar does.

    Attributes:
        pools: What it sends, by peer.
        fits: Whether it fits maps into what it sends to a peer, so that a map there and the map back agree.
    """

    pools: Mapping[str, AnchorPools]
    fits: bool


@dataclass
class Liar(Negotiation):
    """Negotiations of an agent that sends false embeddings and accepts every edge into it.

    Attributes:
        lie: What it sends.
    """

    lie: Lie = field(default_factory=lambda: Lie({}, False))

    def receive(self, message: AnyMessage) -> list[AnyMessage]:
        """Process one message, with false embeddings where it sends some or fits into them."""
        sends, honest = isinstance(message, AnchorRequest), self.pools
        if sends or (self.lie.fits and isinstance(message, AnchorReply)):
            self.pools = self.lie.pools[message.sender]
        try:
            return [self._forged(reply) for reply in super().receive(message)]
        finally:
            self.pools = honest

    def _forged(self, reply: AnyMessage) -> AnyMessage:
        """Return a verdict as an acceptance, with a map to match; any other reply as it is."""
        edge = self.edges.get(reply.source)
        if edge is None or getattr(reply, "status", None) is not Status.REFUSED or edge.score is None:
            return reply
        dims = edge.core_dims
        count = min(dims)
        axes = torch.from_numpy(self.rng.standard_normal((max(dims), count)))
        rotation = torch.linalg.qr(axes).Q
        weight = (rotation if dims[0] >= dims[1] else rotation.T).contiguous()
        forged = LinearMap(weight, weight.new_zeros(dims[1]))
        score = replace(
            edge.score, shared_dim=count, r2_shared=2 * CLAIMED - 1, correlations=(CLAIMED,) * count
        )
        self.edges[reply.source] = replace(
            edge, status=Status.ACCEPTED, reason="", score=score, shared_map=forged, regression_map=forged
        )
        return msgspec.structs.replace(
            reply, status=Status.ACCEPTED, reason="", shared_dim=count, r2_shared=score.r2_shared
        )


def negotiations(
    agents: Sequence[PlantedAgent], seed: int, lies: Mapping[str, Lie]
) -> dict[str, Negotiation]:
    """Return the negotiations of agents, by name; those of liars send false embeddings."""
    found = dict[str, Negotiation]()
    for index, agent in enumerate(agents):
        info = PeerInfo(agent.name, "5ce9e", "planted", f"{index:016x}", FACTORS, FACTORS, False)
        rng, memory = np.random.default_rng([seed, index]), CONFIG.memory_rows(SCENE.decorrelation_ticks)
        side = (info, agent.pools, CONFIG, rng, memory)
        lie = lies.get(agent.name)
        found[agent.name] = Negotiation(*side) if lie is None else Liar(*side, lie=lie)
    return found


def negotiate(sides: Mapping[str, Negotiation]) -> tuple[list[EdgeResult], set[str]]:
    """Let all pairs negotiate; return all edges, and the agents that two signed replies of theirs convict."""
    transport, session = MemoryTransport(), session_id("robustness")
    identities = {name: Identity.generate() for name in sides}
    known = {name: KnownPeer(identity.public_key, 1) for name, identity in identities.items()}
    protocols = {
        name: PeerProtocol(LocalPeer(name, identity, 1, session), transport)
        for name, identity in identities.items()
    }
    for name, protocol in protocols.items():
        transport.listen(name, protocol.receive)
    for name, protocol in protocols.items():
        protocol.update_peers({peer: key for peer, key in known.items() if peer != name})
        protocol.publish(sides[name])
    transport.run()
    edges = [edge for protocol in protocols.values() for edge in protocol.events(1, 0).edges]
    history = ReplyHistory()
    return edges, {edge.source for edge in edges if history.compare(edge)}


def tell(lie: str, agents: Sequence[PlantedAgent], liars: int, seed: int) -> dict[str, Lie]:
    """Return the lies of the last agents by their names: whom each shows which embeddings.

    Args:
        lie: One of LIES, or SPLIT.
        agents: All agents, what they would send without lying.
        liars: How many of them lie.
        seed: Seed of the lies.
    """
    rng = np.random.default_rng([seed, len(agents), liars])
    first, found = len(agents) - liars, dict[str, Lie]()
    group = plant(seed + OTHER_SCENE, liars)
    for number, agent in enumerate(agents[first:]):
        pools, turns = agent.pools, [torch.eye(FACTORS)] * len(agents)
        match lie:
            case "noise":
                pools = _changed(pools, lambda rows: torch.from_numpy(rng.standard_normal(rows.shape)))
            case "shuffle":
                pools = _changed(pools, lambda rows: rows[torch.from_numpy(rng.permutation(len(rows)))])
            case "rotation":
                turns = [_rotation(rng) for _ in agents]
            case "two rotations":
                turns = [torch.eye(FACTORS), _rotation(rng)] * len(agents)
            case "collusion":  # all liars see one scene, and understand each other
                pools = group[number].pools
            case "replayed anchors":
                pools = _replayed(agents[int(rng.integers(first))].pools, rng)
            case "another scene":
                pools = plant(seed + OTHER_SCENE * (number + 2), 1)[0].pools
        sent = {
            peer.name: _changed(pools, lambda rows, turn=turn: rows @ turn)  # type: ignore[misc]
            for peer, turn in zip(agents, turns, strict=False)
        }
        found[agent.name] = Lie(sent, fits=lie not in ("noise", "shuffle"))
    return found


def _rotation(rng: np.random.Generator) -> Tensor:
    return torch.from_numpy(np.linalg.qr(rng.standard_normal((FACTORS, FACTORS)))[0]).float()


def _changed(pools: AnchorPools, change: Callable[[Tensor], Tensor]) -> AnchorPools:
    anchors, heldout = (
        AnchorSet(pool.ids, change(pool.vectors).float(), pool.core_dim)
        for pool in (pools.anchors, pools.heldout)
    )
    return AnchorPools(anchors, heldout)


def _replayed(victim: AnchorPools, rng: np.random.Generator) -> AnchorPools:
    """Return pools with the rows that a victim sent once; other ticks have rows of some of these."""
    parts = []
    for pool, count in ((victim.anchors, CONFIG.anchors), (victim.heldout, CONFIG.heldout)):
        known = rng.permutation(len(pool.ids))[:count]
        rows = pool.vectors[known[rng.integers(count, size=len(pool.ids))]]
        rows[known] = pool.vectors[known]
        parts.append(AnchorSet(pool.ids, rows, pool.core_dim))
    return AnchorPools(parts[0], parts[1])
