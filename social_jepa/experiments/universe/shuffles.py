"""R2 of maps and universes fitted on shuffled rows: of all agents, or of a few corrupted agents."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import permutations

from alignment.fit import fit_robust
from alignment.universe import fit_universe
from social_jepa.experiments.common.trained_agents import TrainedAgent
from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.universe.maps import (
    Cores,
    EdgeMaps,
    Edges,
    anchor_cores,
    edge_scores,
    pairwise_maps,
    shuffle_rows,
    with_common_core_dim,
)
from social_jepa.experiments.universe.settings import Settings, UniverseStream

BOTH_CORRUPTED, ONE_CORRUPTED, BOTH_INTACT = EDGE_KINDS = (
    "two corrupted agents",
    "a corrupted and an intact agent",
    "two intact agents",
)


def fit_methods(keep: float) -> Mapping[str, Callable[[Cores], EdgeMaps]]:
    """Return the methods that are compared, by name; the trimmed ones trust a share of the rows."""
    robust = partial(fit_robust, keep=keep, centered=False)
    return {
        "universe": lambda cores: fit_universe(cores).between,
        "universe, trimmed": lambda cores: fit_universe(cores, keep).between,
        "pairwise": pairwise_maps,
        "pairwise, trimmed": lambda cores: pairwise_maps(cores, robust),
    }


def shuffled_scores(
    agents: Sequence[TrainedAgent], pairs: int, seed: int, settings: Settings
) -> dict[str, Score]:
    """Return R2 if a share of the rows of every agent is shuffled; a share of 1 is the null."""
    scores = {}
    for share in sorted({*settings.shuffled_shares, 1.0}):
        draws = []
        for draw in range(settings.draws):
            rng = UniverseStream.SHUFFLED.rng(seed, draw, pairs)
            draws.append(shuffle_rows(anchor_cores(agents, pairs, seed, draw), share, rng))
        for method, fit in fit_methods(settings.keep).items():
            name = f"{method}, {share:.0%} of {pairs} shuffled"
            scores[name] = Score.average(edge_scores(agents, [fit(cores) for cores in draws]))
    return scores


def corrupted_scores(
    agents: Sequence[TrainedAgent], pairs: int, seed: int, settings: Settings
) -> dict[str, Score]:
    """Return R2 by kind of edge if rows of a few agents of a group are shuffled; all of them are the null.

    The group consists of agents with the most common core size, and of others only if these are too few.
    """
    equal = with_common_core_dim(agents)
    group = [*equal, *(agent for agent in agents if agent not in equal)][: settings.group_size]
    names = [agent.name for agent in group]
    intact, corrupted = names[: -settings.corrupted_agents], names[-settings.corrupted_agents :]
    one_corrupted = [edge for edge in permutations(names, 2) if len({*edge} & {*corrupted}) == 1]
    edges: tuple[Edges, ...] = (
        list(permutations(corrupted, 2)), one_corrupted, list(permutations(intact, 2)),
    )  # fmt: skip
    scores = {}
    for suffix, share in (("", settings.corrupted_share), (", clean", 0.0), (", null", 1.0)):
        draws = []
        for draw in range(settings.draws):
            rng = UniverseStream.CORRUPTED.rng(seed, draw, pairs)
            cores = anchor_cores(group, pairs, seed, draw)
            draws.append(cores | shuffle_rows({name: cores[name] for name in corrupted}, share, rng))
        for method, fit in fit_methods(settings.keep).items():
            maps = [fit(cores) for cores in draws]
            for kind, kind_edges in zip(EDGE_KINDS, edges, strict=True):
                name = f"corrupted, {method}, {kind}, {pairs}{suffix}"
                scores[name] = Score.average(edge_scores(group, maps, kind_edges))
    return scores
