"""R2, cycle errors, bytes and messages of universes and pairwise maps, over agents and over pairs."""

from collections.abc import Sequence
from itertools import product

from alignment.universe import Universe, fit_universe
from social_jepa.experiments.common.trained_agents import TrainedAgent
from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.universe.maps import (
    Cores,
    EdgeMaps,
    anchor_cores,
    composed_maps,
    count_messages,
    edge_scores,
    edges_of,
    join_universe,
    mean_cycle_error,
    pairwise_maps,
    shuffle_rows,
    with_common_core_dim,
)
from social_jepa.experiments.universe.settings import Settings, UniverseStream

FLOAT_BYTES = 4  # of a number on the wire


def agent_count_scores(agents: Sequence[TrainedAgent], seed: int, settings: Settings) -> dict[str, Score]:
    """Return R2 of each method, cycle errors, bytes and messages of N agents, and R2 of the joiner."""
    count, rng = len(agents), UniverseStream.PATHS.rng(seed, len(agents))
    draws = [anchor_cores(agents, settings.pairs, seed, draw) for draw in range(settings.draws)]
    universes = [fit_universe(cores) for cores in draws]
    universe, direct = [each.between for each in universes], [pairwise_maps(cores) for cores in draws]
    chains = [composed_maps(maps, list(draws[0]), count - 2, rng) for maps in direct]
    methods: dict[str, Sequence[EdgeMaps]] = {
        "universe": universe, "pairwise": direct, "chain": chains,
    }  # fmt: skip
    scores = {name: Score.average(edge_scores(agents, maps)) for name, maps in methods.items()}
    shuffled = [shuffle_rows(cores, 1.0, rng) for cores in draws]
    null = [fit_universe(cores).between for cores in shuffled]
    scores["null"] = Score.average(edge_scores(agents, null))
    cycled = {"universe": universe[0], "pairwise": direct[0], "shuffled": pairwise_maps(shuffled[0])}
    for suffix, members in {"": agents, ", equal cores": with_common_core_dim(agents)}.items():
        orders = [rng.permutation(len(members)) for _ in range(settings.cycles)]
        for name, maps in cycled.items():
            scores[f"cycle error, {name}{suffix}"] = mean_cycle_error(maps, members, orders)
    sent = sum(core.numel() for core in draws[0].values()) * FLOAT_BYTES
    scores["kilobytes, universe"] = Score.single(sent / 1000)
    scores["kilobytes, pairwise"] = Score.single(sent * (count - 1) / 1000)
    scores |= _joiner_scores(agents, draws, universes, null)
    return {f"{name}, {count} agents": score for name, score in scores.items()}


def _joiner_scores(
    agents: Sequence[TrainedAgent],
    draws: Sequence[Cores],
    universes: Sequence[Universe],
    null: Sequence[EdgeMaps],
) -> dict[str, Score]:
    """Return R2 of the last agent's edges, and messages, if it joins and if the universe is fitted again."""
    names = list(draws[0])
    joined = [join_universe(cores, names[-1]) for cores in draws]
    joiner_edges = edges_of(names, names[-1])
    scores = {"joiner, null": Score.average(edge_scores(agents, null, joiner_edges))}
    for name, after in {"join": joined, "refit": universes}.items():
        maps_after = [universe.between for universe in after]
        scores[f"joiner, {name}"] = Score.average(edge_scores(agents, maps_after, joiner_edges))
    before = fit_universe({name: draws[0][name] for name in names[:-1]})
    for name, after in {"join": joined, "refit": universes}.items():
        scores[f"messages, {name}"] = Score.single(count_messages(before, after[0]))
    return scores


def pair_count_scores(agents: Sequence[TrainedAgent], seed: int, settings: Settings) -> dict[str, Score]:
    """Return R2 of all agents over the number of pairs, and R2 of composed maps from the default number."""
    scores, names = {}, [agent.name for agent in agents]
    for pairs in settings.pair_counts:
        draws = [anchor_cores(agents, pairs, seed, draw) for draw in range(settings.draws)]
        direct = [pairwise_maps(cores) for cores in draws]
        universe = [fit_universe(cores).between for cores in draws]
        scores[f"universe, {pairs} pairs"] = Score.average(edge_scores(agents, universe))
        scores[f"pairwise, {pairs} pairs"] = Score.average(edge_scores(agents, direct))
        rng = UniverseStream.PATHS.rng(seed, pairs)
        shuffled = [shuffle_rows(cores, 1.0, rng) for cores in draws]
        null = [fit_universe(cores).between for cores in shuffled]
        scores[f"null, {pairs} pairs"] = Score.average(edge_scores(agents, null))
        if pairs == settings.pairs:
            unrelated = [pairwise_maps(cores) for cores in shuffled]
            for hops, (suffix, maps) in product(settings.hops, (("", direct), (", null", unrelated))):
                composed = [composed_maps(each, names, hops, rng) for each in maps]
                scores[f"through {hops}{suffix}"] = Score.average(edge_scores(agents, composed))
    return scores
