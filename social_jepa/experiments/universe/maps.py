"""Maps between the cores of many agents: pairwise, through a universe, or composed along a path."""

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
from alignment.overlap import Pair
from alignment.score import cycle_error
from alignment.shared_subspace import find_shared
from alignment.universe import Universe, fit_universe
from social_jepa.experiments.common.edges import Embeddings, Pairing
from social_jepa.experiments.common.trained_agents import TrainedAgent
from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.universe.settings import UniverseStream

Cores = Mapping[str, Tensor]  # by agent, its core at the same ticks, float64 [K, D]
SharedMaps = Mapping[Pair, LinearMap]  # by (source name, target name)
EdgeMaps = Callable[[str, str], LinearMap]  # (source name, target name) -> map between their cores
Edges = Sequence[tuple[str, str]]  # names of sources and targets


def anchor_cores(agents: Sequence[TrainedAgent], pairs: int, seed: int, draw: int) -> dict[str, Tensor]:
    """Return the cores of all agents at the same random anchor ticks.

    For equal seed and draw, a larger number of pairs contains the ticks of a smaller one.
    """
    words = [seed, UniverseStream.PAIRS, draw]
    ticks_seed = int(np.random.SeedSequence(words).generate_state(1)[0])
    ticks = choose_ticks(agents[0].anchors.ids, pairs, ticks_seed)
    return {agent.name: agent.anchors.core()[agent.anchors.rows(ticks)].double() for agent in agents}


def shared_maps(agents: Sequence[TrainedAgent], cores: Cores, pairing: Pairing) -> SharedMaps:
    """Return the maps of the shared directions of all ordered pairs of agents, as edges of a run have them.

    Args:
        agents: The agents.
        cores: Rows to fit on, by agent.
        pairing: Which held-out rows say how many directions are shared.
    """
    embeddings = {agent.name: Embeddings.of(agent) for agent in agents}
    maps = {}
    for source, target in permutations(embeddings, 2):
        i, j = embeddings[source].core_dim, embeddings[target].core_dim
        if i and j:
            held = pairing.held_out(embeddings[source], embeddings[target]).leading(i, j)
            maps[source, target] = find_shared(cores[source], cores[target], held).map
        else:
            maps[source, target] = LinearMap(torch.zeros(i, j).double(), torch.zeros(j).double())
    return maps


def as_edge_maps(maps: SharedMaps) -> EdgeMaps:
    """Return the maps as a function of source and target."""
    return lambda source, target: maps[source, target]


def shared_universe(cores: Cores, maps: SharedMaps) -> Universe:
    """Return the universe of what the agents share by these maps, as a run fits it."""
    between = {pair: found for pair, found in maps.items() if found.rank and set(pair) <= set(cores)}
    return fit_universe(cores, shared=between)


def shuffle_rows(cores: Cores, share: float, rng: np.random.Generator) -> dict[str, Tensor]:
    """Return cores in which a share of the rows is permuted, differently for each agent."""
    shuffled = {}
    for name, core in cores.items():
        rows = rng.permutation(len(core))[: round(share * len(core))]
        shuffled[name] = core.clone()
        shuffled[name][rows] = core[np.roll(rows, 1)]  # cyclic: of two or more rows none keeps its place
    return shuffled


def pairwise_maps(cores: Cores, fit: Fit = fit_core) -> EdgeMaps:
    """Return maps of whole cores that are fitted for each edge separately."""
    maps = {(a, b): fit(cores[a], cores[b]) for a, b in permutations(cores, 2)}
    return lambda source, target: maps[source, target]


def composed_maps(maps: EdgeMaps, names: Sequence[str], hops: int, rng: np.random.Generator) -> EdgeMaps:
    """Return maps composed along random paths through other agents, without repetition.

    Raises:
        ValueError: There are fewer other agents than hops.
    """
    if not 0 <= hops <= len(names) - 2:
        raise ValueError(f"a path through {hops} other agents needs {hops + 2} agents, got {len(names)}")

    def compose(source: str, target: str) -> LinearMap:
        others = [name for name in names if name not in (source, target)]
        path = [source, *rng.permutation(others)[:hops].tolist(), target]
        return reduce(LinearMap.then, [maps(a, b) for a, b in pairwise(path)])

    return compose


