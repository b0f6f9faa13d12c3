"""The probes that probe-porting carries from one agent to another, and the truth that they are fitted to."""

from collections.abc import Callable

import numpy as np
from torch import Tensor

from alignment.anchors import AnchorSet
from env.dynamics import unit_positions
from social_jepa.experiments.common.probes import Probe, linear_classifier, linear_probe
from social_jepa.experiments.common.trained_agents import TrainedAgent

TASKS = ("positions", "quadrant", "nearest")
Read = Callable[[str, Tensor], np.ndarray]  # task and a core, [K, d], to what a probe says of each tick


def probes_of(stranger: TrainedAgent) -> Read:
    """Return an agent's own probes, fitted on all ticks that maps are fitted on."""
    core = stranger.anchors.core().double().numpy()
    probes = {task: probe_of(task, core, labels(task, stranger, stranger.anchors)) for task in TASKS}
    return lambda task, seen: probes[task](seen.numpy())


def probe_of(task: str, core: np.ndarray, known: np.ndarray) -> Probe:
    """Return a probe of one task, fitted on a core, [K, d], and its labels, [K] or [K, 2 objects]."""
    if task == "positions":
        return linear_probe(core, known)
    if task == "quadrant":
        return linear_classifier(core, known)
    probe = linear_classifier(with_products(core), known)
    return lambda seen: probe(with_products(seen))


def with_products(core: np.ndarray) -> np.ndarray:
    """Return a core and its products of degree two, [K, d] -> [K, d + d (d + 1) / 2]."""
    rows, columns = np.triu_indices(core.shape[1])
    return np.concatenate([core, core[:, rows] * core[:, columns]], axis=1)


def labels(task: str, stranger: TrainedAgent, ticks: AnchorSet) -> np.ndarray:
    """Return the truth of a task at the ticks of a set: [K, 2 objects], or int [K] of a classifier."""
    config = stranger.scene.config
    places = unit_positions(config.dynamics, stranger.states(ticks).numpy(), config.tanh_gain)
    if task == "positions":
        return places
    if task == "quadrant":
        return 2 * (places[:, 0] > 0) + (places[:, 1] > 0)
    return np.square(places.reshape(len(places), -1, 2)).sum(2).argmin(1)
