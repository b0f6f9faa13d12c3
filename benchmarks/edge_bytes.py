"""R2 of an edge against its bytes, by number of anchors, dimensions and precision.

``python -m benchmarks.edge_bytes`` trains two agents in the toy world and lets them negotiate, through the
same messages as in a run, under every combination of settings. R2 is that of the shared directions, measured
on all held-out ticks of the pool, also on those that no message carried.
"""

import argparse
import itertools
from collections.abc import Sequence

import numpy as np
import torch

from agents.protocol.channel import Channel
from agents.protocol.edge import AnchorPools, PeerInfo
from agents.protocol.envelope import session_id
from agents.protocol.identity import Identity
from agents.protocol.negotiation import Negotiation
from agents.protocol.settings import NegotiationConfig, Precision, embedding_bytes
from agents.protocol.transports.memory import MemoryTransport
from agents.protocol.verifier import KnownPeer, LocalPeer
from alignment.score import image_r2
from alignment.status import Status
from env.scene import SceneConfig
from social_jepa.experiments.common.trained_agents import (
    AgentSetup,
    TrainedAgent,
    ring_poses,
    train_agent,
    trained_agent,
    untrained_agent,
)

INDICES = (0, 2)  # of a ring of four: 180 degrees apart
COLUMNS = ("anchors", "heldout", "dims", "precision", "bytes", "embeddings", "R2")
COMBINATIONS: Sequence[tuple[int, int, Precision]] = (
    (256, 512, "float32"), (64, 512, "float32"), (64, 128, "float16"), (64, 128, "int8"), (32, 64, "int8"),
    (30, 32, "int8"), (16, 48, "int8"), (8, 48, "int8"),
)  # fmt: skip


def train_pair(setup: AgentSetup, seed: int) -> list[TrainedAgent]:
    """Return two trained agents that see the scene from opposite sides."""
    poses, agents = ring_poses(setup, 4), []
    for index in INDICES:
        with untrained_agent(setup, seed, index, poses) as agent:
            agents.append(trained_agent(agent, train_agent(agent, lambda _: None)))
    return agents


def negotiate(
    agents: Sequence[TrainedAgent], config: NegotiationConfig, memory_rows: int
) -> list[tuple[int, int, float]]:
    """Return (bytes, bytes of embeddings, R2 on the pool) of both edges between two agents; R2 0: refused."""
    transport, sides = MemoryTransport(), {}
    identities = {agent.name: Identity.generate() for agent in agents}
    peers = {name: KnownPeer(identity.public_key, 1) for name, identity in identities.items()}
    for number, agent in enumerate(agents):
        info = PeerInfo(agent.name, "0" * 16, "jepa", "0" * 16, agent.model.dim, agent.core_dim, False)
        side = Negotiation(
            info,
            AnchorPools(agent.anchors, agent.heldout),
            config,
            np.random.default_rng(number),
            memory_rows,
        )
        local = LocalPeer(agent.name, identities[agent.name], 1, session_id("benchmark"))
        channel = Channel(transport, local)
        channel.set_peers({name: peer for name, peer in peers.items() if name != agent.name})
        sides[agent.name] = (agent, channel, side)
        transport.listen(agent.name, lambda data, m=channel, s=side: m.send(s.receive(m.receive(data))))  # type: ignore[misc]
    for name, (_, channel, side) in sides.items():
        channel.send(side.make_offers([peer for peer in sides if peer != name]))
    transport.run()
    results = []
    for source, target in itertools.permutations(sides):
        edge, (a, b) = sides[target][2].edges[source], (sides[source][0], sides[target][0])
        sent = sum(channel.sent[source, target] for _, channel, _ in sides.values())
        rows, dims = config.anchors + config.heldout, config.sent_dims(a.model.dim)
        r2 = 0.0
        if edge.status is Status.ACCEPTED and edge.shared_map is not None:
            r2 = image_r2(edge.shared_map, a.heldout.core(), b.heldout.core())
        results.append((sent, embedding_bytes(rows, dims, config.precision), r2))
    return results


def table(pairs: Sequence[Sequence[TrainedAgent]], memory_rows: int) -> list[str]:
    """Return one line for each combination: means over both edges of every pair of agents."""
    lines = ["  ".join(f"{name:>10}" for name in COLUMNS)]
    for (anchors, heldout, precision), dims in itertools.product(COMBINATIONS, (0, None)):
        results = []
        for pair in pairs:  # all dimensions, then the core alone
            sent = dims if dims is not None else max(agent.core_dim for agent in pair)
            config = NegotiationConfig(anchors=anchors, heldout=heldout, precision=precision, dims=sent)
            results += negotiate(pair, config, memory_rows)
        size, embeddings, r2 = np.mean(results, axis=0)
        named = "all" if dims == 0 else "core"
        values = (anchors, heldout, named, precision, f"{size:,.0f}", f"{embeddings:,.0f}", f"{r2:.3f}")
        lines.append("  ".join(f"{value:>10}" for value in values))
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    """Train the pairs and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.edge_bytes", description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[100], help="seeds of the scenes")
    seeds = parser.parse_args(arguments).seeds
    torch.set_num_threads(1)
    setup = AgentSetup(scene=SceneConfig(renderer="toy", frame_size=48))
    memory_rows = setup.negotiation.memory_rows(setup.scene.decorrelation_ticks)
    print("\n".join(table([train_pair(setup, seed) for seed in seeds], memory_rows)))


if __name__ == "__main__":
    main()