def edge_scores(
    agents: Sequence[TrainedAgent], draws: Sequence[EdgeMaps], edges: Edges | None = None,
    blocks: Sequence[Universe] | None = None,
) -> list[Score]:  # fmt: skip
    """Return the held-out R2 of the maps of each draw on each edge, draw by draw.

    Args:
        agents: The agents.
        draws: Maps of each draw.
        edges: The edges; by default all.
        blocks: Universe of each draw, on whose common block targets are scored; by default on whole cores.
    """
    heldout = {agent.name: agent.heldout.core().double() for agent in agents}
    scores = []
    for draw, maps in enumerate(draws):
        for a, b in permutations(heldout, 2) if edges is None else edges:
            predicted, actual = maps(a, b)(heldout[a]), heldout[b]
            if blocks is not None:
                block = common_block(blocks[draw], b)
                predicted, actual = predicted @ block, actual @ block
            scores.append(Score.pooled_r2(predicted.numpy(), actual.numpy()))
    return scores


def common_block(universe: Universe, name: str) -> Tensor:
    """Return the directions of an agent's core that all agents have, orthonormal, [D_i, common dimension]."""
    return universe.maps[name].weight[:, universe.common_axes]


def edges_of(names: Sequence[str], agent: str) -> Edges:
    """Return the ordered edges from and to one agent."""
    return [edge for edge in permutations(names, 2) if agent in edge]


def mean_edge_r2(
    agents: Sequence[TrainedAgent], draws: Sequence[EdgeMaps], blocks: Sequence[Universe]
) -> np.ndarray:
    """Return the R2 of each ordered edge on the common block, mean over draws, [N (N - 1)]."""
    scores = [score.score for score in edge_scores(agents, draws, blocks=blocks)]
    return np.reshape(scores, (len(draws), -1)).mean(0)


def mean_cycle_error(
    maps: EdgeMaps, universe: Universe, agents: Sequence[TrainedAgent], orders: Sequence[np.ndarray]
) -> Score:
    """Return the mean cycle error of held-out points of the common block over cycles.

    Args:
        maps: The maps around each cycle.
        universe: Its common block, as the first agent of a cycle has it, holds the points.
        agents: The agents, N.
        orders: Orders [N] of all agents.

    Returns:
        The score; it is not a number where the common block is empty.
    """
    if not universe.common_dim:
        return Score.single(float("nan"))
    errors = []
    for order in orders:
        cycle = [agents[index] for index in [*order, order[0]]]
        steps = [maps(a.name, b.name) for a, b in pairwise(cycle)]
        block = common_block(universe, cycle[0].name)
        errors.append(cycle_error(steps, cycle[0].heldout.core().double() @ block @ block.T))
    return Score.single(float(np.mean(errors)))


def with_common_core_dim(agents: Sequence[TrainedAgent]) -> list[TrainedAgent]:
    """Return the agents whose core has the most common number of dimensions."""
    common = int(np.bincount([agent.core_dim for agent in agents]).argmax())
    return [agent for agent in agents if agent.core_dim == common]


def join_universe(cores: Cores, maps: SharedMaps, joiner: str) -> Universe:
    """Return the universe of the other agents after the joiner has joined it."""
    others = {name: core for name, core in cores.items() if name != joiner}
    return shared_universe(others, maps).join(joiner, cores[joiner])


def count_messages(before: Universe, after: Universe) -> int:
    """Return the number of messages: one for each joiner, and one for each agent whose map has changed."""
    known = {name: after.maps[name].weight for name in before.maps}
    changed = sum(not torch.equal(weight, before.maps[name].weight) for name, weight in known.items())
    return len(after.maps) - len(known) + changed
