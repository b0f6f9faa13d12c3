"""R2, cycle errors, bytes and messages of universes and pairwise maps, over agents and over pairs."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations, product

from alignment.universe import Universe
from social_jepa.experiments.common.edges import Pairing
from social_jepa.experiments.common.pairs import shift_agents
from social_jepa.experiments.common.trained_agents import TrainedAgent
from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.universe.maps import (
    Cores,
    EdgeMaps,
    Edges,
    SharedMaps,
    anchor_cores,
    as_edge_maps,
    composed_maps,
    count_messages,
    edge_scores,
    edges_of,
    join_universe,
    mean_cycle_error,
    shared_maps,
    shared_universe,
)
from social_jepa.experiments.universe.settings import Settings, UniverseStream

FLOAT_BYTES = 4  # of a number on the wire


@dataclass(frozen=True, eq=False)
class Draw:
    """One choice of pairs: the rows of all agents, and the maps of all ordered pairs.

    Attributes:
        cores: Rows of each agent at the same ticks.
        maps: Maps of shared directions.
    """

    cores: Cores
    maps: SharedMaps

    def of(self, agents: Sequence[TrainedAgent]) -> "Draw":
        """Return the same for fewer agents."""
        names = [agent.name for agent in agents]
        cores = {name: self.cores[name] for name in names}
        return Draw(cores, {pair: self.maps[pair] for pair in permutations(names, 2)})

    @property
    def universe(self) -> Universe:
        """The universe of what the agents share."""
        return shared_universe(self.cores, self.maps)


def draw_pairs(
    agents: Sequence[TrainedAgent], pairs: int, seed: int, settings: Settings, draws: int = 0
) -> list[Draw]:
    """Return the choices of pairs, with the maps of all ordered pairs of these agents.

    Args:
        agents: The agents.
        pairs: Number of pairs of a choice.
        seed: Seed of the run.
        settings: Settings of the run.
        draws: Number of choices; by default that of the settings.
    """
    pairing, found = Pairing.of(settings.setup), []
    for number in range(draws or settings.draws):
        cores = anchor_cores(agents, pairs, seed, number)
        found.append(Draw(cores, shared_maps(agents, cores, pairing)))
    return found


@dataclass(frozen=True, eq=False)
class Null:
    """The same agents with the rows of each at another time, and one choice of pairs of these.

    Attributes:
        agents: The agents.
        draw: The choice of pairs.
    """

    agents: Sequence[TrainedAgent]
    draw: Draw

    @classmethod
    def of(cls, agents: Sequence[TrainedAgent], pairs: int, seed: int, settings: Settings) -> "Null":
        """Return the null of these agents from so many pairs."""
        step = len(agents[0].anchors.ids) // len(agents)
        shifted = shift_agents(agents, [-index * step for index in range(len(agents))])
        return cls(shifted, draw_pairs(shifted, pairs, seed, settings, draws=1)[0])

    def first(self, count: int) -> "Null":
        """Return the null of the first agents."""
        return Null(self.agents[:count], self.draw.of(self.agents[:count]))

    def score(self, universe: Universe, edges: Edges | None = None) -> Score:
        """Return R2 through the universe of shifted rows, on the common block of the true universe."""
        maps = self.draw.universe.between
        return Score.average(edge_scores(self.agents, [maps], edges, [universe]))


def agent_count_scores(
    agents: Sequence[TrainedAgent], draws: Sequence[Draw], null: Null, seed: int, settings: Settings
) -> dict[str, Score]:
    """Return R2 of each method, cycle errors, bytes and messages of N agents, and R2 of the joiner."""
    count, rng = len(agents), UniverseStream.PATHS.rng(seed, len(agents))
    universes = [draw.universe for draw in draws]
    direct = [as_edge_maps(draw.maps) for draw in draws]
    names = [agent.name for agent in agents]
    methods: dict[str, Sequence[EdgeMaps]] = {
        "universe": [each.between for each in universes],
        "pairwise": direct,
        "chain": [composed_maps(maps, names, count - 2, rng) for maps in direct],
    }
    scores = {
        name: Score.average(edge_scores(agents, maps, blocks=universes)) for name, maps in methods.items()
    }
    scores["null"] = null.score(universes[0])
    first = list(permutations(names[: settings.agent_counts[0]], 2))
    for name in ("universe", "pairwise"):
        scores[f"{name}, first edges"] = Score.average(edge_scores(agents, methods[name], first, universes))
    scores["common dimension"] = Score.average([Score.single(float(each.common_dim)) for each in universes])
    orders = [rng.permutation(count) for _ in range(settings.cycles)]
    cycled = {
        "universe": universes[0].between, "pairwise": direct[0], "shifted": as_edge_maps(null.draw.maps),
    }  # fmt: skip
    for name, maps in cycled.items():
        scores[f"cycle error, {name}"] = mean_cycle_error(maps, universes[0], agents, orders)
    sent = sum(core.numel() for core in draws[0].cores.values()) * FLOAT_BYTES
    scores["kilobytes, universe"] = Score.single(sent / 1000)
    scores["kilobytes, pairwise"] = Score.single(sent * (count - 1) / 1000)
    scores |= _joiner_scores(agents, draws, universes, null)
    return {f"{name}, {count} agents": score for name, score in scores.items()}


def _joiner_scores(
    agents: Sequence[TrainedAgent],
    draws: Sequence[Draw],
    universes: Sequence[Universe],
    null: Null,
) -> dict[str, Score]:
    """Return R2 of the last agent's edges, and messages, if it joins and if the universe is fitted again."""
    names = [agent.name for agent in agents]
    joined = [join_universe(draw.cores, draw.maps, names[-1]) for draw in draws]
    joiner_edges = edges_of(names, names[-1])
    scores = {"joiner, null": null.score(universes[0], joiner_edges)}
    for name, after in {"join": joined, "refit": universes}.items():
        maps_after = [universe.between for universe in after]
        scores[f"joiner, {name}"] = Score.average(edge_scores(agents, maps_after, joiner_edges, universes))
    before = draws[0].of(agents[:-1]).universe
    for name, after in {"join": joined, "refit": universes}.items():
        scores[f"messages, {name}"] = Score.single(count_messages(before, after[0]))
    return scores


def pair_count_scores(agents: Sequence[TrainedAgent], seed: int, settings: Settings) -> dict[str, Score]:
    """Return R2 of a few agents over the number of pairs, and R2 of maps composed from the default number."""
    scores, names = {}, [agent.name for agent in agents]
    for pairs in settings.pair_counts:
        draws = draw_pairs(agents, pairs, seed, settings)
        direct = [as_edge_maps(draw.maps) for draw in draws]
        universes = [draw.universe for draw in draws]
        methods: dict[str, Sequence[EdgeMaps]] = {
            "universe": [each.between for each in universes],
            "pairwise": direct,
        }
        for name, maps in methods.items():
            score = Score.average(edge_scores(agents, maps, blocks=universes))
            scores[f"{name}, {pairs} pairs"] = score
        null = Null.of(agents, pairs, seed, settings)
        scores[f"null, {pairs} pairs"] = null.score(universes[0])
        if pairs == settings.pairs:
            rng = UniverseStream.PATHS.rng(seed, pairs)
            unrelated = [as_edge_maps(null.draw.maps)]
            for hops, (suffix, each) in product(settings.hops, (("", direct), (", null", unrelated))):
                composed = [composed_maps(one, names, hops, rng) for one in each]
                members = null.agents if suffix else agents
                score = Score.average(edge_scores(members, composed, blocks=universes))
                scores[f"through {hops}{suffix}"] = score
    return scores
