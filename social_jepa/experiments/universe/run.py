"""Is one common space of many agents as good as a map for every pair, and better than composed maps?

Protocol. 16 agents learn one scene of two boxes, drawn without OpenGL, each alone from its own camera on the
ring. Their cores are compared at the same few ticks ("pairs"); of N agents the first N take part. R2 is the
mean over all N (N - 1) ordered edges, on held-out ticks, and over several choices of the pairs.

- *Universe*: one orthogonal map for each agent into a common space, by generalized Procrustes analysis
  (Gower 1975; for latent spaces arXiv:2602.06205). An edge maps into the common space and back.
- *Pairwise*: an orthogonal map for each edge from the same pairs; the baseline.
- *Composed*: pairwise maps composed along a path through randomly drawn agents; a chain visits all N.
- *Cycles*: maps around a cycle of all N in random order, applied to held-out cores; the error is the mean
  squared difference from the start, relative to the mean square: 0 is consistent, 2 unrelated. A smaller core
  loses what it cannot represent, whatever the maps; "equal cores" are cycles of the agents whose cores have
  the most common size: there a universe is consistent by construction.
- *Join*: the last of N joins the universe of the N - 1 before, whose maps do not change; compared with the
  universe of all N fitted again. Scored on the joiner's 2 (N - 1) edges. Messages are the joiner's rows and
  one for each other agent whose map has changed: of a join one by construction. Sending the common space to
  the joiner is not counted.
- *Shuffled*: a share of each agent's rows is permuted, differently for each agent, so that of the pairs of
  an edge only the square of the remaining share is right: 6 % at 75 % shuffled. *Trimmed* methods trust half
  of the rows.
- *Corrupted agents*: the test of arXiv:2602.06205, following its code: of ten agents whose cores have equal
  size, three have 75 % of their rows shuffled, and the others none; beside it, the same without shuffling.
  That paper reports language models, sentences and retrieval, which are not used here, so its claim is
  tested: a universe, in which intact agents are the majority, keeps what maps between two corrupted agents
  lose.

Bytes and messages count rows of float32 that are sent before a fit: N sets of rows to a universe, N (N - 1)
for maps that are agreed on edge by edge. A broadcast would avoid these messages, though not the fits.

Conditions: "toy", the only one.

Null: the same fits with all rows shuffled; the null of universes is shown for pairwise maps too. Baselines of
all agents: as many untrained encoders, and as many pixel PCAs, on as many leading axes as the scene has
factors.

Thresholds, set before the full run: the universe of 16 agents from 64 pairs reaches the R2 of pairwise maps,
its cycle error is below 1e-5, and joining it takes one message.

Shown on the page: the thresholds; R2, composed paths, cycle errors and kilobytes over the number of agents;
the joiner's edges; R2 over pairs; shuffled rows of all agents; and corrupted agents.
"""

from collections.abc import Sequence

import numpy as np

from alignment.universe import fit_universe
from social_jepa.experiments.common.similarity_baselines import baseline_agents, baseline_scores
from social_jepa.experiments.common.trained_agents import TrainedAgent, ring_poses, train_agents
from social_jepa.experiments.framework.experiment import ConditionResult, Experiment, Log
from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.universe.describe import describe_methods
from social_jepa.experiments.universe.maps import (
    EdgeMaps,
    anchor_cores,
    edge_scores,
    mean_edge_r2,
    pairwise_maps,
)
from social_jepa.experiments.universe.metrics import metrics, notes
from social_jepa.experiments.universe.plots import plots
from social_jepa.experiments.universe.scores import agent_count_scores, pair_count_scores
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
    scores: dict[str, Score] = {}
    for count in settings.agent_counts:
        scores |= agent_count_scores(agents[:count], seed, settings)
        log(f"{count} agents: R2 {scores[f'universe, {count} agents'].score:.3f}")
    scores |= pair_count_scores(agents, seed, settings)
    for pairs in settings.shuffled_pair_counts:
        scores |= shuffled_scores(agents, pairs, seed, settings)
        scores |= corrupted_scores(agents, pairs, seed, settings)
        log(f"scored shuffled rows of {pairs} pairs")
    scores |= run_baselines(seed, settings, log)
    draws = [anchor_cores(agents, settings.pairs, seed, draw) for draw in range(settings.draws)]
    arrays = {
        "core sizes": np.array([agent.core_dim for agent in agents]),
        "pairwise": mean_edge_r2(agents, [pairwise_maps(cores) for cores in draws]),
        "universe": mean_edge_r2(agents, [fit_universe(cores).between for cores in draws]),
    }
    return ConditionResult(scores, arrays, flops=sum(agent.flops for agent in agents))


def run_baselines(seed: int, settings: Settings, log: Log) -> dict[str, Score]:
    """Return R2 of pairwise maps and of universes of all agents if they learn nothing."""
    poses, axes = ring_poses(settings.setup, settings.max_agents), 2 * settings.setup.scene.objects
    members = baseline_agents(settings.setup, seed, range(settings.max_agents), poses, log, axes=axes)

    def score(agents: Sequence[TrainedAgent]) -> dict[str, Score]:
        draws = [anchor_cores(agents, settings.pairs, seed, draw) for draw in range(settings.draws)]
        maps: dict[str, Sequence[EdgeMaps]] = {
            "pairwise": [pairwise_maps(cores) for cores in draws],
            "universe": [fit_universe(cores).between for cores in draws],
        }
        suffix = f"{settings.max_agents} agents"
        return {f"{name}, {suffix}": Score.average(edge_scores(agents, each)) for name, each in maps.items()}

    return baseline_scores(members, score)


EXPERIMENT = Experiment(
    name="universe",
    question="Is one common space of many agents as good as a map for every pair of them?",
    settings=Settings,
    quick=QUICK,
    conditions=lambda settings: ("toy",),
    run=run,
    metrics=metrics,
    plots=plots,
    methods=describe_methods,
    notes=notes,
)
