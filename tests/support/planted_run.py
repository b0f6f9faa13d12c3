"""A run folder of many agents whose records are planted: graphs larger than a test can train."""

import contextlib

import numpy as np
import torch
from safetensors.torch import save

from agents.protocol.topology import Topology
from alignment.fit import LinearMap
from alignment.natural_order import natural_key
from alignment.status import Status
from social_jepa.config.run_config import load_config
from social_jepa.graph.graph_json import map_tensors
from social_jepa.records import BodyRecord, PoseRecord, replace
from social_jepa.storage.ledger import Ledger
from social_jepa.storage.run_folder import create
from tests.support.command import TINY
from tests.support.ledger_rows import AGENT, EDGE, member

SHARES = {Status.ACCEPTED: 0.94, Status.REFUSED: 0.04, Status.FAILED: 0.02}  # of the edges


def planted_run(path, count, seed=0, settings=()):
    """Return the folder of a run that is down, of agents on a ring with every edge of the topology."""
    config = load_config(overrides=[*TINY, f"agents.count={count}", *settings])
    folder, rng = create(config, path), np.random.default_rng(seed)
    poses = {f"agent-{index}": pose for index, pose in enumerate(config.poses())}
    maps = save(map_tensors({part: LinearMap(torch.eye(2), torch.zeros(2)) for part in ("shared", "full")}))
    pairs = Topology.parse(config.negotiation.topology).pairs(list(poses))
    edges = [planted_edge(*pair, rng) for pair in sorted(pairs, key=lambda pair: [*map(natural_key, pair)])]
    agents = [
        replace(AGENT, name=name, pose=PoseRecord(**vars(pose)), checkpoint=f"{index:016x}")
        for index, (name, pose) in enumerate(poses.items())
    ]
    with contextlib.closing(Ledger(folder.ledger_file, create=True)) as ledger:
        ledger.event("started", config=config.hash())
        ledger.join(
            [member(name, index, str(pose)) for index, (name, pose) in enumerate(poses.items())],
            [BodyRecord(0, name, str(pose)) for name, pose in poses.items()],
        )
        ledger.record(agents, edges, (), {(edge.source, edge.target): maps for edge in edges})
    return folder


def planted_edge(source, target, rng):
    """Return an edge with a random verdict, and a random R2 if it is accepted."""
    status = Status(rng.choice(list(SHARES), p=list(SHARES.values())))
    ends = {name: f"{int(name.split('-')[1]):016x}" for name in (source, target)}
    r2 = float(rng.uniform(0.2, 0.99)) if status is Status.ACCEPTED else None
    return replace(
        EDGE, source=source, target=target, status=status, r2_shared=r2, r2=r2,
        reason="" if status is Status.ACCEPTED else "planted", source_checkpoint=ends[source],
        target_checkpoint=ends[target],
    )  # fmt: skip
