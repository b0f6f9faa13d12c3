"""R2 of an edge against its bytes, by number of anchors, dimensions and precision.

``python -m benchmarks.edge_bytes`` trains two agents in the toy world and lets them negotiate, through the
same messages as in a run, under every combination of settings. R2 is that of the shared directions, measured
on all held-out ticks of the pool, also on those that no message carried.
"""

import argparse
import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from agents.protocol.edge import AnchorPools, PeerInfo
from agents.protocol.negotiation import Negotiation
from agents.protocol.settings import NegotiationConfig, Precision, embedding_bytes
from alignment.score import image_r2
from alignment.status import Status
from benchmarks.in_memory import negotiate_in_memory
from env.scene import SceneConfig
from social_jepa.experiments.common.trained_agents import AgentSetup, TrainedAgent, ring_poses, train_agents

INDICES = (0, 2)  # of a ring of four: 180 degrees apart
SEARCHED = (100, 101, 102)  # seeds that anchors, dimensions and precision were searched on
SMALL = 1024  # bytes
SMALL_SPLITS = ((8, 28), (12, 22), (16, 17), (20, 12), (24, 8))  # as many held out as fit in a core of 6
COMBINATIONS: Sequence[tuple[int, int, str, Precision]] = (
    (1024, 1024, "all", "float32"),  # every pair that there is
    (256, 512, "all", "float32"),
    (256, 512, "core", "float32"),
    (64, 512, "core", "float32"),
    (64, 128, "core", "float16"),
    (64, 128, "core", "int8"),
    (32, 64, "core", "int8"),
    (30, 32, "core", "int8"),
    (16, 48, "core", "int8"),
    (8, 48, "core", "int8"),
    *((anchors, heldout, "core", "int8") for anchors, heldout in SMALL_SPLITS),
)
COLUMNS = ("anchors", "heldout", "dims", "precision", "bytes", "embeddings", "shared", "R2")


def negotiate(
    agents: Sequence[TrainedAgent], config: NegotiationConfig, memory_rows: int
) -> list[dict[str, Any]]:
    """Return bytes, bytes of embeddings, shared directions and R2 on the pool of both edges of two agents.

    The R2 of a refused edge is 0.
    """
    by_name = {agent.name: agent for agent in agents}
    sides = {}
    for number, agent in enumerate(agents):
        info = PeerInfo(agent.name, "0" * 16, "jepa", "0" * 16, agent.model.dim, agent.core_dim, False)
        pools, rng = AnchorPools(agent.anchors, agent.heldout), np.random.default_rng(number)
        sides[agent.name] = Negotiation(info, pools, config, rng, memory_rows)
    channels = negotiate_in_memory(sides)
    results = []
    for source, target in itertools.permutations(sides):
        edge, (a, b) = sides[target].edges[source], (by_name[source], by_name[target])
        dims, r2 = config.sent_dims(a.model.dim), 0.0
        if edge.status is Status.ACCEPTED and edge.shared_map is not None:
            r2 = image_r2(edge.shared_map, a.heldout.core(), b.heldout.core())
        results.append({
            "source": source,
            "target": target,
            "core_dims": [a.core_dim, b.core_dim],
            "bytes": sum(channel.sent[source, target] for channel in channels.values()),
            "embeddings": embedding_bytes(config.anchors + config.heldout, dims, config.precision),
            "shared": edge.score.shared_dim if edge.score else 0,
            "r2": r2,
        })  # fmt: skip
    return results


def measure(pairs: Mapping[int, Sequence[TrainedAgent]], memory_rows: int) -> list[dict[str, Any]]:
    """Return the edges of every pair of agents, by the seed of their scene, under each combination."""
    rows = []
    for anchors, heldout, named, precision in COMBINATIONS:
        edges = []
        for seed, pair in pairs.items():
            dims = max(agent.core_dim for agent in pair) if named == "core" else 0
            config = NegotiationConfig(anchors=anchors, heldout=heldout, precision=precision, dims=dims)
            edges += [{"seed": seed} | edge for edge in negotiate(pair, config, memory_rows)]
        rows.append({
            "anchors": anchors, "heldout": heldout, "dims": named, "precision": precision, "edges": edges,
        })  # fmt: skip
    return rows


def table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return one line for each combination: means over both edges of every pair of agents."""
    lines = ["  ".join(f"{name:>10}" for name in COLUMNS)]
    for row in rows:
        size, embeddings, shared, r2 = (
            float(np.mean([edge[name] for edge in row["edges"]]))
            for name in ("bytes", "embeddings", "shared", "r2")
        )
        values = (
            row["anchors"], row["heldout"], row["dims"], row["precision"], f"{size:,.0f}",
            f"{embeddings:,.0f}", f"{shared:.2g}", f"{r2:.3f}",
        )  # fmt: skip
        lines.append("  ".join(f"{value:>10}" for value in values))
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    """Train the pairs and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.edge_bytes", description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[100], help="seeds of the scenes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every edge as one JSON document too")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    setup = AgentSetup(scene=SceneConfig(renderer="toy", frame_size=48))
    poses = ring_poses(setup, 4)
    pairs = {
        seed: train_agents(setup, seed, poses, lambda _: None, indices=INDICES) for seed in options.seeds
    }
    rows = measure(pairs, setup.negotiation.memory_rows(setup.scene.decorrelation_ticks))
    print("\n".join(table(rows)))
    if options.json:
        document = {
            "seeds": options.seeds, "searched_seeds": SEARCHED, "small_bytes": SMALL, "rows": rows,
        }  # fmt: skip
        options.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
