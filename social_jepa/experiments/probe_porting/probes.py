"""The probe that probe-porting ports between agents, its targets, and the scores of ported probes."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from alignment.anchors import AnchorSet, choose_ticks
from social_jepa.experiments.common.pairs import fit_edge, fit_shuffled
from social_jepa.experiments.common.probes import Probe, linear_probe
from social_jepa.experiments.common.trained_agents import TrainedAgent
from social_jepa.experiments.framework.score import Score

REFERENCES = ("own", "no map", "random map", "chance")  # scores that do not depend on the number of anchors
RANDOM_MAP_SEED = 41  # offset of the seed of random maps


def fit_probe(agent: TrainedAgent) -> Probe:
    """Return the probe of an agent's core, fitted on all ticks that maps are fitted on."""
    return linear_probe(agent.anchors.core().double().numpy(), unit_positions(agent, agent.anchors))


def unit_positions(agent: TrainedAgent, anchors: AnchorSet) -> np.ndarray:
    """Return the positions of objects at the ticks of a set, [K, 2 objects], each from -1 to 1."""
    return agent.scene.unit_positions(agent.states(anchors).numpy())


def port_probe(
    reader: TrainedAgent, owner: TrainedAgent, probes: Mapping[str, Probe], anchor_counts: Sequence[int],
    seed: int,
) -> dict[str, Score]:  # fmt: skip
    """Return the held-out R2 of a reader with the probe of its owner, and with its own probe.

    Args:
        reader: Agent whose core is read.
        owner: Agent whose probe is used.
        probes: Probes of all agents, by name.
        anchor_counts: Numbers of anchors that maps are fitted on.
        seed: Seed of the choice of anchors, of the shuffles and of the random map.
    """
    core, predict = reader.heldout.core().double(), probes[owner.name]
    targets = unit_positions(reader, reader.heldout)

    def score(predicted: np.ndarray) -> Score:
        return Score.pooled_r2(predicted, targets)

    def ported(rows: Tensor) -> Score:
        return score(predict(rows.numpy()))

    labels = unit_positions(reader, reader.anchors)
    identity = torch.eye(reader.core_dim, owner.core_dim, dtype=core.dtype)
    scores = {
        "own": score(probes[reader.name](core.numpy())),
        "no map": ported(core @ identity),
        "random map": ported(core @ random_map(reader.core_dim, owner.core_dim, seed)),
        "chance": score(np.broadcast_to(labels.mean(0), targets.shape)),
    }
    for count in anchor_counts:
        rows = reader.anchors.rows(choose_ticks(reader.anchors.ids, count, seed))
        own_probe = linear_probe(reader.anchors.core()[rows].double().numpy(), labels[rows])
        scores |= {
            f"ported, {count}": ported(fit_edge(reader, owner, count, seed)(core)),
            f"shuffled, {count}": ported(fit_shuffled(reader, owner, count, seed)(core)),
            f"own probe, {count} labels": score(own_probe(core.numpy())),
        }
    return scores


def random_map(source_dim: int, target_dim: int, seed: int) -> Tensor:
    """Return a random matrix with orthonormal rows or columns, [source_dim, target_dim]."""
    generator = torch.Generator().manual_seed(1000 * seed + RANDOM_MAP_SEED)
    size = max(source_dim, target_dim)
    rotation = torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))[0]
    return rotation[:source_dim, :target_dim]
