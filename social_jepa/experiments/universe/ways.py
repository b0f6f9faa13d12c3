"""Ways between the cores of many agents: of each pair, through one common space, or one after the other."""

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from itertools import pairwise, permutations

import numpy as np
import torch
from torch import Tensor

from alignment.anchors import choose_ticks
from alignment.edge_score import fit_core
from alignment.fit import Fit
from alignment.linear_map import LinearMap
from alignment.score import cycle_error
from alignment.universe import Universe, fit_universe
from social_jepa.experiments.common.trained_agents import TrainedAgent
from social_jepa.experiments.framework.score import Score

Cores = Mapping[str, Tensor]  # by agent, what it makes of the same ticks, float64 [K, D]
Way = Callable[[str, str], LinearMap]  # from the names of source and target to the map between their cores
Edges = Sequence[tuple[str, str]]  # names of sources and targets
PAIRS = 1  # word


def chosen(strangers: Sequence[TrainedAgent], pairs: int, seed: int, draw: int) -> dict[str, Tensor]:
    """Return what each agent makes of some of the ticks that maps are fitted on, the same for all.

    With equal seed and draw, more pairs add ticks to those of fewer.
    """
    word = int(np.random.SeedSequence([seed, PAIRS, draw]).generate_state(1)[0])
    ticks = choose_ticks(strangers[0].anchors.ids, pairs, word)
    return {each.name: each.anchors.core()[each.anchors.rows(ticks)].double() for each in strangers}


def shuffled(cores: Cores, share: float, rng: np.random.Generator) -> dict[str, Tensor]:
    """Return cores of which a share of the rows is dealt out among themselves, for each agent anew."""
    dealt = {}
    for name, core in cores.items():
        rows = rng.permutation(len(core))[: round(share * len(core))]
        dealt[name] = core.clone()
        dealt[name][rows] = core[np.roll(rows, 1)]  # in a ring: no row of two or more stays where it was
    return dealt


def direct(cores: Cores, fit: Fit = fit_core) -> Way:
    """Return a map of its own for each edge."""
    found = {(a, b): fit(cores[a], cores[b]) for a, b in permutations(cores, 2)}
    return lambda source, target: found[source, target]


def composed(way: Way, names: Sequence[str], hops: int, rng: np.random.Generator) -> Way:
    """Return ways that lead through other agents, drawn for each edge without repetition.

    Raises:
        ValueError: There are fewer others.
    """
    if not 0 <= hops <= len(names) - 2:
        raise ValueError(f"a path through {hops} others needs {hops + 2} agents, got {len(names)}")

    def along(source: str, target: str) -> LinearMap:
        others = [name for name in names if name not in (source, target)]
        path = [source, *rng.permutation(others)[:hops].tolist(), target]
        return reduce(LinearMap.then, [way(a, b) for a, b in pairwise(path)])

    return along


def edges_r2(
    strangers: Sequence[TrainedAgent], ways: Sequence[Way], edges: Edges | None = None
) -> list[Score]:
    """Return the held-out R2 of each way on each of some edges, way by way; by default of all."""
    held = {each.name: each.heldout.core().double() for each in strangers}
    return [
        Score.pooled_r2(way(a, b)(held[a]).numpy(), held[b].numpy())
        for way in ways
        for a, b in (permutations(held, 2) if edges is None else edges)
    ]


def with_one(names: Sequence[str], one: str) -> Edges:
    """Return the ordered edges of one agent."""
    return [edge for edge in permutations(names, 2) if one in edge]


def each_edge(strangers: Sequence[TrainedAgent], ways: Sequence[Way]) -> np.ndarray:
    """Return each ordered edge's mean R2 over ways, [N (N - 1)]."""
    scores = [measure.score for measure in edges_r2(strangers, ways)]
    return np.reshape(scores, (len(ways), -1)).mean(0)


def around(way: Way, strangers: Sequence[TrainedAgent], orders: Sequence[np.ndarray]) -> Score:
    """Return the mean cycle error around rings of agents, each order [N] once around."""
    errors = []
    for order in orders:
        ring = [strangers[index] for index in [*order, order[0]]]
        maps = [way(a.name, b.name) for a, b in pairwise(ring)]
        errors.append(cycle_error(maps, ring[0].heldout.core()))
    return Score.single(float(np.mean(errors)))


def of_one_size(strangers: Sequence[TrainedAgent]) -> list[TrainedAgent]:
    """Return those whose cores have the commonest size."""
    usual = int(np.bincount([each.core_dim for each in strangers]).argmax())
    return [each for each in strangers if each.core_dim == usual]


def joining(cores: Cores, newcomer: str) -> Universe:
    """Return the universe of the others after the newcomer has joined it."""
    others = {name: core for name, core in cores.items() if name != newcomer}
    return fit_universe(others).join(newcomer, cores[newcomer])


def messages(before: Universe, after: Universe) -> int:
    """Return how many must be sent: one for each newcomer, and one for each agent whose map has moved."""
    known = {name: after.maps[name].weight for name in before.maps}
    moved = sum(not torch.equal(weight, before.maps[name].weight) for name, weight in known.items())
    return len(after.maps) - len(known) + moved
