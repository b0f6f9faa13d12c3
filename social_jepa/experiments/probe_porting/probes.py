"""The probes that probe-porting ports between agents, their labels, and the scores of ported probes."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from alignment.anchors import AnchorSet, choose_ticks
from social_jepa.experiments.common.pairs import fit_edge, fit_shuffled
from social_jepa.experiments.common.probes import Probe, linear_classifier, linear_probe
from social_jepa.experiments.common.trained_agents import TrainedAgent
from social_jepa.experiments.framework.score import Score

TASKS = ("positions", "quadrant", "nearest")
REFERENCES = ("own", "no map", "random map", "chance")  # scores that do not depend on the number of anchors
RANDOM_MAP_SEED = 41  # offset of the seed of random maps

Predict = Callable[[str, Tensor], np.ndarray]  # (task, core [K, d]) -> predictions of the task's probe


def fit_probes(agent: TrainedAgent) -> Predict:
    """Return the probes of an agent, fitted on all ticks that maps are fitted on."""
    core = agent.anchors.core().double().numpy()
    probes = {task: fit_probe(task, core, make_labels(task, agent, agent.anchors)) for task in TASKS}
    return lambda task, rows: probes[task](rows.numpy())


def fit_probe(task: str, core: np.ndarray, labels: np.ndarray) -> Probe:
    """Return a probe of one task, fitted on a core, [K, d], and labels, [K] or [K, 2 objects]."""
    if task == "positions":
        return linear_probe(core, labels)
    if task == "quadrant":
        return linear_classifier(core, labels)
    probe = linear_classifier(with_products(core), labels)
    return lambda rows: probe(with_products(rows))


def with_products(core: np.ndarray) -> np.ndarray:
    """Return a core and its products of degree two, [K, d] -> [K, d + d (d + 1) / 2]."""
    rows, columns = np.triu_indices(core.shape[1])
    return np.concatenate([core, core[:, rows] * core[:, columns]], axis=1)


def make_labels(task: str, agent: TrainedAgent, anchors: AnchorSet) -> np.ndarray:
    """Return the labels of a task at the ticks of a set: [K, 2 objects], or int [K] of a classifier."""
    positions = agent.scene.unit_positions(agent.states(anchors).numpy())
    if task == "positions":
        return positions
    if task == "quadrant":
        return 2 * (positions[:, 0] > 0) + (positions[:, 1] > 0)
    return np.square(positions.reshape(len(positions), -1, 2)).sum(2).argmin(1)


def port_probe(
    task: str, reader: TrainedAgent, owner: TrainedAgent, probes: Mapping[str, Predict],
    anchor_counts: Sequence[int], seed: int,
) -> dict[str, Score]:  # fmt: skip
    """Return the held-out scores of a reader with the probe of its owner, and with its own probe.

    Args:
        task: One of TASKS.
        reader: Agent whose core is read.
        owner: Agent whose probe is used.
        probes: Probes of all agents, by name.
        anchor_counts: Numbers of anchors that maps are fitted on.
        seed: Seed of the choice of anchors, of the shuffles and of the random map.
    """
    core, predict = reader.heldout.core().double(), probes[owner.name]
    targets = make_labels(task, reader, reader.heldout)

    def score(predicted: np.ndarray) -> Score:
        if task == "positions":
            return Score.pooled_r2(predicted, targets)
        return Score.mean(predicted == targets)

    labels = make_labels(task, reader, reader.anchors)
    identity = torch.eye(reader.core_dim, owner.core_dim, dtype=core.dtype)
    scores = {
        "own": score(probes[reader.name](task, core)),
        "no map": score(predict(task, core @ identity)),
        "random map": score(predict(task, core @ random_map(reader.core_dim, owner.core_dim, seed))),
        "chance": score(np.broadcast_to(_constant_guess(labels), targets.shape)),
    }
    for count in anchor_counts:
        rows = reader.anchors.rows(choose_ticks(reader.anchors.ids, count, seed))
        own_probe = fit_probe(task, reader.anchors.core()[rows].double().numpy(), labels[rows])
        scores |= {
            f"ported, {count}": score(predict(task, fit_edge(reader, owner, count, seed)(core))),
            f"shuffled, {count}": score(predict(task, fit_shuffled(reader, owner, count, seed)(core))),
            f"own probe, {count} labels": score(own_probe(core.numpy())),
        }
    return scores


def random_map(source_dim: int, target_dim: int, seed: int) -> Tensor:
    """Return a random matrix with orthonormal rows or columns, [source_dim, target_dim]."""
    generator = torch.Generator().manual_seed(1000 * seed + RANDOM_MAP_SEED)
    size = max(source_dim, target_dim)
    rotation = torch.linalg.qr(torch.randn(size, size, generator=generator, dtype=torch.float64))[0]
    return rotation[:source_dim, :target_dim]


def _constant_guess(labels: np.ndarray) -> np.ndarray:
    """Return the mean of positions, or the most common class."""
    return labels.mean(0) if labels.ndim == 2 else np.asarray(np.bincount(labels).argmax())
