"""Is one common space of many agents as good as a map for every pair, however many agents there are?

Protocol. 64 agents learn one scene of two boxes, drawn without OpenGL, each alone from its own camera on the
ring and at other times than all others. Their cores are compared at the same few ticks ("pairs"); of N
agents the first N take part, from 4 to 64. R2 is the mean over all N (N - 1) ordered edges, of the common
block (the directions of the target's core that all agents have), on held-out ticks, and over several choices
of the pairs.

- *Pairwise*: the map of the directions that two agents share, as an edge of a run has it; the baseline.
- *Universe*: one map for each agent into a common space, by generalized Procrustes analysis (Gower 1975; for
  latent spaces arXiv:2602.06205) of what the pairwise maps say is shared, as in a run. An edge maps into the
  common space and back. The *common dimension* is the number of directions that all agents have.
- *First edges*: the edges among the first 4 agents through the universe of N: what growth alone does to
  them, where the mean over all edges also tells how good the agents are that join.
- *Composed*: pairwise maps composed along a path through randomly drawn agents; a chain visits all N.
- *Cycles*: maps around a cycle of all N in random order, applied to held-out points of the common block; the
  error is the mean squared difference from the start, relative to the mean square: 0 is consistent, 2
  unrelated. Through a universe it is 0 by construction.
- *Join*: the last of N joins the universe of the N - 1 before, whose maps do not change; compared with the
  universe of all N fitted again. Scored on the joiner's 2 (N - 1) edges. Messages are the joiner's rows and
  one for each other agent whose map has changed: of a join one by construction. Sending the common space to
  the joiner is not counted.
- *Shuffled*, the first 16 agents, maps of whole cores: a share of each agent's rows is permuted, differently
  for each agent, so that of the pairs of an edge only the square of the remaining share is right: 6 % at
  75 % shuffled. *Trimmed* methods trust half of the rows.
- *Corrupted agents*: the test of arXiv:2602.06205, following its code: of ten agents whose cores have equal
  size, three have 75 % of their rows shuffled, and the others none; beside it, the same without shuffling.
  That paper reports language models, sentences and retrieval, which are not used here, so its claim is
  tested: a universe, in which intact agents are the majority, keeps what maps between two corrupted agents
  lose.

Bytes and messages count rows of float32 that are sent before a fit: N sets of rows to a universe, N (N - 1)
for maps that are agreed on edge by edge. A broadcast would avoid these messages, though not the fits.

Conditions: "toy", the only one.

Null: the same of agents whose rows, to fit and to score, are read at another time each; for shuffled rows,
all of them shuffled.
Baselines of 16 agents: as many untrained encoders, pixel PCAs, and linear tICAs, on as many leading axes as
the scene has factors.

Seeds 1000 to 1007, on which nothing was searched, score.

Thresholds, set before the full run:
- from 4 agents to 64, R2 of the first edges through the universe loses at most 0.005;
- so does R2 of all edges beyond what pairwise maps lose: the agents that join may be worse;
- R2 through the universe of 64 agents is at most 0.005 below that of pairwise maps;
- the common dimension of 64 agents is the number of factors.

Shown on the page: the thresholds; R2, composed paths, cycle errors and kilobytes over the number of agents;
the joiner's edges; R2 over pairs; shuffled rows of all agents; and corrupted agents.
"""

from collections.abc import Sequence

import numpy as np

from social_jepa.experiments.common.similarity_baselines import baseline_agents, baseline_scores
from social_jepa.experiments.common.trained_agents import TrainedAgent, ring_poses, train_agents
from social_jepa.experiments.framework.experiment import ConditionResult, Experiment, Log
from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.universe.describe import describe_methods
from social_jepa.experiments.universe.maps import EdgeMaps, as_edge_maps, edge_scores, mean_edge_r2
from social_jepa.experiments.universe.metrics import metrics, notes
from social_jepa.experiments.universe.plots import plots
from social_jepa.experiments.universe.scores import Null, agent_count_scores, draw_pairs, pair_count_scores
from social_jepa.experiments.universe.settings import QUICK, Settings
from social_jepa.experiments.universe.shuffles import corrupted_scores, shuffled_scores


def run(condition: str, seed: int, settings: Settings, log: Log) -> ConditionResult:
    """Train all agents, and compare universes with pairwise and composed maps.

    Args:
        condition: "toy", the only one.
        seed: Seed of the scene and of every random draw.
        settings: Settings of the run.
        log: Receives progress messages.
    """
    agents = train_agents(settings.setup, seed, ring_poses(settings.setup, settings.max_agents), log)
    few, draws = agents[: settings.few], draw_pairs(agents, settings.pairs, seed, settings)
    null = Null.of(agents, settings.pairs, seed, settings)
    scores: dict[str, Score] = {}
    for count in settings.agent_counts:
        members = agents[:count]
        of_members = [draw.of(members) for draw in draws]
        scores |= agent_count_scores(members, of_members, null.first(count), seed, settings)
        log(f"{count} agents: R2 {scores[f'universe, {count} agents'].score:.3f}")
    scores |= pair_count_scores(few, seed, settings)
    for pairs in settings.shuffled_pair_counts:
        scores |= shuffled_scores(few, pairs, seed, settings)
        scores |= corrupted_scores(few, pairs, seed, settings)
        log(f"scored shuffled rows of {pairs} pairs")
    scores |= run_baselines(seed, settings, log)
    universes = [draw.universe for draw in draws]
    arrays = {
        "core sizes": np.array([agent.core_dim for agent in agents]),
        "pairwise": mean_edge_r2(agents, [as_edge_maps(draw.maps) for draw in draws], universes),
        "universe": mean_edge_r2(agents, [each.between for each in universes], universes),
    }
    return ConditionResult(scores, arrays, flops=sum(agent.flops for agent in agents))


def run_baselines(seed: int, settings: Settings, log: Log) -> dict[str, Score]:
    """Return R2 of pairwise maps and of universes of a few agents if they learn nothing."""
    poses = ring_poses(settings.setup, settings.few)
    members = baseline_agents(settings.setup, seed, range(settings.few), poses, log, axes=settings.factors)

    def score(agents: Sequence[TrainedAgent]) -> dict[str, Score]:
        draws = draw_pairs(agents, settings.pairs, seed, settings)
        maps: dict[str, Sequence[EdgeMaps]] = {
            "pairwise": [as_edge_maps(draw.maps) for draw in draws],
            "universe": [draw.universe.between for draw in draws],
        }  # of whole cores, as agents that learned nothing may have no direction in common
        suffix = f"{settings.few} agents"
        return {f"{name}, {suffix}": Score.average(edge_scores(agents, each)) for name, each in maps.items()}

    return baseline_scores(members, score)


EXPERIMENT = Experiment(
    name="universe",
    question="Is one common space as good as a map for every pair, however many agents there are?",
    settings=Settings,
    quick=QUICK,
    conditions=lambda settings: ("toy",),
    run=run,
    metrics=metrics,
    plots=plots,
    methods=describe_methods,
    notes=notes,
    seeds=range(1000, 1008),
)
