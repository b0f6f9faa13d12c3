"""Many agents: is one common space as good as a map for every pair, and better than maps in a row?

Protocol. 16 agents learn one scene of two boxes, drawn without OpenGL, each alone from its own place on the
ring. They compare their cores at the same few ticks ("pairs"); of N agents the first N take part. R2 is the
mean over all N (N - 1) ordered edges, on held-out ticks, and over several choices of the pairs.

- *Universe*: one orthogonal map for each agent into a common space, by generalised Procrustes analysis
  (Gower 1975; for latent spaces arXiv:2602.06205). Whoever translates goes there and back.
- *Pairwise*: an orthogonal map for each edge from the same pairs, which is the baseline.
- *Composed*: pairwise maps in a row, through others drawn at random; a chain visits all N.
- *Cycles*: maps around a ring of all N in a random order, applied to held-out cores; the error is the mean
  square of what comes back less what went, in units of the mean square: 0 is consistent, 2 unrelated. A
  core that is smaller than others lets nothing back of what it lacks, whatever the maps: "one size" are the
  cycles of those whose cores have the commonest size: there a universe is consistent by construction.
- *Join*: the last of N joins the universe of the N - 1 before, whose maps stay; beside it the universe of
  all N fitted anew. Scored on the newcomer's 2 (N - 1) edges. Messages are the newcomer's rows and one for
  each other agent whose map has moved, so that it must be told: of a join one by construction. That the
  newcomer must hear of the common space is not counted.
- *Shuffled*: a share of each agent's rows is dealt out among themselves, for each agent in another order, so
  that of the pairs of an edge only the square of what is left is right: 6 % at 75 % shuffled. *Trimmed*
  methods trust half of the rows.
- *A few who mix up*: the test that arXiv:2602.06205 passes, after its code: of ten whose cores have one
  size, three have 75 % of their rows shuffled, and the others none; beside it, nobody has. Its figures are of
  language models, sentences and retrieval, which are not here, so that its claim is tested: a universe, where
  the others are in the majority, keeps what maps between two of the three lose.

Bytes and messages count rows of float32 that are sent before a fit: N sets of rows to a universe, N (N - 1)
for maps that are agreed on edge by edge. A broadcast would spare those the messages, though not the fits.

Null: the same fits with all rows shuffled; of universes for both them and pairwise maps.

Goals, set beforehand: the universe of 16 agents from 64 pairs reaches the R2 of pairwise maps, its cycle
error is below 1e-5, and joining it costs one message.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np

from agents.protocol.settings import NegotiationConfig
from agents.settings import ModelConfig, TrainingConfig
from alignment.universe import fit_universe
from env.scene import SceneConfig
from social_jepa.experiments.common.trained_agents import (
    QUICK_SETUP,
    AgentSetup,
    TrainedAgent,
    ring_poses,
    train_agents,
)
from social_jepa.experiments.framework.experiment import ConditionResult, Experiment, Log
from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.universe.metrics import figures, notes
from social_jepa.experiments.universe.plots import pictures
from social_jepa.experiments.universe.shuffles import of_a_few, of_shuffles
from social_jepa.experiments.universe.ways import (
    Way,
    around,
    chosen,
    composed,
    direct,
    each_edge,
    edges_r2,
    joining,
    messages,
    of_one_size,
    shuffled,
    with_one,
)

PART = "toy"
FLOAT = 4  # bytes of a number on the wire
PATHS = 3  # word
LITTLE = QUICK_SETUP | {  # a little more than the quickest course: all cores are to be of one size
    "model": {"dim": 4, "width": 8, "hidden": 64},
    "training": QUICK_SETUP["training"] | {"steps": 250, "replay_ticks": 4096, "learning_rate": 5e-3},
}


@dataclass(frozen=True)
class Settings:
    """A run; the defaults are the full one."""

    upbringing: AgentSetup = field(default_factory=lambda: AgentSetup(
        scene=SceneConfig(renderer="toy", objects=2, frame_size=48),
        model=ModelConfig(dim=12, width=16, hidden=128),
        training=TrainingConfig(steps=450, segments=48, learning_rate=3e-3),
        negotiation=NegotiationConfig(anchors=256, heldout=512),
    ))  # fmt: skip
    sizes: tuple[int, ...] = (3, 4, 6, 8, 12, 16)  # agents that take part
    budgets: tuple[int, ...] = (8, 16, 64, 256)  # pairs
    pairs: int = 64  # where nothing else is said
    hops: tuple[int, ...] = (1, 2, 4, 8, 14)  # agents between the ends of a composed path
    shares: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75)  # of each agent's rows that are shuffled
    dealt: tuple[int, ...] = (64, 1024)  # pairs among which they are
    company: int = 10  # agents, the last few of whom alone have rows shuffled
    few: int = 3  # of these
    mixed: float = 0.75  # share of their rows
    keep: float = 0.5  # share of the rows that a trimmed fit trusts
    draws: int = 4  # choices of the pairs
    cycles: int = 20  # random orders

    def __post_init__(self) -> None:
        """Refuse a society that cannot be measured, by name."""
        if min(self.sizes) < 3 or list(self.sizes) != sorted(set(self.sizes)):
            raise ValueError(f"sizes={self.sizes}: rising numbers, 3 or more agents each")
        if self.pairs not in self.budgets:
            raise ValueError(f"pairs={self.pairs}: one of budgets={self.budgets}")
        if not 1 <= min(self.hops) <= max(self.hops) <= self.most - 2:
            raise ValueError(f"hops={self.hops}: from 1 to the {self.most - 2} agents between two others")
        if not all(0 <= share <= 1 for share in self.shares) or not 0 < self.keep < 1:
            raise ValueError(f"shares={self.shares} lie from 0 to 1, keep={self.keep} between 0 and 1")
        if not 2 <= self.few <= self.company - 2 <= self.most - 2 or not 0 <= self.mixed <= 1:
            raise ValueError(
                f"few={self.few} of company={self.company}, mixed={self.mixed}: two or more, two fewer than "
                f"the company or less, which is at most the {self.most} agents; a share from 0 to 1"
            )
        if self.draws < 1 or self.cycles < 1:
            raise ValueError(f"draws={self.draws} and cycles={self.cycles}: at least 1")
        pool = self.upbringing.negotiation.pool_ticks
        for name in ("budgets", "dealt"):
            if not 2 <= min(getattr(self, name)) <= max(getattr(self, name)) <= pool:
                raise ValueError(f"{name}={getattr(self, name)}: from 2 to the pool of {pool} ticks")

    @property
    def most(self) -> int:
        """How many agents are trained."""
        return self.sizes[-1]


def run(part: str, seed: int, settings: Settings, say: Log) -> ConditionResult:
    """Train all agents, and compare the ways between them.

    Args:
        part: toy, the only one.
        seed: Of the world and of all that is drawn.
        settings: Of the run.
        say: Told how it goes.
    """
    upbringing = settings.upbringing
    strangers = train_agents(upbringing, seed, ring_poses(upbringing, settings.most), say)
    measures: dict[str, Score] = {}
    for count in settings.sizes:
        measures |= of_size(strangers[:count], seed, settings)
        say(f"{count} agents: R2 {measures[f'universe, {count} agents'].score:.3f}")
    measures |= of_pairs(strangers, seed, settings)
    for pairs in settings.dealt:
        measures |= of_shuffles(strangers, pairs, seed, settings)
        measures |= of_a_few(strangers, pairs, seed, settings)
        say(f"{pairs} pairs are shuffled")
    drawn = [chosen(strangers, settings.pairs, seed, draw) for draw in range(settings.draws)]
    arrays = {
        "core sizes": np.array([stranger.core_dim for stranger in strangers]),
        "pairwise": each_edge(strangers, [direct(cores) for cores in drawn]),
        "universe": each_edge(strangers, [fit_universe(cores).between for cores in drawn]),
    }
    return ConditionResult(measures, arrays, flops=sum(stranger.flops for stranger in strangers))


def of_size(strangers: Sequence[TrainedAgent], seed: int, settings: Settings) -> dict[str, Score]:
    """Return what a society of N agents is worth: each way, its cycles, its messages, and its newcomer."""
    count, rng = len(strangers), np.random.default_rng([seed, PATHS, len(strangers)])
    drawn = [chosen(strangers, settings.pairs, seed, draw) for draw in range(settings.draws)]
    universes, own = [fit_universe(cores) for cores in drawn], [direct(cores) for cores in drawn]
    names = list(drawn[0])
    chains = [composed(way, names, count - 2, rng) for way in own]
    ways: dict[str, list[Way]] = {
        "universe": [universe.between for universe in universes], "pairwise": own, "chain": chains,
    }  # fmt: skip
    found = {name: Score.average(edges_r2(strangers, way)) for name, way in ways.items()}
    wrong = [shuffled(cores, 1.0, rng) for cores in drawn]
    nowhere = [fit_universe(cores).between for cores in wrong]
    found["null"] = Score.average(edges_r2(strangers, nowhere))
    first = {"universe": ways["universe"][0], "pairwise": own[0], "shuffled": direct(wrong[0])}
    for ending, members in {"": strangers, ", one size": of_one_size(strangers)}.items():
        orders = [rng.permutation(len(members)) for _ in range(settings.cycles)]
        for name, way in first.items():
            found[f"cycle error, {name}{ending}"] = around(way, members, orders)
    rows = sum(core.numel() for core in drawn[0].values()) * FLOAT
    found["kilobytes, universe"] = Score.single(rows / 1000)
    found["kilobytes, pairwise"] = Score.single(rows * (count - 1) / 1000)
    joined = [joining(cores, names[-1]) for cores in drawn]
    its = with_one(names, names[-1])
    found["newcomer, null"] = Score.average(edges_r2(strangers, nowhere, its))
    for name, told in {"join": joined, "refit": universes}.items():
        after = [universe.between for universe in told]
        found[f"newcomer, {name}"] = Score.average(edges_r2(strangers, after, its))
    before = fit_universe({name: drawn[0][name] for name in names[:-1]})
    for name, told in {"join": joined, "refit": universes}.items():
        found[f"messages, {name}"] = Score.single(messages(before, told[0]))
    return {f"{name}, {count} agents": measure for name, measure in found.items()}


def of_pairs(strangers: Sequence[TrainedAgent], seed: int, settings: Settings) -> dict[str, Score]:
    """Return R2 of all agents from more and fewer pairs, and of composed paths from as many as elsewhere."""
    found, names = {}, [each.name for each in strangers]
    for pairs in settings.budgets:
        drawn = [chosen(strangers, pairs, seed, draw) for draw in range(settings.draws)]
        own = [direct(cores) for cores in drawn]
        universe = [fit_universe(cores).between for cores in drawn]
        found[f"universe, {pairs} pairs"] = Score.average(edges_r2(strangers, universe))
        found[f"pairwise, {pairs} pairs"] = Score.average(edges_r2(strangers, own))
        rng = np.random.default_rng([seed, PATHS, pairs])
        wrong = [shuffled(cores, 1.0, rng) for cores in drawn]
        nowhere = [fit_universe(cores).between for cores in wrong]
        found[f"null, {pairs} pairs"] = Score.average(edges_r2(strangers, nowhere))
        if pairs == settings.pairs:
            unrelated = [direct(cores) for cores in wrong]
            for hops, (ending, maps) in product(settings.hops, (("", own), (", null", unrelated))):
                ways = [composed(way, names, hops, rng) for way in maps]
                found[f"through {hops}{ending}"] = Score.average(edges_r2(strangers, ways))
    return found


EXPERIMENT = Experiment(
    name="universe",
    question="Is one common space of many agents as good as a map for every pair of them?",
    settings=Settings,
    quick={
        "upbringing": LITTLE, "sizes": (3, 4, 6), "hops": (1, 2, 4), "budgets": (8, 64), "dealt": (64, 256),
        "company": 6, "few": 2, "draws": 2, "cycles": 5,
    },
    conditions=lambda settings: (PART,),
    run=run,
    metrics=figures,
    plots=pictures,
    notes=notes,
)  # fmt: skip
