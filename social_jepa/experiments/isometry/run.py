"""Does one isometric map relate separately trained agents, and how many pairs does it need?

After the question of Social-JEPA (arXiv:2603.02263). Theory says when the answer is yes: whitened prediction
of independent Ornstein-Uhlenbeck factors has the factors as its solution, up to a rotation
(arXiv:2605.26379), so that two agents that observe the same factors differ by a rotation only.

Protocol. Four agents stand on a ring around one scene, 90 degrees apart, and train with the settings of a
run, each on its own views and at other times than all others (training.own_ticks): they share no weights, no
seed and no tick. Each detects its predictable core without a peer. Maps are then fitted on pairs of
embeddings from one range of ticks and scored on another, over all 12 ordered pairs of agents and up to 16
random choices of the pairs. Embeddings are centered and whitened by their owners, on ticks of their own:
between those any good linear map is an isometry, and its singular values are canonical correlations. How near
to one the map between the latents is that encoders emit is the question of the experiment native-isometry,
and whether other objectives agree as well that of time-or-jepa.

Maps between cores are fitted by ridge, by Procrustes, by trimmed Procrustes (robust), and through one
universe of all four, from one pair to all pairs of the pool; ridge on all dimensions is shown beside them.
Zero pairs means no map: the axes as each agent found them. *Edges* are scored as a negotiation scores them:
the number of shared directions, and the correlation of the weakest of them.

Conditions: "default", the only one.

Null: each agent's rows shifted in time by another share of the range, for fitting and for scoring, so that
adjacent ticks stay alike. An orthogonal map of unrelated latents cannot shrink and scores about -1; ridge
can, and scores about 0. Baselines: two untrained encoders, two pixel PCAs and two linear tICAs, 180 degrees
apart, on as many leading axes as the scene has factors.

Seeds 2000 to 2004 score, as those of worlds; nothing was searched on them.

Thresholds, set before the full run:
- core R2 of an orthogonal map at least 0.95 from 64 pairs, and at least 0.93 from 8 pairs;
- R2 on all dimensions, by ridge from 256 pairs, at least 0.85;
- every edge shares exactly as many directions as the scene has factors, and the weakest of any edge
  correlates by at least 0.95;
- core R2 from 64 pairs exceeds that of the best baseline.
"""

from collections.abc import Sequence
from itertools import permutations

import numpy as np

from social_jepa.experiments.common.edges import Embeddings, Pairing, edge_score, weakest_correlation
from social_jepa.experiments.common.methods import COMPARED_AGENTS
from social_jepa.experiments.common.similarity_baselines import baseline_agents, baseline_scores
from social_jepa.experiments.common.trained_agents import (
    TrainedAgent,
    ring_poses,
    train_agent,
    trained_agent,
    untrained_agent,
)
from social_jepa.experiments.framework.experiment import ConditionResult, Experiment, Log
from social_jepa.experiments.framework.score import Score
from social_jepa.experiments.isometry.describe import describe_methods
from social_jepa.experiments.isometry.metrics import CONDITION, make_metrics, make_notes
from social_jepa.experiments.isometry.plots import make_plots
from social_jepa.experiments.isometry.scores import (
    agreement_scores,
    mean_correlations,
    pair_scores,
    roll_agents,
)
from social_jepa.experiments.isometry.settings import QUICK, Settings


def run(condition: str, seed: int, settings: Settings, log: Log) -> ConditionResult:
    """Train the agents, and score the maps between them, those of shifted rows and those of baselines.

    Args:
        condition: The only one, CONDITION.
        seed: Seed of the scene, the agents and the choices of pairs.
        settings: Settings of the run.
        log: Receives progress messages.

    Raises:
        ValueError: An agent detected no core.
    """
    del condition
    agents, views = train_all(settings, seed, log)
    log(f"cores of {', '.join(str(agent.core_dim) for agent in agents)} dimensions")
    if not all(agent.core_dim for agent in agents):
        raise ValueError("an agent found no core: raise setup.training.steps or setup.model.dim")
    scores: dict[str, Score] = {}
    arrays = {"views": views}
    for prefix, members in {"": agents, "shifted, ": roll_agents(agents)}.items():
        scores |= {prefix + name: score for name, score in map_scores(members, settings, seed).items()}
        arrays[f"{prefix}correlations"] = mean_correlations(members)
    scores |= edge_scores(agents, settings)
    scores["core dimension"] = Score.mean(np.array([agent.core_dim for agent in agents]))
    poses = ring_poses(settings.setup, settings.agents)
    baselines = baseline_agents(settings.setup, seed, COMPARED_AGENTS, poses, log, axes=settings.factors)
    scores |= baseline_scores(baselines, lambda members: map_scores(members, settings, seed))
    return ConditionResult(scores, arrays, flops=sum(agent.flops for agent in agents) / len(agents))


def train_all(settings: Settings, seed: int, log: Log) -> tuple[list[TrainedAgent], np.ndarray]:
    """Train the agents one after the other.

    Returns:
        (trained agents, frames of each camera at three held-out ticks, uint8 [agents, 3, H, W, 3]).
    """
    setup, agents, views = settings.setup, [], []
    poses = ring_poses(setup, settings.agents)
    for index in range(settings.agents):
        with untrained_agent(setup, seed, index, poses) as agent:
            agents.append(trained_agent(agent, train_agent(agent, log)))
            views.append(agent.recorder.record(agent.ticks.heldout[:3]).frames)
    return agents, np.stack(views)


def map_scores(agents: Sequence[TrainedAgent], settings: Settings, seed: int) -> dict[str, Score]:
    """Return R2 by fit and number of pairs, and other measures of agreement."""
    scores = pair_scores(agents, settings.pair_counts, seed)
    return scores | agreement_scores(agents, settings.reference_pairs, seed)


def edge_scores(agents: Sequence[TrainedAgent], settings: Settings) -> dict[str, Score]:
    """Return the shared directions of all ordered pairs as negotiations find them, and the weakest."""
    pairing, sent = Pairing.of(settings.setup), [Embeddings.of(agent) for agent in agents]
    edges = [edge_score(source, target, pairing) for source, target in permutations(sent, 2)]
    return {
        "edges, exact": Score.mean(np.array([edge.shared_dim == settings.factors for edge in edges])),
        "edges, weakest correlation": Score.single(min(map(weakest_correlation, edges))),
        "edges, null correlation": Score.single(max(edge.null_correlation for edge in edges)),
    }


EXPERIMENT = Experiment(
    name="isometry",
    question="Does one isometric map relate separately trained agents, and how many pairs does it need?",
    settings=Settings,
    quick=QUICK,
    conditions=lambda settings: (CONDITION,),
    run=run,
    metrics=make_metrics,
    plots=make_plots,
    methods=describe_methods,
    notes=make_notes,
    seeds=range(2000, 2005),
)
